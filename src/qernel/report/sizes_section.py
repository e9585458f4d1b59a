"""The figure of a transition's place against the size of the system, and its numbers, as files."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import xarray

from qernel.numbering import new_file
from qernel.report import figures
from qernel.report.publish import Data, Folder, publish_data
from qernel.report.style import figure_style, save_figure
from qernel.sweep_files import provenance
from qernel.transition import Extrapolation, Place


def write_sizes(
    parameter: str,
    places: Sequence[tuple[int, Place]],
    limit: Extrapolation,
    sweeps: Mapping[str, xarray.Dataset],
    seed: int,
    directory: Path,
) -> Path:
    """Write sizes-NNN.json and the figure beside it, over no existing file; returns the former.

    Of numbers of electrons, places of the transition along `parameter`, and the straight line through them.
    """
    path = new_file(directory, "sizes", ".json")
    rows = [[electrons, place.value, *place.within_68] for electrons, place in places]
    names = ["electrons", parameter, f"{parameter}_low", f"{parameter}_high"]
    found = {
        "parameter": parameter,
        "places": [dict(zip(names, row, strict=True)) for row in rows],
        "limit": limit._asdict(),
    }
    path.write_text(json.dumps(found | provenance(sweeps, seed), indent=1))
    with figure_style():
        save_figure(figures.sizes(parameter, places, limit), path.with_suffix(""))
    publish_data(Folder(directory), path.stem, Data(names, rows))
    return path
