"""Commands that say what was found: transition, diagram, report, verify, demo.

Drawing is imported where it is used, because matplotlib is slow to import.
"""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from qernel.cli.application import app, console
from qernel.cli.notes import note_flags
from qernel.cli.opening import open_run, open_sweeps
from qernel.config import UserError
from qernel.numbering import check_writable
from qernel.runs import check_distinct
from qernel.sweep_files import system_but_size
from qernel.transition import extrapolate
from qernel.workflows import Weighed, draw_diagram, weigh_sources


@app.command
def transition(
    *sources: Path,
    seed: Annotated[int, Parameter(help="Seed of the resampling.")] = 0,
    out: Path = Path("runs/transitions"),
) -> None:
    """Locate a transition along one parameter, with intervals, or say that there is none.

    Two branches of the interaction energy are compared with smooth curves; so are those of the energy's slope
    and of S(K). The fidelity susceptibility may have a peak. One of these has to agree with the interaction
    energy.

    Parameters
    ----------
    sources
        Runs, of which the newest sweep counts, or sweeps' files. Of several models of one system the lowest
        counts at each context; several sizes are extrapolated in 1/N.
    out
        Where numbers and figures are written, as transition-NNN.json, .png, .pdf and .csv, and of several
        sizes as sizes-NNN.
    """
    from qernel.findings import conclusion, momenta, to_infinity, transition_table
    from qernel.report.sizes_section import write_sizes
    from qernel.report.transition_section import write_transition

    if not sources:
        raise UserError("transition needs a run or a sweep's file")
    families: dict[str, list[Weighed]] = {}
    check_writable(out)
    for weighed in weigh_sources(map(open_sweeps, sources), seed):
        data, evidence = weighed.lowest, weighed.evidence
        for name, each in weighed.sweeps.items():
            where, step = each.encoding["source"], each.attrs["training_step"]
            about = f"{evidence.points} contexts, {where}, training step {step}"
            console.print(f"{name}: {about}", highlight=False, soft_wrap=True)
        console.print(transition_table(evidence))
        for name, each in weighed.sweeps.items():
            note_flags(each, name if len(weighed.sweeps) > 1 else "")
        if evidence.sectors:
            console.print(momenta(evidence), highlight=False, soft_wrap=True)
        console.print(conclusion(evidence), highlight=False, soft_wrap=True)
        if evidence.breaks:
            console.print(f"wrote {write_transition(weighed, out)}", highlight=False, soft_wrap=True)
        if evidence.place:
            families.setdefault(system_but_size(data), []).append(weighed)
    for family in families.values():
        places = [(each.evidence.electrons, each.evidence.place) for each in family if each.evidence.place]
        if len({electrons for electrons, _ in places}) > 1:
            limit = extrapolate(places)
            console.print(to_infinity(places, limit), highlight=False, soft_wrap=True)
            sweeps = {name: data for each in family for name, data in each.sweeps.items()}
            path = write_sizes(family[0].evidence.parameter, places, limit, sweeps, seed, out)
            console.print(f"wrote {path}", highlight=False, soft_wrap=True)


@app.command
def diagram(
    *sources: Path,
    along: Annotated[
        str | None, Parameter(help="Parameter that cuts run along; the longer by default.")
    ] = None,
    seed: Annotated[int, Parameter(help="Seed of the resampling.")] = 0,
    out: Path = Path("runs/diagrams"),
) -> None:
    """Draw a phase diagram over two parameters, with the transition line and its uncertainty.

    Along one parameter the evidence of `qernel transition`, at every value of the other.

    Parameters
    ----------
    sources
        Runs, of which the newest sweep over two parameters counts, or such sweeps' files. Of several models
        of one system the lowest counts at each context.
    out
        Where the numbers and the figure are written, as diagram-NNN.json, .png, .pdf and .csv, and all
        contexts as diagram-NNN-map.csv.
    """
    from qernel.findings import diagram_table
    from qernel.report.diagram_section import write_diagram

    if not sources:
        raise UserError("diagram needs a run or a sweep's file")
    check_writable(out)
    found = draw_diagram(map(open_sweeps, sources), along, seed)
    console.print(diagram_table(found))
    for name, data in found.sweeps.items():
        note_flags(data, name)
    console.print(f"wrote {write_diagram(found, out)}", highlight=False, soft_wrap=True)


@app.command
def report(*runs: Path, out: Path | None = None) -> None:
    """Draw figures of a run, or of several, and write one HTML page that opens without a network.

    Several models of one system are compared: the lowest at each context, and where that changes.

    Parameters
    ----------
    runs
        Runs' directories, or names of shipped models, which are copied to runs/NAME first.
    out
        Directory of the page and its figures, written anew each time; report/ in the run, of several runs
        runs/reports/NAME+NAME.
    """
    from qernel.report.page import write_report

    if not runs:
        raise UserError("report needs a run")
    opened = [open_run(run) for run in runs]
    check_distinct(opened)
    together = Path("runs/reports") / "+".join(run.path.resolve().name for run in opened)
    page = write_report(*opened, directory=out or (together if len(opened) > 1 else None))
    console.print(f"wrote {page}", highlight=False, soft_wrap=True)


@app.command
def verify(run: Path | None = None, /, *, quick: bool = False, out: Path | None = None) -> None:
    """Compare with exact results and closed forms; exit 1 if any comparison fails.

    Parameters
    ----------
    run
        A run to check: against exact energies where there are some, and against itself. Left out: the program
        as a whole, training what the comparisons need.
    quick
        Of the program: fewer comparisons and shorter training, minutes instead of three quarters of an hour.
    out
        Of the program: where the models that are trained go; runs/verify by default.
    """
    from qernel.report.page import write_report
    from qernel.verification.check import Check, checks_table
    from qernel.verify import verify as verify_program
    from qernel.verify import verify_run

    checks: list[Check] = []
    if run is None:
        checked = verify_program(out or Path("runs/verify"), console, checks.append, quick=quick)
    elif quick or out:
        raise UserError(f"--quick and --out are of the program's verification, without {run}")
    else:
        checked = open_run(run)
        verify_run(checked, checks.append)
    console.print(checks_table(checks))
    console.print(f"wrote {write_report(checked)}", highlight=False, soft_wrap=True)
    failed = [check for check in checks if not check.passed]
    console.print(f"{len(checks) - len(failed)} of {len(checks)} comparisons passed", highlight=False)
    if failed:
        sys.exit(1)


@app.command
def demo(*, out: Path = Path("runs/demo"), quick: bool = False) -> None:
    """Train a small model, check it against exact energies, sweep a shipped one, draw a page.

    Parameters
    ----------
    out
        Where the runs go.
    quick
        Only a few steps and samples: a test that everything works.
    """
    from qernel.demo import run_demo

    run_demo(out, console, quick=quick)
