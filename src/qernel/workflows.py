"""What the commands do: train a run, measure a sweep, look for a transition."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import numpy as np
import xarray

from qernel.batching import walker_mesh
from qernel.branches import Branch, branches
from qernel.comparison import lowest_of
from qernel.config import Config, UserError
from qernel.diagram import Diagram, phase_diagram
from qernel.hamiltonian import make_hamiltonian
from qernel.hysteresis import by_start
from qernel.measurement import Effort, Progress, StopMeasuring
from qernel.numbering import check_writable
from qernel.processes import anywhere, by_first, has_others, is_first, is_loss
from qernel.progress import TrainingView
from qernel.refinement import refined
from qernel.runs import Run, check_distinct
from qernel.shipped import find_run
from qernel.stopping import StopSignals
from qernel.sweep import context_grid, following, sweep
from qernel.sweep_files import read_sweeps, system_of, write_sweep
from qernel.tensorboard import ScalarLog
from qernel.training.checkpoint import newest_step
from qernel.training.loop import TrainingStopped, initial_state, train
from qernel.training.step import TrainingState
from qernel.training.transfer import describe, transfer
from qernel.transition.evidence import Evidence, weigh


def train_run(config: Config, run: Run, view: TrainingView, minutes: float | None = None) -> bool:
    """Train until the schedule ends, time is up or a signal asks to stop; True when finished.

    The state is saved every `checkpoint_seconds` and on the way out, whatever the reason; with several
    processes, as long as all are at the same step. Raises UserError if one of them is lost, or if another
    command is training this run.
    """
    for stage in config.training.stages:
        walker_mesh(config.training.walkers // stage.contexts)  # complains before anything is written
    if not run.exists():  # so do these
        eqx.filter_eval_shape(initial_state, config)
        if config.training.start:
            _start_from(config.training.start, config, initial_state(config))
    with run.locked():
        run.begin(config)
        return _train(config, run, view, minutes)


def _train(config: Config, run: Run, view: TrainingView, minutes: float | None) -> bool:
    state, complaints = run.resume()
    for complaint in complaints:
        view.note(complaint)
    if config.training.start and int(state.step) == 0:
        state, tensors = _start_from(config.training.start, config, state)
        view.note(describe(tensors, config.training.start))
    by_first(lambda: run.forget_after(int(state.step)))
    if int(state.step) >= config.training.steps:
        view.note(f"{run.path} is finished: {int(state.step)} steps; raise training.stages to go on")
        return True
    deadline = time.monotonic() + 60 * minutes if minutes is not None else float("inf")
    began = saved_at = time.monotonic()
    with StopSignals() as stop, view, ScalarLog(run.path) as scalars:
        try:
            for latest, metrics in train(config, state):
                state, now = latest, time.monotonic()
                step, contexts = int(state.step), np.asarray(state.contexts)
                if is_first():
                    run.record(step, now - began, contexts, metrics)
                    scalars.record(step, metrics)
                    view.update(step, contexts, metrics, int(state.refused))
                began = now
                stopping, saving = anywhere(
                    stop.requested or now > deadline, now - saved_at > config.training.checkpoint_seconds
                )
                if stopping:
                    break
                if saving:
                    run.save(state)
                    saved_at = time.monotonic()
        except BaseException as error:
            if is_loss(error):
                raise UserError(
                    "another process was lost; the same command resumes from step"
                    f" {newest_step(run.checkpoint_directory)} ({str(error).splitlines()[0]})"
                ) from None
            # Where the other processes are is known of the errors only that all of them meet.
            if int(state.step) > 0 and (isinstance(error, TrainingStopped) or not has_others()):
                run.save(state)
            raise
        run.save(state)
    return int(state.step) >= config.training.steps


def sweep_run(
    run: Run,
    over: Mapping[str, Sequence[float]],
    effort: Effort,
    progress: Progress,
    *,
    refine: int = 0,
) -> dict[str, tuple[xarray.Dataset, Path | None]]:
    """Sweep a run's newest state and write the dataset to a new file in its sweeps directory.

    Returns the dataset and the file, None where another process has written it, by the name of the
    wavefunction: several where the run has several momenta, measured at the same contexts. `refine` is the
    number of rounds of more contexts where a transition is.
    """
    return _measure(_frozen(run), over, effort, progress, refine)


_Frozen = dict[str, tuple[Run, Branch]]  # runs' wavefunctions as they were when they were read, by name


def _frozen(run: Run, name: str | None = None) -> _Frozen:
    return {each.name: (run, each) for each in branches(run, name)}


def _measure(
    models: _Frozen,
    over: Mapping[str, Sequence[float]],
    effort: Effort,
    progress: Progress,
    refine: int,
) -> dict[str, tuple[xarray.Dataset, Path | None]]:
    """Sweeps of several models at the same contexts, by name, each written to its run once it is complete.

    With their files, None where another process wrote them. Raises UserError when it was asked to stop, with
    what was measured until then written.
    """
    written: dict[str, tuple[xarray.Dataset, Path | None]] = {}
    for run, _ in models.values():
        by_first(lambda run=run: check_writable(run.sweep_directory))
    with StopSignals() as stop:

        def sweeps(over: Mapping[str, Sequence[float]], number: int) -> Iterator[tuple[str, xarray.Dataset]]:
            here = effort._replace(seed=following(effort.seed, number))
            for index, (name, (_, branch)) in enumerate(models.items()):

                def report(share: float, before: int = index) -> None:
                    progress((before + share) / len(models))
                    stop.check()

                yield name, sweep(branch.config, branch.state, over, here, progress=report)
                stop.check()  # this sweep may have been cut short

        try:
            for name, data in _refined_sweeps(sweeps, over, refine) if refine else sweeps(over, 0):
                file = write_sweep(data, models[name][0].sweep_directory) if is_first() else None
                written[name] = data, file
        except StopMeasuring:
            files = ", ".join(str(file) for _, file in written.values())
            raise UserError(f"stopped; measured until then: {files or 'nothing'}") from None
    return written


def _refined_sweeps(
    sweeps: Callable[[Mapping[str, Sequence[float]], int], Iterator[tuple[str, xarray.Dataset]]],
    over: Mapping[str, Sequence[float]],
    rounds: int,
) -> Iterator[tuple[str, xarray.Dataset]]:
    """Yields what `sweeps(contexts, round)` does, of all rounds together.

    Where that raises StopMeasuring, so does this, after the sweeps of the rounds before.
    """
    first: dict[str, xarray.Dataset] = {}
    latest = first

    def measure(over: Mapping[str, Sequence[float]], number: int) -> dict[str, xarray.Dataset]:
        found = {} if number else first
        found.update(sweeps(over, number))
        return found

    try:
        for found in refined(measure, over, rounds):
            latest = found
    except StopMeasuring:
        yield from latest.items()
        raise
    yield from latest.items()


def sweep_from_all_starts(
    run: Run,
    over: Mapping[str, Sequence[float]],
    effort: Effort,
    progress: Progress,
) -> dict[str, xarray.Dataset]:
    """Sweep a run up and down, from a liquid, and from a crystal where there is one; all along `start`.

    Each sweep is also written to the run. Returns them by the name of the wavefunction: several where the run
    has several momenta.
    """
    models, system = _frozen(run), run.config().system
    crystal = system.lattice().fits_crystal(sum(system.electrons))
    starts = ["up", "down", "liquid", *(["crystal"] if crystal else [])]
    sweeps: dict[str, dict[str, xarray.Dataset]] = {name: {} for name in models}
    for number, start in enumerate(starts):
        here = effort._replace(start=start, seed=following(effort.seed, number))

        def report(share: float, before: int = number) -> None:
            progress((before + share) / len(starts))

        for name, (data, _) in _measure(models, over, here, report, refine=0).items():
            sweeps[name][start] = data
    return {name: by_start(each) for name, each in sweeps.items()}


def compare_runs(
    runs: Sequence[Run],
    over: Mapping[str, Sequence[float]],
    effort: Effort,
    progress: Progress,
    *,
    refine: int = 0,
) -> dict[str, xarray.Dataset]:
    """Sweep several runs of one system at the same contexts; each sweep is written to its own run.

    Returns the sweeps by the names of the wavefunctions, which are the runs' unless one has several momenta.
    All have the same seed, which makes the errors of their differences no larger than independent ones.
    `refine` is the number of rounds of more contexts where the lowest has a transition. Raises UserError
    where systems or contexts differ, or one run is given twice.
    """
    _check_comparable(runs, over)
    names = [run.path.name for run in runs]
    if len(set(names)) < len(names):
        names = [str(run.path) for run in runs]
    models: _Frozen = {}
    for run, name in zip(runs, names, strict=True):
        models |= _frozen(run, name)
    return {name: data for name, (data, _) in _measure(models, over, effort, progress, refine).items()}


def _check_comparable(runs: Sequence[Run], over: Mapping[str, Sequence[float]]) -> None:
    """Raises UserError where systems or contexts differ, or one run is given twice."""
    check_distinct(runs)
    first = runs[0].config()
    for run in runs[1:]:
        here, there = run.config().system.physical(), first.system.physical()
        for key in there:
            if key not in over and here[key] != there[key]:
                raise UserError(
                    f"{run.path} has system.{key} = {here[key]!r}, {runs[0].path} {there[key]!r}:"
                    " only runs of one system can be compared"
                )
        if list(run.config().contexts) != list(first.contexts):
            raise UserError(f"{run.path} and {runs[0].path} have different contexts")
        here, there = (context_grid(each, over) for each in (run.config(), first))
        for index, name in enumerate(first.contexts):
            if name not in over and here[0, index] != there[0, index]:
                raise UserError(
                    f"{run.path} would be measured at {name} = {here[0, index]:g}, {runs[0].path} at"
                    f" {there[0, index]:g}: say which, e.g. --over {name}={there[0, index]:g}"
                )


class Weighed(NamedTuple):
    """The evidence of one system: the sweeps by name, the lowest at each context."""

    sweeps: dict[str, xarray.Dataset]
    lowest: xarray.Dataset
    evidence: Evidence
    seed: int


def weigh_sources(sources: Iterable[Path], seed: int) -> Iterator[Weighed]:
    """Evidence for a transition of each system among runs or sweeps' files.

    Several models of one system are taken together, the lowest at each context. Raises UserError where two
    sources are sweeps of one run, of which the lower one would be so by chance.
    """
    _check_seed(seed)
    systems: dict[str, dict[str, xarray.Dataset]] = {}
    for source in sources:
        for name, data in read_sweeps(source).items():
            systems.setdefault(system_of(data), {})[name] = data
    for sweeps in systems.values():
        _check_runs(sweeps)
        lowest, crossed = lowest_of(sweeps)
        yield Weighed(sweeps, lowest, weigh(lowest, crossed, seed=seed), seed)


def _check_seed(seed: int) -> None:
    if seed < 0:
        raise UserError(f"the seed of the resampling has to be 0 or more, not {seed}")


def _check_runs(sweeps: Mapping[str, xarray.Dataset]) -> None:
    """Raises UserError where two sweeps are of one wavefunction of one run, or the same file."""
    found: dict[Path, list[tuple[str, str | None]]] = {}
    for name, data in sweeps.items():
        file = Path(data.encoding["source"])
        above = (each.parents[1].resolve() for each in (file.absolute(), file.resolve()))
        of = next((each for each in above if Run(each).exists()), file.resolve())
        before = found.setdefault(of, [])
        sector = data.attrs.get("model_sector")  # differs within a run where it has several momenta
        for other, its in before:
            if None in (sector, its) or sector == its:
                raise UserError(f"{other} and {name} are of one run: the lower one would be so by chance")
        before.append((name, sector))


def draw_diagram(sources: Iterable[Path], along: str | None, seed: int) -> Diagram:
    """The phase diagram of one run, or of several models of one system at the same contexts.

    Raises UserError where they are not, or two of them are sweeps of one run.
    """
    _check_seed(seed)
    sweeps: dict[str, xarray.Dataset] = {}
    for source in sources:
        sweeps |= read_sweeps(source, parameters=2)
    _check_runs(sweeps)
    systems = {name: system_of(data) for name, data in sweeps.items()}
    if len(set(systems.values())) > 1:
        raise UserError(f"{', '.join(sweeps)} are not models of one system")
    return phase_diagram(sweeps, along, seed=seed)


def _start_from(name: str, config: Config, state: TrainingState) -> tuple[TrainingState, dict[str, str]]:
    """`state` with the wavefunction of another run, and how its tensors were made.

    Raises UserError if the other has another architecture.
    """
    run = find_run(name)
    source = run.state()
    families = (make_hamiltonian(each).family for each in (config, run.config()))
    try:
        model, tensors = transfer(state.model, source.model, *families)  # pyright: ignore[reportArgumentType]
    except ValueError as error:
        fixed = run.config().contexts and not config.contexts
        hint = "; to stay at fixed parameters use training.within" if fixed else ""
        raise UserError(f"training.start = '{name}' has another architecture: {error}{hint}") from None
    return eqx.tree_at(lambda s: s.model, state, model), tensors
