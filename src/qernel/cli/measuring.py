"""Commands that measure trained wavefunctions by inference: sweep, compare, hysteresis."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import xarray
from cyclopts import Parameter

from qernel.cli.application import app, console
from qernel.cli.arguments import parse_ranges
from qernel.cli.notes import note_flags, note_outside
from qernel.cli.opening import open_run
from qernel.cli.processes import Processes
from qernel.cli.sampling import Sampling
from qernel.comparison import compare, envelope, momentum
from qernel.config import UserError
from qernel.crossing import crossings
from qernel.estimators import OBSERVABLES
from qernel.findings import gives_way
from qernel.hysteresis import memory
from qernel.measurement import Effort
from qernel.numbering import check_writable
from qernel.progress import MeasuringView
from qernel.shipped import find_run
from qernel.sweep import STARTS
from qernel.sweep_files import write_sweep
from qernel.tables import comparison_table, starts_table, sweep_table
from qernel.twist import twist_average
from qernel.workflows import compare_runs, sweep_from_all_starts, sweep_run


@app.command
def sweep(
    run: Path,
    /,
    *,
    over: list[str] | None = None,
    sampling: Sampling = Sampling(),
    start: Annotated[
        str, Parameter(help=f"Where walkers come from: {'; '.join(f'{k}, {v}' for k, v in STARTS.items())}.")
    ] = Effort().start,
    refine: Annotated[int, Parameter(help="Rounds of three more contexts where a transition is.")] = 0,
    measure: Annotated[
        list[str] | None, Parameter(help=f"Observables to add, of {', '.join(OBSERVABLES)}.")
    ] = None,
    processes: Processes = Processes(),
) -> None:
    """Measure a trained wavefunction over its contexts, by inference only.

    Of a run of several momenta every one is measured, at the same contexts.

    Parameters
    ----------
    run
        A run's directory, or the name of a shipped model, which is copied to runs/NAME first.
    over
        name=start:stop:count or name=value,value,...; repeat for a grid of several parameters.
        Left out: one measurement at the system's own parameters.
    """
    values = parse_ranges(over or [])
    if refine < 0:
        raise UserError(f"--refine is a number of rounds, not {refine}")
    processes.join()
    this = open_run(run)
    note_outside(this.path.name, this.config(), values)
    effort = sampling.effort(observables=(*Effort().observables, *(measure or [])), start=start)
    with MeasuringView(console) as view:
        written = sweep_run(this, values, effort, view.update, refine=refine)
    several = len(written) > 1
    for name, (data, path) in written.items():
        console.print(sweep_table(data, f"{name}: energies" if several else "energies"))
        note_flags(data, name if several else "")
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)
    sweeps = {name: data for name, (data, _) in written.items()}
    if several:
        _print_crossings(compare(sweeps))
    _print_twist_average(sweeps)


@app.command(name="compare")
def compare_command(
    *runs: Path,
    over: list[str],
    sampling: Sampling = Sampling(),
    refine: Annotated[
        int, Parameter(help="Rounds of three more contexts where another momentum is lowest.")
    ] = 0,
    out: Path = Path("runs/comparisons"),
) -> None:
    """Sweep several models of one system: which lies lowest where, and where they cross.

    Models may differ in sector, seed, ansatz or training; a run of several momenta counts as several. Each
    sweep is also kept in its own run.

    Parameters
    ----------
    runs
        Runs, or names of shipped models: two, or one of several momenta.
    over
        name=start:stop:count or name=value,value,...; repeat for a grid of several parameters.
    out
        Where the comparison is written, as comparison-NNN.nc.
    """
    if len(runs) < 2 and not any(find_run(run).config().model.momenta for run in runs):
        raise UserError("compare needs two runs or more, or one of several momenta")
    check_writable(out)
    values = parse_ranges(over)
    effort = sampling.effort()
    opened = [open_run(run) for run in runs]
    for run in opened:
        note_outside(run.path.name, run.config(), values)
    with MeasuringView(console) as view:
        sweeps = compare_runs(opened, values, effort, view.update, refine=refine)
    data = compare(sweeps)
    console.print(comparison_table(data))
    for name, each in sweeps.items():
        console.print(f"{name}: total momentum {momentum(each) or 'mixed'}", highlight=False, soft_wrap=True)
        note_flags(each, name)
    _print_crossings(data)
    path = write_sweep(data, out, "comparison")
    console.print(f"wrote {path}", highlight=False, soft_wrap=True)
    _print_twist_average(sweeps)


@app.command
def hysteresis(
    run: Path,
    /,
    *,
    over: list[str],
    sampling: Sampling = Sampling(),
    out: Path = Path("runs/hysteresis"),
) -> None:
    """Sweep up and down, from a liquid and from a crystal: do walkers remember where they came from?

    Each sweep is also kept in the run.

    Parameters
    ----------
    run
        A run's directory, or the name of a shipped model.
    over
        name=start:stop:count or name=value,value,...; name=value for another parameter.
    out
        Where the comparison and its figure are written, as hysteresis-NNN.nc, .png, .pdf and .csv.
    """
    from qernel.findings import agreement
    from qernel.report.hysteresis_section import write_hysteresis

    check_writable(out)
    values = parse_ranges(over)
    effort = sampling.effort()
    this = open_run(run)
    note_outside(this.path.name, this.config(), values)
    with MeasuringView(console) as view:
        found = sweep_from_all_starts(this, values, effort, view.update)
    for name, data in found.items():
        if len(found) > 1:
            console.print(f"{name}:", highlight=False, soft_wrap=True)
        console.print(starts_table(data))
        for start in data["start"].values.tolist():
            note_flags(data.sel(start=start), start)
        for each in memory(data):
            console.print(agreement(each), highlight=False)
        console.print(f"wrote {write_hysteresis(data, out)}", highlight=False, soft_wrap=True)


def _print_crossings(data: xarray.Dataset) -> None:
    """Where models cross, of a comparison over one parameter; nothing of others."""
    if data["lowest"].ndim != 1:
        return
    found = crossings(data["energy"], data["energy_error"])
    if not found and len(set(data["lowest"].values.tolist())) > 1:
        console.print("no crossing: where the lowest changes, the difference is noise on one side or both")
    for crossing in found:
        console.print(gives_way(crossing), highlight=False, soft_wrap=True)


def _print_twist_average(sweeps: Mapping[str, xarray.Dataset]) -> None:
    """Averages of the lowest model over boundary twists, where sweeps cover a period of them."""
    data = envelope(sweeps)
    averaged = twist_average(data)
    if averaged is None:
        return
    console.print(sweep_table(averaged, "averages over twists"))
    if len(sweeps) == 1 and (label := momentum(data)):
        what = f"note: of momentum {label} at every twist: too high where another one is lower"
        console.print(what, highlight=False, soft_wrap=True)
