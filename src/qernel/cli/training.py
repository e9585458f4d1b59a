"""Commands that train: a run, a fine-tuned one, a ladder of sizes; and the plan before them."""

import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import jax
from cyclopts import Parameter

from qernel.cli.application import app, console
from qernel.cli.arguments import parse_places, parse_size
from qernel.cli.introduction import introduce
from qernel.cli.processes import Processes
from qernel.config import Config, UserError, load_config
from qernel.plan import advice, device_memory, plan_table, plans, preferred
from qernel.progress import TrainingView
from qernel.runs import Run
from qernel.shipped import find_run, shipped_model, shipped_models
from qernel.successors import enlarged, finetuned
from qernel.workflows import train_run


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
    _check_minutes(minutes)
    run, config = Run(out or Path("runs") / Path(source).stem), load_config(source, overrides)
    copied = source in shipped_models() and run.exists() and run.config() == shipped_model(source).config()
    if copied and run.config() != config:
        raise UserError(f"{run.path} is a copy of the shipped model {source}: choose another --out")
    _train(config, run, minutes, processes)


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
    if memory is not None and not 0 < memory < math.inf:
        raise UserError(f"--memory is a number of GiB above 0, not {memory:g}")
    limit = device_memory() if memory is None else int(memory * 2**30)
    introduce(config)
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
    _check_steps(steps)
    _check_minutes(minutes)
    config, start = find_run(run).config(), str(run)
    ranges = parse_places(at)
    places = "-".join(f"{low:g}" if low == high else f"{low:g}-{high:g}" for low, high in ranges.values())
    new = finetuned(config, start, ranges, steps, overrides)
    _train(new, Run(out or Path("runs") / f"{run.name}-at-{places}"), minutes, processes)


@app.command
def transfer(
    run: Path,
    /,
    *sizes: str,
    electrons: int | None = None,
    cells: int | None = None,
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
    electrons
        Of a single size, instead of ELECTRONS/CELLS.
    cells
        Of a single size.
    steps
        Optimization steps at each size.
    out
        Where the new runs go, as NAME-ELECTRONS-CELLS.
    minutes
        Stop cleanly after this long.
    """
    _check_steps(steps)
    _check_minutes(minutes)
    overrides = [text for text in sizes if "=" in text]
    ladder = _ladder([text for text in sizes if "=" not in text], electrons, cells)
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    start = run
    for size in ladder:
        new = Run(out / f"{run.name}-{size[0]}-{size[1]}")
        config = enlarged(find_run(start).config(), str(start), *size, steps, overrides)
        left = None if deadline is None else (deadline - time.monotonic()) / 60
        if not _train(config, new, left, processes):
            return
        start = new.path
        jax.clear_caches()  # the compiled code of some ten trainings crashes a process


def _ladder(sizes: Sequence[str], electrons: int | None, cells: int | None) -> list[tuple[int, int]]:
    """Sizes written as ELECTRONS/CELLS, or the one that two options name."""
    if electrons is not None and cells is not None and not sizes:
        return [(electrons, cells)]
    if electrons is not None or cells is not None or not sizes:
        raise UserError(
            "transfer needs sizes, ELECTRONS/CELLS, e.g. 18/27 54/81, or one as --electrons 18 --cells 27"
        )
    return [parse_size(text) for text in sizes]


def _check_steps(steps: int) -> None:
    if steps < 1:
        raise UserError(f"--steps is a number of optimization steps, 1 or more, not {steps}")


def _check_minutes(minutes: float | None) -> None:
    if minutes is not None and not minutes >= 0:
        raise UserError(f"--minutes is a number of minutes, 0 or more, not {minutes:g}")


def _train(config: Config, run: Run, minutes: float | None, processes: Processes) -> bool:
    """Train a run and say how it ended; True when finished."""
    processes.join()
    introduce(config)
    finished = train_run(config, run, TrainingView(config, console), minutes)
    state = "finished" if finished else "stopped; the same command resumes it"
    console.print(f"{run.path}: {state}", highlight=False, soft_wrap=True)
    return finished
