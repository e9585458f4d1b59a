"""Sweeps whose walkers started differently: their part of the page, and their figure by itself."""

from collections.abc import Iterator
from pathlib import Path

import xarray

from qernel.findings import agreement
from qernel.hysteresis import VARIABLES, memory, swept_parameter
from qernel.report import figures, html
from qernel.report.publish import Data, Folder, publish_data, publish_figure
from qernel.report.style import figure_style, save_figure, spoken
from qernel.report.sweep_words import setting
from qernel.sweep_files import write_sweep


def hysteresis_section(data: xarray.Dataset, name: str, folder: Folder) -> Iterator[str]:
    """HTML of sweeps side by side, as made by `by_start`; its files go to `folder` under `name`."""
    yield html.items(map(agreement, memory(data)))
    starts = ", ".join(map(str, data["start"].values))
    caption = (
        f"Interaction energy per electron and S(K) against {spoken(swept_parameter(data))}, by where walkers"
        f" started: {starts}. Markers of one context stand beside each other. Error bars: one standard error."
        f" {setting(data)}."
    )
    yield publish_figure(
        folder, name, "By where walkers started", caption, figures.hysteresis(data), _rows(data)
    )


def write_hysteresis(data: xarray.Dataset, directory: Path) -> Path:
    """Write hysteresis-NNN.nc, over no existing file, and the figure with its data beside it."""
    path = write_sweep(data, directory, "hysteresis")
    with figure_style():
        save_figure(figures.hysteresis(data), path.with_suffix(""))
    publish_data(Folder(directory), path.stem, _rows(data))
    return path


def _rows(data: xarray.Dataset) -> Data:
    parameter = swept_parameter(data)
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
