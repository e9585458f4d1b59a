"""What is it worth to start the determinants of an open shell in all its fillings?

Trains QERNEL for six electrons in nine cells at momentum K over depths 0.95 to 1.6, with six determinants,
from the six fillings that are equally low, and from one of them. Prints the excess over the exact energy and
the spread of the local energy at depths that were not trained at.
"""

import argparse
import itertools
from collections import deque
from pathlib import Path

import numpy as np
from environment import measured_rows
from exact import exact_energy
from rich.console import Console
from rich.table import Table

from qernel.config import load_config
from qernel.hamiltonian.bands import lowest_fillings
from qernel.measurement import Effort
from qernel.sweep import sweep
from qernel.training.loop import initial_state, train
from qernel.wavefunction import orbitals

DEPTHS = [1.0, 1.1, 1.3, 1.5]
FILLINGS = {"one filling": 1, "six fillings": 6}
SYSTEM = ["sector=[1,1]", "determinants=6", "contexts={moire_depth=[0.95,1.6]}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--out", type=Path, help="what it has already is not run again")
    arguments = parser.parse_args()
    exact = np.array([exact_energy("6/9", depth, (-2, 1)) for depth in DEPTHS])
    about = {"command": "benchmarks/fillings.py", "steps": arguments.steps, "depths": DEPTHS}
    about |= {"units": "meV per electron"}

    def measured(name: str, seed: int) -> dict:
        data = measure(FILLINGS[name], seed, arguments.steps)
        return {
            "excess": (data["energy"].values - exact).tolist(),
            "error": data["energy_error"].values.tolist(),
            "spread": data["spread"].values.tolist(),
        }

    rows = measured_rows(FILLINGS, arguments.seeds, arguments.out, about, measured)
    print_table(rows)


def measure(count: int, seed: int, steps: int):
    """A sweep of the model that starts from so many fillings."""
    orbitals.lowest_fillings = lambda *arguments: itertools.islice(lowest_fillings(*arguments), count)
    stages = f"stages=[{{steps={steps},contexts=8}}]"
    schedule = [f"seed={seed}", "decay_steps=100", "refresh_every=50", stages]
    config = load_config("six-over-depth", [*SYSTEM, *schedule])
    state, _ = deque(train(config, initial_state(config)), maxlen=1).pop()
    return sweep(config, state, {"moire_depth": DEPTHS}, Effort(seed=seed))


def print_table(rows: list[dict]) -> None:
    table = Table("", "seed", *(f"excess at {depth}" for depth in DEPTHS), "spread (meV)", box=None)
    for row in rows:
        cells = (f"{x:.3f} ± {e:.3f}" for x, e in zip(row["excess"], row["error"], strict=True))
        table.add_row(row["variant"], str(row["seed"]), *cells, f"{np.mean(row['spread']):.2f}")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
