"""What does a sweep cost by one conditional model, against a model for each of its points, at equal error?

Four electrons in six cells. Trains one model for all depths from 0.5 to 1.6, and one for each of five depths,
the same network without conditioning, all from random weights with the same walkers. Prints the excess over
the exact energy after so many steps, averaged over the depths, and how many times more walkers' steps a sweep
of 21 dedicated models takes to be as good as the conditional one; and how many times more seconds, with the
measuring at 21 depths, which is the same for both.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray
from conditioning import snapshots
from environment import measured_rows
from exact import exact_energy
from rich.console import Console
from rich.table import Table

from qernel.config import load_config
from qernel.measurement import Effort
from qernel.trained import Trained
from qernel.training.loop import initial_state

POINTS = 21  # of the sweep
DEPTHS = [0.7, 0.9, 1.1, 1.3, 1.5]
WAYS = {"one conditional model": "conditional", "dedicated models": "dedicated"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--walkers", type=int, default=256)
    parser.add_argument("--conditional", type=int, nargs="+", default=[100, 200, 400], help="steps")
    parser.add_argument("--dedicated", type=int, nargs="+", default=[50, 100, 150, 200], help="steps")
    parser.add_argument("--out", type=Path, help="what it has already is not run again")
    arguments = parser.parse_args()
    about = {"command": "benchmarks/sweep_cost.py", "walkers": arguments.walkers, "depths": DEPTHS}
    about |= {"units": "meV per electron"}
    rows = measured_rows(
        WAYS, arguments.seeds, arguments.out, about, lambda way, seed: measure(way, seed, arguments)
    )
    print_table(rows)


def measure(way: str, seed: int, arguments: argparse.Namespace) -> dict:
    """Excess over the exact energy, its error and the spread by number of steps and by depth."""
    steps = sorted(set(getattr(arguments, WAYS[way])))
    schedule = [f"seed={seed}", f"walkers={arguments.walkers}", "decay_steps=100", "refresh_every=50"]
    base = ["electrons=[4,0]", "cells=6", *schedule]
    if way == "dedicated models":
        stages = f"stages=[{{steps={steps[-1]}}}]"
        runs = [
            load_config("six-over-depth", [*base, "contexts={}", f"moire_depth={depth}", stages])
            for depth in DEPTHS
        ]
    else:
        runs = [load_config("six-over-depth", [*base, f"stages=[{{steps={steps[-1]},contexts=8}}]"])]
    effort = Effort(walkers=128, samples=40, observables=("energy",), seed=seed)
    found, seconds = [], []  # (run, step, quantity, depth); (run, of a step or a measured depth)
    for config in runs:
        over = {"moire_depth": DEPTHS} if config.contexts else {}
        states = snapshots(config, initial_state(config), steps)
        measured, training, measuring = zip(*in_turn(states, effort, over), strict=True)
        found.append(measured)
        last = steps[-1] - (steps[-2] if len(steps) > 1 else 0)
        seconds.append((training[-1] / last, measuring[-1] / len(measured[-1][0])))
    energy, error, spread = np.moveaxis(np.concatenate(found, axis=-1), 1, 0)
    excess = energy - np.array([exact_energy("4/6", depth) for depth in DEPTHS])
    of_step, of_depth = np.mean(seconds, axis=0)
    return {
        "steps": steps,
        "excess": excess.tolist(),
        "error": error.tolist(),
        "spread": spread.tolist(),
        "seconds_per_step": float(of_step),
        "seconds_per_depth": float(of_depth),
    }


def in_turn(
    states: Iterator[tuple[int, Trained]], effort: Effort, over: dict
) -> Iterator[tuple[list[np.ndarray], float, float]]:
    """Yields what is measured of each state, and the seconds of training until there and of measuring."""
    began = time.perf_counter()
    for _, trained in states:
        reached = time.perf_counter()
        found = energies(trained.sweep(effort, **over))
        done = time.perf_counter()
        yield found, reached - began, done - reached
        began = done


def energies(data: xarray.Dataset) -> list[np.ndarray]:
    """Energies, their errors and spreads, each over contexts."""
    return [np.atleast_1d(data[name].values) for name in ("energy", "energy_error", "spread")]


def print_table(rows: list[dict]) -> None:
    """Excess averaged over depths, and what dedicated models would have to be trained for as little."""
    columns = ("steps", "excess (meV)", "largest", "spread (meV)", "cost of 21", "with measuring")
    table = Table("seed", "", *columns, box=None)
    for row in rows:
        dedicated = [r for r in rows if r["seed"] == row["seed"] and r["variant"] == "dedicated models"]
        for index, steps in enumerate(row["steps"]):
            excess, error = np.array(row["excess"][index]), np.array(row["error"][index])
            mean = f"{excess.mean():.4f} ± {np.sqrt(np.sum(error**2)) / len(error):.4f}"
            cells = (mean, f"{excess.max():.3f}", f"{np.mean(row['spread'][index]):.2f}")
            costs = ("", "")
            if row["variant"] == "one conditional model" and dedicated:
                costs = ratios(row, steps, excess.mean(), dedicated[0])
            table.add_row(str(row["seed"]), row["variant"], str(steps), *cells, *costs)
    Console(width=130).print(table)


def ratios(row: dict, steps: int, excess: float, dedicated: dict) -> tuple[str, str]:
    """How many times more steps of as many walkers, and seconds with measuring where they were recorded."""
    needed, most = steps_to(excess, dedicated), dedicated["steps"][-1]
    more, needed = ">" if needed > most else "", min(needed, most)
    in_all = ""
    if "seconds_per_depth" in row and "seconds_per_step" in dedicated:
        measuring = POINTS * row["seconds_per_depth"]
        alone = POINTS * needed * dedicated["seconds_per_step"] + measuring
        in_all = f"{more}{alone / (steps * row['seconds_per_step'] + measuring):.1f} x"
    return f"{more}{POINTS * needed / steps:.1f} x", in_all


def steps_to(excess: float, dedicated: dict) -> float:
    """Steps after which dedicated models have this mean excess, by logarithms; infinite if never."""
    means = np.mean(dedicated["excess"], axis=1)
    steps = np.array(dedicated["steps"], float)
    if means.min() > excess:
        return float("inf")
    last = max(1, int(np.flatnonzero(means <= excess)[0]))
    x, y = np.log(steps[last - 1 : last + 1]), np.log(np.maximum(means[last - 1 : last + 1], 1e-4))
    return float(np.exp(np.interp(-np.log(max(excess, 1e-4)), -y, x)))


if __name__ == "__main__":
    main()
