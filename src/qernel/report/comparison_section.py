"""Several models of one system, and the lowest at each context: how the page of such runs begins."""

import shlex
from collections.abc import Iterator, Mapping

import xarray

from qernel.comparison import compare
from qernel.config import UserError
from qernel.findings import crossed, momenta
from qernel.report import figures, html
from qernel.report.diagram_section import diagram_figure
from qernel.report.publish import Data, Folder, publish_figure
from qernel.report.style import spoken
from qernel.report.sweep_data import columns
from qernel.report.sweep_words import setting
from qernel.report.transition_section import transition_figure
from qernel.runs import Run
from qernel.workflows import Weighed, draw_diagram, weigh_sources


def comparison_section(runs: Mapping[str, Run], name: str, folder: Folder) -> Iterator[str]:
    """HTML of what the newest sweeps of runs of one system say together; files go to `folder`.

    Names of files begin with `name`.
    """
    names, missing = {str(run.path): each for each, run in runs.items()}, []
    paths = [run.path for run in runs.values()]
    try:
        for weighed in weigh_sources(paths, seed=0):
            yield from _over_one_parameter(_renamed(weighed, names), name, folder)
    except UserError as error:
        missing.append(error)
    try:
        yield diagram_figure(draw_diagram(paths, along=None, seed=0), f"{name}-diagram", folder)
    except UserError as error:
        missing.append(error)
    if len(missing) == 2:
        yield html.paragraph(f"There is nothing to compare: {missing[0]}. This makes it:")
        yield html.command(f"qernel compare {shlex.join(names)} --over NAME=START:STOP:13")


def _over_one_parameter(weighed: Weighed, name: str, folder: Folder) -> Iterator[str]:
    sweeps, evidence = weighed.sweeps, weighed.evidence
    yield html.items(filter(None, [*crossed(evidence), momenta(evidence)]))
    first, *_ = sweeps
    yield publish_figure(
        folder,
        f"{name}-energies",
        "Energies of the models",
        f"(a) Energy per electron against {spoken(evidence.parameter)}. (b) By how much it is above that of"
        f" {first}. {'Dashed: where energies cross. ' if evidence.crossings else ''}Error bars: one standard"
        f" error. {setting(weighed.lowest)}.",
        figures.models(compare(sweeps), evidence.crossings),
        _columns(sweeps),
    )
    if evidence.breaks:
        yield transition_figure(weighed.lowest, evidence, f"{name}-transition", folder)


def _renamed(weighed: Weighed, names: Mapping[str, str]) -> Weighed:
    """With the runs' names in place of their paths."""
    crossings = [
        each._replace(before=names[each.before], after=names[each.after])
        for each in weighed.evidence.crossings
    ]
    sweeps = {names[source]: data for source, data in weighed.sweeps.items()}
    return weighed._replace(sweeps=sweeps, evidence=weighed.evidence._replace(crossings=crossings))


def _columns(sweeps: Mapping[str, xarray.Dataset]) -> Data:
    """A row for every model and context."""
    variables, header, rows = ["energy", "energy_error", "coulomb", "coulomb_error", "spread"], [], []
    for name, data in sweeps.items():
        table = columns(data, variables)
        header = ["model", *table.header]
        rows += [[name, *row] for row in table.rows]
    return Data(header, rows)
