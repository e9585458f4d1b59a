"""How many steps does a larger system save that starts from a smaller one?

Trains a larger system from random weights, and from a shipped model of a smaller one, at the same contexts
with the same walkers and settings, for several seeds. Prints the mean energy over the contexts in blocks of
ten steps, and the step at which the warm start is below where the other one ends.
"""

import argparse
from pathlib import Path

import equinox as eqx
import numpy as np
from environment import save
from rich.console import Console
from rich.table import Table

from qernel.config import Config
from qernel.hamiltonian import make_hamiltonian
from qernel.shipped import shipped_model
from qernel.successors import enlarged
from qernel.training.loop import initial_state, train
from qernel.training.transfer import transfer

BLOCK = 10


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
        final = energies[False][-2:].mean()
        below = np.flatnonzero(energies[True] < final)
        rows.append(
            {
                "seed": seed,
                "warm": energies[True].tolist(),
                "random": energies[False].tolist(),
                "steps_to_final_of_random": int(BLOCK * (below[0] + 1)) if len(below) else None,
            }
        )
        print(rows[-1], flush=True)
    print_table(rows)
    options = {key: value for key, value in vars(arguments).items() if key != "out"}
    save(arguments.out, {"command": "benchmarks/transfer.py", **options, "block": BLOCK, "rows": rows})


def energy_blocks(arguments: argparse.Namespace, seed: int, *, warm: bool) -> np.ndarray:
    """Mean energy over the contexts, in meV per electron, for every ten steps."""
    config = configuration(arguments, seed, arguments.warm_steps if warm else arguments.steps)
    state = initial_state(config)
    if warm:
        run = shipped_model(arguments.model)
        source = run.state()
        families = (make_hamiltonian(each).family for each in (config, run.config()))
        taken = transfer(state.model, source.model, *families)
        state = eqx.tree_at(lambda s: s.model, state, taken.model)
    energies = np.array([metrics.energy.mean() for _, metrics in train(config, state)])
    return energies.reshape(-1, BLOCK).mean(axis=1)


def configuration(arguments: argparse.Namespace, seed: int, steps: int) -> Config:
    small = shipped_model(arguments.model).config()
    overrides = [
        f"training.seed={seed}",
        f"walkers={arguments.walkers}",
        "microbatch=8",
        "burn_in=200",
        "refresh_every=100000",
        f"training.stages=[{{steps={steps},contexts=4}}]",
    ]
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
    print(
        "steps of the warm start to the end of the other:", [row["steps_to_final_of_random"] for row in rows]
    )


if __name__ == "__main__":
    main()
