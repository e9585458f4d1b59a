"""What is each part of the ansatz worth?

Trains QERNEL for four electrons in six cells, or six in nine, over depths 0.5 to 1.6, with and without each
part, for several seeds, and measures it at depths it was not trained at. Prints the excess over the exact
energy of its momentum, (-1, 0), and the spread of the local energy, averaged over depths and seeds.
"""

import argparse
from collections import deque
from pathlib import Path

import jax
import numpy as np
from environment import measured_rows
from exact import exact_energy
from rich.console import Console
from rich.table import Table

from qernel.config import Config, load_config
from qernel.measurement import Effort
from qernel.sweep import sweep
from qernel.training.loop import initial_state, train
from qernel.wavefunction import count_parameters, experts, film
from qernel.wavefunction.activation import algebraic_gelu, gelu

#: Overrides of each variant. All experts run, so that equal parameters are equal operations too: one routed
#: expert, whose weight is always one, and the shared one are a perceptron of as many hidden channels.
VARIANTS = {
    "QERNEL": [],
    "without FiLM": ["conditioned=false"],
    "without experts": ["experts=1", "expert_size=50"],
    "without shared heads": ["groups=8"],
    "with GELU": [],
    "contexts by spread": ["adaptive=true"],
}
#: Depths whose exact energies are known, by electrons/cells.
SYSTEMS = {"4/6": [0.7, 0.9, 1.1, 1.3, 1.5], "6/9": [0.7, 1.0, 1.1, 1.3, 1.5]}
EFFORT = Effort(walkers=128, samples=40)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--system", default="4/6", choices=list(SYSTEMS), help="electrons/cells")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--out", type=Path, help="what it has already is not run again")
    arguments = parser.parse_args()
    depths = SYSTEMS[arguments.system]
    about = {"command": "benchmarks/ablations.py", "steps": arguments.steps, "depths": depths}
    about |= {"system": arguments.system, "units": "meV per electron"}

    def measure_one(name: str, seed: int) -> dict:
        return measure(name, seed, arguments.steps, arguments.system)

    print_table(measured_rows(arguments.variants, arguments.seeds, arguments.out, about, measure_one))


def measure(name: str, seed: int, steps: int, system: str) -> dict:
    """Excess over the exact energy with its error, and spread, by depth; number of parameters."""
    use_activation(gelu if name == "with GELU" else algebraic_gelu)
    depths, config = SYSTEMS[system], configuration(name, seed, steps, system)
    exact = np.array([exact_energy(system, depth) for depth in depths])
    state, _ = deque(train(config, initial_state(config)), maxlen=1).pop()
    data = sweep(config, state, {"moire_depth": depths}, EFFORT._replace(seed=seed))
    return {
        "parameters": sum(count_parameters(state.model).values()),
        "excess": (data["energy"].values - exact).tolist(),
        "error": data["energy_error"].values.tolist(),
        "spread": data["spread"].values.tolist(),
    }


def configuration(name: str, seed: int, steps: int, system: str) -> Config:
    """A variant's training."""
    electrons, cells = system.split("/")
    overrides = [f"electrons=[{electrons},0]", f"cells={cells}", "walkers=256", f"seed={seed}"]
    schedule = ["decay_steps=100", "refresh_every=50", f"stages=[{{steps={steps},contexts=8}}]"]
    return load_config("six-over-depth", [*overrides, *VARIANTS[name], *schedule])


def use_activation(activation) -> None:
    """The activation of everything that is made or compiled from here on."""
    experts.algebraic_gelu = film.algebraic_gelu = activation
    jax.clear_caches()


def print_table(rows: list[dict]) -> None:
    table = Table("", "parameters", "excess (meV)", "largest", "spread (meV)", box=None)
    for name in dict.fromkeys(row["variant"] for row in rows):
        here = [row for row in rows if row["variant"] == name]
        excess = np.array([row["excess"] for row in here])
        means = excess.mean(axis=1)
        scatter = means.std(ddof=1) / np.sqrt(len(here)) if len(here) > 1 else np.nan
        spread = np.mean([row["spread"] for row in here])
        cells = (f"{means.mean():.3f} ± {scatter:.3f}", f"{excess.max():.3f}", f"{spread:.2f}")
        table.add_row(name, f"{here[0]['parameters']:,}", *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
