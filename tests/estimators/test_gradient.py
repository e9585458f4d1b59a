"""The energy gradient against exact integration, and its clipping."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

from qernel.batching import walker_mesh
from qernel.estimators.gradient import clipped_residual, energy_gradient, scores
from qernel.estimators.local_energy import local_energy
from qernel.hamiltonian import make_hamiltonian
from qernel.hamiltonian.hamiltonian import couplings_of
from qernel.lattice import Supercell
from qernel.wavefunction.base import LogPsi, Wavefunction

WAVES = np.array([[0, 0], [1, 0], [0, -1], [1, 1]])


class PlaneWaves(Wavefunction):
    """psi = 1 + a e^{i B1.r} + i b e^{-i B2.r} + c e^{i (B1 + B2).r}: complex, three real parameters."""

    weights: Float[Array, "3"]
    cell: Supercell = eqx.field(static=True)

    def __call__(self, electrons, couplings):
        angles = jnp.asarray(WAVES @ self.cell.reciprocal) @ electrons[0]
        a, b, c = self.weights
        real = 1 + a * jnp.cos(angles[1]) - b * jnp.sin(angles[2]) + c * jnp.cos(angles[3])
        imaginary = a * jnp.sin(angles[1]) + b * jnp.cos(angles[2]) + c * jnp.sin(angles[3])
        return LogPsi(0.5 * jnp.log(real**2 + imaginary**2), jnp.arctan2(imaginary, real))


@pytest.fixture(scope="module")
def electron(tiny):
    """One electron in one moiré cell, where a 12 x 12 grid integrates all products exactly."""
    hamiltonian = make_hamiltonian(tiny("electrons=[1,0]", "cells=1", "twist_1=0.0", "twist_2=0.0"))
    axis = np.arange(12) / 12
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    return hamiltonian, grid @ hamiltonian.supercell.vectors


def energy_by_matrix(hamiltonian, grid, weights):
    """<psi|H|psi> / <psi|psi> with kinetic energies k^2 / 2 and the potential on the grid."""
    waves = WAVES @ hamiltonian.supercell.reciprocal
    amplitudes = np.array([1, weights[0], 1j * weights[1], weights[2]])
    states = np.exp(1j * grid @ waves.T)
    psi = states @ amplitudes
    couplings = hamiltonian.family.couplings(jnp.array([1.2]))
    potential = jax.vmap(lambda r: hamiltonian.potential(r[None], couplings).sum())(jnp.asarray(grid))
    h_psi = states @ (0.5 * np.sum(waves**2, axis=1) * amplitudes) + np.asarray(potential) * psi
    return np.sum(psi.conj() * h_psi).real / np.sum(abs(psi) ** 2)


def test_gradient_is_the_derivative_of_the_integrated_energy(electron):
    hamiltonian, grid = electron
    weights = np.array([0.4, -0.7, 0.3])
    model = PlaneWaves(jnp.asarray(weights), hamiltonian.supercell)
    couplings = couplings_of(hamiltonian, jnp.array([[1.2]]), jnp.float64)
    one = jax.tree.map(lambda x: x[0], couplings)
    electrons = jnp.asarray(grid[:, None])

    local = jax.jit(jax.vmap(lambda r: local_energy(model, hamiltonian, r, one).total))(electrons)
    density = np.exp(2 * np.asarray(jax.vmap(lambda r: model(r, one).log_abs)(electrons)))
    probability = density / density.sum()
    local = np.asarray(local)
    centred = local - np.sum(probability * local)
    # Every grid point is a walker that counts as often as |psi|^2 says.
    residual = len(grid) * probability[:, None] * np.stack([centred.real, centred.imag], axis=1)
    mesh = walker_mesh(len(grid))

    def gradient(residual):
        arguments = model, electrons[None], couplings, jnp.asarray(residual[None]), mesh, 16
        return np.asarray(eqx.filter_jit(energy_gradient)(*arguments).weights)

    energies = [
        [energy_by_matrix(hamiltonian, grid, weights + s * step) for s in (1, -1)]
        for step in 1e-5 * np.eye(3)
    ]
    expected = np.array([(up - down) / 2e-5 for up, down in energies])
    assert np.sum(probability * local).real == pytest.approx(
        energy_by_matrix(hamiltonian, grid, weights), rel=1e-12
    )
    np.testing.assert_allclose(gradient(residual), expected, rtol=0, atol=1e-7 * abs(expected).max())
    without = gradient(residual * np.array([1.0, 0.0]))
    assert abs(without - expected).max() > 0.1 * abs(expected).max()


@pytest.fixture(scope="module")
def walkers(tiny, generic, scattered):
    """A generic ansatz with two contexts of six walkers."""
    model, hamiltonian = generic(tiny())
    couplings = couplings_of(hamiltonian, jnp.array([[0.7], [1.6]]), jnp.float64)
    electrons = scattered(hamiltonian, 12).reshape(2, 6, 3, 2)
    return model, electrons, couplings


@pytest.fixture(scope="module")
def rows(walkers):
    return eqx.filter_jit(scores)(*walkers, walker_mesh(6), 3)


@pytest.mark.parametrize("microbatch", [3, 4])  # four leave two walkers over
def test_contracted_scores_are_the_gradient(walkers, rows, microbatch):
    residual = np.random.default_rng(3).normal(size=(2, 6, 2))
    residual -= residual.mean(axis=1, keepdims=True)
    direct = eqx.filter_jit(energy_gradient)(*walkers, jnp.asarray(residual), walker_mesh(6), microbatch)
    contracted = jax.tree.map(lambda leaf: np.tensordot(2 * residual / 12, leaf, 3), rows)
    for a, b in zip(jax.tree.leaves(contracted), jax.tree.leaves(direct), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_scores_are_finite_differences_relative_to_the_first_walker(walkers, rows):
    model, electrons, couplings = walkers
    leaf = lambda m: m.blocks[0].attention.value.weight  # noqa: E731

    @jax.jit
    def log_psi(shift):
        moved = eqx.tree_at(leaf, model, leaf(model).at[2, 1].add(shift))
        return jax.vmap(lambda rs, c: jax.vmap(lambda r: moved(r, c))(rs))(electrons, couplings)

    up, down = log_psi(jnp.array(1e-5)), log_psi(jnp.array(-1e-5))
    for part in (0, 1):
        difference = np.asarray(up[part] - down[part])
        difference = (difference + np.pi) % (2 * np.pi) - np.pi if part else difference
        expected = difference / 2e-5
        expected -= expected[:, :1]
        np.testing.assert_allclose(leaf(rows)[:, :, part, 2, 1], expected, rtol=0, atol=1e-7)
        assert abs(expected).max() > 1e-3


def test_residual_is_centred_in_each_context():
    random = np.random.default_rng(0)
    energies = random.normal(size=(3, 50)) + 1j * random.normal(size=(3, 50))
    energies += np.array([[0.0], [1e3], [-1e5]])  # contexts far apart
    residual = np.asarray(clipped_residual(jnp.asarray(energies)))
    np.testing.assert_allclose(residual.mean(axis=1), 0.0, atol=1e-10)
    # Nothing lies beyond five mean absolute deviations here: the residual is E_L - E.
    expected = energies - energies.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(residual[..., 0] + 1j * residual[..., 1], expected, atol=1e-9)


def test_contexts_are_clipped_on_their_own():
    random = np.random.default_rng(1)
    quiet, wild = 0.01 * random.normal(size=100), 100 * random.normal(size=100)
    quiet[7] = 50.0  # an outlier of its context, an inlier of the pool
    energies = jnp.asarray(np.stack([quiet, wild])).astype(jnp.complex128)
    residual = np.asarray(clipped_residual(energies))[..., 0]
    alone = np.asarray(clipped_residual(energies[:1]))[0, :, 0]
    np.testing.assert_array_equal(residual[0], alone)
    # The deviations' mean is dominated by the outlier, 50 / 100; five of them are 2.5.
    assert residual[0].max() == pytest.approx(2.5, rel=0.05)
    np.testing.assert_allclose(residual[1], wild - wild.mean(), atol=1e-9)


def test_outliers_are_clipped_at_five_mean_absolute_deviations():
    values = np.concatenate([np.tile([-1.0, 1.0], 500), [1e6]])
    residual = np.asarray(clipped_residual(jnp.asarray(values[None]).astype(jnp.complex128)))[0, :, 0]
    reach = 5 * np.mean(abs(values - np.median(values)))
    assert residual[-1] - residual[1] == pytest.approx(reach + np.median(values) - 1.0, rel=1e-9)
