"""Three ways to train in one sector of total momentum: which gets lowest, in steps and in seconds?

Two electrons in three cells at depth 1, in the sector Gamma, which lies above the ground state: an ansatz
that is in the sector exactly (`model.sector`), the projection sum_a e^{-i K.a} psi(r + a) of a free ansatz,
and a free ansatz with the penalty mu (1 - P_K) added to the Hamiltonian. Prints the energy over the last
steps, without the penalty, its excess over the exact one of the sector, the weight of psi in the sector, and
the time per step.
"""

import argparse
import time
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from environment import save
from jax.scipy.special import logsumexp

from qernel.batching import over_walkers, walker_mesh
from qernel.config import load_config
from qernel.estimators.gradient import clipped_residual
from qernel.estimators.local_energy import local_energies
from qernel.estimators.ratios import amplitude_ratios
from qernel.estimators.statistics import series_estimate
from qernel.hamiltonian import make_hamiltonian
from qernel.hamiltonian.hamiltonian import couplings_of
from qernel.optimize import make_optimizer
from qernel.optimize.rows import score_rows
from qernel.reference import exact_pair_energies
from qernel.sampling import make_sampling
from qernel.training.loop import initial_state
from qernel.wavefunction.base import LogPsi, Wavefunction

SECTOR = (0, 0)


class Projected(Wavefunction):
    """sum_a e^{-i K.a} psi(r + a) over the moiré translations; here K = 0."""

    model: Wavefunction
    shifts: tuple = eqx.field(static=True)

    def __call__(self, electrons, couplings) -> LogPsi:
        moved = electrons + jnp.asarray(self.shifts, electrons.dtype)[:, None]
        each = jax.vmap(lambda r: self.model(r, couplings))(moved)
        total = logsumexp(jax.lax.complex(each.log_abs, each.phase))
        return LogPsi(total.real, total.imag)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--last", type=int, default=40)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--penalty", type=float, default=20.0, help="mu in meV")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rows = []
    for method in ("ansatz", "projection", "penalty"):
        for seed in arguments.seeds:
            rows.append({"method": method, "seed": seed} | train(method, seed, arguments))
            print(
                "  ".join(f"{k} {v:.4f}" if isinstance(v, float) else f"{k} {v}" for k, v in rows[-1].items())
            )
    save(arguments.out, {"command": "benchmarks/sector_methods.py", "steps": arguments.steps, "rows": rows})


def train(method: str, seed: int, arguments) -> dict[str, float]:
    """Energy of the last steps in meV per electron with its error, and what else is printed."""
    sector = f"[{SECTOR[0]},{SECTOR[1]}]" if method == "ansatz" else "free"
    stage = f"training.stages=[{{steps={arguments.steps}}}]"
    config = load_config("pair", ["contexts={}", f"model.sector={sector}", f"training.seed={seed}", stage])
    hamiltonian, training = make_hamiltonian(config), config.training
    state, shifts = initial_state(config), hamiltonian.supercell.translations()
    model = state.model
    if method == "projection":
        model = Projected(model, tuple(map(tuple, shifts.tolist())))
    mesh, dtype = walker_mesh(training.walkers), jnp.float32
    couplings = couplings_of(hamiltonian, state.contexts, dtype)
    unit = float(couplings.energy_unit[0])
    strength = arguments.penalty / unit if method == "penalty" else 0.0
    optimizer = make_optimizer(config.optimizer, hamiltonian)
    memory = optimizer.init(eqx.filter(model, eqx.is_inexact_array))
    sample = make_sampling(hamiltonian, mesh, training.moves, dtype, training.microbatch)

    def weight(model, electrons, coupling):
        ratios = amplitude_ratios(model, electrons, electrons + jnp.asarray(shifts[:, None], dtype), coupling)
        return jnp.mean(ratios)  # (P psi)(r) / psi(r) at K = 0

    @eqx.filter_jit
    def optimize(model, memory, electrons):
        walkers = (electrons, couplings)
        energies = local_energies(model, hamiltonian, *walkers, mesh=mesh, microbatch=training.microbatch)
        weights = over_walkers(weight, mesh, training.microbatch)(model, *walkers)
        total = energies.total + strength * (1 - weights).astype(energies.total.dtype)
        rows = score_rows(model, *walkers, mesh, training.microbatch)
        parameters, static = eqx.partition(model, eqx.is_inexact_array)
        update, memory = optimizer.update(
            parameters, memory, parameters, rows=rows, residual=clipped_residual(total)
        )
        model = eqx.combine(jax.tree.map(jnp.add, parameters, update), static)
        return model, memory, jnp.mean(energies.total.real), jnp.mean(weights.real)

    walkers, energies, weights = state.walkers, [], []
    for index in range(30):
        walkers, _ = sample(model, walkers, state.contexts, jax.random.key(index))
    begin = time.perf_counter()
    for index in range(arguments.steps):
        walkers, _ = sample(model, walkers, state.contexts, jax.random.key(1000 + index))
        model, memory, energy, inside = optimize(model, memory, walkers.electrons)
        energies.append(float(energy) * unit / hamiltonian.electrons)
        weights.append(float(inside))
        if index == 0:
            begin = time.perf_counter()  # compiled
    seconds = (time.perf_counter() - begin) / max(arguments.steps - 1, 1)
    energy, error = series_estimate(np.array(energies[-arguments.last :]))
    pairs = exact_pair_energies(
        hamiltonian.supercell,
        float(couplings.moire[0]),
        float(couplings.phase[0]),
        float(couplings.coulomb[0]),
    )
    exact = next(pair.energies[0] for pair in pairs if tuple(pair.momentum) == SECTOR) * unit / 2
    return {
        "energy": energy,
        "error": error,
        "excess": energy - float(exact),
        "weight": float(np.mean(weights[-arguments.last :])),
        "seconds_per_step": seconds,
    }


if __name__ == "__main__":
    main()
