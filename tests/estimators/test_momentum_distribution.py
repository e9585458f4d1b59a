"""The one-electron density matrix of determinants whose occupations are known."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qernel.estimators.momentum_distribution import MomentumDistribution
from qernel.hamiltonian.bands import bloch_orbitals
from qernel.lattice import MOIRE_RECIPROCAL, Supercell, supercell_of
from qernel.wavefunction.base import LogPsi, Wavefunction

TWIST = (0.2, -0.1)
WALKERS, STEPS = 64, 100


class Bloch(Wavefunction):
    """psi = e^{i (k + twist).r} sum_g c_g e^{i g.r} of one electron."""

    waves: tuple = eqx.field(static=True)  # k + twist + g in 1/a_M
    coefficients: tuple = eqx.field(static=True)

    def __call__(self, electrons, couplings):
        angles = jnp.asarray(np.array(self.waves)) @ electrons[0]
        waves = jax.lax.complex(jnp.cos(angles), jnp.sin(angles))
        psi = jnp.sum(waves * jnp.asarray(np.array(self.coefficients)))
        return LogPsi(jnp.log(jnp.abs(psi)), jnp.angle(psi))


def drawn(model, hamiltonian, count, largest):
    """`count` configurations distributed as |psi|^2 <= largest, by rejection."""
    random = np.random.default_rng(2)
    couplings = hamiltonian.family.couplings(jnp.zeros(0, jnp.float64))
    density = jax.jit(jax.vmap(lambda r: jnp.exp(2 * model(r, couplings).log_abs)))
    fractions = random.uniform(size=(int(12 * count), hamiltonian.electrons, 2))
    electrons = fractions @ hamiltonian.supercell.vectors
    values = np.asarray(density(jnp.asarray(electrons)))
    assert values.max() <= largest
    kept = electrons[random.uniform(size=len(values)) * largest < values]
    assert len(kept) >= count
    return kept[:count]


def results(observable, model, electrons, samples_of, accumulated):
    samples, _ = samples_of(observable, model, electrons)
    steps = {name: values.reshape(STEPS, WALKERS, *values.shape[1:]) for name, values in samples.items()}
    couplings = observable.hamiltonian.family.couplings(jnp.zeros(0, jnp.float64))
    return observable.results(accumulated(steps), couplings)


def wavevectors(observable):
    coordinates = observable.coordinates()
    return np.stack([coordinates[name].values for name in ("k_x", "k_y")], axis=-1)


def test_plane_waves_are_filled_or_empty(system, plane_waves, samples_of, accumulated):
    cell = Supercell(((2, 0), (0, 1)))
    hamiltonian = system(cell, (2, 1), twist_1=TWIST[0], twist_2=TWIST[1])
    observable = MomentumDistribution(hamiltonian)
    model = plane_waves(hamiltonian, ((0, 0), (1, 0)), ((0, 0),))
    electrons = drawn(model, hamiltonian, WALKERS * STEPS, 4.0)
    found = results(observable, model, electrons, samples_of, accumulated)
    n_k, labels = found["momentum_distribution"], wavevectors(observable) @ cell.vectors.T / (2 * np.pi)
    expected = 2.0 * np.all(np.isclose(labels, 0), axis=-1) + np.all(np.isclose(labels, [1, 0]), axis=-1)
    assert expected.sum() == 3
    assert n_k.value.shape == n_k.error.shape == expected.shape
    assert np.all(n_k.error < 0.1)
    pulls = (n_k.value - expected) / np.maximum(n_k.error, 1e-6)
    assert np.all(abs(pulls) < 4.5)
    assert np.sqrt(np.mean(pulls**2)) < 1.4
    largest = found["natural_occupation"].value[:, 0]
    assert sorted(largest.tolist()) == pytest.approx([1, 2], abs=0.2)


def test_bloch_state_is_one_natural_orbital(system, samples_of, accumulated):
    cell = supercell_of(3)
    hamiltonian = system(cell, (1, 0), twist_1=TWIST[0], twist_2=TWIST[1])
    couplings = hamiltonian.family.couplings(jnp.zeros(0, jnp.float64))
    bloch = bloch_orbitals(cell, float(couplings.moire), math.pi / 4, TWIST, shell=2.01)
    waves = (bloch.momenta[1] + np.array(TWIST)) @ cell.reciprocal + bloch.waves @ MOIRE_RECIPROCAL
    coefficients = bloch.coefficients[1]
    assert np.min(abs(coefficients)) > 0
    model = Bloch(tuple(map(tuple, waves.tolist())), tuple(coefficients.tolist()))
    observable = MomentumDistribution(hamiltonian)
    electrons = drawn(model, hamiltonian, WALKERS * STEPS, np.sum(abs(coefficients)) ** 2)
    found = results(observable, model, electrons, samples_of, accumulated)
    n_k, measured = found["momentum_distribution"], wavevectors(observable)
    measured = measured + np.array(TWIST) @ cell.reciprocal
    # n(k) = |c_g|^2 at k + twist + g, zero at the other crystal momenta
    expected = np.zeros(n_k.value.shape)
    for wave, c in zip(waves, coefficients, strict=True):
        expected[np.all(np.isclose(measured, wave), axis=-1)] = abs(c) ** 2
    assert expected.sum() == pytest.approx(1, abs=1e-3)
    assert expected.max() > 0.2
    pulls = (n_k.value - expected) / np.maximum(n_k.error, 1e-6)
    assert np.all(n_k.error < 0.1)
    assert np.all(abs(pulls) < 4.5)
    block = int(np.argmax(expected.sum(axis=1)))
    natural = found["natural_occupation"]
    assert natural.value[block, 0] == pytest.approx(1, abs=0.1)
    others = np.delete(natural.value, block, axis=0)
    # Random matrices of these errors have no larger eigenvalues.
    assert np.max(others) < 0.25
    assert np.max(natural.value[block, 1:]) < 0.25


def test_a_complex_natural_orbital_is_one(system, accumulated):
    orbital = np.array([1, 1j]) / math.sqrt(2)
    matrix = np.broadcast_to(np.outer(orbital, orbital.conj()), (3, 4, 1, 2, 2))
    hamiltonian = system(supercell_of(3), (1, 0))
    samples = accumulated({"real": matrix.real, "imaginary": matrix.imag})
    couplings = hamiltonian.family.couplings(jnp.zeros(0))
    found = MomentumDistribution(hamiltonian).results(samples, couplings)
    np.testing.assert_allclose(found["natural_occupation"].value, [[1, 0]], atol=1e-12)
