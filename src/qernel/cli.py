"""The command line: one function per command."""

import re
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import xarray
from cyclopts import App, CycloptsError, Parameter
from rich.console import Console
from rich.table import Table

import qernel
from qernel.citations import citations
from qernel.comparison import compare, crossings, momentum
from qernel.config import Config, UserError, load_config, preset_names
from qernel.estimators import OBSERVABLES
from qernel.hamiltonian.hamiltonian import make_hamiltonian
from qernel.hysteresis import memory
from qernel.measurement import Effort
from qernel.plan import advice, device_memory, plan_table, plans, preferred
from qernel.processes import by_first, has_others, is_first, is_loss, join, leave
from qernel.progress import TrainingView
from qernel.runs import Run
from qernel.shipped import copy_model, find_run, shipped_model, shipped_models
from qernel.successors import enlarged, finetuned
from qernel.sweep import STARTS
from qernel.tables import comparison_table, starts_table, sweep_table, with_error
from qernel.transition import Evidence, extrapolate
from qernel.wavefunction import count_parameters, equal_fillings, wavefunction_shapes
from qernel.workflows import (
    compare_runs,
    draw_diagram,
    sweep_from_all_starts,
    sweep_run,
    system_but_size,
    train_run,
    weigh_sources,
    write_sweep,
)

app = App(
    name="qernel",
    version=qernel.__version__,
    help="One neural wavefunction for a whole family of interacting-electron problems.",
)
console = Console()

_MOST_FILLINGS = 24  # of an open shell that are counted


@Parameter(name="*")
@dataclass(frozen=True)
class Processes:
    """How this process finds the others that share the walkers with it, if there are others."""

    distributed: Annotated[
        bool, Parameter(negative="", help="One of the processes that srun or mpirun started.")
    ] = False
    coordinator: Annotated[str | None, Parameter(help="HOST:PORT of process 0; without srun.")] = None
    processes: Annotated[int | None, Parameter(help="How many processes; with --coordinator.")] = None
    process: Annotated[int | None, Parameter(help="Which one this is, from 0; with --coordinator.")] = None

    def join(self) -> None:
        """Join the others; all but the first print nothing from here on."""
        asked = self.distributed or (self.coordinator, self.processes, self.process) != (None, None, None)
        if asked and not has_others():
            join(self.coordinator, self.processes, self.process)
            console.quiet = not is_first()


@app.command
def presets(name: str | None = None, /) -> None:
    """List the named systems and models with what each costs, or print one as a TOML file.

    Parameters
    ----------
    name
        Preset to print in full; it is a template for files of your own.
    """
    if name is not None:
        console.print(load_config(name).to_toml(), markup=False, highlight=False, soft_wrap=True)
        return
    table = Table("preset", "system", "parameters", "cost", box=None, padding=(0, 2, 0, 0))
    for each in preset_names():
        config = load_config(each)
        counts = _count(config)
        table.add_row(
            each,
            config.description,
            f"{sum(counts.values()):,}",
            config.cost,
        )
    console.print(table)
    console.print("trained models, ready to sweep: qernel models", highlight=False)


@app.command
def models(name: str | None = None, /) -> None:
    """List the trained models that come with the package, or print the card of one.

    Each can be named wherever a command takes a run.

    Parameters
    ----------
    name
        Model whose card to print: Hamiltonian, training, energies beside exact ones, limits.
    """
    if name is not None:
        card = shipped_model(name).path / "CARD.md"
        console.print(card.read_text(encoding="utf-8"), markup=False, highlight=False, soft_wrap=True)
        return
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("model", no_wrap=True)
    for column in ("e/cells", "eps", "contexts", "sector", "steps"):
        table.add_column(column)
    for each in shipped_models():
        run = shipped_model(each)
        config, system = run.config(), run.config().system
        ranges = ", ".join(f"{key} {low:g}-{high:g}" for key, (low, high) in config.contexts.items())
        eps = "" if "dielectric_constant" in config.contexts else f"{system.dielectric_constant:g}"
        table.add_row(
            each,
            f"{sum(system.electrons)}/{system.lattice().cells}",
            eps,
            ranges,
            str(config.model.sector),
            str(run.step()),
        )
    console.print(table)


@app.command
def train(
    source: str,
    /,
    *overrides: str,
    out: Path | None = None,
    minutes: float | None = None,
    processes: Processes = Processes(),
) -> None:
    """Train a wavefunction. The same command again resumes where it stopped.

    Parameters
    ----------
    source
        A preset (see `qernel presets`) or a TOML file.
    overrides
        key=value, e.g. training.walkers=512 or moire_depth=1.2.
    out
        The run's directory; runs/SOURCE by default.
    minutes
        Stop cleanly after this long.
    """
    run = Run(out or Path("runs") / Path(source).stem)
    _train(load_config(source, overrides), run, minutes, processes)


@app.command
def plan(
    source: str,
    /,
    *overrides: str,
    memory: Annotated[float | None, Parameter(help="GiB to stay within; the device's by default.")] = None,
) -> None:
    """Say what a training step will take in memory and time on this machine, and propose a microbatch.

    Takes minutes: the step is compiled at three sizes of the microbatch, and a few of each are timed.

    Parameters
    ----------
    source
        A preset (see `qernel presets`) or a TOML file.
    overrides
        key=value, e.g. training.walkers=512 or electrons=[54,0].
    """
    config = load_config(source, overrides)
    limit = device_memory() if memory is None else int(memory * 2**30)
    _introduce(config)
    with console.status("compiling ..."):
        candidates = list(plans(config, limit))
    console.print(plan_table(candidates))
    chosen = preferred(candidates)
    console.print(advice(chosen, config, limit), highlight=False, soft_wrap=True)
    if chosen is None:
        sys.exit(1)


@app.command
def finetune(
    run: Path,
    /,
    *overrides: str,
    at: list[str],
    steps: int = 500,
    out: Path | None = None,
    minutes: float | None = None,
    processes: Processes = Processes(),
) -> None:
    """Go on training a conditional wavefunction at one context, or in a part of its range.

    The run itself stays as it is. The same command again resumes.

    Parameters
    ----------
    run
        A run's directory, or the name of a shipped model.
    overrides
        key=value, e.g. training.walkers=512 or learning_rate=0.01.
    at
        name=value or name=low:high; repeat for several parameters. Others keep their range.
    steps
        Optimization steps.
    out
        The new run's directory; runs/NAME-at-VALUE by default.
    minutes
        Stop cleanly after this long.
    """
    config, start = find_run(run).config(), str(run)
    ranges = dict(_parse_place(text) for text in at)
    places = "-".join(f"{low:g}" if low == high else f"{low:g}-{high:g}" for low, high in ranges.values())
    new = finetuned(config, start, ranges, steps, overrides)
    _train(new, Run(out or Path("runs") / f"{run.name}-at-{places}"), minutes, processes)


@app.command
def transfer(
    run: Path,
    /,
    *sizes: str,
    steps: int = 300,
    out: Path = Path("runs"),
    minutes: float | None = None,
    processes: Processes = Processes(),
) -> None:
    """Start larger systems from a smaller one: a ladder of sizes, each from the one before.

    Features, attention, experts and conditioning are copied, orbitals taken over by momentum. The same
    command again resumes where it stopped.

    Parameters
    ----------
    run
        A run's directory, or the name of a shipped model.
    sizes
        ELECTRONS/CELLS, e.g. 18/27 54/81; among them key=value overrides for all, e.g. training.walkers=128.
    steps
        Optimization steps at each size.
    out
        Where the new runs go, as NAME-ELECTRONS-CELLS.
    minutes
        Stop cleanly after this long.
    """
    overrides = [text for text in sizes if "=" in text]
    ladder = [_parse_size(text) for text in sizes if "=" not in text]
    if not ladder:
        raise UserError("transfer needs sizes, ELECTRONS/CELLS, e.g. 18/27")
    deadline = time.monotonic() + 60 * minutes if minutes else None
    start = run
    for electrons, cells in ladder:
        new = Run(out / f"{run.name}-{electrons}-{cells}")
        config = enlarged(find_run(start).config(), str(start), electrons, cells, steps, overrides)
        left = None if deadline is None else max(deadline - time.monotonic(), 1.0) / 60
        if not _train(config, new, left, processes):
            return
        start = new.path


@app.command
def sweep(
    run: Path,
    /,
    *,
    over: list[str] | None = None,
    walkers: Annotated[int, Parameter(help="Walkers per context.")] = Effort().walkers,
    samples: Annotated[int, Parameter(help="Samples per walker.")] = Effort().samples,
    equilibration: Annotated[
        int, Parameter(help="Samples thrown away at least; more while walkers drift.")
    ] = Effort().equilibration,
    seed: Annotated[int, Parameter(help="Seed of the random numbers.")] = Effort().seed,
    moves: Annotated[int, Parameter(help="Langevin moves between samples.")] = Effort().moves,
    target_error: Annotated[
        float | None, Parameter(help="Sample on until the energy's error is below this, in meV per electron.")
    ] = None,
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

    Parameters
    ----------
    run
        A run's directory, or the name of a shipped model, which is copied to runs/NAME first.
    over
        name=start:stop:count or name=value,value,...; repeat for a grid of several parameters.
        Left out: one measurement at the system's own parameters.
    """
    values = dict(_parse_range(text) for text in over or [])
    processes.join()
    this = _open(run)
    effort = _checked(
        Effort(
            walkers=walkers,
            samples=samples,
            equilibration=equilibration,
            moves=moves,
            seed=seed,
            observables=(*Effort().observables, *(measure or [])),
            start=start,
            target_error=target_error,
        )
    )
    with console.status("measuring ...") as status:
        data, path = sweep_run(
            this,
            values,
            effort,
            lambda done, total: status.update(f"measured {done} of {total} contexts"),
            refine=refine,
        )
    _warn_outside(this.config(), values)
    console.print(sweep_table(data))
    console.print(f"wrote {path}", highlight=False, soft_wrap=True)


@app.command(name="compare")
def compare_command(
    *runs: Path,
    over: list[str],
    walkers: Annotated[int, Parameter(help="Walkers per context.")] = Effort().walkers,
    samples: Annotated[int, Parameter(help="Samples per walker.")] = Effort().samples,
    seed: Annotated[int, Parameter(help="Seed of the random numbers.")] = Effort().seed,
    refine: Annotated[int, Parameter(help="Rounds of three more contexts where the lowest changes.")] = 0,
    out: Path = Path("runs/comparisons"),
) -> None:
    """Sweep several models of one system: which lies lowest where, and where they cross.

    Models may differ in sector, seed, ansatz or training. Each sweep is also kept in its own run.

    Parameters
    ----------
    runs
        Two runs or more, or names of shipped models.
    over
        name=start:stop:count or name=value,value,...; repeat for a grid of several parameters.
    out
        Where the comparison is written, as comparison-NNN.nc.
    """
    if len(runs) < 2:
        raise UserError("compare needs two runs or more")
    values = dict(_parse_range(text) for text in over)
    effort = _checked(Effort(walkers=walkers, samples=samples, seed=seed))
    with console.status("measuring ...") as status:
        sweeps = compare_runs(
            [_open(run) for run in runs],
            values,
            effort,
            lambda done, total: status.update(f"measured {done} of {total} contexts"),
            refine=refine,
        )
    data = compare(sweeps)
    console.print(comparison_table(data))
    for name, each in sweeps.items():
        console.print(f"{name}: total momentum {momentum(each) or 'mixed'}", highlight=False, soft_wrap=True)
    if len(values) == 1:
        for crossing in crossings(data):
            at = with_error(crossing.value, crossing.error)
            console.print(f"{crossing.before} gives way to {crossing.after} at {at}", highlight=False)
    path = write_sweep(data, out, "comparison")
    console.print(f"wrote {path}", highlight=False, soft_wrap=True)


@app.command
def hysteresis(
    run: Path,
    /,
    *,
    over: str,
    walkers: Annotated[int, Parameter(help="Walkers per context.")] = Effort().walkers,
    samples: Annotated[int, Parameter(help="Samples per walker.")] = Effort().samples,
    equilibration: Annotated[int, Parameter(help="Samples thrown away at least.")] = Effort().equilibration,
    seed: Annotated[int, Parameter(help="Seed of the random numbers.")] = Effort().seed,
    out: Path = Path("runs/hysteresis"),
) -> None:
    """Sweep up and down, from a liquid and from a crystal: do walkers remember where they came from?

    Each sweep is also kept in the run.

    Parameters
    ----------
    run
        A run's directory, or the name of a shipped model.
    over
        name=start:stop:count or name=value,value,...
    out
        Where the comparison and its figure are written, as hysteresis-NNN.nc, .png, .pdf and .csv.
    """
    from qernel.report.hysteresis_section import write_hysteresis  # matplotlib is slow to import

    values = dict([_parse_range(over)])
    effort = _checked(Effort(walkers=walkers, samples=samples, equilibration=equilibration, seed=seed))
    this = _open(run)
    with console.status("measuring ...") as status:
        data = sweep_from_all_starts(
            this,
            values,
            effort,
            lambda done, total: status.update(f"measured {done} of {total} contexts"),
        )
    console.print(starts_table(data))
    for each in memory(data):
        verdict = (
            f"walkers remember their start: {each.largest:.3g} between two starts at {each.where:g}"
            if each.found
            else "walkers agree wherever they start"
        )
        console.print(f"{each.variable}: {verdict} (chance {each.p_value:.1%})", highlight=False)
    console.print(f"wrote {write_hysteresis(data, out)}", highlight=False, soft_wrap=True)


@app.command
def transition(
    *sources: Path,
    seed: Annotated[int, Parameter(help="Seed of the resampling.")] = 0,
    out: Path = Path("runs/transitions"),
) -> None:
    """Locate a transition along one parameter, with intervals, or say that there is none.

    Two branches of the interaction energy are compared with smooth curves; so are those of the energy's slope
    and of S(K). The fidelity susceptibility may have a peak.

    Parameters
    ----------
    sources
        Runs, of which the newest sweep counts, or sweeps' files. Of several models of one system the lowest
        counts at each context; several sizes are extrapolated in 1/N.
    out
        Where the numbers and the figure are written, as transition-NNN.json, .png, .pdf and .csv.
    """
    from qernel.findings import conclusion, momenta, transition_table
    from qernel.report.transition_section import write_transition  # matplotlib is slow to import

    if not sources:
        raise UserError("transition needs a run or a sweep's file")
    families: dict[str, list[Evidence]] = {}
    for name, data, evidence in weigh_sources(sources, seed):
        console.print(f"{name}: {len(data[evidence.parameter])} contexts", highlight=False)
        console.print(transition_table(evidence))
        if evidence.sectors:
            console.print(momenta(evidence), highlight=False, soft_wrap=True)
        console.print(conclusion(evidence), highlight=False, soft_wrap=True)
        if evidence.breaks:
            console.print(f"wrote {write_transition(data, evidence, out)}", highlight=False, soft_wrap=True)
        if evidence.transition:
            families.setdefault(system_but_size(data), []).append(evidence)
    for found in families.values():
        if len({evidence.electrons for evidence in found}) > 1:
            places = [
                (e.electrons, e.transition.value, e.transition.within_68) for e in found if e.transition
            ]
            limit = extrapolate(places)
            at = with_error(limit.value, limit.error)
            console.print(f"straight line in 1/N, to infinitely many electrons: {at}", highlight=False)


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
        Where the numbers and the figure are written, as diagram-NNN.json, .png, .pdf and .csv.
    """
    from qernel.findings import diagram_table
    from qernel.report.diagram_section import write_diagram  # matplotlib is slow to import

    if not sources:
        raise UserError("diagram needs a run or a sweep's file")
    found = draw_diagram(sources, along, seed)
    console.print(diagram_table(found))
    console.print(f"wrote {write_diagram(found, out)}", highlight=False, soft_wrap=True)


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


@app.command
def report(run: Path, /) -> None:
    """Draw a run's figures and write one HTML page that opens without a network.

    Parameters
    ----------
    run
        A run's directory.
    """
    from qernel.report.page import write_report  # matplotlib is slow to import

    page = write_report(_open(run))
    console.print(f"wrote {page}", highlight=False, soft_wrap=True)


@app.command
def verify(run: Path | None = None, /, *, quick: bool = False, out: Path = Path("runs/verify")) -> None:
    """Compare with exact results and closed forms; exit 1 if any comparison fails.

    Parameters
    ----------
    run
        A run to check: against exact energies where there are some, and against itself. Left out: the program
        as a whole, training what the comparisons need.
    quick
        Fewer comparisons and shorter training: minutes instead of an hour.
    out
        Where the models that are trained go.
    """
    from qernel.report.page import write_report
    from qernel.verification.check import Check, checks_table
    from qernel.verify import verify as verify_program
    from qernel.verify import verify_run

    checks: list[Check] = []
    if run is None:
        checked = verify_program(out, console, checks.append, quick=quick)
    else:
        checked = _open(run)
        verify_run(checked, checks.append)
    console.print(checks_table(checks))
    console.print(f"wrote {write_report(checked)}", highlight=False, soft_wrap=True)
    failed = [check for check in checks if not check.passed]
    console.print(f"{len(checks) - len(failed)} of {len(checks)} comparisons passed", highlight=False)
    if failed:
        sys.exit(1)


@app.command
def show(run: Path, /) -> None:
    """Say what is in a run: system, ansatz, progress, checkpoints, sweeps.

    Parameters
    ----------
    run
        A run's directory.
    """
    this = _open(run)
    config = this.config()
    _introduce(config)
    console.print(f"steps: {this.step()} of {config.training.steps}")
    for path in sorted(this.checkpoint_directory.glob("*.safetensors")):
        console.print(f"checkpoint: {path} ({path.stat().st_size / 2**20:.1f} MiB)", soft_wrap=True)
    for path in sorted(this.sweep_directory.glob("*.nc")):
        with xarray.open_dataset(path, engine="scipy") as data:
            console.print(f"sweep: {path}", highlight=False, soft_wrap=True)
            console.print(sweep_table(data))


@app.command
def cite(run: Path, /) -> None:
    """Print the papers that a run rests on, as BibTeX.

    Parameters
    ----------
    run
        A run's directory, or the name of a shipped model.
    """
    console.print(citations(find_run(run).config()), markup=False, highlight=False, soft_wrap=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point. A user's mistake is one line on standard error and exit code 2."""
    try:
        app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except UserError as error:
        _fail(str(error))
    except CycloptsError as error:
        _fail(re.sub(r"\s+", " ", str(error)))
    except KeyboardInterrupt:
        leave(130)
    except Exception as error:
        if is_loss(error):
            _fail(f"another process was lost; the same command starts again ({str(error).splitlines()[0]})")
        if not has_others():
            raise
        traceback.print_exc()
        leave(1)


def _fail(message: str) -> None:
    print(f"qernel: {message}", file=sys.stderr)
    leave(2)


def _open(path: Path) -> Run:
    """A run; where `path` is but the name of a shipped model, its copy in runs/NAME."""
    if Run(path).exists() or str(path) not in shipped_models():
        return Run(path)
    run = Run(Path("runs") / path)

    def copy() -> None:
        if not run.exists():
            copy_model(str(path), run)
            console.print(f"copied the shipped model {path} to {run.path}", highlight=False, soft_wrap=True)

    by_first(copy)
    return run


def _train(config: Config, run: Run, minutes: float | None, processes: Processes) -> bool:
    """Train a run and say how it ended; True when finished."""
    processes.join()
    _introduce(config)
    finished = train_run(config, run, TrainingView(config, console), minutes)
    state = "finished" if finished else "stopped; the same command resumes it"
    console.print(f"{run.path}: {state}", highlight=False, soft_wrap=True)
    return finished


def _count(config: Config) -> dict[str, int]:
    return count_parameters(wavefunction_shapes(config, make_hamiltonian(config)))


def _introduce(config: Config) -> None:
    """System and parameter counts, before anything slow happens."""
    system, cell = config.system, config.system.lattice()
    fits = "fits" if cell.fits_sqrt3_order else "does not fit"
    up, down = system.electrons
    console.print(
        f"{up} + {down} electrons in {cell.cells} moiré cells {cell.matrix} (sqrt3 x sqrt3 order {fits}), "
        f"eps {system.dielectric_constant:g}, phase {system.moire_phase:g} degrees, "
        f"V0 {system.moire_potential:g} meV, m* {system.effective_mass:g} m_e, "
        f"a_M {system.moire_constant:g} nm",
        highlight=False,
        soft_wrap=True,
    )
    ranges = "; ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in config.contexts.items())
    console.print(f"contexts: {ranges or f'none; moire_depth {system.moire_depth:g}'}", highlight=False)
    counts = _count(config)
    total = sum(counts.values())
    modules = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    share = counts.get("conditioning", 0) / total
    console.print(
        f"{config.model.ansatz}: {total:,} parameters ({modules}); conditioning {share:.1%}",
        highlight=False,
        soft_wrap=True,
    )
    fillings = equal_fillings(config, make_hamiltonian(config), _MOST_FILLINGS + 1)
    if fillings > 1:
        number = fillings if fillings <= _MOST_FILLINGS else f"more than {_MOST_FILLINGS}"
        console.print(
            f"open shell: {number} fillings of this momentum are equally low;"
            f" {config.model.determinants} determinants take them in turn",
            highlight=False,
            soft_wrap=True,
        )


def _parse_range(text: str) -> tuple[str, list[float]]:
    name, equals, values = text.partition("=")
    try:
        if not equals:
            raise ValueError
        if ":" not in values:
            return name, [float(value) for value in values.split(",")]
        start, stop, count = values.split(":")
        if int(count) < 1:
            raise ValueError
        return name, np.linspace(float(start), float(stop), int(count)).tolist()
    except ValueError:
        raise UserError(
            f"--over {text}: write name=start:stop:count or name=value,value,..., e.g. moire_depth=0.5:1.5:21"
        ) from None


def _checked(effort: Effort) -> Effort:
    """`effort`, or a UserError where nothing could be measured by it."""
    if min(effort.walkers, effort.samples) < 2 or effort.equilibration < 0 or effort.moves < 1:
        raise UserError("needs walkers >= 2, samples >= 2, equilibration >= 0 and moves >= 1")
    if effort.target_error is not None and not effort.target_error > 0:
        raise UserError("the target error has to be above 0 meV per electron")
    return effort


def _parse_place(text: str) -> tuple[str, tuple[float, float]]:
    """name=value or name=low:high."""
    name, equals, values = text.partition("=")
    try:
        low, *high = (float(value) for value in values.split(":"))
        if not equals or len(high) > 1:
            raise ValueError
    except ValueError:
        raise UserError(f"--at {text}: write name=value or name=low:high, e.g. moire_depth=1.05") from None
    return name, (low, high[0] if high else low)


def _parse_size(text: str) -> tuple[int, int]:
    electrons, _, cells = text.partition("/")
    if not (electrons.isdigit() and cells.isdigit()):
        raise UserError(f"{text} is not a size: write ELECTRONS/CELLS, e.g. 18/27")
    return int(electrons), int(cells)


def _warn_outside(config: Config, values: dict[str, list[float]]) -> None:
    for name, points in values.items():
        low, high = config.trained[name]
        if min(points) < low or max(points) > high:
            console.print(f"note: the model was trained for {name} in [{low:g}, {high:g}] only")


if __name__ == "__main__":
    main()
