"""Whether a curve has a jump or a kink, and where, with intervals by resampling."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.stats import chi2 as chi2_distribution

from qernel.transition.curves import SHARP, Branches, Curves, Fits, Samples

LEVEL = 0.01  # largest share of smooth curves that may look as sharp
SAMPLES = 1000
_POOR = 0.01  # probability of a chi squared that calls for an explanation
_ALIKE = 0.05  # probability of neighbouring residuals as much alike

Interval = tuple[float, float]
Points = Float[np.ndarray, " point"]


class Estimate(NamedTuple):
    """A fitted number and half the width of its central 68% of resamplings."""

    value: float
    error: float


class Break(NamedTuple):
    """The best jump or kink of a curve, and whether it is one.

    A jump is somewhere between two points: `value` is the middle of this gap and the intervals hold whole
    gaps. The branches are level + slope (x - value) + curvature (x - value)^2.
    """

    found: bool
    kind: str  # jump or kink
    value: float
    within_68: Interval
    within_95: Interval
    jump: Estimate  # right minus left level; zero for a kink
    levels: tuple[float, float]
    slopes: tuple[Estimate, Estimate]
    curvature: float  # zero where straight branches fit
    smooth: str  # the best smooth curve
    p_value: float  # share of resamplings of the smooth curve that look as sharp
    curved: bool  # the branches miss the points systematically
    birge: float  # factor on all errors; 1 where the best curve fits within them
    chi2_per_dof: dict[str, float]  # of every kind, with errors as given
    bic: dict[str, float]  # with errors times `birge`


def locate(
    x: Points,
    y: Points,
    error: Points,
    *,
    seed: int = 0,
    samples: int = SAMPLES,
) -> Break:
    """The best break of y(x), given with standard errors at seven points or more, x increasing.

    Found if a sharp curve has the lowest BIC, if less than `LEVEL` of the resamplings of the best smooth
    curve favour a sharp one as much, and if what the branches miss is scatter. Branches are straight, and get
    a common curvature where straight ones miss the points systematically.
    """
    straight = _best_break(Curves(x, error), y, np.random.default_rng(seed), samples)
    if not straight.curved:
        return straight
    return _best_break(Curves(x, error, 2), y, np.random.default_rng(seed), samples)


def _best_break(curves: Curves, y: Points, random: np.random.Generator, samples: int) -> Break:
    kinds = list(curves.parameters)
    fits = curves.fit(y[None])
    ratio, scores = _compare(curves, fits)
    birge, bic = float(ratio[0]), dict(zip(kinds, scores[0].tolist(), strict=True))
    smooth, sharp = min(curves.smooth, key=bic.__getitem__), min(SHARP, key=bic.__getitem__)

    def resampled(kind: str) -> Samples:
        fitted = curves.values(kind, fits.choice[:, kinds.index(kind)], y[None])
        return fitted + birge * curves.error * random.normal(size=(samples, len(y)))

    evidence = float(_evidence(curves, scores)[0])
    by_chance = _evidence(curves, _compare(curves, curves.fit(resampled(smooth)))[1])
    p_value = (1 + int(np.sum(by_chance >= evidence))) / (samples + 1)
    (best, alike), (spread, alike_by_chance) = (
        _sharpest(curves, sharp, each) for each in (y[None], resampled(sharp))
    )
    freedom = {kind: len(y) - count for kind, count in curves.parameters.items()}
    chi2 = dict(zip(kinds, fits.chi2[0].tolist(), strict=True))
    poor = chi2_distribution.sf(chi2[sharp], freedom[sharp]) < _POOR
    curved = bool(poor and np.mean(alike_by_chance <= alike) < _ALIKE)
    left, right = (Estimate(float(best.slopes[0, i]), _half_68(spread.slopes[:, i])) for i in (0, 1))
    return Break(
        found=evidence > 0 and p_value < LEVEL and not curved,
        kind=sharp,
        value=float(best.position[0]),
        within_68=_interval(curves.cells[sharp], spread.position, 0.68),
        within_95=_interval(curves.cells[sharp], spread.position, 0.95),
        jump=Estimate(float(np.diff(best.levels)[0, 0]), _half_68(np.diff(spread.levels)[:, 0])),
        levels=(float(best.levels[0, 0]), float(best.levels[0, 1])),
        slopes=(left, right),
        curvature=float(best.curvature[0]),
        smooth=smooth,
        p_value=p_value,
        curved=curved,
        birge=birge,
        chi2_per_dof={kind: chi2[kind] / freedom[kind] for kind in kinds},
        bic=bic,
    )


def _compare(curves: Curves, fits: Fits) -> tuple[np.ndarray, np.ndarray]:
    """Birge ratio (sample) and BIC (sample, kind).

    The ratio is sqrt(chi2/dof) of the best curve, where it exceeds one: what the errors lack.
    """
    points, parameters = len(curves.x), np.array(list(curves.parameters.values()))
    penalty = parameters * np.log(points)
    best = (fits.chi2 + penalty).argmin(axis=1)
    per_dof = fits.chi2[np.arange(len(best)), best] / (points - parameters[best])
    square = np.maximum(1.0, per_dof)
    return np.sqrt(square), fits.chi2 / square[:, None] + penalty


def _evidence(curves: Curves, bic: np.ndarray) -> np.ndarray:
    """By how much the BIC of the best sharp curve is below that of the best smooth one, per sample."""
    is_sharp = np.array([kind in SHARP for kind in curves.parameters])
    return bic[:, ~is_sharp].min(axis=1) - bic[:, is_sharp].min(axis=1)


def _sharpest(curves: Curves, kind: str, y: Samples) -> tuple[Branches, np.ndarray]:
    """Branches of the best jumps or kinks, and how alike their neighbouring residuals are.

    The latter by von Neumann's ratio sum (r_i+1 - r_i)^2 / sum r_i^2, small if r follows a curve. It does not
    change with the size of the errors, which may merely have been underestimated.
    """
    choice = curves.fit(y).choice[:, list(curves.parameters).index(kind)]
    residual = (y - curves.values(kind, choice, y)) / curves.error
    alike = (np.diff(residual) ** 2).sum(axis=1) / (residual**2).sum(axis=1)
    return curves.branches(kind, choice, y), alike


def _interval(cells: np.ndarray, positions: np.ndarray, share: float) -> Interval:
    """The central share of resampled positions, in whole cells."""
    outside = (1 - share) / 2
    low = np.quantile(positions, outside, method="lower")
    high = np.quantile(positions, 1 - outside, method="higher")
    return float(cells[cells[:, 1] > low][0, 0]), float(cells[cells[:, 0] < high][-1, 1])


def _half_68(values: np.ndarray) -> float:
    low, high = np.quantile(values, [0.16, 0.84])
    return float(high - low) / 2
