"""How many fewer steps and parameters than PsiFormer does QERNEL need, for six electrons in nine cells?

Trains both at depth 1, eps 5 with the same optimizer (SPRING), walkers and schedule: PsiFormer as published
(preset `six-psiformer`), which may be given more steps; PsiFormer with QERNEL's Bloch-seeded orbitals, moiré
features and Jastrow factor; QERNEL with as many parameters, and with about a seventh. Prints the energy above
the exact one of the ground state, averaged over steps (of twenty the noise is 0.02 meV per electron); how
many times fewer steps and seconds each takes than the published PsiFormer to where that ends, and how many
times fewer to where its local-energy spread ends; and how many times fewer steps than the public program.
"""

import argparse
import math
import time
from pathlib import Path

import numpy as np
from environment import measured_rows
from exact import exact_energy
from optimizers import WINDOW, mean_and_error
from rich.console import Console
from rich.table import Table

from qernel.config import load_config
from qernel.training.loop import initial_state, train
from qernel.wavefunction import count_parameters

BASELINE = "PsiFormer"
#: Step and energy of the public program's PsiFormer, of as many parameters and walkers, with KFAC; one seed.
PUBLIC = (734, -59.12)
VARIANTS = {
    BASELINE: ("six-psiformer", []),
    "PsiFormer with QERNEL's orbitals": (
        "six-psiformer",
        ["moire_features=true", "orbitals=bloch", "jastrow=true"],
    ),
    "QERNEL": ("six", ["size=64", "expert_size=35"]),
    "QERNEL, small": ("six", ["size=24", "heads=4", "expert_size=8"]),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--baseline-steps", type=int, help="of the published PsiFormer (default: --steps)")
    parser.add_argument("--walkers", type=int, default=256)
    parser.add_argument("--norm-bound", type=float, default=1e-4, help="what the bound on a step falls to")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--window", type=int, default=WINDOW, help="steps that energies are averaged over")
    parser.add_argument("--out", type=Path, help="what it has already is not run again")
    arguments = parser.parse_args()
    if arguments.baseline_steps is None:
        arguments.baseline_steps = arguments.steps
    exact = exact_energy("6/9", 1.0)
    options = ("steps", "baseline_steps", "walkers", "norm_bound")
    about = {"command": "benchmarks/psiformer.py"} | {name: getattr(arguments, name) for name in options}
    about |= {"exact": exact, "units": "meV per electron, seconds"}
    rows = measured_rows(
        arguments.variants,
        arguments.seeds,
        arguments.out,
        about,
        lambda name, seed: run(name, seed, arguments),
    )
    print_table(rows, exact, arguments.window)


def run(name: str, seed: int, arguments: argparse.Namespace) -> dict:
    """Energies and local-energy spreads by step, the median of the seconds of a step, and parameters."""
    preset, overrides = VARIANTS[name]
    steps = arguments.baseline_steps if name == BASELINE else arguments.steps
    schedule = [f"seed={seed}", f"walkers={arguments.walkers}", f"stages=[{{steps={steps}}}]"]
    optimizer = ["decay_steps=200", f"norm_bound={arguments.norm_bound}"]
    config = load_config(preset, [*overrides, *schedule, *optimizer])
    state = initial_state(config)
    energy, spread, seconds, began = [], [], [], time.perf_counter()
    for _, metrics in train(config, state):
        energy.append(round(float(metrics.energy[0]), 4))
        spread.append(round(float(metrics.spread[0]), 4))
        seconds.append(time.perf_counter() - began)
        began = time.perf_counter()
    parameters = sum(count_parameters(state.model).values())
    median = float(np.median(seconds[1:]))
    return {"parameters": parameters, "energy": energy, "spread": spread, "seconds": median}


def print_table(rows: list[dict], exact: float, window: int) -> None:
    """Excess over the exact energy, and how many times fewer steps and seconds to the baseline's last one."""
    lengths = sorted({len(row["energy"]) for row in rows})
    marks = [lengths[0] // 8, lengths[0] // 4, lengths[0] // 2, *lengths]
    baseline = {row["seed"]: row for row in rows if row["variant"] == BASELINE}
    table = Table("", "parameters", *(f"{mark} steps" for mark in marks), box=None)
    for column in ("fewer steps", "less time", "fewer by the spread", "fewer than public"):
        table.add_column(column)
    for name in dict.fromkeys(row["variant"] for row in rows if row["seed"] in baseline):
        here = [row for row in rows if row["variant"] == name and row["seed"] in baseline]
        excess = [
            [smooth(row, window)[mark - 1] - exact for row in here if len(row["energy"]) >= mark]
            for mark in marks
        ]
        factors = [fewer(row, baseline[row["seed"]], window, "energy") for row in here]
        recorded = [row for row in here if "spread" in row and "spread" in baseline[row["seed"]]]
        by_spread = [fewer(row, baseline[row["seed"]], window, "spread") for row in recorded]
        faster = [
            factor * baseline[row["seed"]]["seconds"] / row["seconds"]
            for factor, row in zip(factors, here, strict=True)
        ]
        public = [PUBLIC[0] / first_below(row, PUBLIC[1], window) for row in here]
        cells = [mean_and_error(each) if each else "" for each in excess]
        cells += [
            " ".join(f"{factor:.1f}" if factor else "never" for factor in each)
            for each in (factors, faster, by_spread, public)
        ]
        table.add_row(name, f"{here[0]['parameters']:,}", *cells)
    Console(width=150).print(table)


def fewer(row: dict, baseline: dict, window: int, quantity: str) -> float:
    """How many times fewer steps than the baseline a run takes to where that ends; 0 if it never is there."""
    end = smooth(baseline, window, quantity)[-1]
    return len(baseline["energy"]) / first_below(row, end, window, quantity)


def smooth(row: dict, window: int = WINDOW, quantity: str = "energy") -> np.ndarray:
    """Mean over so many steps, up to each."""
    sums = np.cumsum([0.0, *row[quantity]])
    last = np.arange(1, len(sums))
    first = np.maximum(last - window, 0)
    return (sums[last] - sums[first]) / (last - first)


def first_below(row: dict, value: float, window: int = WINDOW, quantity: str = "energy") -> float:
    """The number of steps after which the mean energy, or spread, is as low; infinite if it never is."""
    below = np.flatnonzero(smooth(row, window, quantity) <= value)
    return float(below[0] + 1) if len(below) else math.inf


if __name__ == "__main__":
    main()
