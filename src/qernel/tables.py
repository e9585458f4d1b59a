"""Tables of a sweep's numbers for the terminal."""

import numpy as np
import xarray
from rich.table import Table

from qernel.dataset import component_names
from qernel.hysteresis import swept_parameter
from qernel.numbers import with_error


def sweep_table(data: xarray.Dataset, what: str = "energies") -> Table:
    """Energies with errors in meV per electron, and their distance from exact ones, or else their spread."""
    swept = [str(name) for name in data["energy"].dims]
    exact = "exact_energy" in data
    names = ["energy", *component_names(data)]
    title = f"{what} in meV per electron, standard errors in brackets"
    table = Table(
        title=title, box=None, padding=(0, 1, 0, 0), pad_edge=False
    )  # 80 columns with exact energies
    for name in (*swept, *names, *(["exact", "excess"] if exact else ["spread"]), "R-hat"):
        _add_column(table, name)
    for index in np.ndindex(data["energy"].shape):
        point = data.isel(dict(zip(swept, index, strict=True)))
        values = {str(name): float(value) for name, value in point.items() if value.ndim == 0}
        cells = [f"{float(point[name]):.4g}" for name in swept]
        cells += [with_error(values[name], values[f"{name}_error"]) for name in names]
        if exact:
            excess = values["energy"] - values["exact_energy"]
            cells += [f"{values['exact_energy']:.3f}", with_error(excess, values["energy_error"])]
        else:
            cells.append(f"{values['spread']:.2f}" if "spread" in values else "")
        table.add_row(*cells, f"{values['energy_r_hat']:.3f}")
    return table


def starts_table(data: xarray.Dataset) -> Table:
    """Energies of sweeps whose walkers started differently, and below each the interaction energy."""
    parameter = swept_parameter(data)
    title = "energy and interaction energy in meV per electron, by where walkers started"
    table = Table(title=title, box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in (parameter, "", *data["start"].values):
        _add_column(table, str(name))
    for value in data[parameter].values:
        for name in ("energy", "coulomb"):
            here = data.sel({parameter: value})
            pairs = zip(here[name].values, here[f"{name}_error"].values, strict=True)
            table.add_row(f"{value:.4g}", name, *(with_error(float(x), float(error)) for x, error in pairs))
    return table


def comparison_table(data: xarray.Dataset) -> Table:
    """Energies of several models, the lowest one of each context in bold."""
    swept = [str(name) for name in data["lowest"].dims]
    title = "energies in meV per electron, standard errors in brackets, the lowest in bold"
    table = Table(title=title, box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in swept:
        _add_column(table, name)
    for name in data["model"].values:
        table.add_column(str(name), justify="right", no_wrap=True)
    for index in np.ndindex(data["lowest"].shape):
        point = data.isel(dict(zip(swept, index, strict=True)))
        cells = [f"{float(point[name]):.4g}" for name in swept]
        for name, energy, error in zip(
            data["model"].values, point["energy"].values, point["energy_error"].values, strict=True
        ):
            text = with_error(float(energy), float(error))
            cells.append(f"[bold]{text}[/bold]" if name == point["lowest"] else text)
        table.add_row(*cells)
    return table


def _add_column(table: Table, name: str) -> None:
    """A column of numbers, headed by a name in words, which take more lines where the terminal is narrow."""
    words = name.replace("moire_", "").replace("_", " ")
    table.add_column(words, justify="right", overflow="fold")
