"""Sweeps as files: written over nothing, found again by what they can show, told apart by their system."""

import os
import warnings
from collections.abc import Mapping
from pathlib import Path

import xarray

import qernel
from qernel.branches import branch_names
from qernel.config import Momentum, SystemConfig, UserError
from qernel.dataset import load_dataset, supercell_swept
from qernel.numbering import new_file
from qernel.runs import Run
from qernel.transition.evidence import LEAST_POINTS, may_show_transition


def write_sweep(data: xarray.Dataset, directory: Path, name: str = "sweep") -> Path:
    """Write netCDF as NAME-NNN.nc, numbered after all there are; never over an existing file.

    Raises UserError where it cannot be.
    """
    path = new_file(directory, name, ".nc")
    partial = directory / f"{name}.{os.getpid()}.partial"
    try:
        data.to_netcdf(partial, engine="scipy")
        return partial.replace(path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        path.unlink()
        if isinstance(error, OSError):
            raise UserError(f"cannot write to {directory}: {error.strerror or error}") from None
        raise


def read_sweeps(source: Path, parameters: int = 1, name: str | None = None) -> dict[str, xarray.Dataset]:
    """A sweep's file, or a run's newest sweeps over so many parameters that may show a transition, by name.

    A run has one of them, called as the run is (`name`, or its path), or one for each momentum of its
    network. Those count whose walkers came from training; where walkers came from elsewhere, as in
    `sweep_from_all_starts`, what is seen may be theirs. Warns of newer files that are passed over. The
    datasets' `encoding["source"]` names the file.

    Raises UserError where there is none.
    """
    name = name or str(source)
    if not source.exists():
        raise UserError(f"{source} does not exist")
    if source.is_dir():
        config = Run(source).config()  # complains if this is not a run at all
        momenta = config.model.momenta or [None]
        newest = (_newest(Run(source), parameters, each) for each in momenta)
        found = dict(zip(branch_names(name, config), newest, strict=True))
        if len({data.attrs["training_step"] for data in found.values()}) > 1:
            warnings.warn(
                f"{source}: the sweeps of its momenta are of different training steps", stacklevel=2
            )
        return found
    data = load_dataset(source)
    if data is None:
        raise UserError(f"{source} is damaged, or neither a run nor a sweep")
    if not may_show_transition(data, parameters):
        raise UserError(f"{source} is no {_wanted(parameters)}")
    return {name: data}


def _newest(run: Run, parameters: int, momentum: Momentum | None = None) -> xarray.Dataset:
    """The newest sweep that counts, of one of several momenta if it is given."""
    wanted, passed_over = _wanted(parameters), []
    for file in reversed(run.sweep_files()):
        data = load_dataset(file)
        if data is None:
            passed_over.append(f"{file.name} (damaged)")
        elif momentum is not None and data.attrs.get("model_sector") != str(momentum):
            continue
        elif not may_show_transition(data, parameters):
            passed_over.append(file.name)
        elif data.attrs.get("walkers_from", "nearest") == "nearest":  # older files do not say it
            if passed_over:
                warnings.warn(
                    f"{run.path}: {file.name} counts; newer ones are no {wanted}: {', '.join(passed_over)}",
                    stacklevel=3,
                )
            return data
    second = " --over OTHER=START:STOP:7" if parameters == 2 else ""
    of = f" of momentum {momentum}" if momentum else ""
    raise UserError(
        f"{run.path} has no {wanted}{of}: make one with"
        f" qernel sweep {run.path} --over NAME=START:STOP:{3 * LEAST_POINTS}{second}"
    )


def _wanted(parameters: int) -> str:
    number = "one parameter" if parameters == 1 else "two parameters"
    return f"sweep over {number} with {LEAST_POINTS} contexts or more"


def provenance(sweeps: Mapping[str, xarray.Dataset], seed: int) -> dict:
    """For JSON, what a finding was made by and of: program, seed, and by name files and what they hold.

    Files that lie below the working directory are named from there.
    """
    numbers, here = ("training_step", "walkers_per_context", "samples"), Path.cwd()

    def of(data: xarray.Dataset) -> dict:
        file = Path(data.encoding["source"])
        name = str(file.relative_to(here) if file.is_relative_to(here) else file)
        return {"file": name, "created": data.attrs["created"]} | {
            key: int(data.attrs[key]) for key in numbers
        }

    made = [{"name": name} | of(data) for name, data in sweeps.items()]
    return {"program": f"qernel {qernel.__version__}", "seed": seed, "sweeps": made}


def system_of(data: xarray.Dataset) -> str:
    """The system that was swept with all its parameters, however its supercell was written."""
    electrons, swept = data.attrs["system_electrons"], data["energy"].dims
    return f"{electrons} electrons in {supercell_swept(data).matrix}, {_parameters(data)}, over {swept}"


def system_but_size(data: xarray.Dataset) -> str:
    """What sweeps of several sizes of one system share: all parameters, the swept ones, and the filling."""
    filling = data.attrs["electrons"] / data.attrs["moire_cells"]
    return f"{data['energy'].dims} {filling:.9g} {_parameters(data)}"


def _parameters(data: xarray.Dataset) -> list[tuple[str, object]]:
    """Parameters of the system that do not say its size, in alphabetical order.

    Without those at their defaults, which files of before there was such a parameter do not name.
    """
    fields, size = SystemConfig.model_fields, ("electrons", "cells", "supercell", "filling")
    prefix = "system_"
    given = {name[len(prefix) :]: value for name, value in data.attrs.items() if name.startswith(prefix)}
    return sorted(
        (name, value)
        for name, value in given.items()
        if name not in size and not (name in fields and value == fields[name].default)
    )
