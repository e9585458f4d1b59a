"""The pair correlation function against the exchange hole of plane waves, and nearest images."""

import numpy as np
import pytest
from scipy.special import j1

from qernel.estimators.pair_correlation import PairCorrelation
from qernel.lattice import Supercell, integer_grid, supercell_of


@pytest.mark.parametrize("cell", [supercell_of(3), Supercell(((2, 0), (0, 1)))])
def test_exchange_hole_of_two_plane_waves(cell, system, plane_waves, grid, exactly):
    observable = PairCorrelation(system(cell, (2, 0)))
    second = grid(cell, 300, (0.5, 0.5))
    electrons = np.stack([np.zeros_like(second), second], axis=1)
    found = exactly(observable, plane_waves(observable.hamiltonian, ((0, 0), (1, 2))), electrons)
    distance = observable.coordinates()["distance"].values
    half = (distance[1] - distance[0]) / 2
    assert distance[-1] + half == pytest.approx(np.linalg.norm(cell.vectors, axis=1).min() / 2)
    # |psi|^2 ~ 1 - cos k.r, hence g = 1 - J0(k r), averaged over rings: int r J0(k r) = r J1(k r) / k
    k = np.linalg.norm(np.array([1, 2]) @ cell.reciprocal)
    inner, outer = distance - half, distance + half
    expected = 1 - 2 * (outer * j1(k * outer) - inner * j1(k * inner)) / (k * (outer**2 - inner**2))
    # What remains is the grid's coarseness, largest in the small inner rings.
    np.testing.assert_allclose(found["pair_correlation"].value[5:], expected[5:], atol=0.05)
    np.testing.assert_allclose(found["pair_correlation"].value[:5], expected[:5], atol=0.3)
    assert abs(np.average(found["pair_correlation"].value - expected, weights=distance)) < 2e-3


def test_opposite_spins_do_not_see_each_other(system, plane_waves, grid, exactly):
    cell = supercell_of(3)
    observable = PairCorrelation(system(cell, (1, 1)))
    second = grid(cell, 200, (0.5, 0.5))
    electrons = np.stack([np.zeros_like(second), second], axis=1)
    found = exactly(observable, plane_waves(observable.hamiltonian, ((0, 0),), ((1, 2),)), electrons)
    assert set(found) == {"pair_correlation_opposite"}
    value = found["pair_correlation_opposite"].value
    np.testing.assert_allclose(value[8:], 1, atol=0.06)
    distance = observable.coordinates()["distance"].values
    assert np.average(value, weights=distance) == pytest.approx(1, abs=2e-3)


def test_pairs_are_counted_by_spin_at_their_nearest_image(system, plane_waves, samples_of, scattered):
    cell = supercell_of(3)  # hexagonal: rounding fractions alone misses nearest images
    observable = PairCorrelation(system(cell, (2, 1)))
    hamiltonian = observable.hamiltonian
    electrons = np.asarray(scattered(hamiltonian, 100))
    moved = electrons + np.random.default_rng(0).integers(-2, 3, electrons.shape) @ cell.vectors
    model = plane_waves(hamiltonian, ((0, 0), (1, 0)), ((0, 0),))
    samples, _ = samples_of(observable, model, moved)
    distance = observable.coordinates()["distance"].values
    width = distance[1] - distance[0]
    images = integer_grid(6) @ cell.vectors
    for name, pairs in (("pair_correlation", [(0, 1)]), ("pair_correlation_opposite", [(0, 2), (1, 2)])):
        expected = np.zeros((100, len(distance)))
        for walker, r in enumerate(electrons):
            for i, j in pairs:
                index = int(np.linalg.norm(r[i] - r[j] + images, axis=1).min() / width)
                if index < len(distance):
                    expected[walker, index] += cell.area / (len(pairs) * 2 * np.pi * distance[index] * width)
        np.testing.assert_allclose(samples[name], expected, rtol=1e-5)
        assert np.any(expected)


def test_two_down_electrons_are_of_equal_spin(system, plane_waves, samples_of):
    observable = PairCorrelation(system(supercell_of(9), (1, 2)))
    model = plane_waves(observable.hamiltonian, ((0, 0),), ((0, 0), (1, 0)))
    samples, _ = samples_of(observable, model, np.array([[[0, 0], [0.3, 0], [0.3, 0.5]]]))
    distance = observable.coordinates()["distance"].values
    width = distance[1] - distance[0]
    for name, lengths in (
        ("pair_correlation", [0.5]),
        ("pair_correlation_opposite", [0.3, np.hypot(0.3, 0.5)]),
    ):
        assert np.flatnonzero(samples[name][0]).tolist() == [int(length / width) for length in lengths]
