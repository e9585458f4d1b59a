"""What does one model for all contexts cost, against a model for each?

Takes a shipped model that is conditioned on the depth, by default that of four electrons in six cells, at two
depths: as it is, and fine-tuned there. Beside it trains the same network from random weights at each depth
alone. Prints the excess over the exact energy against steps, what is missing in the overlap with the other
way's last state, and how many steps the dedicated run takes to be as good. A model of several momenta is
taken in one of them, `--momentum`, as it is.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import equinox as eqx
from environment import save
from exact import exact_energy
from rich.console import Console
from rich.table import Table

from qernel.branches import Branch, the_branch
from qernel.config import Config, overridden
from qernel.hamiltonian import make_hamiltonian
from qernel.measurement import Effort
from qernel.shipped import shipped_model
from qernel.successors import finetuned
from qernel.trained import AtContext, Trained
from qernel.training.loop import initial_state, train
from qernel.training.step import TrainingState

POINTS = 21  # of a sweep that the costs are compared for
WALKERS = 256
EFFORT = Effort(walkers=256, samples=60, observables=("energy",))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="four-over-depth")
    parser.add_argument("--momentum", type=int, nargs=2)
    parser.add_argument("--depths", type=float, nargs="+", default=[0.9, 1.3])
    parser.add_argument("--fine", type=int, nargs="+", help="steps; by default 16, 64, 256 and 1024")
    parser.add_argument("--dedicated", type=int, nargs="+", default=[25, 50, 100, 200])
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    momentum = tuple(arguments.momentum) if arguments.momentum else None
    run = shipped_model(arguments.model)
    branch = the_branch(run, momentum)
    if momentum and arguments.fine:
        parser.error("a model of several momenta is taken as it is: --momentum goes without --fine")
    fine = [] if momentum else arguments.fine or [16, 64, 256, 1024]
    rows = []
    for depth in arguments.depths:
        tuned = [(step, trained.at(moire_depth=depth)) for step, trained in conditional(branch, depth, fine)]
        alone = [(step, trained.at()) for step, trained in dedicated(branch, depth, arguments.dedicated)]
        for way, states, (_, last) in (("conditional", tuned, alone[-1]), ("dedicated", alone, tuned[-1])):
            for step, state in states:
                rows.append({"depth": depth, "way": way, "steps": step} | measured(state, last, depth))
                print(rows[-1], flush=True)
        about = {"command": "benchmarks/conditioning.py", "model": branch.name, "walkers": WALKERS}
        save(arguments.out, about | {"units": "meV per electron", "rows": rows})
    training = run.config().training  # what came before the last one is not counted
    print_table(rows, training.steps * training.walkers / run.config().model.sectors)


def measured(state: AtContext, reference: AtContext, depth: float) -> dict:
    """Excess over the exact energy, spread, and what is missing in the overlap with another state."""
    data, system = state.trained.sweep(EFFORT, **state.context), state.trained.config.system
    energy, error, spread = (data[name].item() for name in ("energy", "energy_error", "spread"))
    name, sector = f"{sum(system.electrons)}/{system.lattice().cells}", state.trained.config.model.sector
    where = [sector] if isinstance(sector, tuple) else []
    exact = exact_energy(name, depth, *where, dielectric_constant=system.dielectric_constant)
    value, uncertainty = state.fidelity(reference, EFFORT)
    found = {"excess": energy - exact, "error": error, "spread": spread}
    return found | {"infidelity": 1 - value, "infidelity_error": uncertainty}


def snapshots(config: Config, state: TrainingState, steps: list[int]) -> Iterator[tuple[int, Trained]]:
    """Yields the trained wavefunction after each number of steps."""
    hamiltonian = make_hamiltonian(config)
    if 0 in steps:
        yield 0, Trained(state, hamiltonian, config)
    for latest, _ in train(config, state):
        if int(latest.step) in steps:
            print(f"after {int(latest.step)} steps", flush=True)
            yield int(latest.step), Trained(latest, hamiltonian, config)


def conditional(branch: Branch, depth: float, steps: list[int]) -> Iterator[tuple[int, Trained]]:
    """The shipped model as it is, and trained on at one depth."""
    if not steps:
        return iter([(0, Trained(branch.state, make_hamiltonian(branch.config), branch.config))])
    at = {"moire_depth": (depth, depth)}
    config = finetuned(branch.config, branch.name, at, max(steps), [f"walkers={WALKERS}"])
    state = eqx.tree_at(lambda s: s.model, initial_state(config), branch.state.model)
    return snapshots(config, state, [0, *steps])


def dedicated(branch: Branch, depth: float, steps: list[int]) -> Iterator[tuple[int, Trained]]:
    """The same network without conditioning, at one depth, from random weights."""
    tree = branch.config.model_dump(exclude_none=True) | {"contexts": {}}
    schedule = [f"walkers={WALKERS}", f"decay_steps={max(steps) // 2}"]
    stages = f"training.stages=[{{steps={max(steps)},contexts=1}}]"
    config = overridden(tree, [f"moire_depth={depth}", *schedule, stages])
    return snapshots(config, initial_state(config), steps)


def print_table(rows: list[dict], spent: float) -> None:
    """`spent`: steps x walkers of the conditional wavefunction."""
    table = Table("depth", "", "steps", "excess (meV)", "spread (meV)", "1 - overlap", box=None)
    for row in rows:
        excess = f"{row['excess']:+.3f} ± {row['error']:.3f}"
        missing = f"{row['infidelity']:.4f} ± {row['infidelity_error']:.4f}"
        cells = (str(row["steps"]), excess, f"{row['spread']:.2f}", missing)
        table.add_row(f"{row['depth']:g}", row["way"], *cells)
    Console().print(table)
    for depth in dict.fromkeys(row["depth"] for row in rows):
        here = [row for row in rows if row["depth"] == depth]
        target = next(row["excess"] for row in here if row["way"] == "conditional" and row["steps"] == 0)
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
