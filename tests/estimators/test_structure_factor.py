"""The structure factor against plane-wave determinants and crystals."""

import itertools

import numpy as np
import pytest

from qernel.estimators.structure_factor import StructureFactor
from qernel.lattice import MOIRE_RECIPROCAL, MOIRE_VECTORS, Supercell, integer_grid, supercell_of

HEXAGONAL_9 = Supercell(((3, 0), (0, 3)))


def labels_of(observable):
    """Integer labels of the measured q."""
    coordinates = observable.coordinates()
    waves = np.stack([coordinates[name].values for name in ("q_x", "q_y")], axis=-1)
    return np.rint(waves @ observable.hamiltonian.supercell.vectors.T / (2 * np.pi)).astype(int)


@pytest.mark.parametrize("cell", [supercell_of(3), Supercell(((2, 0), (0, 1)))])
def test_plane_waves_lower_it_where_both_states_are_filled(cell, system, plane_waves, three_on_grid, exactly):
    observable = StructureFactor(system(cell, (2, 1)))
    up, down = ((0, 0), (1, -1)), ((0, 1),)
    model = plane_waves(observable.hamiltonian, up, down)
    found = exactly(observable, model, three_on_grid(cell))["structure_factor"]
    # S(q) = 1 - (1/N) #{k: k and k + q filled by equal spins}
    differences = [tuple(np.subtract(a, b)) for a, b in itertools.product(up, up)]
    expected = [1 - differences.count(tuple(q)) / 3 for q in labels_of(observable).tolist()]
    assert min(expected) == pytest.approx(2 / 3)
    np.testing.assert_allclose(found.value, expected, atol=1e-12)
    assert found.dims == ("wave",)


def test_one_of_every_pair_of_opposite_wavevectors_in_a_disc(system):
    for cell in (supercell_of(3), Supercell(((2, 0), (0, 1))), HEXAGONAL_9):
        labels = labels_of(StructureFactor(system(cell, (1, 0))))
        lengths = np.linalg.norm(integer_grid(20) @ cell.reciprocal, axis=1)
        inside = integer_grid(20)[lengths < 1.7 * np.linalg.norm(MOIRE_RECIPROCAL[0])]
        both = {tuple(q) for q in (*labels.tolist(), *(-labels).tolist())}
        assert both | {(0, 0)} == {tuple(q) for q in inside.tolist()}
        assert len(both) == 2 * len(labels)


@pytest.mark.parametrize(("sublattices", "peak"), [((0,), 1.0), ((0, 1), 1 / 4), ((0, 1, 2), 0.0)])
def test_bragg_peaks_of_the_sqrt3_crystal(sublattices, peak, system, samples_of, plane_waves):
    cell = supercell_of(9)
    labels = integer_grid(6)
    # a1 and a2 step from one of the three sublattices to the next
    chosen = [label for label in labels if label.sum() % 3 in sublattices]
    sites = np.unique(np.rint(np.array(chosen) @ np.linalg.inv(cell.matrix) * 9).astype(int) % 9, axis=0)
    electrons = sites / 9 @ np.array(cell.matrix) @ MOIRE_VECTORS
    count = len(electrons)
    assert count == 3 * len(sublattices)
    observable = StructureFactor(system(cell, (count, 0)))
    model = plane_waves(observable.hamiltonian, tuple((n, 0) for n in range(count)))
    samples, _ = samples_of(observable, model, electrons[None])
    np.testing.assert_allclose(samples["bragg_sqrt3"], peak * count, atol=1e-9)
    np.testing.assert_allclose(samples["bragg_moire"], count, atol=1e-9)


def test_no_sqrt3_peak_where_the_crystal_does_not_fit(system, samples_of, plane_waves):
    observable = StructureFactor(system(supercell_of(4), (1, 0)))
    samples, _ = samples_of(observable, plane_waves(observable.hamiltonian, ((0, 0),)), np.zeros((1, 1, 2)))
    assert "bragg_sqrt3" not in samples
