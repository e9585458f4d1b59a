"""The table of a sweep's numbers, with remarks on those in doubt."""

from collections.abc import Iterator, Mapping, Sequence

import xarray

from qernel.dataset import component_names
from qernel.report import html
from qernel.report.checks import Flag
from qernel.report.drawing import Index
from qernel.report.numbers import decimals_for, decimals_of, fixed, html_with_error
from qernel.report.publish import Data, Folder, publish_data
from qernel.report.style import symbol, unit
from qernel.report.sweep_data import (
    columns,
    index_of_largest,
    indices,
    point_at,
    swept,
)

_LONGEST = 120  # rows shown of a sweep over one parameter
_FLAGGED_SHOWN = 20  # beside the extremes of a larger sweep
_SPELLED = {"moire": "moiré", "coulomb": "Coulomb"}

Flags = Mapping[Index, Sequence[Flag]]


def html_sweep_table(data: xarray.Dataset, name: str, folder: Folder, flags: Flags) -> Iterator[str]:
    """HTML of the table and its note. All rows go into a CSV file, extremes alone onto the page
    where several parameters vary."""
    every = indices(data)
    reasons = _extremes(data) if data["energy"].ndim > 1 or len(every) > _LONGEST else {}
    shown = sorted({*reasons, *list(flags)[:_FLAGGED_SHOWN]}) if reasons else every
    rows = []
    for index in shown:
        found = flags.get(index, ())
        kind = "bug" if any(flag.bug for flag in found) else "warning" if found else ""
        remark = "; ".join([*reasons.get(index, []), *(flag.text for flag in found)])
        rows.append(html.Row(_cells(data, index), remark, kind))
    yield html.table(_header(data), rows)
    file = publish_data(folder, f"{name}-table", _data(data, flags))
    rest = f" Extremes and flagged contexts alone: {len(every)} rows are in the file." if reasons else ""
    yield html.paragraph(
        "Energies per electron ± one standard error; spread: standard deviation of the local energy per "
        f"electron; τ: integrated autocorrelation time. In full precision: {file}.{rest}",
        "note",
    )


def _data(data: xarray.Dataset, flags: Flags) -> Data:
    table = columns(
        data, [str(name) for name, each in data.data_vars.items() if each.dims == data["energy"].dims]
    )
    remarks = ["; ".join(flag.text for flag in flags.get(index, ())) for index in indices(data)]
    rows = [[*row, remark] for row, remark in zip(table.rows, remarks, strict=True)]
    return Data([*table.header, "remark"], rows)


def _header(data: xarray.Dataset) -> list[tuple[str, str]]:
    energies = ["energy"]
    if "exact_energy" in data:
        energies += ["exact", "minus exact"]
    energies += [_SPELLED.get(name, name) for name in component_names(data)]
    return [
        *((symbol(name), unit(name)) for name in swept(data)),
        *((name, "meV") for name in (*energies, "spread")),
        ("R\N{NON-BREAKING HYPHEN}hat", ""),
        ("accept.", ""),
        ("τ", "samples"),
    ]


def _cells(data: xarray.Dataset, index: Index) -> list[str]:
    point = point_at(data, index)

    def measured(name):
        error = f"{name}_error"
        digits = decimals_for(data[error].values.ravel().tolist())
        return html_with_error(float(point[name]), float(point[error]), digits)

    cells = [fixed(float(point[name]), decimals_of(data[name].values.tolist())) for name in swept(data)]
    cells.append(measured("energy"))
    if "exact_energy" in data:
        digits = decimals_for(data["energy_error"].values.ravel().tolist())
        difference = float(point["energy"] - point["exact_energy"])
        cells += [fixed(float(point["exact_energy"]), digits), fixed(difference, digits, sign=True)]
    cells += [measured(name) for name in component_names(data)]
    decimals = {"spread": 2, "energy_r_hat": 3, "acceptance": 2, "energy_autocorrelation": 2}
    return cells + [fixed(float(point[name]), digits) for name, digits in decimals.items()]


def _extremes(data: xarray.Dataset) -> dict[Index, list[str]]:
    """Contexts worth a row of their own, and why."""
    wanted = {
        "lowest energy": -data["energy"],
        "highest energy": data["energy"],
        "lowest interaction energy": -data["coulomb"],
        "highest interaction energy": data["coulomb"],
        "largest spread": data["spread"],
        "largest R-hat": data["energy_r_hat"],
    }
    if "exact_energy" in data:
        wanted["farthest from exact"] = abs(data["energy"] - data["exact_energy"])
    found: dict[Index, list[str]] = {}
    for words, values in wanted.items():
        found.setdefault(index_of_largest(values), []).append(words)
    return found
