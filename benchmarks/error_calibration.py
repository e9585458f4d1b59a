"""Do the error bars of measured energies cover the truth as often as they say?

One electron in one moiré cell with a fresh, conditioned wavefunction: its energies are integrals over two
coordinates, known to five digits by quadrature. Many short runs of `Measurement`, with few moves between
samples so that these are correlated, give as many independent estimates. An interval of one standard error
should hold the exact value in 68% of them, one of 1.96 in 95%. The variance is the hard one: at a node
psi ~ r and E_L ~ 1/r, and the fourth moment of E_L, the error of its variance, diverges logarithmically.
"""

import argparse
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from environment import save
from rich.console import Console
from rich.table import Table

from qernel.config import load_config
from qernel.estimators.local_energy import local_energy
from qernel.hamiltonian import make_hamiltonian
from qernel.measurement import Effort, Measurement
from qernel.sampling import initial_walkers
from qernel.wavefunction import make_wavefunction

NAMES = ("energy", "kinetic", "moire", "variance")
GRID = 192
TOGETHER = 40  # runs measured at once
OVERRIDES = ("electrons=[1,0]", "cells=1", "filling=1", "precision=float64", "twist_1=0.2", "size=16")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=400)
    parser.add_argument("--walkers", type=int, default=128)
    parser.add_argument("--samples", type=int, default=60)
    parser.add_argument("--moves", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    config = load_config("pair", OVERRIDES)
    hamiltonian = make_hamiltonian(config)
    model = make_wavefunction(config, hamiltonian, jax.random.key(arguments.seed))
    exact = quadrature(model, hamiltonian)
    measured = repeat(model, hamiltonian, arguments)
    rows = [row(name, exact[name], [run.results for run in measured]) for name in NAMES]
    table = Table(title=f"{arguments.repetitions} runs; intervals of 1 and 1.96 standard errors", box=None)
    for column in ("", "exact (meV)", "mean of runs", "68%", "95%", "autocorrelation"):
        table.add_column(column, justify="right")
    for each in rows:
        numbers = f"{each['exact']:.4f}", f"{each['mean']:.4f}", f"{each['within_68']:.1%}"
        numbers += f"{each['within_95']:.1%}", f"{each['autocorrelation']:.1f}"
        table.add_row(each["name"], *numbers)
    Console().print(table)
    effort = {
        name: getattr(arguments, name) for name in ("repetitions", "walkers", "samples", "moves", "seed")
    }
    save(arguments.out, {"command": "benchmarks/error_calibration.py", **effort, "rows": rows})


def quadrature(model, hamiltonian) -> dict[str, float]:
    """Exact energies and variance in meV, by a sum over a grid. An imaginary part of <H> is its error."""
    couplings = hamiltonian.family.couplings(hamiltonian.family.middle())
    axis = np.arange(GRID) / GRID
    points = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 1, 2)

    @eqx.filter_jit
    def integrands(model):
        def one(r):
            local = local_energy(model, hamiltonian, r, couplings)
            return local.total, local.components, jnp.exp(2 * model(r, couplings).log_abs)

        return jax.lax.map(one, jnp.asarray(points @ hamiltonian.supercell.vectors), batch_size=64)

    total, components, density = (np.asarray(x) for x in integrands(model))
    unit = float(couplings.energy_unit)
    if abs(np.average(total.imag, weights=density)) > 1e-4:
        raise SystemExit("the grid is too coarse for this wavefunction: choose another seed")
    energy, square = (np.average(x, weights=density) for x in (total.real, abs(total) ** 2))
    kinetic, moire, _ = np.average(components, axis=0, weights=density) * unit
    return {
        "energy": unit * energy,
        "kinetic": kinetic,
        "moire": moire,
        "variance": unit**2 * (square - energy**2),
    }


def repeat(model, hamiltonian, arguments):
    """Independent runs, as so many contexts that happen to be equal, some at a time."""
    effort = Effort(arguments.walkers, 60, arguments.samples, arguments.moves, arguments.seed, ("energy",))
    contexts = np.tile(np.asarray(hamiltonian.family.middle()), (TOGETHER, 1))
    measurement = Measurement(hamiltonian, effort, jnp.float64, microbatch=arguments.walkers)
    cell, runs = hamiltonian.supercell, []
    for number in range(-(-arguments.repetitions // TOGETHER)):
        start, key = jax.random.split(jax.random.fold_in(jax.random.key(arguments.seed), number))
        walkers = initial_walkers(start, cell, 1, TOGETHER, arguments.walkers, jnp.float64)
        runs += measurement(model, walkers, contexts, key)
    return runs[: arguments.repetitions]


def row(name: str, exact: float, runs) -> dict:
    values, errors = (np.array([getattr(run[name], part) for run in runs]) for part in ("value", "error"))
    pulls = abs(values - exact) / errors
    taus = [run.get(f"{name}_autocorrelation", run["energy_autocorrelation"]).value for run in runs]
    return {
        "name": name,
        "exact": float(exact),
        "mean": float(values.mean()),
        "mean_error": float(errors.mean()),
        "within_68": float(np.mean(pulls < 0.9945)),
        "within_95": float(np.mean(pulls < 1.96)),
        "autocorrelation": float(np.mean(taus)),
    }


if __name__ == "__main__":
    main()
