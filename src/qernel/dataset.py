"""A sweep's results as an xarray dataset, with units, long names and where it came from."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import jax
import numpy as np
import xarray

import qernel
from qernel.config import Config
from qernel.estimators.observable import Coordinate, Result
from qernel.hamiltonian.hamiltonian import make_hamiltonian
from qernel.lattice import Supercell, supercell_of
from qernel.measurement import Effort
from qernel.units import CONTEXT_PARAMETERS

TITLE = "QERNEL sweep"  # of the file of one, which tells it from others


def sweep_dataset(
    config: Config,
    over: Mapping[str, Sequence[float]],
    grid: np.ndarray,
    rows: Sequence[Mapping[str, Result]],
    coordinates: Mapping[str, Coordinate],
    effort: Effort,
    step: int,
) -> xarray.Dataset:
    """One row of results per context of `grid` (context, parameter), the last swept parameter fastest.

    A result NAME with an error gives the variables NAME and NAME_error. A parameter with one value gets no
    dimension where others have several: its value is the attribute system_PARAMETER.
    """
    names = list(config.contexts)
    values = {name: np.unique(grid[:, names.index(name)]) for name in names}
    swept = _swept(over, values)
    data = xarray.Dataset(coords={name: values[name] for name in swept})
    for name in swept:
        units, long_name = CONTEXT_PARAMETERS[name]
        data[name].attrs = {"units": units, "long_name": long_name}
    for name in rows[0]:
        data = data.assign(_variables(name, [row[name] for row in rows], data))
    for name, coordinate in coordinates.items():
        attributes = {"units": coordinate.units, "long_name": coordinate.long_name}
        data = data.assign_coords({name: (coordinate.dims, coordinate.values, attributes)})
    fixed = {name: float(grid[0, i]) for i, name in enumerate(names) if name not in swept}
    data.attrs = _origin(config, effort, step) | _system(config, swept, fixed)
    return data


def _swept(over: Mapping[str, Sequence[float]], values: Mapping[str, np.ndarray]) -> list[str]:
    """Those of the context's parameters that a sweep has as dimensions; one at least, if there is any."""
    several = [name for name in values if name in over and len(values[name]) > 1]
    return several or [name for name in values if name in over][:1] or list(values)[:1]


def _variables(name: str, results: Sequence[Result], data: xarray.Dataset) -> dict[str, tuple]:
    """A result of every context, and its error, over the parameters that `data` is swept over."""
    first, shape = results[0], tuple(data.sizes[each] for each in data.coords)

    def variable(values: Sequence, long_name: str) -> tuple:
        stacked = np.stack([np.asarray(value) for value in values])
        attributes = {"units": first.units, "long_name": long_name}
        return (*data.coords, *first.dims), stacked.reshape((*shape, *stacked.shape[1:])), attributes

    found = {name: variable([each.value for each in results], first.long_name)}
    if first.error is not None:
        errors = [each.error for each in results]
        found[f"{name}_error"] = variable(errors, f"standard error of the {first.long_name}")
    return found


def component_names(data: xarray.Dataset) -> list[str]:
    """Names of the energy's components, kinetic first."""
    return data.attrs["energy_components"].split(", ")


def supercell_swept(data: xarray.Dataset) -> Supercell:
    """The supercell of a sweep, however its configuration wrote it."""
    given = [int(entry) for entry in re.findall(r"-?\d+", str(data.attrs.get("system_supercell", "")))]
    if given:
        return Supercell(((given[0], given[1]), (given[2], given[3])))
    return supercell_of(int(data.attrs["moire_cells"]))


def load_dataset(path: Path) -> xarray.Dataset | None:
    """A netCDF file's dataset, momenta in the order and by the names of today; None if it cannot be read."""
    try:
        data = xarray.load_dataset(path, engine="scipy")
    except (OSError, ValueError, TypeError, IndexError):  # IndexError: cut short
        return None
    return with_names_of_momenta(data) if data.attrs.get("title") == TITLE and "sector_1" in data else data


def with_names_of_momenta(data: xarray.Dataset) -> xarray.Dataset:
    """A sweep whose momenta may have been listed otherwise, with those of `Supercell.total_momenta`."""
    supercell = supercell_swept(data)
    labels = np.stack([data["sector_1"].values, data["sector_2"].values], axis=1)
    place = {supercell.momentum_class(label): n for n, label in enumerate(labels)}
    names = [name for name in supercell.total_momenta() if supercell.momentum_class(name) in place]
    data = data.isel(sector=[place[supercell.momentum_class(name)] for name in names])
    for axis in (0, 1):
        variable = f"sector_{axis + 1}"
        data[variable] = ("sector", [name[axis] for name in names], data[variable].attrs)
    return data


def load_sweep(path: Path) -> xarray.Dataset | None:
    """The dataset of a sweep's file; None if it cannot be read or is something else."""
    data = load_dataset(path)
    return data if data is not None and data.attrs.get("title") == TITLE else None


def _origin(config: Config, effort: Effort, step: int) -> dict:
    hamiltonian = make_hamiltonian(config)
    target = {} if effort.target_error is None else {"target_error_meV": effort.target_error}
    return target | {
        "title": TITLE,
        "program": f"qernel {qernel.__version__}, jax {jax.__version__}",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "training_step": step,
        "electrons": hamiltonian.electrons,
        "moire_cells": hamiltonian.supercell.cells,
        "energy_components": ", ".join(hamiltonian.components),
        "trained_range": "; ".join(f"{n}: {lo} to {hi}" for n, (lo, hi) in config.trained.items()),
        "walkers_per_context": effort.walkers,
        "samples": effort.samples,
        "moves_per_sample": effort.moves,
        "walkers_from": effort.start,
        "model_sector": str(config.model.sector),
        "seed": effort.seed,
    }


def _system(config: Config, swept: Sequence[str], fixed: dict[str, float]) -> dict:
    system = config.system.model_dump(exclude_none=True, exclude=set(swept)) | fixed
    return {f"system_{key}": _plain(value) for key, value in system.items()}


def _plain(value):
    return value if isinstance(value, str | int | float) else str(value)
