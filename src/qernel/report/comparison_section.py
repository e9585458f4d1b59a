"""Several models of one system, and the lowest at each context: how the page of such runs begins."""

import contextlib
import shlex
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import xarray

from qernel.comparison import compare, lowest_of
from qernel.config import UserError
from qernel.diagram import phase_diagram
from qernel.findings import gives_way, momenta
from qernel.report import figures, html
from qernel.report.diagram_section import diagram_figure
from qernel.report.publish import Data, Folder, publish_figure
from qernel.report.style import spoken
from qernel.report.sweep_data import columns
from qernel.report.sweep_words import setting
from qernel.report.transition_section import CROSSED, transition_figure
from qernel.runs import Run
from qernel.sweep_files import read_sweeps, system_of
from qernel.transition.evidence import LEAST_POINTS, weigh

Sweeps = Mapping[str, xarray.Dataset]  # by the wavefunctions' names


def comparison_section(runs: Mapping[str, Run], numbers: Iterator[int], folder: Folder) -> Iterator[str]:
    """HTML of what the newest sweeps of runs of one system say together; files go to `folder`.

    Names of files begin with models-N, N from `numbers`.
    """
    found = [(parameters, sweeps) for parameters in (1, 2) for sweeps in _comparable(runs, parameters)]
    for parameters, sweeps in found:
        name = f"models-{next(numbers)}"
        try:
            yield from (_lowest if parameters == 1 else _diagram)(sweeps, name, folder)
        except UserError as error:
            yield html.paragraph(f"{error}.")
    if not found:
        yield html.paragraph(
            "No two of the wavefunctions have a sweep over the same one or two parameters with"
            f" {LEAST_POINTS} contexts or more, which a transition takes. This makes such:"
        )
        paths = shlex.join(str(path) for path in dict.fromkeys(run.path for run in runs.values()))
        command = "compare" if len({run.path for run in runs.values()}) > 1 else "sweep"
        yield html.command(f"qernel {command} {paths} --over NAME=START:STOP:{2 * LEAST_POINTS - 1}")


def _comparable(runs: Mapping[str, Run], parameters: int) -> list[Sweeps]:
    """The newest sweeps of runs over so many parameters, of two wavefunctions or more of one system."""
    systems: dict[str, dict[str, xarray.Dataset]] = {}
    for name, run in runs.items():
        with contextlib.suppress(UserError), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of newer sweeps, which are over other parameters
            for each, data in read_sweeps(run.path, parameters, name).items():
                systems.setdefault(system_of(data), {})[each] = data
    return [sweeps for sweeps in systems.values() if len(sweeps) > 1]


def _lowest(sweeps: Sweeps, name: str, folder: Folder) -> Iterator[str]:
    lowest, crossings = lowest_of(sweeps)
    evidence = weigh(lowest, crossings)
    if said := [*map(gives_way, crossings), *filter(None, [momenta(evidence)])]:
        yield html.items(said)
    first, *_ = sweeps
    yield publish_figure(
        folder,
        f"{name}-energies",
        "Energies of the models",
        f"(a) Energy per electron against {spoken(evidence.parameter)}. (b) By how much it is above that of"
        f" {first}. {CROSSED if crossings else ''}Error bars: one standard error. {setting(lowest)}."
        f" {_files(sweeps)}.",
        figures.models(compare(sweeps), crossings),
        _columns(sweeps),
    )
    if evidence.breaks:
        yield transition_figure(lowest, evidence, f"{name}-transition", folder)


def _diagram(sweeps: Sweeps, name: str, folder: Folder) -> Iterator[str]:
    yield html.paragraph(f"{_files(sweeps)}.")
    yield diagram_figure(phase_diagram(sweeps), f"{name}-diagram", folder)


def _files(sweeps: Sweeps) -> str:
    files = (f"{name} {Path(data.encoding['source']).stem}" for name, data in sweeps.items())
    return f"Sweeps: {', '.join(files)}"


def _columns(sweeps: Sweeps) -> Data:
    """A row for every model and context."""
    variables, header, rows = ["energy", "energy_error", "coulomb", "coulomb_error", "spread"], [], []
    for name, data in sweeps.items():
        table = columns(data, variables)
        header = ["model", *table.header]
        rows += [[name, *row] for row in table.rows]
    return Data(header, rows)
