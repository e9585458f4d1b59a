"""How exact are local energies in float32?

The same walkers and weights in float32 and in float64, for presets with random weights and for shipped models
with their own walkers. Prints how kinetic energies differ, relative to that of the same walker (median) and
to the largest of all (largest), and the mean difference of local energies beside their spread.
"""

import argparse
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from environment import save
from jaxtyping import Array, Float
from rich.console import Console
from rich.table import Table

from qernel.batching import walker_mesh
from qernel.config import Config, load_config
from qernel.estimators.local_energy import local_energies
from qernel.hamiltonian import make_hamiltonian
from qernel.sampling import initial_walkers
from qernel.shipped import shipped_model
from qernel.wavefunction import make_wavefunction
from qernel.wavefunction.base import Wavefunction

SIZES = {6: 9, 18: 27, 54: 81}
PRESETS = ("six-over-depth", "six-psiformer")
MODELS = (
    "six-over-depth",
    "six-two-momenta",
    "eighteen-over-depth",
    "eighteen-crystal",
    "fifty-four-over-depth",
)
WALKERS = 64  # at most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--electrons", type=int, nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--models", nargs="*", default=list(MODELS))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rows = []
    for name in PRESETS:
        for electrons in arguments.electrons:
            config = load_config(name, [f"electrons=[{electrons},0]", f"cells={SIZES[electrons]}"])
            rows.append({"weights": f"{name}, random"} | compared(config, *at_random(config)))
    for name in arguments.models:
        run = shipped_model(name)
        state = run.state()
        here = state.model, state.contexts[0], state.walkers.electrons[0]
        rows.append({"weights": f"{name}, trained"} | compared(run.config(), *here))
    print_table(rows)
    save(arguments.out, {"command": "benchmarks/rounding.py", "rows": rows})


def at_random(
    config: Config,
) -> tuple[Wavefunction, Float[Array, " parameter"], Float[Array, "walker electron 2"]]:
    """Random weights, the context in the middle, and walkers as training starts from."""
    hamiltonian = make_hamiltonian(config)
    key, cell = jax.random.key(1), hamiltonian.supercell
    walkers = initial_walkers(key, cell, hamiltonian.electrons, 1, WALKERS, jnp.float32)
    model = make_wavefunction(config, hamiltonian, jax.random.key(0))
    return model, hamiltonian.family.middle(), walkers.electrons[0]


def compared(
    config: Config,
    model: Wavefunction,
    context: Float[Array, " parameter"],
    electrons: Float[Array, "walker electron 2"],
) -> dict:
    """Differences between float32 and float64 for some walkers of one context."""
    hamiltonian, mesh, found = make_hamiltonian(config), walker_mesh(1), []
    couplings = hamiltonian.family.couplings(context)
    for dtype in (jnp.float32, jnp.float64):
        cast = jax.tree.map(
            lambda x, to=dtype: x.astype(to) if eqx.is_inexact_array(x) else x, (model, couplings)
        )
        batch = electrons[None, :WALKERS].astype(dtype), jax.tree.map(lambda x: x[None], cast[1])
        found.append(local_energies(cast[0], hamiltonian, *batch, mesh=mesh, microbatch=4))
    rounded, exact = (np.asarray(each.components[0, :, 0], np.float64) for each in found)
    energies, truth = (np.asarray(each.total[0], np.complex128).real for each in found)
    unit = float(couplings.energy_unit) / hamiltonian.electrons
    return {
        "electrons": hamiltonian.electrons,
        "walkers": len(rounded),
        "median": float(np.median(np.abs(rounded / exact - 1))),
        "largest": float(np.abs(rounded - exact).max() / np.abs(exact).max()),
        "mean_meV": unit * float((energies - truth).mean()),
        "spread_meV": unit * float(truth.std()),
    }


def print_table(rows: list[dict]) -> None:
    columns = ("median", "largest", "in the mean (meV)", "spread (meV)")
    table = Table("weights", "electrons", *columns, box=None)
    for row in rows:
        cells = (
            f"{row['median']:.1e}",
            f"{row['largest']:.1e}",
            f"{row['mean_meV']:.1e}",
            f"{row['spread_meV']:.2g}",
        )
        table.add_row(row["weights"], str(row["electrons"]), *cells)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
