"""The figure of sweeps whose walkers started differently."""

from pathlib import Path

import xarray

from qernel.hysteresis import VARIABLES
from qernel.report import figures
from qernel.report.publish import Data, Folder, publish_data
from qernel.report.style import figure_style, save_figure
from qernel.workflows import write_sweep


def write_hysteresis(data: xarray.Dataset, directory: Path) -> Path:
    """Write hysteresis-NNN.nc, over no existing file, and the figure with its data beside it."""
    path = write_sweep(data, directory, "hysteresis")
    with figure_style():
        save_figure(figures.hysteresis(data), path.with_suffix(""))
    publish_data(Folder(directory), path.stem, _rows(data))
    return path


def _rows(data: xarray.Dataset) -> Data:
    (parameter,) = (str(dim) for dim in data["energy"].dims if dim != "start")
    names = [each for name in VARIABLES if name in data for each in (name, f"{name}_error")]
    rows = [
        [
            str(start),
            float(value),
            *(float(data[name].sel({"start": start, parameter: value})) for name in names),
        ]
        for start in data["start"].values
        for value in data[parameter].values
    ]
    return Data(["start", parameter, *names], rows)
