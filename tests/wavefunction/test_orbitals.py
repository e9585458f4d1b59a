"""Orbitals against determinants of Bloch states written out, and the start that they give."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qernel.estimators.local_energy import local_energy
from qernel.hamiltonian import make_hamiltonian
from qernel.hamiltonian.bands import bloch_orbitals, filled_band_energy
from qernel.lattice import MOIRE_RECIPROCAL
from qernel.wavefunction import make_wavefunction
from qernel.wavefunction.base import sum_of_determinants
from qernel.wavefunction.operations import slogdet
from qernel.wavefunction.orbitals import FreeOrbitals

TWIST = (0.2, -0.1)


def bloch_states(bloch, cell, electrons):
    """psi_b(r_i) of all bands, (electron, band)."""
    momenta = (bloch.momenta + np.array(TWIST)) @ cell.reciprocal
    wavevectors = momenta[:, None] + bloch.waves @ MOIRE_RECIPROCAL  # (band, wave, 2)
    waves = np.exp(1j * np.einsum("bgx,ix->ibg", wavevectors, electrons))
    return np.einsum("bg,ibg->ib", bloch.coefficients, waves)


def test_seeded_orbitals_are_the_slater_determinant_of_filled_bands(tiny, scattered):
    config = tiny("jastrow=false")
    hamiltonian = make_hamiltonian(config)
    model = make_wavefunction(config, hamiltonian, jax.random.key(0))
    model = eqx.tree_at(lambda m: m.orbitals.weight, model, replace_fn=jnp.zeros_like)
    couplings = hamiltonian.family.couplings(hamiltonian.family.middle())
    electrons = scattered(hamiltonian, 6)
    bloch = bloch_orbitals(hamiltonian.supercell, float(couplings.moire), math.pi / 4, TWIST, shell=2.01)
    log_psi = jax.jit(jax.vmap(lambda r: model(r, couplings)))(electrons)
    psi = np.exp(np.asarray(log_psi.log_abs) + 1j * np.asarray(log_psi.phase))
    expected = []
    for r in np.asarray(electrons):
        states = bloch_states(bloch, hamiltonian.supercell, r)
        expected.append(np.linalg.det(states[:2, :2]) * states[2, 0])
    # As many equal determinants as the model has; coefficients are kept in single precision.
    np.testing.assert_allclose(psi, 2 * np.array(expected), rtol=1e-5)


OPEN = ("electrons=[6,0]", "cells=9", "sector=[1,1]", "jastrow=false", "twist_1=0.0", "twist_2=0.0")


def test_determinants_take_the_fillings_of_an_open_shell_in_turn(tiny, scattered):
    config = tiny(*OPEN, "determinants=8")
    hamiltonian = make_hamiltonian(config)
    cell, couplings = hamiltonian.supercell, hamiltonian.family.couplings(hamiltonian.family.middle())
    model = make_wavefunction(config, hamiltonian, jax.random.key(0))
    labels = np.array(model.orbitals.momenta)
    assert labels.shape == (8, 6, 2)
    assert {cell.momentum_class(filling.sum(axis=0)) for filling in labels} == {cell.momentum_class((1, 1))}
    # Without the network there are six different determinants, and the first two again.
    model = eqx.tree_at(lambda m: m.orbitals.weight, model, replace_fn=jnp.zeros_like)
    bloch = bloch_orbitals(cell, float(couplings.moire), math.pi / 4, shell=2.01)
    energies = {
        tuple(label): energy for label, energy in zip(bloch.momenta[::-1], bloch.energies[::-1], strict=True)
    }
    totals = [sum(energies[tuple(label)] for label in filling) for filling in labels]
    np.testing.assert_allclose(totals, totals[0], atol=1e-8)
    electrons = scattered(hamiltonian, 9)
    matrices = jax.vmap(lambda r: model.orbitals(jnp.zeros((6, model.embed.weight.shape[1])), r, couplings))(
        electrons
    )
    values = np.linalg.det(np.asarray(matrices))  # (configuration, determinant)
    assert np.linalg.matrix_rank(values / abs(values).max(), tol=1e-6) == 6
    np.testing.assert_allclose(values[:, 6:], values[:, :2], rtol=1e-6)


def test_closed_shells_have_one_filling(tiny):
    config = tiny(*OPEN, "electrons=[7,0]", "sector=[0,0]", "determinants=3")
    model = make_wavefunction(config, make_hamiltonian(config), jax.random.key(0))
    assert np.array(model.orbitals.momenta).shape == (1, 7, 2)
    assert model.orbitals.weight.shape[2] == 3


def test_fresh_wavefunction_starts_near_the_filled_bands(tiny):
    """One electron: <E> by quadrature, above the exact energy (variational) and close to it."""
    config = tiny("electrons=[1,0]", "cells=1", "dielectric_constant=1e9", "size=32", "heads=4")
    hamiltonian = make_hamiltonian(config)
    couplings = hamiltonian.family.couplings(hamiltonian.family.middle())
    axis = np.arange(48) / 48
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 1, 2)
    grid = jnp.asarray(grid @ hamiltonian.supercell.vectors)

    @eqx.filter_jit
    def integrals(model):
        def one(r):
            local, log_psi = local_energy(model, hamiltonian, r, couplings), model(r, couplings)
            return local.total, jnp.exp(2 * log_psi.log_abs)

        local, density = jax.lax.map(one, grid, batch_size=64)
        return jnp.average(local, weights=density.astype(local.dtype))

    moire = float(couplings.moire)
    ground = filled_band_energy(hamiltonian.supercell, (1, 0), moire, math.pi / 4, TWIST)
    second = filled_band_energy(hamiltonian.supercell, (2, 0), moire, math.pi / 4, TWIST) - ground
    for seed in (0, 1, 3):
        energy = complex(integrals(make_wavefunction(config, hamiltonian, jax.random.key(seed))))
        assert abs(energy.imag) < 1e-3  # H is Hermitian; what remains is the quadrature's error
        assert ground < energy.real < second


def test_free_orbitals_are_linear_in_the_features_times_the_bloch_factor(tiny):
    hamiltonian = make_hamiltonian(tiny())
    couplings = hamiltonian.family.couplings(jnp.array([1.0]))
    random = np.random.default_rng(0)
    x, r = random.normal(size=(3, 5)), random.normal(size=(3, 2))
    orbitals = FreeOrbitals(hamiltonian.supercell, 3, 5, 2, key=jax.random.key(0))
    real, imaginary = np.asarray(orbitals.weight, float)
    orbitals = jax.tree.map(lambda w: w.astype(jnp.float64), orbitals)
    twist = np.array(TWIST) @ hamiltonian.supercell.reciprocal
    expected = np.einsum("id,dkj->kij", x, real + 1j * imaginary) * np.exp(1j * r @ twist)[None, :, None]
    matrix = orbitals(jnp.asarray(x), jnp.asarray(r), couplings)
    np.testing.assert_allclose(matrix, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", [float, complex])
def test_sum_of_determinants(kind):
    random = np.random.default_rng(1)
    matrices = random.normal(size=(3, 4, 4)).astype(kind)
    if kind is complex:
        matrices = matrices + 1j * random.normal(size=matrices.shape)
    log_psi = sum_of_determinants(*slogdet(jnp.asarray(matrices)))
    psi = np.exp(float(log_psi.log_abs) + 1j * float(log_psi.phase))
    assert psi == pytest.approx(np.linalg.det(matrices).sum(), rel=1e-12)


def test_sum_of_determinants_neither_overflows_nor_underflows():
    # 40 electrons: determinants of order 10^(+-400) lie outside of float64
    for scale in (1e10, 1e-10):
        matrices = jnp.asarray(scale * np.random.default_rng(2).normal(size=(2, 40, 40)))
        plain = sum_of_determinants(*slogdet(matrices / scale)).log_abs
        assert float(sum_of_determinants(*slogdet(matrices)).log_abs - plain) == pytest.approx(
            40 * math.log(scale)
        )


def test_the_network_starts_with_a_half_of_the_plane_waves_amplitude(tiny):
    config = tiny("size=64")
    model = make_wavefunction(config, make_hamiltonian(config), jax.random.key(0))
    squares = np.sum(np.asarray(model.orbitals.weight, float) ** 2, axis=(0, 1))  # for x of unit rms
    assert np.sqrt(squares.mean()) == pytest.approx(0.5, rel=0.15)
