"""Does arithmetic of fewer digits bias the energy?

Local energies and log|psi| of a shipped model's walkers, each at several precisions of the network, against
float64 on the same walkers, in meV per electron:

  energy    mean difference of the local energies, with its standard error, and their root mean square
  sampling  what sampling |psi|^2 at this precision does to the energy: the difference between float64 local
            energies with weights |psi_64 / psi|^2 and without, walkers being of |psi|^2 already

TF32 rounds the factors of float32 products to ten bits, and makes a difference on GPUs only.
"""

import argparse
import math
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from environment import save
from rich.console import Console
from rich.table import Table

from qernel import load
from qernel.batching import over_walkers, walker_mesh
from qernel.estimators.local_energy import local_energies
from qernel.hamiltonian.hamiltonian import couplings_of
from qernel.sampling import Walkers, make_sampling
from qernel.trained import Trained

PRECISIONS = {"float32": "highest", "TF32": "tensorfloat32"}
WALKERS = 1024
ROUNDS = 60  # of ten moves, at each precision


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("models", nargs="*", default=["six-K"])
    parser.add_argument("--microbatch", type=int, default=32)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    table, rows = Table("model", "arithmetic", "energy", "r.m.s.", "sampling", box=None), []
    for name in arguments.models:
        trained = load(name)
        for label in PRECISIONS:
            row = {"model": name, "arithmetic": label} | compared(trained, label, arguments.microbatch)
            rows.append(row)
            energy, sampling = (
                f"{row[key]:+.5f}({row[key + '_error']:.5f})" for key in ("energy", "sampling")
            )
            table.add_row(name, label, energy, f"{row['rms']:.5f}", sampling)
            save(arguments.out, {"command": "benchmarks/precision.py", "walkers": WALKERS, "rows": rows})
    Console().print(table)


def compared(trained: Trained, label: str, microbatch: int) -> dict[str, float]:
    """Of the middle of the trained contexts."""
    state, hamiltonian = trained.state, trained.hamiltonian
    by_context = sorted(range(len(state.contexts)), key=lambda c: state.contexts[c].tolist())
    middle = by_context[len(by_context) // 2]
    contexts, mesh = state.contexts[middle][None], walker_mesh(WALKERS)
    copies = math.ceil(WALKERS / state.walkers.electrons.shape[1])
    electrons = jnp.tile(state.walkers.electrons[middle], (copies, 1, 1))[None, :WALKERS]
    walkers = Walkers(electrons, state.walkers.width[middle][None])
    with jax.default_matmul_precision(PRECISIONS[label]):
        sample = make_sampling(hamiltonian, mesh, 10, jnp.dtype("float32"), microbatch)
        for index in range(ROUNDS):
            walkers, _ = sample(state.model, walkers, contexts, jax.random.key(index))
        energies, log_abs = measured(trained, walkers.electrons, contexts, "float32", microbatch)
    with jax.default_matmul_precision("highest"):
        exact, reference = measured(trained, walkers.electrons, contexts, "float64", microbatch)
    unit = hamiltonian.family.couplings(contexts[0]).energy_unit / hamiltonian.electrons
    difference = np.asarray(unit) * (energies - exact)
    ratio = 2 * (reference - log_abs)
    weights = np.exp(ratio - ratio.mean())
    moved = np.asarray(unit) * (weights / weights.mean() - 1) * (exact - exact.mean())
    return {
        "energy": float(difference.mean()),
        "energy_error": float(difference.std() / math.sqrt(WALKERS)),
        "rms": float(np.sqrt(np.mean(difference**2))),
        "sampling": float(moved.mean()),
        "sampling_error": float(moved.std() / math.sqrt(WALKERS)),
    }


def measured(
    trained: Trained, electrons: jax.Array, contexts: jax.Array, dtype: str, microbatch: int
) -> tuple[np.ndarray, np.ndarray]:
    """Local energies in E_M per supercell and log|psi|, (walker,)."""
    weights, static = eqx.partition(trained.state.model, eqx.is_inexact_array)
    model = eqx.combine(jax.tree.map(lambda x: x.astype(dtype), weights), static)
    couplings = couplings_of(trained.hamiltonian, contexts, jnp.dtype(dtype))
    batch, mesh = (electrons.astype(dtype), couplings), walker_mesh(WALKERS)

    @eqx.filter_jit
    def both(model, batch):
        energies = local_energies(model, trained.hamiltonian, *batch, mesh=mesh, microbatch=microbatch)
        return energies.total.real, over_walkers(lambda m, r, c: m(r, c).log_abs, mesh, microbatch)(
            model, *batch
        )

    return tuple(np.asarray(each[0], np.float64) for each in both(model, batch))


if __name__ == "__main__":
    main()
