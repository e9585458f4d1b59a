"""Where the energies of two models cross: at the zero of a smooth curve through their difference.

Around a change of the lowest model the difference of the two energies is fitted by a parabola through the
seven nearest contexts, or by a straight line where there are fewer than four. Its zero has the error of the
fit,

    sigma_x = sqrt(p(x)^T C p(x)) / |slope at x|,        p(x) = (1, x, x^2),

C being the coefficients' covariance. Where points scatter about the curve more than their errors explain, as
happens by chance in 5% of cases, C is enlarged by chi squared per degree of freedom (Birge, Phys. Rev. 40,
207 (1932)).
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import xarray
from jaxtyping import Float
from scipy.special import chdtrc

_NEAREST = 7  # contexts that a parabola follows
_CHANCE = 0.05

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

    Several changes among the same two models within two contexts of each other are one crossing that noise
    repeats, or, where they leave the same model lowest, two crossings or none, as the curve says.
    Contexts without error bars are left out.
    """
    (parameter,) = (str(dim) for dim in energy.dims if dim != "model")
    known = ((error > 0) & (error < np.inf)).all("model")
    energy, error = energy.isel({parameter: known}), error.isel({parameter: known})
    x = energy[parameter].values.astype(float)
    names = [str(name) for name in energy["model"].values[energy.values.argmin(energy.dims.index("model"))]]
    found = []
    for changes in _changes(names):
        before, after = names[changes[0]], names[changes[0] + 1]
        gap = energy.sel(model=after) - energy.sel(model=before)
        spread = np.hypot(error.sel(model=before).values, error.sel(model=after).values)
        for zero in _zeros(x, gap.values, spread, changes):
            order = (before, after) if zero.falls else (after, before)
            found.append(Crossing(*order, zero.value, zero.error))
    return found


def _changes(names: list[str]) -> Iterable[list[int]]:
    """Contexts after which the lowest model changes; together those among two models that are close."""
    groups: list[list[int]] = []
    for i in range(len(names) - 1):
        if names[i] == names[i + 1]:
            continue
        last = groups[-1][-1] if groups else None
        if last is not None and i - last <= 2 and {names[last], names[last + 1]} == {names[i], names[i + 1]}:
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups


def _zeros(x: Points, gap: Points, error: Points, changes: list[int]) -> list[_Zero]:
    """The zeros of a smooth curve through a gap that is positive first and changes sign so often."""
    middle = np.mean([x[changes[0]], x[changes[-1] + 1]])
    nearest = np.sort(np.argsort(np.abs(x - middle), kind="stable")[:_NEAREST])
    if len(changes) % 2 == 0:
        return _fit(x[nearest], gap[nearest], error[nearest])
    between = np.arange(2) + changes[len(changes) // 2]
    # A parabola that misses zero, or meets it elsewhere, says less than the two contexts of the change.
    for where in (nearest, between):
        if down := [zero for zero in _fit(x[where], gap[where], error[where]) if zero.falls]:
            return down
    return []


def _fit(x: Points, y: Points, error: Points) -> list[_Zero]:
    """Zeros within the points, in their order, of the polynomial that fits them."""
    degree, middle, width = (1 if len(x) < 4 else 2), x.mean(), np.ptp(x)
    design = np.vander((x - middle) / width, degree + 1, increasing=True) / error[:, None]
    covariance = np.linalg.inv(design.T @ design)
    coefficients = covariance @ design.T @ (y / error)
    chi2, freedom = np.sum((design @ coefficients - y / error) ** 2), len(x) - degree - 1
    if freedom and chdtrc(freedom, chi2) < _CHANCE:
        covariance = covariance * chi2 / freedom
    zeros = []
    for root in _roots(*coefficients):
        value, powers = float(middle + width * root), root ** np.arange(degree + 1)
        slope = float(np.arange(1, degree + 1) * coefficients[1:] @ powers[:-1])
        if x[0] <= value <= x[-1] and slope != 0:
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
