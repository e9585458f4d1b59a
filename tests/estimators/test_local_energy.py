"""Local energies: exact eigenstates, cusps, smoothness, and the meaning of the components."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qernel.batching import walker_mesh
from qernel.estimators.local_energy import local_energies, local_energy
from qernel.hamiltonian import make_hamiltonian
from qernel.hamiltonian.bands import bloch_orbitals, filled_band_energy
from qernel.hamiltonian.hamiltonian import couplings_of
from qernel.wavefunction import make_wavefunction
from qernel.wavefunction.orbitals import BlochSeededOrbitals, bloch_seeds

FREE = ("dielectric_constant=1e12", "jastrow=false", "determinants=1")  # u = 5e-11
TWIST = (0.2, -0.1)


@eqx.filter_jit
def measure(model, hamiltonian, electrons, couplings):
    return jax.vmap(lambda r: local_energy(model, hamiltonian, r, couplings))(electrons)


@pytest.mark.parametrize(("depth", "shell"), [(0.0, 2.01), (1.25, 7.01)])
def test_filled_bands_have_no_variance(tiny, scattered, depth, shell):
    """A Slater determinant of exact Bloch states is an eigenstate: E_L is the sum of levels everywhere."""
    ranges = "contexts={}" if depth == 0 else "contexts.moire_depth=[0.5,2.0]"
    config = tiny(*FREE, ranges, f"moire_depth={depth}", "stages=[{steps=1}]")
    hamiltonian = make_hamiltonian(config)
    couplings = hamiltonian.family.couplings(hamiltonian.family.middle())
    assert float(couplings.moire) == pytest.approx(depth * 4.44371, rel=1e-5)
    cell = hamiltonian.supercell
    seeds = bloch_seeds(cell, (2, 1), couplings, shell=shell)
    orbitals = BlochSeededOrbitals.from_seeds(cell, (2, 1), 8, 1, seeds, gain=0.0, key=jax.random.key(0))
    bloch = bloch_orbitals(cell, float(couplings.moire), math.pi / 4, TWIST, shell)
    filled = bloch.coefficients[[0, 1, 0]][None]  # in full precision
    orbitals = eqx.tree_at(
        lambda o: (o.coefficients, o.weight),
        orbitals,
        (jnp.asarray(np.stack([filled.real, filled.imag])), orbitals.weight.astype(jnp.float64)),
    )
    model = make_wavefunction(config, hamiltonian, jax.random.key(0))
    model = eqx.tree_at(lambda m: m.orbitals, model, orbitals)
    energies = measure(model, hamiltonian, scattered(hamiltonian, 8), couplings)
    expected = filled_band_energy(cell, (2, 1), float(couplings.moire), math.pi / 4, TWIST)
    # Plane waves beyond seven shells: 1e-6; none at depth zero.
    np.testing.assert_allclose(energies.total.real, expected, rtol=0, atol=1e-9 if depth == 0 else 1e-5)
    np.testing.assert_allclose(energies.total.imag, 0.0, atol=1e-9 if depth == 0 else 1e-5)
    if depth:
        assert np.std(energies.components[:, 0]) > 1.0  # only the sum is constant


@pytest.fixture(scope="module")
def interacting(tiny, generic):
    """A generic complex wavefunction of two up electrons and one down, with Jastrow factor."""
    model, hamiltonian = generic(tiny())
    return model, hamiltonian, hamiltonian.family.couplings(jnp.array([1.2]))


@pytest.mark.parametrize("pair", [(0, 1), (0, 2)], ids=["equal spins", "opposite spins"])
def test_cusp_cancels_the_divergence_of_the_repulsion(interacting, scattered, pair):
    model, hamiltonian, couplings = interacting
    electrons = np.array(scattered(hamiltonian, 1)[0])
    gaps = np.array([4e-5, 2e-5, 1e-5, 5e-6, *[1.0] * 4])
    batch = np.tile(electrons, (8, 1, 1))
    batch[:, pair[1]] = batch[:, pair[0]] + gaps[:, None] * np.array([0.8, 0.6])
    energies = measure(model, hamiltonian, jnp.asarray(batch), couplings)
    u = float(couplings.coulomb)
    total, coulomb = np.asarray(energies.total.real)[:4], np.asarray(energies.components[:4, 2])
    assert coulomb[3] - coulomb[0] == pytest.approx(u * (1 / gaps[3] - 1 / gaps[0]), rel=1e-3)
    # What is left is linear in r; a cusp wrong by one percent would leave 0.01 u / r = 20,000.
    assert np.ptp(total) < 1.0 + 1e-3 * abs(total).max()


def test_is_continuous_across_the_boundary_of_the_cell(interacting, scattered):
    model, hamiltonian, couplings = interacting
    first, second = hamiltonian.supercell.vectors
    electrons = np.tile(np.array(scattered(hamiltonian, 1)[0]), (8, 1, 1))
    step = 1e-6 * np.array([1.0, -0.3])
    electrons[:4, 0] = 0.37 * second + np.outer([-2, -1, 1, 2], step)  # through the side along A2
    electrons[4:, 0] = first + second + np.outer([-2, -1, 1, 2], step)  # through the corner
    energies = measure(model, hamiltonian, jnp.asarray(electrons), couplings)
    for part in (energies.total.real, energies.total.imag, energies.components[:, 2]):
        for values in np.asarray(part).reshape(2, 4):
            inner = np.diff(values) / [1, 2, 1]
            np.testing.assert_allclose(inner, inner.mean(), rtol=0, atol=1e-4 * max(1, abs(inner).max()))


def test_components_add_up_and_potentials_are_the_hamiltonians(interacting, scattered):
    model, hamiltonian, couplings = interacting
    electrons = scattered(hamiltonian, 8)
    energies = measure(model, hamiltonian, electrons, couplings)
    np.testing.assert_allclose(energies.components.sum(axis=1), energies.total.real, rtol=1e-12)
    w = float(couplings.moire)
    angles = np.deg2rad([30, 150, 270])
    waves = 4 * np.pi / np.sqrt(3) * np.stack([np.cos(angles), np.sin(angles)])
    expected = -2 * w * np.cos(np.asarray(electrons) @ waves + np.pi / 4).sum(axis=(1, 2))
    np.testing.assert_allclose(energies.components[:, 1], expected, rtol=1e-10)


def test_batches_contexts_by_walkers(interacting, scattered):
    model, hamiltonian, _ = interacting
    couplings = couplings_of(hamiltonian, jnp.array([[0.7], [1.2]]), jnp.float64)
    electrons = scattered(hamiltonian, 8)
    batch = electrons.reshape(2, 4, 3, 2)
    energies = eqx.filter_jit(local_energies)(model, hamiltonian, batch, couplings, walker_mesh(4), 2)
    assert energies.total.shape == (2, 4)
    assert energies.components.shape == (2, 4, 3)
    alone = measure(model, hamiltonian, electrons, jax.tree.map(lambda x: x[1], couplings))
    np.testing.assert_allclose(energies.total[1], alone.total[4:], rtol=1e-9)
