"""How far a model lies above the lowest state it could be: energies at zero variance.

Where psi is that state but for a small weight w of others, the excess of its energy and the variance of its
local energy are both of first order in w. So while a model is trained, at one context,

    E = E_0 + c * variance.

The slope c is taken from the run's own history, where both fall. Blocks of steps have different contexts, so
energy and variance are first taken apart into a polynomial in the contexts and a constant of each block; the
constants of one are then fitted by a line in those of the other.

The line is empirical: it holds as long as what is left to learn is of the kind that was learnt, knows nothing
of states that training never came near, and what it leads to is no upper bound.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray
from jaxtyping import Float

from qernel.monomials import monomials

_BURN_IN = 0.1  # of the steps
_BLOCKS = 30
_LARGEST = 6.0  # times the last block's variance: beyond, training is still of another kind
_DEGREE = 4  # of the polynomial in the contexts


class Slope(NamedTuple):
    """Excess of the energy per variance, per electron both, 1/meV."""

    value: float
    error: float


def excess_slope(rows: Iterable[Mapping[str, Any]]) -> Slope | None:
    """The slope c from the recorded steps of a run; None where they do not show one.

    That is where there are fewer than ten blocks to fit, or where the slope is less than three of its errors:
    the variance has hardly changed, or the energy does not follow it.
    """
    rows = [row for row in rows if not row["refused"]]
    rows = rows[int(_BURN_IN * len(rows)) :]
    if len(rows) < 3 * _BLOCKS:
        return None
    energy, variance = _block_means(rows)
    kept = (variance > 0) & (variance < _LARGEST * variance[-1])
    if kept.sum() < 10:
        return None
    x, y, weight = variance[kept], energy[kept], 1 / variance[kept]  # errors squared go as the variance
    x, y = x - np.average(x, weights=weight), y - np.average(y, weights=weight)
    information = np.sum(weight * x**2)
    value = float(np.sum(weight * x * y) / information)
    scatter = np.sum(weight * (y - value * x) ** 2) / (len(x) - 2)
    slope = Slope(value, float(np.sqrt(scatter / information)))
    return slope if slope.value > 3 * slope.error else None


def at_zero_variance(sweep: xarray.Dataset, slope: Slope | None) -> xarray.Dataset:
    """The sweep with `extrapolated_energy` and its error, E - c * variance; as it is without a slope."""
    if slope is None or "variance_error" not in sweep:
        return sweep
    variance, error = sweep["variance"], sweep["energy_error"]
    energy = sweep["energy"] - slope.value * variance
    squares = error**2 + (slope.error * variance) ** 2 + (slope.value * sweep["variance_error"]) ** 2
    uncertainty = squares**0.5
    energy.attrs = {"units": "meV", "long_name": "energy per electron at zero variance, extrapolated"}
    uncertainty.attrs = {"units": "meV", "long_name": f"standard error of the {energy.attrs['long_name']}"}
    return sweep.assign(extrapolated_energy=energy, extrapolated_energy_error=uncertainty).assign_attrs(
        excess_per_variance=slope.value, excess_per_variance_error=slope.error
    )


def _block_means(
    rows: list[Mapping[str, Any]],
) -> tuple[Float[np.ndarray, " block"], Float[np.ndarray, " block"]]:
    """Energy and variance of blocks of steps as if at the same contexts: what these change is fitted away."""
    contexts = np.concatenate([np.atleast_2d(row["contexts"]) for row in rows])
    counts = [len(row["energy"]) for row in rows]
    block = np.repeat(np.arange(len(rows)) * _BLOCKS // len(rows), counts)
    values = np.stack(
        [
            np.concatenate([row["energy"] for row in rows]),
            np.concatenate([np.square(row["spread"]) for row in rows]),
        ],
        axis=1,
    )
    weight = 1 / np.sqrt(np.repeat([np.mean(np.square(row["spread"])) for row in rows], counts))
    powers = monomials(contexts, contexts.min(axis=0), contexts.max(axis=0), _DEGREE)
    design = np.concatenate([np.eye(_BLOCKS)[block], powers], axis=1)
    constants = np.linalg.lstsq(weight[:, None] * design, weight[:, None] * values)[0][:_BLOCKS]
    constants += values.mean(axis=0) - (design[:, :_BLOCKS] @ constants).mean(axis=0)
    return constants[:, 0], constants[:, 1]
