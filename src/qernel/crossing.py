"""Where the energies of two models cross: at the zero of a smooth curve through their difference.

A change of the lowest model is a crossing where each of the two is lower beyond the noise on its side.
Around it the difference of the two energies is fitted by a parabola: through the seven nearest contexts, and
as many more as it takes until the difference is beyond its noise on both sides. Its zero has the error of the
fit,

    sigma_x = sqrt(p(x)^T C p(x)) / |slope at x|,        p(x) = (1, x, x^2),

C being the coefficients' covariance (`least_squares.fit`). Where the parabola's zero is not between the
nearest contexts on either side whose difference is beyond the noise, it follows fewer contexts; in the end a
straight line follows the two of the change.
"""

import math
from typing import NamedTuple

import numpy as np
import xarray
from jaxtyping import Bool, Float

from qernel.least_squares import fit

_NEAREST = (7, 5)  # contexts that a parabola follows at least, first and if it fails
_SIGMAS = 3.0  # beyond so many errors a difference is not noise

Points = Float[np.ndarray, " point"]


class Crossing(NamedTuple):
    """The lowest model changes from `before` to `after` where the parameter has this value."""

    before: str
    after: str
    value: float
    error: float  # statistical, of a smooth difference of energies


class _Zero(NamedTuple):
    """Where a curve crosses zero, and whether downward."""

    value: float
    error: float
    falls: bool


def crossings(energy: xarray.DataArray, error: xarray.DataArray) -> list[Crossing]:
    """Where the lowest of several models changes along a parameter; both arrays are over (model, parameter).

    Where two models change places several times and what lies between is noise, they cross once or, if the
    first is lowest again in the end, not at all: A A B A B B is one crossing if the two differ by noise at
    the contexts in the middle, 2 and 3. Where on one side their difference is noise as far as the contexts
    reach, they do not cross. Contexts without error bars are left out.
    """
    (parameter,) = (str(dim) for dim in energy.dims if dim != "model")
    energies, errors = (each.transpose("model", ...).values for each in (energy, error))
    order = np.argsort(energy[parameter].values)
    known = np.all((errors > 0) & (errors < np.inf), axis=0)
    order = order[known[order]]
    x, energies, errors = energy[parameter].values[order].astype(float), energies[:, order], errors[:, order]
    names, lowest = energy["model"].values, energies.argmin(axis=0).tolist()
    found, before, i = [], lowest[:1], 1  # the lowest, and those that may have been the lowest before it
    while i < len(x):
        new, end = lowest[i], i
        for old in _predecessors(before, new):
            gap, spread = energies[new] - energies[old], np.hypot(errors[old], errors[new])
            begin, end = _change(lowest, gap / spread, old, i)
            was_lower, is_lower = _sides(gap / spread, begin, end)
            if was_lower and is_lower:
                zero = _zero(x, gap, spread, begin, end)
                found.append(Crossing(str(names[old]), str(names[new]), *zero))
                before = [new]
                break
            if is_lower and old == before[-1]:
                before = [*before, new]
        i = end + 1
    return found


def _predecessors(before: list[int], new: int) -> list[int]:
    """The models that may give way to `new`, the latest first; none where it is the lowest already."""
    return [] if new == before[-1] else [old for old in reversed(before) if old != new]


def _change(lowest: list[int], gap: Points, old: int, at: int) -> tuple[int, int]:
    """The last context before a change from `old` to the model that is lowest `at` one, and where it is over.

    The two may change places again as long as the gap, in units of its error, is noise: of A A B A B B the
    change begins at 1 and is over at 4.
    """
    new, earlier = lowest[at], np.flatnonzero(gap[:at] >= 0)
    begin, end = int(earlier[-1]) if len(earlier) else 0, at
    for i in range(at, len(lowest) - 1):
        if lowest[i + 1] not in (old, new) or abs(gap[i]) > _SIGMAS:
            break
        if lowest[i] != lowest[i + 1] == new:
            end = i + 1
    return begin, end


def _sides(gap: Points, begin: int, end: int) -> tuple[bool, bool]:
    """Whether the nearest gap that is no noise, in units of the error, is positive before, negative after."""
    before, after = (side[np.abs(side) > _SIGMAS] for side in (gap[: begin + 1], gap[end:]))
    return bool(len(before) and before[-1] > 0), bool(len(after) and after[0] < 0)


def _zero(x: Points, gap: Points, error: Points, begin: int, end: int) -> tuple[float, float]:
    """Value and error of where a gap is zero that falls below it, up to noise, from `begin` to `end`."""
    sure = np.abs(gap) > _SIGMAS * error
    left, right = x[: begin + 1][sure[: begin + 1]].max(), x[end:][sure[end:]].min()
    for least in _NEAREST:
        where = _around(x, sure, (x[begin] + x[end]) / 2, least)
        for zero in _fit(x[where], gap[where], error[where]):
            if zero.falls and left <= zero.value <= right:
                return zero.value, zero.error
    change = next(i for i in range(begin, end) if gap[i] >= 0 >= gap[i + 1] and gap[i] > gap[i + 1])
    (zero,) = _fit(*(values[change : change + 2] for values in (x, gap, error)))
    return zero.value, zero.error


def _around(x: Points, sure: Bool[np.ndarray, " point"], middle: float, least: int) -> slice:
    """The contexts nearest to the middle, at least so many, and on both sides as many as reach a sure one."""
    nearest = np.sort(np.argsort(np.abs(x - middle), kind="stable")[:least])
    first, last = int(nearest[0]), int(nearest[-1])
    while first > 0 and not sure[first]:
        first -= 1
    while last < len(x) - 1 and not sure[last]:
        last += 1
    return slice(first, last + 1)


def _fit(x: Points, y: Points, error: Points) -> list[_Zero]:
    """Zeros within the points, in their order, of the polynomial that fits them."""
    degree, middle, width = (1 if len(x) < 4 else 2), x.mean(), np.ptp(x)
    terms = np.vander((x - middle) / width, degree + 1, increasing=True)
    coefficients, covariance, _ = fit(terms, y, error)
    zeros, rounding = [], 1e-9 * width
    for root in _roots(*coefficients):
        value, powers = float(middle + width * root), root ** np.arange(degree + 1)
        slope = float(np.arange(1, degree + 1) * coefficients[1:] @ powers[:-1])
        if x[0] - rounding <= value <= x[-1] + rounding and slope != 0:
            spread = math.sqrt(powers @ covariance @ powers) / abs(slope)
            zeros.append(_Zero(value, float(width * spread), slope < 0))
    return zeros


def _roots(level: float, slope: float, curvature: float = 0.0) -> list[float]:
    """Real roots of level + slope x + curvature x^2 in their order, exact also for next to no curvature."""
    discriminant = slope**2 - 4 * curvature * level
    if discriminant < 0:
        return []
    large = -(slope + math.copysign(math.sqrt(discriminant), slope)) / 2
    fractions = ((level, large), (large, curvature))
    return sorted(above / below for above, below in fractions if below != 0)
