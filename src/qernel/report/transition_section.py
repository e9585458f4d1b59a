"""The figure of a transition, on the page and as files of its own."""

import json
import string
from pathlib import Path

import xarray

from qernel.findings import conclusion, sign
from qernel.numbering import new_file
from qernel.report import figures
from qernel.report.publish import Data, Folder, publish_figure
from qernel.report.style import figure_style, spoken, symbol
from qernel.report.sweep_data import columns
from qernel.report.sweep_words import setting
from qernel.sweep_files import provenance
from qernel.transition import Evidence
from qernel.workflows import Weighed

#: Of a caption, where models cross.
CROSSED = "Dashed: where energies cross, and its error. "


def transition_figure(data: xarray.Dataset, evidence: Evidence, name: str, folder: Folder) -> str:
    """HTML of the figure; its files go to `folder` under `name`."""
    signs = [*map(sign, evidence.breaks), *(["fidelity susceptibility"] if evidence.peak else [])]
    signs = [_in_symbols(text, evidence.parameter) for text in signs]
    panels = "; ".join(
        f"({letter}) {text}" for letter, text in zip(string.ascii_lowercase, signs, strict=False)
    )
    said = _in_symbols(conclusion(evidence), evidence.parameter)
    crossed = CROSSED if evidence.crossings else ""
    unshaded = ", but not that of the interaction energy, which does not count" if evidence.discounted else ""
    return publish_figure(
        folder,
        name,
        "Signs of a transition",
        f"{said[0].upper()}{said[1:]}. {panels}, against {spoken(evidence.parameter)}. Lines: branches of a "
        f"jump or a kink, where one was found; shaded: where it is, 68%{unshaded}. {crossed}"
        f"Error bars: one standard error. {setting(data)}.",
        figures.transition(data, evidence),
        _columns(data, evidence),
    )


def _in_symbols(text: str, parameter: str) -> str:
    """What the terminal is told of a parameter by its key, as figures say it."""
    short = symbol(parameter)
    slope = f"dE/d({short})" if " " in short else f"dE/d{short}"
    return text.replace(f"dE/d({parameter})", slope).replace(parameter, spoken(parameter))


def write_transition(weighed: Weighed, directory: Path) -> Path:
    """Write transition-NNN.json and the figure beside it, over no existing file; returns the former."""
    evidence = weighed.evidence
    found = {"conclusion": conclusion(evidence)} | evidence.as_dict()
    text = json.dumps(found | provenance(weighed.sweeps, weighed.seed), indent=1)
    path = new_file(directory, "transition", ".json")
    path.write_text(text)
    with figure_style():
        transition_figure(weighed.lowest, evidence, path.stem, Folder(directory))
    return path


def _columns(data: xarray.Dataset, evidence: Evidence) -> Data:
    names = [*evidence.breaks, *([f"susceptibility_{evidence.parameter}"] if evidence.peak else [])]
    return columns(data, [each for name in names for each in (name, f"{name}_error")])
