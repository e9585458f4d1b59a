"""The figure of a phase diagram, and its numbers."""

import json
from pathlib import Path

from qernel.diagram import Diagram
from qernel.numbering import new_file
from qernel.report import figures
from qernel.report.publish import Data, Folder, publish_data
from qernel.report.style import figure_style, save_figure


def write_diagram(found: Diagram, directory: Path) -> Path:
    """Write diagram-NNN.json and the figure beside it, over no existing file; returns the former.

    The CSV file has a row for every cut; what the map shows is in the sweeps.
    """
    path = new_file(directory, "diagram", ".json")
    path.write_text(json.dumps(found.as_dict(), indent=1))
    with figure_style():
        save_figure(figures.diagram(found), path.with_suffix(""))
    publish_data(Folder(directory), path.stem, _rows(found))
    return path


def _rows(found: Diagram) -> Data:
    rows = []
    for cut in found.cuts:
        place, jump = cut.evidence.place, cut.evidence.transition
        where = (place.value, *place.within_68) if place else ("", "", "")
        rows.append([cut.at, *where, *(jump.jump if jump else ("", ""))])
    line = [found.along, f"{found.along}_low", f"{found.along}_high"]
    return Data([found.across, *line, "interaction_jump_meV", "interaction_jump_error_meV"], rows)
