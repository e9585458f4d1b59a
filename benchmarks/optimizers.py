"""Which optimizer gets lowest for six electrons, per step and per second?

Trains the preset `six` (6 electrons in 9 cells at depth 1, eps 5), or another, with each optimizer for
several seeds, and prints the energy above the exact one of its momentum, or above another that is given,
after so many steps, and after the time in which SPRING makes them. The preset's bound on the length of a step
holds for all but Adam and Muon, which know none. Energies are those seen in training, averaged over the last
20 steps, at a noise of some 0.02 meV per electron; the time of a step is the median of some at the end, the
optimizers taking turns.
"""

import argparse
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import optax
from environment import measured_rows, save
from exact import exact_energy
from rich.console import Console
from rich.table import Table

from qernel.config import load_config
from qernel.training import loop
from qernel.training.step import StepMetrics

WINDOW = 20  # steps that an energy is averaged over
TURNS = 11  # of one step each that are timed, the first left out
_DECAY = 200  # of the learning rates, as in the preset


class Variant(NamedTuple):
    """An optimizer: overrides, or one of optax's; how many times as many steps it makes."""

    overrides: tuple[str, ...] = ()
    make: Callable[[], optax.GradientTransformation] | None = None
    factor: int = 1


def _decaying(rate: float) -> optax.Schedule:
    return lambda count: rate / (1 + count / _DECAY)


VARIANTS = {
    "SPRING": Variant(),
    "SPRING, rate 0.02": Variant(("learning_rate=0.02",)),
    "SPRING, rate 0.1": Variant(("learning_rate=0.1",)),
    "SPRING, momentum 0.95": Variant(("momentum=0.95",)),
    "SPRING, momentum 0.99": Variant(("momentum=0.99",)),
    "SPRING, damping 0.0001": Variant(("damping=0.0001",)),
    "SPRING, damping 0.01": Variant(("damping=0.01",)),
    "SPRING, bound 0.001": Variant(("first_norm_bound=0.001", "norm_bound=0.001")),
    "MinSR": Variant(("optimizer.name=minsr",)),
    "KFAC": Variant(("optimizer.name=kfac",)),
    "Adam, rate 0.001": Variant(("optimizer.name=adam", "learning_rate=0.001"), factor=2),
    "Adam, rate 0.003": Variant(("optimizer.name=adam", "learning_rate=0.003"), factor=2),
    "Muon, rate 0.003": Variant(
        ("optimizer.name=adam",), lambda: optax.contrib.muon(_decaying(0.003)), factor=4
    ),
    "Muon, rate 0.01": Variant(
        ("optimizer.name=adam",), lambda: optax.contrib.muon(_decaying(0.01)), factor=4
    ),
    "Muon, rate 0.02": Variant(
        ("optimizer.name=adam",), lambda: optax.contrib.muon(_decaying(0.02)), factor=4
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--walkers", type=int, default=256)
    parser.add_argument("--preset", default="six")
    parser.add_argument("--overrides", nargs="*", default=[], help="key=value")
    parser.add_argument("--reference", type=float, help="meV per electron, in place of the exact energy")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--out", type=Path, help="what it has already is not run again")
    arguments = parser.parse_args()
    exact = exact_energy("6/9", 1.0) if arguments.reference is None else arguments.reference
    about = {"command": "benchmarks/optimizers.py", "steps": arguments.steps, "walkers": arguments.walkers}
    if arguments.preset != "six" or arguments.overrides:
        about |= {"preset": arguments.preset, "overrides": arguments.overrides}
    bounds = load_config(arguments.preset, arguments.overrides).optimizer
    about |= {"exact": exact, "units": "meV per electron, seconds"}
    about |= {"first_norm_bound": bounds.first_norm_bound, "norm_bound": bounds.norm_bound}

    def measure(name: str, seed: int) -> dict:
        return {"energy": [round(float(each.energy[0]), 4) for each in training(name, seed, arguments)]}

    rows = measured_rows(arguments.variants, arguments.seeds, arguments.out, about, measure)
    measured = {row["variant"] for row in rows}
    seconds = step_seconds([name for name in VARIANTS if name in measured], arguments)
    save(arguments.out, about | {"seconds": seconds, "rows": rows})
    print_table(rows, seconds, arguments.steps, exact)


def training(name: str, seed: int, arguments: argparse.Namespace) -> Iterator[StepMetrics]:
    """What each step of a variant's training sees."""
    variant = VARIANTS[name]
    steps = variant.factor * arguments.steps
    schedule = [f"seed={seed}", f"walkers={arguments.walkers}", f"stages=[{{steps={steps}}}]"]
    schedule += [f"decay_steps={_DECAY}", *arguments.overrides]
    config = load_config(arguments.preset, [*schedule, *variant.overrides])
    make = loop.make_optimizer
    if variant.make is not None:
        transformation = optax.with_extra_args_support(variant.make())
        loop.make_optimizer = lambda *_: transformation
    states = loop.train(config, loop.initial_state(config))
    try:
        _, first = next(states)  # which compiles
    finally:
        loop.make_optimizer = make
    yield first
    for _, metrics in states:
        yield metrics


def step_seconds(names: list[str], arguments: argparse.Namespace) -> dict[str, float]:
    """Median seconds of a step of each variant, all taking turns."""
    return seconds_in_turn({name: training(name, 0, arguments) for name in names})


def seconds_in_turn(trainings: Mapping[str, Iterator]) -> dict[str, float]:
    """Median seconds of a step of each training, all taking turns, without the first, which may compile."""
    seconds: dict[str, list[float]] = {name: [] for name in trainings}
    for turn in range(TURNS):
        for name, steps in trainings.items():
            began = time.perf_counter()
            next(steps)
            if turn > 0:
                seconds[name].append(time.perf_counter() - began)
    return {name: float(np.median(each)) for name, each in seconds.items()}


def print_table(rows: list[dict], seconds: dict[str, float], steps: int, exact: float) -> None:
    """Excess over the exact energy after a quarter, half and all of the steps, or of SPRING's time."""
    marks = (steps // 4, steps // 2, steps)
    table = Table("", "steps/s of SPRING's", *(f"{mark} steps" for mark in marks), "in its time:", box=None)
    for mark in marks:
        table.add_column(f"{mark}")
    for name in seconds:
        here = [row for row in rows if row["variant"] == name]
        speed = seconds.get("SPRING", math.nan) / seconds[name]
        by_step = [[excess(row, mark, exact) for row in here] for mark in marks]
        by_time = [[excess(row, mark * speed, exact) for row in here] for mark in marks]
        cells = [f"{speed:.2f}", *map(mean_and_error, by_step), "", *map(mean_and_error, by_time)]
        table.add_row(name, *cells)
    Console(width=150).print(table)


def excess(row: dict, step: float, exact: float) -> float:
    """Mean energy of the steps up to this one, above the exact one; NaN where it was not reached."""
    last = round(step) if math.isfinite(step) else 0
    if not WINDOW <= last <= len(row["energy"]):
        return math.nan
    return float(np.mean(row["energy"][last - WINDOW : last])) - exact


def mean_and_error(values: list[float]) -> str:
    """Over seeds; of a single one without an error."""
    if any(map(math.isnan, values)):
        return "not reached"
    scatter = f" ± {np.std(values, ddof=1) / math.sqrt(len(values)):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{scatter}"


if __name__ == "__main__":
    main()
