"""What does one model for all contexts cost, against a model for each?

Takes the shipped model of four electrons in six cells, conditioned on the depth, at two depths: as it is, and
fine-tuned there. Beside it trains the same network from random weights at each depth alone. Prints the excess
over the exact energy against steps, and how many steps the dedicated run takes to be as good.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import equinox as eqx
import numpy as np
from environment import save
from exact import exact_energy
from rich.console import Console
from rich.table import Table

from qernel.config import Config, overridden
from qernel.measurement import Effort
from qernel.shipped import shipped_model
from qernel.successors import finetuned
from qernel.sweep import sweep
from qernel.training.loop import initial_state, train
from qernel.training.step import TrainingState

MODEL, POINTS = "four-over-depth", 21  # of a sweep that the costs are compared for
WALKERS = 256
EFFORT = Effort(walkers=256, samples=60, observables=("energy",))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--depths", type=float, nargs="+", default=[0.9, 1.3])
    parser.add_argument("--fine", type=int, nargs="+", default=[16, 64, 256])
    parser.add_argument("--dedicated", type=int, nargs="+", default=[25, 50, 100, 200, 300])
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rows = []
    for depth in arguments.depths:
        exact = exact_energy("4/6", depth)
        tuned, alone = fine_tuning(depth, arguments.fine), dedicated(depth, arguments.dedicated)
        runs = {
            "fine-tuned": measured(*tuned, [0, *arguments.fine], {"moire_depth": [depth]}, EFFORT),
            "dedicated": measured(*alone, arguments.dedicated, {}, EFFORT),
        }
        for way, found in runs.items():
            for step, ((energy,), (error,), (spread,)) in found:
                row = {"depth": depth, "way": way, "steps": step, "excess": energy - exact}
                rows.append(row | {"error": error, "spread": spread})
                print(rows[-1], flush=True)
        about = {"command": "benchmarks/conditioning.py", "model": MODEL, "walkers": WALKERS}
        save(arguments.out, about | {"units": "meV per electron", "rows": rows})
    print_table(rows)


def measured(
    config: Config, state: TrainingState, steps: list[int], over: dict[str, list[float]], effort: Effort
) -> Iterator[tuple[int, list[list[float]]]]:
    """Yields energies, their errors and spreads, each over contexts, after each number of steps."""

    def measure(state: TrainingState) -> list[list[float]]:
        data = sweep(config, state, over, effort)
        return [np.atleast_1d(data[name].values).tolist() for name in ("energy", "energy_error", "spread")]

    if 0 in steps:
        yield 0, measure(state)
    for latest, _ in train(config, state):
        if int(latest.step) in steps:
            yield int(latest.step), measure(latest)


def fine_tuning(depth: float, steps: list[int]) -> tuple[Config, TrainingState]:
    """The shipped model, to be trained on at one depth."""
    run = shipped_model(MODEL)
    overrides = [f"walkers={WALKERS}"]
    config = finetuned(run.config(), MODEL, {"moire_depth": (depth, depth)}, max(steps), overrides)
    source = run.state()
    return config, eqx.tree_at(lambda s: s.model, initial_state(config), source.model)


def dedicated(depth: float, steps: list[int]) -> tuple[Config, TrainingState]:
    """The same network without conditioning, at one depth, from random weights."""
    tree = shipped_model(MODEL).config().model_dump(exclude_none=True)
    tree |= {"contexts": {}}
    stages = f"training.stages=[{{steps={max(steps)},contexts=1}}]"
    config = overridden(tree, [f"moire_depth={depth}", f"walkers={WALKERS}", "decay_steps=100", stages])
    return config, initial_state(config)


def print_table(rows: list[dict]) -> None:
    table = Table("depth", "", "steps", "excess (meV)", "spread (meV)", box=None)
    for row in rows:
        excess = f"{row['excess']:+.3f} ± {row['error']:.3f}"
        table.add_row(f"{row['depth']:g}", row["way"], str(row["steps"]), excess, f"{row['spread']:.2f}")
    Console().print(table)
    config = shipped_model(MODEL).config()
    spent = config.training.steps * config.training.walkers
    for depth in dict.fromkeys(row["depth"] for row in rows):
        here = [row for row in rows if row["depth"] == depth]
        target = next(row["excess"] for row in here if row["way"] == "fine-tuned" and row["steps"] == 0)
        good = [r["steps"] for r in here if r["way"] == "dedicated" and r["excess"] - r["error"] <= target]
        if good:
            share = spent / (POINTS * min(good) * WALKERS)
            print(
                f"depth {depth:g}: a dedicated run is as good after {min(good)} steps;"
                f" {POINTS} of them cost {1 / share:.1f} times as much as the conditional model"
            )
        else:
            print(f"depth {depth:g}: the dedicated run is not as good after its last step")


if __name__ == "__main__":
    main()
