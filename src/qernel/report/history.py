"""What happened during training: metrics.jsonl as curves, one for each context between two redraws."""

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from qernel.estimators.statistics import series_estimate

_SHORTEST_BLOCK = 20  # steps: below this, the autocorrelation within a block cannot be seen
_BLOCKS = 200  # at most, over the whole history


class Curve(NamedTuple):
    """One context from one redraw to the next, averaged over blocks of steps.

    Energies are in meV per electron. `error` is the standard error of a block's mean, with the
    autocorrelation between steps; a drift within a block counts as scatter and widens it. `spread`
    is the root mean square of the steps' spreads.
    """

    context: Float[np.ndarray, " parameter"]  # laboratory units
    weight: float  # in the loss
    step: Float[np.ndarray, " block"]  # middle of the block
    energy: Float[np.ndarray, " block"]
    error: Float[np.ndarray, " block"]
    spread: Float[np.ndarray, " block"]
    acceptance: Float[np.ndarray, " block"]
    sector: int = 0  # of several momenta


_BY_BLOCK = ("step", "energy", "error", "spread", "acceptance")


class Last(NamedTuple):
    """One of the present contexts, averaged over the last steps."""

    context: Float[np.ndarray, " entry"]  # with the number of the sector, if there are several
    steps: int
    energy: float
    error: float
    spread: float
    acceptance: float


class LateFit(NamedTuple):
    """Energies as a polynomial in the context, fitted to the last quarter of training."""

    degree: int
    contexts: int  # different ones that entered
    scatter: float  # root mean square deviation of the blocks that entered, meV per electron
    excess: list[np.ndarray]  # energy minus the polynomial, for each curve's blocks


class MeanExcess(NamedTuple):
    """What lies above the late fit from one redraw to the next, averaged over contexts, meV per electron.

    Contexts count as they do in the loss.
    """

    step: Float[np.ndarray, " block"]
    excess: Float[np.ndarray, " block"]
    error: Float[np.ndarray, " block"]


def training_curves(rows: Iterable[dict[str, Any]], *, sectors: bool = False) -> list[Curve]:
    """Curves in the order of time; rows are those of `Run.metrics`, of several `sectors` or of one."""
    rows = list(rows)
    size = max(_SHORTEST_BLOCK, math.ceil(len(rows) / _BLOCKS))
    curves = []
    for segment in _segments(rows):
        for index, context in enumerate(segment[0]["contexts"]):
            blocks = np.array_split(np.arange(len(segment)), max(1, len(segment) // size))
            measured = [_block([segment[i] for i in block], index) for block in blocks]
            weight = segment[0].get("weight", np.ones(index + 1))[index]  # older runs have none
            parameters, sector = (context[:-1], int(context[-1])) if sectors else (context, 0)
            values = np.array(measured, float).T
            curves.append(Curve(np.array(parameters, float), float(weight), *values, sector=sector))
    return curves


def last_means(rows: Iterable[dict[str, Any]], window: int = 100) -> list[Last]:
    """Means over the last steps at the present contexts, at most `window`, sorted by context."""
    segments = _segments(list(rows))
    if not segments:
        return []
    tail = segments[-1][-window:]
    means = []
    for index, context in enumerate(tail[0]["contexts"]):
        _, *values = _block(tail, index)
        means.append(Last(np.array(context, float), len(tail), *values))
    return sorted(means, key=lambda last: tuple(last.context))


def late_fit(curves: Sequence[Curve]) -> LateFit:
    """Fit the energies of the last quarter of steps by a polynomial in all context parameters.

    Of several sectors each by one of its own. Contexts are redrawn, so that energies at different times
    belong to different contexts. What lies above the polynomial can be compared. Its degree is 3, or lower
    where there are fewer than two different contexts for each coefficient.
    """
    begin = 0.75 * curves[-1].step[-1]
    sectors = sorted({curve.sector for curve in curves})
    fits = [_fit_late([curve for curve in curves if curve.sector == each], begin) for each in sectors]
    left = {sector: iter(fit.excess) for sector, fit in zip(sectors, fits, strict=True)}
    return LateFit(
        min(fit.degree for fit in fits),
        sum(fit.contexts for fit in fits),
        float(np.sqrt(np.mean([fit.scatter**2 for fit in fits]))),
        [next(left[curve.sector]) for curve in curves],
    )


def _fit_late(curves: Sequence[Curve], begin: float) -> LateFit:
    """The same for curves of one sector, of steps from `begin` on."""
    late = [_after(curve, begin) for curve in curves]
    contexts = np.concatenate([np.tile(curve.context, (len(curve.step), 1)) for curve in late])
    energies = np.concatenate([curve.energy for curve in late])
    errors = np.concatenate([curve.error for curve in late])
    if len(energies) == 0:
        return LateFit(0, 0, math.nan, [np.full(curve.energy.shape, math.nan) for curve in curves])
    different, parameters = len(np.unique(contexts, axis=0)), contexts.shape[1]
    degree = max(d for d in range(4) if d == 0 or 2 * math.comb(d + parameters, d) <= different)
    low, high = contexts.min(axis=0), contexts.max(axis=0)
    powers = _powers(contexts, low, high, degree)
    weight = 1 / _sane(errors)
    solution = np.linalg.lstsq(powers * weight[:, None], energies * weight, rcond=None)[0]
    scatter = float(np.sqrt(np.mean((energies - powers @ solution) ** 2)))
    fitted = _powers(np.array([curve.context for curve in curves]), low, high, degree) @ solution
    excess = [curve.energy - energy for curve, energy in zip(curves, fitted, strict=True)]
    return LateFit(degree, different, scatter, excess)


def mean_excess(curves: Sequence[Curve], fit: LateFit) -> list[MeanExcess]:
    """The excess over the late fit, averaged over contexts."""
    pairs = zip(curves, fit.excess, strict=True)
    means = []
    for _, group in itertools.groupby(pairs, key=lambda pair: pair[0].step[0]):
        together, excess = zip(*group, strict=True)
        shares = np.array([curve.weight for curve in together])[:, None]
        shares = shares / shares.sum()
        error = np.sqrt(np.sum((shares * [curve.error for curve in together]) ** 2, axis=0))
        means.append(MeanExcess(together[0].step, np.sum(shares * excess, axis=0), error))
    return means


def _after(curve: Curve, step: float) -> Curve:
    """The blocks beyond a step that have an energy."""
    kept = (curve.step > step) & np.isfinite(curve.energy)
    return curve._replace(**{name: getattr(curve, name)[kept] for name in _BY_BLOCK})


def _powers(
    points: Float[np.ndarray, "point parameter"],
    low: Float[np.ndarray, " parameter"],
    high: Float[np.ndarray, " parameter"],
    degree: int,
) -> Float[np.ndarray, "point monomial"]:
    """All monomials up to a degree, of parameters scaled to [-1, 1]."""
    scaled = (2 * points - low - high) / np.where(high > low, high - low, 1.0)
    factors = np.concatenate([np.ones((len(scaled), 1)), scaled], axis=1)
    choices = itertools.combinations_with_replacement(range(factors.shape[1]), degree)
    return np.stack([factors[:, list(choice)].prod(axis=1) for choice in choices], axis=1)


def _sane(errors: Float[np.ndarray, " block"]) -> Float[np.ndarray, " block"]:
    """Errors to weigh by: those that are missing are typical, none is far smaller than typical."""
    known = errors[errors > 0]
    typical = float(np.median(known)) if len(known) else 1.0
    return np.maximum(np.where(errors > 0, errors, typical), typical / 3)


def _segments(rows: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Stretches of steps with the same contexts."""
    return [list(group) for _, group in itertools.groupby(rows, key=lambda row: row["contexts"])]


def _block(rows: list[dict[str, Any]], context: int) -> tuple[float, ...]:
    """Step, energy, error, spread and acceptance of one context; refused steps may hold NaN."""
    values = np.array(
        [[row[name][context] for name in ("energy", "spread", "acceptance")] for row in rows], float
    )
    step = (rows[0]["step"] + rows[-1]["step"]) / 2
    good = values[np.isfinite(values).all(axis=1)]
    if len(good) == 0:
        return step, math.nan, math.nan, math.nan, math.nan
    energy, error = series_estimate(good[:, 0])
    return step, energy, error, float(np.sqrt(np.mean(good[:, 1] ** 2))), float(good[:, 2].mean())
