"""Curves that may describe a sweep: smooth ones, and two branches with a jump or a kink between them.

Each is linear in all but a position and a width. These are scanned, and for every choice of them the fit by
least squares is a projection, so that thousands of resampled sweeps are fitted at once.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

#: Fitted parameters of every kind of curve with straight branches, position and width included.
SMOOTH = {
    "straight line": 2,
    "parabola": 3,
    "cubic": 4,
    "quartic": 5,
    "rounded kink": 5,
    "rounded peak": 5,
    "rounded jump": 6,
}
SHARP = {"kink": 4, "jump": 5}

LEAST = 3  # points on either branch
_WIDTHS = (2.0, 3.0, 4.5, 7.0, 10.0)  # of rounded curves, in mean spacings; narrower ones: `_narrow`
_POSITIONS = 61  # of rounded curves
_RATIO, _STEPS = 1.5, 4  # of one narrow width to the one before; positions of it in a width
_FINENESS = 40  # positions of a kink per mean spacing

Samples = Float[np.ndarray, "sample point"]
Choice = Int[np.ndarray, " sample"]
Shape = Callable[[np.ndarray], tuple[np.ndarray, ...]]  # of distances from a position: what breaks there


class Fits(NamedTuple):
    """Each sample's best curve of every kind: chi squared, and which choice of position and width."""

    chi2: Float[np.ndarray, "sample kind"]
    choice: Int[np.ndarray, "sample kind"]


class Branches(NamedTuple):
    """Two branches level + slope (x - position) + curvature (x - position)^2, the last one in common."""

    position: Float[np.ndarray, " sample"]
    levels: Float[np.ndarray, "sample 2"]  # left and right
    slopes: Float[np.ndarray, "sample 2"]
    curvature: Float[np.ndarray, " sample"]  # zero where branches are straight


class Curves:
    """Every candidate curve on one grid `x`, increasing, with one set of standard errors.

    Branches are straight for `degree` 1 and share a curvature for `degree` 2. `parameters` holds the number
    fitted for every kind that leaves a degree of freedom.
    """

    def __init__(self, x: Float[np.ndarray, " point"], error: Float[np.ndarray, " point"], degree: int = 1):
        self.x, self.error, self.degree = x, error, degree
        counts = {
            kind: count + (degree - 1) * (kind in SHARP or "rounded" in kind)
            for kind, count in (SMOOTH | SHARP).items()
        }
        self.parameters = {kind: count for kind, count in counts.items() if count < len(x)}
        self.smooth = [kind for kind in self.parameters if kind in SMOOTH]
        first, last = x[LEAST - 1], x[len(x) - LEAST]
        spacing = (x[-1] - x[0]) / (len(x) - 1)
        kinks = np.linspace(first, last, max(2, round(_FINENESS * (last - first) / spacing) + 1))
        inner = x[LEAST - 1 : len(x) - LEAST + 1]
        #: Cells that a sharp position is known to be in: gaps between points for a jump.
        self.cells = {
            "jump": np.stack([inner[:-1], inner[1:]], axis=1),
            "kink": np.stack([kinks[:-1], kinks[1:]], axis=1),
        }
        self._designs = {kind: self._design(kind) / error[:, None] for kind in self.parameters}
        self._bases = {kind: np.linalg.qr(design)[0] for kind, design in self._designs.items()}

    def fit(self, y: Samples) -> Fits:
        """The best curve of every kind, in the order of `parameters`."""
        white = (y - y.mean(axis=1, keepdims=True)) / self.error
        squares, samples = (white**2).sum(axis=1), np.arange(len(y))
        best, chi2 = [], []
        for basis in self._bases.values():
            choices, points, terms = basis.shape
            parts = (white @ basis.transpose(1, 0, 2).reshape(points, -1)).reshape(-1, choices, terms)
            left = squares[:, None] - (parts**2).sum(axis=-1)
            best.append(left.argmin(axis=1))
            chi2.append(np.maximum(left[samples, best[-1]], 0.0))
        return Fits(np.stack(chi2, axis=1), np.stack(best, axis=1))

    def values(self, kind: str, choice: Choice, y: Samples) -> Samples:
        """The fitted curves of one kind at every point."""
        basis = self._bases[kind][choice]
        parts = np.einsum("spt,sp->st", basis, y / self.error)
        return self.error * np.einsum("spt,st->sp", basis, parts)

    def branches(self, kind: str, choice: Choice, y: Samples) -> Branches:
        """The branches of fitted jumps or kinks; they are taken in the middle of the cell."""
        inverse = np.linalg.pinv(self._designs[kind])[choice]
        terms = np.einsum("stp,sp->st", inverse, y / self.error)
        level, slope, change = terms[:, 0], terms[:, 1], terms[:, -1]
        jump = terms[:, -2] if kind == "jump" else np.zeros(len(y))
        return Branches(
            self.cells[kind][choice].mean(axis=1),
            np.stack([level, level + jump], axis=1),
            np.stack([slope, slope + change], axis=1),
            terms[:, 2] if self.degree == 2 else np.zeros(len(y)),
        )

    def _design(self, kind: str) -> Float[np.ndarray, "choice point term"]:
        """Columns of the linear fits of one kind, for every choice of position and width."""
        if kind in SHARP:
            make = _jump if kind == "jump" else _kink
            return self._broken(make, self.cells[kind].mean(axis=1))
        if "rounded" in kind:
            make = _ROUNDED[kind]
            # Beyond the ends, what is seen of a rounded kink is an exponential.
            beyond = 2 if kind == "rounded kink" else 0
            narrow = [self._rounded(make, width, places) for width, places in _narrow(self.x)]
            return np.concatenate([self._wide(make, width, beyond) for width in _WIDTHS] + narrow)
        scaled = (self.x - self.x.mean()) / np.ptp(self.x)
        return np.stack([scaled**power for power in range(self.parameters[kind])], axis=1)[None]

    def _wide(self, make: Shape, spacings: float, beyond: int) -> np.ndarray:
        width = spacings * (self.x[-1] - self.x[0]) / (len(self.x) - 1)
        low, high = self.x[0] - beyond * width, self.x[-1] + beyond * width
        return self._rounded(make, width, np.linspace(low, high, _POSITIONS))

    def _rounded(self, make: Shape, width: float, positions: np.ndarray) -> np.ndarray:
        return self._broken(lambda x: make(x / width), positions)

    def _broken(self, make: Shape, positions: np.ndarray) -> np.ndarray:
        """Columns of two branches: of a jump at p, for example, 1, x - p, theta(x - p), max(x - p, 0).

        With curvature (x - p)^2 stands third.
        """
        distance = self.x - positions[:, None]
        powers = [distance**power for power in range(self.degree + 1)]
        return np.stack([*powers, *make(distance)], axis=-1)


def _narrow(x: Float[np.ndarray, " point"]) -> Iterator[tuple[float, np.ndarray]]:
    """Widths below the usual ones, and positions: where the points are denser, two spacings there or more.

    Elsewhere so narrow a curve would be a jump itself.
    """
    spacings = np.diff(x)
    width = _WIDTHS[0] * spacings.min()
    while width < 0.99 * _WIDTHS[0] * spacings.mean():
        dense = np.flatnonzero(spacings <= 1.001 * width / _WIDTHS[0])
        yield width, np.concatenate([np.arange(x[gap], x[gap + 1], width / _STEPS) for gap in dense])
        width *= _RATIO


def _jump(x: np.ndarray) -> tuple[np.ndarray, ...]:
    return (x > 0).astype(float), np.maximum(x, 0)


def _kink(x: np.ndarray) -> tuple[np.ndarray, ...]:
    return (np.maximum(x, 0),)


def _rounded_jump(x: np.ndarray) -> tuple[np.ndarray, ...]:
    return np.tanh(x), *_rounded_kink(x)


def _rounded_kink(x: np.ndarray) -> tuple[np.ndarray, ...]:
    corner = np.logaddexp(0, 2 * x)  # its derivative is 1 + tanh x
    return (corner / corner.max(axis=-1, keepdims=True),)


def _rounded_peak(x: np.ndarray) -> tuple[np.ndarray, ...]:
    return (1 - np.tanh(x) ** 2,)


_ROUNDED: dict[str, Shape] = {
    "rounded kink": _rounded_kink,
    "rounded peak": _rounded_peak,
    "rounded jump": _rounded_jump,
}
