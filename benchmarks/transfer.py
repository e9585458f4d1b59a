"""How many steps does a larger system save that starts from a smaller one?

Trains a larger system from random weights, with the long first steps that these take by default, and from a
shipped model of a smaller one, with the shorter ones of `qernel transfer`, at the same contexts with the
same walkers, for several seeds. Prints the mean energy over the contexts in blocks of ten steps, and after
how many steps either is as low as where random weights end, and as 0.1 meV above that.
"""

import argparse
from pathlib import Path

import equinox as eqx
import numpy as np
from environment import save
from rich.console import Console
from rich.table import Table

from qernel.config import Config, OptimizerConfig
from qernel.hamiltonian import make_hamiltonian
from qernel.shipped import shipped_model
from qernel.successors import enlarged
from qernel.training.loop import initial_state, train
from qernel.training.transfer import transfer

BLOCK = 10
MARGINS = (0.1, 0.0)  # meV per electron above where random weights end


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", nargs="?", default="six-over-depth")
    parser.add_argument("--electrons", type=int, default=18)
    parser.add_argument("--cells", type=int, default=27)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=200, help="from random weights")
    parser.add_argument("--warm-steps", type=int, default=40)
    parser.add_argument("--walkers", type=int, default=64)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rows = []
    for seed in arguments.seeds:
        energies = {warm: energy_blocks(arguments, seed, warm=warm) for warm in (True, False)}
        row: dict = {"seed": seed, "warm": energies[True].tolist(), "random": energies[False].tolist()}
        end = energies[False][-2:].mean()
        for margin in MARGINS:
            steps = {way: steps_to(row[way], end + margin) for way in ("warm", "random")}
            row[f"steps_to_{margin:g}_above"] = steps
        rows.append(row)
        print(row, flush=True)
        options = {key: value for key, value in vars(arguments).items() if key != "out"}
        save(arguments.out, {"command": "benchmarks/transfer.py", **options, "block": BLOCK, "rows": rows})
    print_table(rows)


def steps_to(energies: list[float], value: float) -> int | None:
    """The steps after the first block that is as low; None if none is."""
    below = np.flatnonzero(np.array(energies) <= value)
    return int(BLOCK * (below[0] + 1)) if len(below) else None


def energy_blocks(arguments: argparse.Namespace, seed: int, *, warm: bool) -> np.ndarray:
    """Mean energy over the contexts, in meV per electron, for every ten steps."""
    config = configuration(arguments, seed, warm=warm)
    state = initial_state(config)
    if warm:
        run = shipped_model(arguments.model)
        source = run.state()
        families = (make_hamiltonian(each).family for each in (config, run.config()))
        taken = transfer(state.model, source.model, *families)
        state = eqx.tree_at(lambda s: s.model, state, taken.model)
    energies = np.array([metrics.energy.mean() for _, metrics in train(config, state)])
    return energies.reshape(-1, BLOCK).mean(axis=1)


def configuration(arguments: argparse.Namespace, seed: int, *, warm: bool) -> Config:
    small, steps = shipped_model(arguments.model).config(), arguments.warm_steps if warm else arguments.steps
    overrides = [
        f"training.seed={seed}",
        f"walkers={arguments.walkers}",
        "microbatch=8",
        "burn_in=200",
        "refresh_every=100000",
        f"training.stages=[{{steps={steps},contexts=4}}]",
    ]
    if not warm:
        overrides.append(f"first_norm_bound={OptimizerConfig().first_norm_bound}")
    return enlarged(small, arguments.model, arguments.electrons, arguments.cells, steps, overrides)


def print_table(rows: list[dict]) -> None:
    table = Table(
        "steps", *(f"{way}, seed {row['seed']}" for row in rows for way in ("warm", "random")), box=None
    )
    for block in range(len(rows[0]["random"])):
        cells = []
        for row in rows:
            cells += [f"{row[way][block]:.2f}" if block < len(row[way]) else "" for way in ("warm", "random")]
        table.add_row(f"{BLOCK * block + 1}-{BLOCK * (block + 1)}", *cells)
    Console(width=140).print(table)
    for margin in MARGINS:
        steps = [row[f"steps_to_{margin:g}_above"] for row in rows]
        print(f"steps to {margin:g} above where random weights end:", steps)


if __name__ == "__main__":
    main()
