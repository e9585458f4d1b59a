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

    A result NAME with an error gives the variables NAME and NAME_error. A parameter with one value has no
    dimension beside others with several: its value is the system's.
    """
    names = list(config.contexts)
    values = {name: np.unique(grid[:, names.index(name)]) for name in names}
    swept = [name for name in names if name in over and len(values[name]) > 1]
    swept = swept or [name for name in names if name in over][:1] or names[:1]
    values = {name: values[name] for name in swept}
    shape = tuple(len(each) for each in values.values())
    data = xarray.Dataset(coords=values)
    for name in swept:
        units, long_name = CONTEXT_PARAMETERS[name]
        data[name].attrs = {"units": units, "long_name": long_name}
    for name, first in rows[0].items():
        results = [row[name] for row in rows]
        attributes = {"units": first.units, "long_name": first.long_name}
        dims = (*swept, *first.dims)
        stacked = np.stack([result.value for result in results])
        data[name] = (dims, stacked.reshape((*shape, *stacked.shape[1:])), attributes)
        if first.error is not None:
            stacked = np.stack([np.asarray(result.error) for result in results])
            attributes = attributes | {"long_name": f"standard error of the {first.long_name}"}
            data[f"{name}_error"] = (dims, stacked.reshape((*shape, *stacked.shape[1:])), attributes)
    for name, coordinate in coordinates.items():
        attributes = {"units": coordinate.units, "long_name": coordinate.long_name}
        data = data.assign_coords({name: (coordinate.dims, coordinate.values, attributes)})
    fixed = {name: float(grid[0, i]) for i, name in enumerate(names) if name not in swept}
    data.attrs = _origin(config, effort, step) | _system(config, swept, fixed)
    return data


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
    """A netCDF file's dataset; None if it cannot be read."""
    try:
        return xarray.load_dataset(path, engine="scipy")
    except (OSError, ValueError, TypeError, IndexError):  # IndexError: cut short
        return None


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
