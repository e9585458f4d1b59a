"""How many steps do other runs need to reach the final energy of the first?

Energies averaged over 20 steps, from the records of runs at one context each (`qernel train ... --out RUN`).
Runs on different hardware compare by steps alone; their seconds are given for each by itself.
"""

import argparse
from pathlib import Path

import numpy as np
from environment import save
from psiformer import first_below, smooth
from rich.console import Console
from rich.table import Table

from qernel.runs import Run
from qernel.wavefunction import count_parameters


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("runs", nargs="+", help="NAME=DIRECTORY; the first is what others are compared with")
    parser.add_argument("--hardware", nargs="+", help="of each run, in the same order")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rows = [measured(*named.split("=", 1)) for named in arguments.runs]
    for row, hardware in zip(rows, arguments.hardware or ["unknown"] * len(rows), strict=True):
        row["hardware"] = hardware
    save(arguments.out, {"command": "benchmarks/curves.py", "units": "meV per electron", "rows": rows})
    print_table(rows)


def measured(name: str, directory: str) -> dict:
    """Energies by step, the median of the seconds of a step, and what was trained."""
    run = Run(Path(directory))
    steps, training = list(run.metrics()), run.config().training
    return {
        "variant": name,
        "parameters": sum(count_parameters(run.state().model).values()),
        "walkers": training.walkers,
        "seed": training.seed,
        "energy": [round(step["energy"][0], 4) for step in steps],
        "spread": [round(step["spread"][0], 3) for step in steps],
        "seconds": float(np.median([step["seconds"] for step in steps[1:]])),
    }


def print_table(rows: list[dict]) -> None:
    """Energies along the way, and steps to the energy where the first row ends."""
    goal, marks = smooth(rows[0])[-1], (20, 40, 60, 80, 160, 320)
    table = Table("", "parameters", "s per step", *(f"{mark} steps" for mark in marks), "end", box=None)
    table.add_column(f"steps to {goal:.2f}")
    for row in rows:
        mean = smooth(row)
        cells = [f"{mean[mark - 1]:.2f}" if mark <= len(mean) else "" for mark in marks]
        cells += [f"{mean[-1]:.2f} ({len(mean)})", f"{first_below(row, goal):.0f}"]
        table.add_row(row["variant"], f"{row['parameters']:,}", f"{row['seconds']:.2g}", *cells)
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
