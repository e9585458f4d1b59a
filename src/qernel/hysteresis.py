"""Does a measurement remember where its walkers came from?

The weights are fixed and |psi|^2 is one distribution, so that sweeps up and down, and walkers started in a
liquid and in a crystal, have to agree. Where they do not, walkers are stuck on one side of a transition, and
no error bar of a single sweep says so.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import xarray
from scipy.stats import chi2

VARIABLES = ("energy", "coulomb", "bragg_sqrt3")  # that are compared
LEVEL = 0.01


class Memory(NamedTuple):
    """How well the starts agree in one variable."""

    variable: str
    p_value: float  # that the largest disagreement of all contexts is chance
    where: float  # the context of the largest disagreement
    largest: float  # difference between two starts there, in the variable's unit

    @property
    def found(self) -> bool:
        return self.p_value < LEVEL


def by_start(sweeps: Mapping[str, xarray.Dataset]) -> xarray.Dataset:
    """The sweeps, named by their starts, side by side along the dimension `start`."""
    first = next(iter(sweeps.values()))
    names = [each for name in VARIABLES if name in first for each in (name, f"{name}_error")]
    doubts = ("energy_r_hat", "drift")  # older files lack the latter
    names += [name for name in doubts if all(name in each for each in sweeps.values())]
    data = xarray.concat(
        [each[names] for each in sweeps.values()], "start", join="exact", combine_attrs="override"
    )
    return data.assign_coords(start=list(sweeps))


def swept_parameter(data: xarray.Dataset) -> str:
    """The parameter of sweeps side by side, as made by `by_start`."""
    (parameter,) = (str(dim) for dim in data["energy"].dims if dim != "start")
    return parameter


def started_differently(sweeps: Iterable[xarray.Dataset]) -> list[xarray.Dataset]:
    """Those of a run's sweeps, oldest first, that differ in their walkers' start alone, as by `by_start`.

    They are over one parameter, at the same contexts, of the same training step and momentum. Of each start
    the newest counts.
    """
    groups: dict[tuple, dict[str, xarray.Dataset]] = {}
    for data in sweeps:
        start = data.attrs.get("walkers_from", "nearest")
        if start != "nearest" and data["energy"].ndim == 1:
            (parameter,) = map(str, data["energy"].dims)
            model = data.attrs["training_step"], data.attrs.get("model_sector")
            alike = parameter, model, tuple(data[parameter].values.tolist())
            groups.setdefault(alike, {})[start] = data
    return [by_start(group) for group in groups.values() if len(group) > 1]


def memory(data: xarray.Dataset) -> list[Memory]:
    """For every variable whether starts disagree, by chi squared about their mean at every context.

    `data` is as made by `by_start`, over one parameter; what has no error bar does not count. The probability
    is that of the least likely context, times the number of contexts.
    """
    parameter = swept_parameter(data)
    found = []
    for name in (name for name in VARIABLES if name in data):
        values, errors = (data[each].transpose("start", parameter).values for each in (name, f"{name}_error"))
        known = np.isfinite(values) & np.isfinite(errors) & (errors > 0)
        values, weights = np.where(known, values, 0.0), np.where(known, errors, np.inf) ** -2.0
        centre = (weights * values).sum(axis=0) / np.maximum(weights.sum(axis=0), 1e-300)
        freedom = known.sum(axis=0) - 1
        chances = chi2.sf((weights * (values - centre) ** 2).sum(axis=0), np.maximum(freedom, 1))
        chances = np.where(freedom > 0, chances, 1.0)
        worst = int(chances.argmin())
        found.append(
            Memory(
                name,
                float(min(1.0, chances[worst] * len(chances))),
                float(data[parameter][worst]),
                float(np.ptp(values[known[:, worst], worst])) if freedom[worst] > 0 else 0.0,
            )
        )
    return found
