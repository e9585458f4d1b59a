"""Whether a curve has a peak inside its range, and where."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import isotonic_regression

from qernel.transition.decision import LEVEL, SAMPLES, Interval


class Peak(NamedTuple):
    """The highest point of a curve, and whether it is a peak."""

    found: bool
    value: float  # of x
    within_68: Interval
    within_95: Interval
    height: float
    p_value: float  # share of resamplings of the best monotonic curve that miss monotony as much


def locate_peak(
    x: Float[np.ndarray, " point"],
    y: Float[np.ndarray, " point"],
    error: Float[np.ndarray, " point"],
    *,
    seed: int = 0,
    samples: int = SAMPLES,
) -> Peak:
    """The peak of y(x), given with standard errors, x increasing.

    Found if no monotonic curve fits (by resampling the best one) and the highest point is an inner one in 95%
    of the resamplings of y. Intervals reach to the neighbours of the highest points.
    """
    random = np.random.default_rng(seed)
    scatter = error * random.normal(size=(samples, len(y)))
    smooth, misfit = _monotonic(y, error)
    chance = np.array([_monotonic(smooth + each, error)[1] for each in scatter])
    p_value = (1 + int(np.sum(chance >= misfit))) / (samples + 1)
    highest = (y + scatter).argmax(axis=1)
    most, (low, high) = _central(highest, 0.68), _central(highest, 0.95)
    within_68, within_95 = _between_neighbours(x, *most), _between_neighbours(x, low, high)
    inner, top = low > 0 and high < len(x) - 1, int(y.argmax())
    return Peak(p_value < LEVEL and inner, float(x[top]), within_68, within_95, float(y[top]), p_value)


def _monotonic(y: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, float]:
    """The best curve that only rises or only falls, and its chi squared."""
    fits = [isotonic_regression(y, weights=error**-2, increasing=up).x for up in (True, False)]
    chi2 = [float(np.sum(((y - fit) / error) ** 2)) for fit in fits]
    return fits[int(np.argmin(chi2))], min(chi2)


def _central(points: np.ndarray, share: float) -> tuple[int, int]:
    """The ends of the central share of points, which are indices."""
    low = np.quantile(points, (1 - share) / 2, method="lower")
    return int(low), int(np.quantile(points, (1 + share) / 2, method="higher"))


def _between_neighbours(x: np.ndarray, low: int, high: int) -> Interval:
    """From the neighbour below one point to the neighbour above another (indices)."""
    return float(x[max(low - 1, 0)]), float(x[min(high + 1, len(x) - 1)])
