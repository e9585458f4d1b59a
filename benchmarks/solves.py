"""One linear system for the walkers of all contexts, or one for each?

A solve takes (rows)^2 x parameters operations or more, so that one for each of eight contexts takes eight
times fewer. But the one for all finds a direction phi that serves every context, O_c phi = eps_c, while the
sum of the contexts' own directions is right for each only as far as their scores are orthogonal, and their
mean goes an eighth of the way. Trains a conditional QERNEL as `ablations.py` does, with SPRING as it is and
with one or the other in its place. Prints the excess over exact energies and the spread of the local energy,
averaged over depths, and the time of a step, the variants taking turns.
"""

import argparse
import functools
import importlib
from pathlib import Path

import ablations
import jax
import numpy as np
from environment import measured_rows, save
from jaxtyping import Array, Float
from optimizers import TURNS, mean_and_error, seconds_in_turn
from rich.console import Console
from rich.table import Table

from qernel.optimize.rows import KeptRows
from qernel.optimize.solve import solve_damped
from qernel.training.loop import TrainingStopped, initial_state, train

#: How the directions of the contexts are put together.
VARIANTS = ("one for all", "one for each, summed", "one for each, averaged")
_SPRING = importlib.import_module("qernel.optimize.spring")  # a function has its name there


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--system", default="4/6", choices=list(ablations.SYSTEMS), help="electrons/cells")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--out", type=Path, help="what it has already is not run again")
    arguments = parser.parse_args()
    about = {"command": "benchmarks/solves.py", "steps": arguments.steps, "system": arguments.system}
    about |= {"units": "meV per electron, seconds"}

    def measure(name: str, seed: int) -> dict:
        use_solve(name)
        try:
            return ablations.measure("QERNEL", seed, arguments.steps, arguments.system)
        except TrainingStopped as error:
            return {"stopped": str(error).split(";")[0]}

    rows = measured_rows(arguments.variants, arguments.seeds, arguments.out, about, measure)
    seconds = step_seconds(arguments.variants, arguments.system)
    save(arguments.out, about | {"seconds": seconds, "rows": rows})
    print_table(rows, seconds)


def use_solve(name: str) -> None:
    """Solve so in every training that is compiled from here on."""
    by_context = functools.partial(solve_by_context, summed="summed" in name)
    vars(_SPRING)["solve_damped"] = solve_damped if name == VARIANTS[0] else by_context


def solve_by_context(
    rows: KeptRows, target: Float[Array, " row"], damping: float, *, summed: bool
) -> Float[Array, " row"]:
    """What takes the place of the solution for all rows, in SPRING's scale of 1 / sqrt(all walkers)."""
    contexts, _ = rows.walkers

    def solve(context):
        scores, factor, right = context
        alone = jax.tree.map(lambda x: x[None], scores)
        return solve_damped(KeptRows(scores=alone, factors=factor[None]), right, damping)

    each = jax.lax.map(solve, (rows.scores, rows.factors, target.reshape(contexts, -1)))
    return (contexts if summed else 1) * each.reshape(-1)


def step_seconds(names: list[str], system: str) -> dict[str, float]:
    """Median seconds of a step of each variant, all taking turns."""
    trainings = {}
    for name in names:
        use_solve(name)
        config = ablations.configuration("QERNEL", 0, 1 + TURNS, system)
        trainings[name] = train(config, initial_state(config))
        next(trainings[name])  # compiles with this solve
    return seconds_in_turn(trainings)


def print_table(rows: list[dict], seconds: dict[str, float]) -> None:
    table = Table("", "seconds of a step", "excess (meV)", "by seed", "largest", "spread (meV)", box=None)
    for name, time_of_step in seconds.items():
        every = [row for row in rows if row["variant"] == name]
        here = [row for row in every if "stopped" not in row]
        if stopped := len(every) - len(here):
            table.add_row(name, f"{time_of_step:.3f}", f"stopped: {stopped} of {len(every)}")
        if not here:
            continue
        excess = np.array([row["excess"] for row in here])
        means = excess.mean(axis=1).tolist()
        by_seed = ", ".join(f"{mean:.3f}" for mean in means)
        spread = np.mean([row["spread"] for row in here])
        cells = (mean_and_error(means), by_seed, f"{excess.max():.3f}", f"{spread:.2f}")
        table.add_row(name, f"{time_of_step:.3f}", *cells)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
