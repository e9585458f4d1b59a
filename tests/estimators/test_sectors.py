"""Weights of symmetry sectors against states whose symmetry is known."""

import cmath
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qernel.estimators.sectors import MomentumSectors, RotationSectors
from qernel.lattice import Supercell, supercell_of
from qernel.wavefunction.base import LogPsi, Wavefunction

TWIST = (0.2, -0.1)
HEXAGON = ((0, 0), (1, 0), (0, 1), (-1, 0), (0, -1), (1, -1), (-1, 1))
CELLS = [supercell_of(3), supercell_of(4), Supercell(((2, 0), (0, 1)))]


class Superposition(Wavefunction):
    """psi = sum_j a_j e^{i q_j.r} of one electron, with the twist in q_j."""

    waves: tuple = eqx.field(static=True)  # q_j in 1/a_M
    amplitudes: tuple = eqx.field(static=True)

    def __call__(self, electrons, couplings):
        angles = jnp.asarray(np.array(self.waves)) @ electrons[0]
        waves = jax.lax.complex(jnp.cos(angles), jnp.sin(angles))
        psi = jnp.sum(jnp.asarray(np.array(self.amplitudes, complex)) * waves)
        return LogPsi(jnp.log(jnp.abs(psi)), jnp.angle(psi))


def sector_of(observable, label):
    """Index of a total momentum among the sectors."""
    cell, coordinates = observable.hamiltonian.supercell, observable.coordinates()
    labels = np.stack([coordinates[f"sector_{axis}"].values for axis in (1, 2)], axis=-1)
    # The phases e^{i n.B.a} of the moiré vectors tell momenta apart.
    shift = (labels - np.array(label)) @ np.linalg.inv(np.array(cell.matrix)).T
    (index,) = np.flatnonzero(np.all(np.isclose(shift, np.rint(shift), atol=1e-9), axis=1))
    return index


@pytest.mark.parametrize("cell", CELLS)
def test_plane_waves_have_the_sum_of_their_momenta(cell, system, plane_waves, samples_of, scattered):
    hamiltonian = system(cell, (2, 1), twist_1=TWIST[0], twist_2=TWIST[1])
    observable = MomentumSectors(hamiltonian)
    model = plane_waves(hamiltonian, ((0, 0), (2, -1)), ((-1, 3),))
    weights = samples_of(observable, model, scattered(hamiltonian, 20))[0]["sector_weight"]
    expected = np.eye(cell.cells)[sector_of(observable, (1, 2))]
    np.testing.assert_allclose(weights, np.tile(expected, (20, 1)), atol=1e-9)


def test_weights_of_a_superposition_are_its_squared_amplitudes(system, grid, exactly):
    cell = supercell_of(4)
    hamiltonian = system(cell, (1, 0), twist_1=TWIST[0], twist_2=TWIST[1])
    observable = MomentumSectors(hamiltonian)
    waves = (np.array([[0, 0], [1, 0], [3, -2]]) + TWIST) @ cell.reciprocal
    model = Superposition(tuple(map(tuple, waves.tolist())), (1.0, 0.6j, -0.3))
    found = exactly(observable, model, grid(cell, 12)[:, None])["sector_weight"].value
    expected = np.zeros(4)
    for label, weight in (((0, 0), 1.0), ((1, 0), 0.36), ((3, -2), 0.09)):
        expected[sector_of(observable, label)] += weight / 1.45
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("sector", ["lowest", "[0,0]", "[1,0]", "[-2,1]"])
def test_ansatz_of_one_sector_has_all_its_weight_there(sector, tiny, generic, samples_of, scattered):
    config = tiny("cells=4", f"sector={sector}")
    model, hamiltonian = generic(config)
    observable = MomentumSectors(hamiltonian)
    weights = samples_of(observable, model, scattered(hamiltonian, 16), (1.2,))[0]["sector_weight"]
    label = config.model.sector
    if label == "lowest":
        label = np.sum(model.orbitals.momenta[0], axis=0)
    expected = np.eye(4)[sector_of(observable, label)]
    np.testing.assert_allclose(weights, np.tile(expected, (16, 1)), atol=1e-9)


def test_free_ansatz_spreads_over_sectors_that_add_up_to_one(tiny, generic, samples_of, scattered):
    model, hamiltonian = generic(tiny("sector=free"))
    observable = MomentumSectors(hamiltonian)
    weights = samples_of(observable, model, scattered(hamiltonian, 16), (1.2,))[0]["sector_weight"]
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-9)
    assert np.all(abs(weights - weights[0].round())[1:].max(axis=1) > 1e-3)


@pytest.mark.parametrize("m", [0, 1, 2])
def test_rotation_sector_of_three_plane_waves(m, system, samples_of, scattered):
    cell = supercell_of(3)
    hamiltonian = system(cell, (1, 0))
    k = complex(*(np.array([2, -1]) @ cell.reciprocal))
    # e^{i k.(R r)} is the wave of R^-1 k; psi(R r) = e^{2 pi i m / 3} psi(r) fixes the amplitudes.
    waves = [k * cmath.exp(-2j * math.pi * turn / 3) for turn in range(3)]
    amplitudes = tuple(cmath.exp(-2j * math.pi * m * turn / 3) for turn in range(3))
    model = Superposition(tuple((q.real, q.imag) for q in waves), amplitudes)
    observable = RotationSectors(hamiltonian)
    weights = samples_of(observable, model, scattered(hamiltonian, 10))[0]["c3_weight"]
    np.testing.assert_allclose(weights, np.tile(np.eye(3)[m], (10, 1)), atol=1e-8)


def test_rotation_sectors_of_an_unsymmetric_superposition(system, grid, exactly):
    """One plane wave k is (psi_0 + psi_1 + psi_2) / sqrt 3."""
    cell = supercell_of(3)
    observable = RotationSectors(system(cell, (1, 0)))
    wave = tuple((np.array([2, -1]) @ cell.reciprocal).tolist())
    found = exactly(observable, Superposition((wave,), (1.0,)), grid(cell, 24)[:, None])
    np.testing.assert_allclose(found["c3_weight"].value, 1 / 3, atol=1e-9)


def test_closed_shell_does_not_turn(system, plane_waves, samples_of, scattered):
    cell = Supercell(((3, 0), (0, 3)))
    hamiltonian = system(cell, (7, 0))
    lengths = np.linalg.norm(np.array(HEXAGON) @ cell.reciprocal, axis=1)
    np.testing.assert_allclose(lengths[1:], lengths[1])
    model = plane_waves(hamiltonian, HEXAGON)
    observable = RotationSectors(hamiltonian)
    weights = samples_of(observable, model, scattered(hamiltonian, 6))[0]["c3_weight"]
    # A rotation permutes the six waves in two cycles of three, an even permutation.
    np.testing.assert_allclose(weights, np.tile([1.0, 0.0, 0.0], (6, 1)), atol=1e-8)


def test_rotations_need_a_threefold_supercell(system):
    assert RotationSectors(system(supercell_of(3), (1, 0))).exists()
    assert not RotationSectors(system(Supercell(((2, 0), (0, 1))), (1, 0))).exists()


def test_large_supercells_are_left_out(system):
    assert MomentumSectors(system(supercell_of(81), (1, 0))).exists()
    assert not MomentumSectors(system(supercell_of(144), (1, 0))).exists()
