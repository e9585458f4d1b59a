"""Densities against electrons whose place is known."""

import cmath
import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from qernel.estimators.density import Density
from qernel.lattice import CELL_AREA, MOIRE_VECTORS, Supercell, integer_grid, supercell_of
from qernel.wavefunction.base import LogPsi, Wavefunction

CELL = Supercell(((2, 0), (0, 3)))


class Wave(Wavefunction):
    """psi = 1 + 0.5 cos B1.r + 0.2 sin B2.r for one electron."""

    supercell: Supercell = eqx.field(static=True)

    def __call__(self, electrons, couplings):
        first, second = electrons[0] @ self.supercell.reciprocal.T
        return LogPsi(jnp.log(1 + 0.5 * jnp.cos(first) + 0.2 * jnp.sin(second)), jnp.zeros(()))


def test_electrons_are_counted_where_they_are(system, plane_waves, exactly):
    observable = Density(system(CELL, (2, 0)))
    coordinates = observable.coordinates()
    places = np.stack([coordinates["x"].values, coordinates["y"].values], axis=-1)
    bins = [(3, 40), (17, 5)]
    electrons = np.array([places[bins[0]] + [3, -2] @ CELL.vectors, places[bins[1]]])
    model = plane_waves(observable.hamiltonian, ((0, 0), (1, 0)))
    density = exactly(observable, model, electrons[None])["density"].value
    assert sorted(map(tuple, np.argwhere(density).tolist())) == sorted(bins)
    np.testing.assert_allclose(density.sum() * CELL.area / density.size, 2, rtol=1e-12)


def test_density_of_a_known_state(system, grid, exactly):
    observable = Density(system(CELL, (1, 0)))
    model = Wave(CELL)
    found = exactly(observable, model, grid(CELL, 96, (0.5, 0.5))[:, None])["density"]
    coordinates = observable.coordinates()
    places = np.stack([coordinates["x"].values, coordinates["y"].values], axis=-1)
    first, second = np.moveaxis(places @ CELL.reciprocal.T, -1, 0)
    expected = (1 + 0.5 * np.cos(first) + 0.2 * np.sin(second)) ** 2 / (1 + 0.5**2 / 2 + 0.2**2 / 2)
    np.testing.assert_allclose(found.value, expected / CELL.area, rtol=0.01)  # bins are 1/48 wide
    assert (found.units, found.dims) == ("a_M^-2", ("cell_1", "cell_2"))


def test_symmetrized_density_averages_translations_and_rotations(system, plane_waves, exactly):
    cell = supercell_of(3)
    observable = Density(system(cell, (1, 0)))
    coordinates = observable.coordinates()
    places = np.stack([coordinates["moire_x"].values, coordinates["moire_y"].values], axis=-1)
    model = plane_waves(observable.hamiltonian, ((0, 0),))
    start = places[5, 11] + np.array([0.004, 0.003])
    turned = [complex(*start) * cmath.exp(2j * math.pi * turn / 3) for turn in range(3)]
    electrons = np.array([[z.real, z.imag] for z in turned])
    electrons = np.concatenate([electrons + shift for shift in integer_grid(1) @ MOIRE_VECTORS])
    every = exactly(observable, model, electrons[:, None])["density_symmetrized"].value
    density = exactly(observable, model, electrons[:1, None])["density_symmetrized"].value
    np.testing.assert_allclose(every, density, rtol=1e-12)
    # A third of the electron in each of three bins of the moiré cell, one of them where it is
    expected = 24**2 / (3 * CELL_AREA) / 3
    assert density[5, 11] == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(density[density > 0], [expected] * 3, rtol=1e-12)
    nearest = [
        tuple(np.rint(r @ np.linalg.inv(MOIRE_VECTORS) * 24 - 0.5).astype(int) % 24) for r in electrons[:3]
    ]
    assert {tuple(index) for index in np.argwhere(density).tolist()} == set(nearest)
