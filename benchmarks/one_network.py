"""Can one network of all momenta follow the ground state across a crossing of two?

Trains QERNEL for six electrons in nine cells over depths 0.5 to 1.6, where the exact ground state changes its
total momentum between 1.0 and 1.1: one network whose momenta are free to mix, the same with more contexts
where the local energy varies more, a network for each of the two momenta, and one for both, with half of the
contexts in either. Prints, at depths whose exact energies are known, the excess over the exact ground
state, the spread of the local energy, the weight of the largest momentum, and how many of the depths a sweep
flags by itself; the lower one of the two momenta counts.
"""

import argparse
from collections import deque
from pathlib import Path

import numpy as np
import xarray
from environment import measured_rows
from exact import exact_energy
from rich.console import Console
from rich.table import Table

from qernel.branches import taken_apart
from qernel.comparison import envelope
from qernel.config import Config, load_config
from qernel.measurement import Effort
from qernel.report.checks import flag_sweep
from qernel.sweep import sweep
from qernel.training.loop import initial_state, train

DEPTHS = [0.7, 1.0, 1.1, 1.3, 1.5]
MOMENTA = [(-1, 0), (1, 1), (0, 0)]  # that are lowest somewhere
#: Overrides of each network of a variant; of several the lowest counts.
VARIANTS = {
    "one, free": [["sector=free"]],
    "one, free, contexts by spread": [["sector=free", "adaptive=true"]],
    "one for each of two momenta": [["sector=lowest"], ["sector=[1,1]"]],
    "one for both momenta": [["sector=[[-1,0],[1,1]]"]],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, default=600, help="in all, shared by the networks of a variant")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--out", type=Path, help="what it has already is not run again")
    arguments = parser.parse_args()
    about = {"command": "benchmarks/one_network.py", "steps": arguments.steps, "depths": DEPTHS}
    about |= {"units": "meV per electron"}
    exact = np.array([min(exact_energy("6/9", depth, each) for each in MOMENTA) for depth in DEPTHS])

    def measure_one(name: str, seed: int) -> dict:
        return measure(name, seed, arguments.steps, exact)

    print_table(measured_rows(arguments.variants, arguments.seeds, arguments.out, about, measure_one))


def measure(name: str, seed: int, steps: int, exact: np.ndarray) -> dict:
    """What the lowest of a variant's wavefunctions shows, by depth; how many depths of each are flagged."""
    networks = VARIANTS[name]
    sweeps, flagged = {}, []
    for overrides in networks:
        config = configuration(overrides, seed, steps // len(networks))
        state, _ = deque(train(config, initial_state(config)), maxlen=1).pop()
        for branch in taken_apart(str(overrides), config, state):
            data = sweep(branch.config, branch.state, {"moire_depth": DEPTHS}, Effort(seed=seed))
            sweeps[branch.name] = data
            flagged.append(len(flag_sweep(data, config.trained)))
    lowest = envelope(sweeps)
    return {
        "excess": (lowest["energy"].values - exact).tolist(),
        "error": lowest["energy_error"].values.tolist(),
        "spread": lowest["spread"].values.tolist(),
        "momenta": largest_momenta(lowest),
        "largest_weight": lowest["sector_weight"].max("sector").values.tolist(),
        "residual": lowest["residual_moire_depth"].values.tolist(),
        "flagged": flagged,
    }


def configuration(overrides: list[str], seed: int, steps: int) -> Config:
    schedule = ["decay_steps=100", "refresh_every=50", f"stages=[{{steps={steps},contexts=8}}]"]
    return load_config(
        "six-over-depth", ["walkers=256", f"seed={seed}", "determinants=6", *schedule, *overrides]
    )


def largest_momenta(data: xarray.Dataset) -> list[list[int]]:
    """The momentum that psi has most of, by depth."""
    best = data["sector_weight"].argmax("sector").values
    labels = [data[name].values[best].tolist() for name in ("sector_1", "sector_2")]
    return [list(label) for label in zip(*labels, strict=True)]


def print_table(rows: list[dict]) -> None:
    table = Table("", "seed", "", *(f"depth {depth}" for depth in DEPTHS), "flagged", box=None)
    for row in rows:
        excess = (f"{x:.3f} ± {e:.3f}" for x, e in zip(row["excess"], row["error"], strict=True))
        flagged = " and ".join(f"{count} of {len(DEPTHS)}" for count in row["flagged"])
        table.add_row(row["variant"], str(row["seed"]), "excess (meV)", *excess, flagged)
        table.add_row("", "", "momentum", *(str(tuple(each)) for each in row["momenta"]))
        for name in ("largest_weight", "spread", "residual"):
            table.add_row("", "", name.replace("_", " "), *(f"{each:.2f}" for each in row[name]))
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
