"""States whose expectation values are known, and exact averages over configurations on a grid."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qernel.estimators.local_energy import LocalEnergy, local_energy
from qernel.estimators.observable import Configuration
from qernel.estimators.statistics import Accumulator
from qernel.hamiltonian import Family, moire_hamiltonian
from qernel.lattice import Supercell
from qernel.wavefunction.base import Wavefunction, sum_of_determinants
from qernel.wavefunction.operations import slogdet


class PlaneWaves(Wavefunction):
    """det of e^{i (n + twist).B.r} for the up electrons times that of the down electrons."""

    labels: tuple = eqx.field(static=True)  # (up, down), each [orbital][2]
    supercell: Supercell = eqx.field(static=True)

    def __call__(self, electrons, couplings):
        up, down = self.labels
        waves = (jnp.asarray(np.array(up + down, float)) + couplings.twist) @ self.supercell.reciprocal
        angles = electrons @ waves.T
        spin = np.arange(len(up) + len(down)) < len(up)
        same = jnp.asarray((spin[:, None] == spin).astype(complex))
        return sum_of_determinants(*slogdet((jax.lax.complex(jnp.cos(angles), jnp.sin(angles)) * same)[None]))


@pytest.fixture(scope="session")
def system():
    """A Hamiltonian of the paper's material, with changes."""

    def make(supercell, spins, ranges=(), **changes):
        values = {
            "moire_potential": 15.0,
            "moire_depth": 1.0,
            "moire_phase": 45.0,
            "dielectric_constant": 5.0,
            "effective_mass": 0.35,
            "moire_constant": 8.031,
        }
        return moire_hamiltonian(supercell, spins, Family(**values | changes, ranges=ranges))

    return make


@pytest.fixture(scope="session")
def plane_waves():
    """The determinants of plane waves with these labels for up and down."""

    def make(hamiltonian, up, down=()):
        assert (len(up), len(down)) == hamiltonian.spins
        return PlaneWaves((tuple(up), tuple(down)), hamiltonian.supercell)

    return make


@pytest.fixture(scope="session")
def grid():
    """Points (bins^2, 2) that integrate e^{i n.B.r} exactly for |n_i| < bins, none at a special place."""

    def make(supercell, bins, shift=(0.0, 0.0)):
        axis = np.arange(bins)
        labels = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
        return (labels + shift) / bins @ supercell.vectors

    return make


@pytest.fixture(scope="session")
def three_on_grid(grid):
    """Three electrons, the first at rest, for states that are translationally invariant: (walker, 3, 2)."""

    def make(supercell, bins=8):
        second, third = grid(supercell, bins, (0.3, 0.1)), grid(supercell, bins, (0.6, 0.8))
        first = np.zeros((bins**4, 1, 2))
        rest = np.stack(np.broadcast_arrays(second[:, None], third[None]), axis=2).reshape(-1, 2, 2)
        return jnp.asarray(np.concatenate([first, rest], axis=1))

    return make


@pytest.fixture(scope="session")
def samples_of():
    """What every configuration (walker, electron, 2) contributes at one context, and |psi|^2 there."""

    def make(observable, model, electrons, context=(), *, local=False):
        hamiltonian = observable.hamiltonian
        context = jnp.asarray(context, jnp.float64).reshape(-1)
        couplings = hamiltonian.family.couplings(context)

        def one(inputs):
            r, key = inputs
            at_rest = LocalEnergy(jnp.zeros((), complex), jnp.zeros(3))
            energy = local_energy(model, hamiltonian, r, couplings) if local else at_rest
            sampled = observable.sample(model, Configuration(r, context, couplings, energy, key))
            return sampled, jnp.exp(2 * model(r, couplings).log_abs)

        electrons = jnp.asarray(electrons)
        keys = jax.random.split(jax.random.key(0), len(electrons))
        sampled, density = jax.jit(lambda *x: jax.lax.map(one, x, batch_size=256))(electrons, keys)
        return {name: np.asarray(values) for name, values in sampled.items()}, np.asarray(density)

    return make


@pytest.fixture(scope="session")
def accumulated():
    """Accumulators of samples (step, walker, ...)."""

    def make(samples):
        made = {}
        for name, values in samples.items():
            made[name] = Accumulator(len(values))
            for each in values:
                made[name].add(each)
        return made

    return make


@pytest.fixture(scope="session")
def exactly(samples_of, accumulated):
    """An observable's results where every walker has seen the exact average over the given configurations."""

    def make(observable, model, electrons, context=(), *, local=False):
        samples, density = samples_of(observable, model, electrons, context, local=local)
        means = {name: np.average(values, axis=0, weights=density) for name, values in samples.items()}
        walkers = {name: np.stack([mean] * 4)[None] for name, mean in means.items()}
        couplings = observable.hamiltonian.family.couplings(jnp.asarray(context, jnp.float64).reshape(-1))
        return observable.results(accumulated(walkers), couplings)

    return make
