"""Symmetries and extrema of the moiré potential."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qernel.hamiltonian.couplings import Couplings, Family
from qernel.hamiltonian.moire import MoirePotential
from qernel.lattice import MOIRE_VECTORS

POTENTIAL = MoirePotential()
FAMILY = Family(
    moire_potential=15.0,
    moire_depth=1.0,
    moire_phase=45.0,
    dielectric_constant=5.0,
    effective_mass=0.35,
    moire_constant=8.031,
)
DEPTH = 4.44371  # V0 / E_M


def couplings(**changes: float) -> Couplings:
    return dataclasses.replace(FAMILY, **changes).couplings(jnp.zeros(0, jnp.float64))


def potential(positions, **changes: float) -> np.ndarray:
    """V(r) of single electrons at positions (..., 2), in E_M."""
    parameters = couplings(**changes)
    flat = jnp.asarray(np.reshape(positions, (-1, 1, 2)))
    values = jax.vmap(lambda electron: POTENTIAL(electron, parameters))(flat)
    return np.reshape(np.asarray(values), np.shape(positions)[:-1])


@pytest.fixture
def positions():
    return np.random.default_rng(1).uniform(-2, 2, (12, 2))


def cell_grid(points: int) -> np.ndarray:
    axis = np.arange(points) / points
    return np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1) @ MOIRE_VECTORS


@pytest.mark.parametrize("vector", MOIRE_VECTORS)
def test_is_periodic_in_the_moire_lattice(positions, vector):
    np.testing.assert_allclose(potential(positions + vector), potential(positions), atol=1e-11)


def test_has_the_rotations_of_the_triangular_lattice(positions):
    cosine, sine = -0.5, math.sqrt(3) / 2
    rotated = positions @ np.array([[cosine, sine], [-sine, cosine]])
    np.testing.assert_allclose(potential(rotated), potential(positions), atol=1e-11)


def test_opposite_phase_mirrors_it_through_the_origin(positions):
    mirrored = potential(-positions, moire_phase=-30.0)
    np.testing.assert_allclose(mirrored, potential(positions, moire_phase=30.0), atol=1e-11)


def test_deepest_minima_are_lattice_sites():
    values = potential(cell_grid(24))
    assert values.min() == values[0, 0]


@pytest.mark.parametrize(("site", "angle"), [(0, 45), (1, -75), (2, 165)])
def test_values_at_the_threefold_axes(site, angle):
    # All three g_j.r equal 0, 240 or 120 degrees there: a minimum, a shallow minimum, a maximum.
    position = site * (2 * MOIRE_VECTORS[0] + MOIRE_VECTORS[1]) / 3
    expected = -6 * DEPTH * math.cos(math.radians(angle))
    assert potential(position) == pytest.approx(expected, rel=2e-6)


def test_averages_to_zero():
    assert potential(cell_grid(6)).mean() == pytest.approx(0.0, abs=1e-11)


def test_adds_up_over_electrons(positions):
    together = float(POTENTIAL(jnp.asarray(positions), couplings()))
    assert together == pytest.approx(potential(positions).sum(), rel=1e-12)


def test_single_precision_agrees(positions):
    single = POTENTIAL(jnp.asarray(positions, jnp.float32), FAMILY.couplings(jnp.zeros(0, jnp.float32)))
    assert single.dtype == jnp.float32
    # Twelve terms of up to 6 w = 27, each rounded to 1e-7 and with angles of 30 radians
    assert float(single) == pytest.approx(potential(positions).sum(), abs=5e-4)
