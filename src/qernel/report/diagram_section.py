"""The figure of a phase diagram, and its numbers: on the page, and as files of its own."""

import json
from pathlib import Path

from qernel.diagram import Diagram
from qernel.numbering import new_file
from qernel.report import figures
from qernel.report.publish import Data, Folder, publish_data, publish_figure
from qernel.report.style import figure_style, save_figure, spoken
from qernel.report.sweep_data import columns
from qernel.report.sweep_words import setting
from qernel.sweep_files import provenance


def diagram_figure(found: Diagram, name: str, folder: Folder) -> str:
    """HTML of the figure; its files go to `folder` under `name`, what the map shows as NAME-map.csv."""
    mapped = "S(K)" if "bragg_sqrt3" in found.data else "Interaction energy per electron"
    every_context = publish_data(folder, f"{name}-map", _map(found))
    return publish_figure(
        folder,
        name,
        "Phase diagram",
        f"(a) {mapped} of the lowest model, and the transition along {spoken(found.along)} at each"
        f" {spoken(found.across)}, with 68% intervals. (b) Jump of the interaction energy there, with one"
        f" standard error. {setting(found.data)}. What was measured at every context: {every_context}.",
        figures.diagram(found),
        _rows(found),
    )


def write_diagram(found: Diagram, directory: Path) -> Path:
    """Write diagram-NNN.json and the figure beside it, over no existing file; returns the former.

    diagram-NNN.csv has a row for every cut, diagram-NNN-map.csv one for every context.
    """
    path = new_file(directory, "diagram", ".json")
    path.write_text(json.dumps(found.as_dict() | provenance(found.sweeps, found.seed), indent=1))
    with figure_style():
        save_figure(figures.diagram(found), path.with_suffix(""))
    publish_data(Folder(directory), path.stem, _rows(found))
    publish_data(Folder(directory), f"{path.stem}-map", _map(found))
    return path


def _map(found: Diagram) -> Data:
    """What was measured with an error of the lowest model, at every context, as long as it is one number."""
    data = found.data.transpose(found.across, found.along, ...)
    single = [str(name) for name in data if data[name].dims == data["energy"].dims]
    names = [each for name in single if f"{name}_error" in data for each in (name, f"{name}_error")]
    return columns(data, [*names, "model"])


def _rows(found: Diagram) -> Data:
    rows = []
    for cut in found.cuts:
        place, jump = cut.evidence.place, cut.evidence.transition
        where = (place.value, *place.within_68) if place else ("", "", "")
        rows.append([cut.at, *where, *(jump.jump if jump else ("", ""))])
    line = [found.along, f"{found.along}_low", f"{found.along}_high"]
    return Data([found.across, *line, "interaction_jump_meV", "interaction_jump_error_meV"], rows)
