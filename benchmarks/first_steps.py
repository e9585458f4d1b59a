"""Which bound on the length of a step leads down fastest from random weights, safely, at every size?

Trains small QERNEL networks for 2, 6 and 18 electrons at depth 1, eps 5 from random weights, with bounds on
the squared length that fall from `optimizer.first_norm_bound` to `optimizer.norm_bound`, and with a constant
one. Prints energies averaged over 20 steps, above where the best bound ends at that size, the spread of local
energies in the last 20, and how many steps were refused.
"""

import argparse
from pathlib import Path

import numpy as np
from environment import measured_rows
from optimizers import WINDOW, mean_and_error
from rich.console import Console
from rich.table import Table

from qernel.config import load_config
from qernel.training.loop import initial_state, train

CELLS = {2: 3, 6: 9, 18: 27, 54: 81}  # filling 2/3
BOUNDS = ["0.001", "0.03 to 0.001", "0.03 to 0.0001", "0.03 to 0.00001"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--electrons", type=int, nargs="+", default=[2, 6, 18], choices=list(CELLS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--bounds", nargs="+", default=BOUNDS[:2], choices=BOUNDS)
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--walkers", type=int, default=64)
    parser.add_argument("--out", type=Path, help="what it has already is not run again")
    arguments = parser.parse_args()
    about = {"command": "benchmarks/first_steps.py", "steps": arguments.steps, "walkers": arguments.walkers}
    rows = measured_rows(
        [f"{electrons}, {bound}" for electrons in arguments.electrons for bound in arguments.bounds],
        arguments.seeds,
        arguments.out,
        about | {"units": "meV per electron"},
        lambda name, seed: run(name, seed, arguments),
    )
    print_table(rows, arguments.steps)


def run(name: str, seed: int, arguments: argparse.Namespace) -> dict:
    """Energies and local-energy spreads by step, and the number of refused steps."""
    electrons, bounds = name.split(", ")
    first, last = bounds.split(" to ")[0], bounds.split(" to ")[-1]
    system = [f"electrons=[{electrons},0]", f"cells={CELLS[int(electrons)]}", "moire_depth=1.0"]
    schedule = [f"seed={seed}", f"walkers={arguments.walkers}", f"stages=[{{steps={arguments.steps}}}]"]
    bound = [f"first_norm_bound={first}", f"norm_bound={last}"]
    config = load_config("six", [*system, *schedule, *bound, "microbatch=4"])
    metrics = [metrics for _, metrics in train(config, initial_state(config))]
    refused = sum(bool(each.refused) for each in metrics)
    return {
        "energy": [round(float(each.energy[0]), 4) for each in metrics],
        "spread": [round(float(each.spread[0]), 4) for each in metrics],
        "refused": refused,
    }


def print_table(rows: list[dict], steps: int) -> None:
    marks = range(WINDOW, steps + 1, WINDOW)
    steps_of = [f"{mark} steps" for mark in marks]
    table = Table("electrons", "bound", *steps_of, "last spread", "refused", box=None)
    for name in sorted(
        dict.fromkeys(row["variant"] for row in rows), key=lambda name: int(name.split(",")[0])
    ):
        electrons, bound = name.split(", ")
        names = {row["variant"] for row in rows if row["variant"].startswith(f"{electrons},")}
        lowest = min(np.mean([averages(r, steps)[-1] for r in rows if r["variant"] == n]) for n in names)
        here = [row for row in rows if row["variant"] == name]
        above = np.array([averages(row, steps) for row in here]) - lowest
        cells = [mean_and_error(list(column)) for column in above.T]
        spread = [float(np.mean(row["spread"][-WINDOW:])) for row in here if "spread" in row]
        cells.append(mean_and_error(spread) if spread else "")
        table.add_row(electrons, bound, *cells, str(sum(row["refused"] for row in here)))
    Console(width=180).print(table)


def averages(row: dict, steps: int) -> np.ndarray:
    """Mean energies of the first 20 steps, of the next 20, and so on."""
    whole = steps // WINDOW * WINDOW
    return np.mean(np.reshape(row["energy"][:whole], (-1, WINDOW)), axis=1)


if __name__ == "__main__":
    main()
