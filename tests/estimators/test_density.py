"""The density histogram: normalization, and every electron in the bin where it is."""

import numpy as np
import pytest

from qernel.estimators.density import DensityHistogram
from qernel.lattice import supercell_of

CELL = supercell_of(3)


def test_integrates_to_the_number_of_electrons():
    histogram = DensityHistogram(CELL, 6)
    random = np.random.default_rng(0)
    for _ in range(3):
        histogram.add(random.normal(size=(50, 4, 2)))
    assert histogram.density().mean() * CELL.area == pytest.approx(4, rel=1e-12)


def test_electron_at_a_centre_fills_that_bin_also_from_another_cell():
    centres = DensityHistogram(CELL, 5).centres()
    for index in [(0, 0), (3, 1), (4, 4)]:
        for labels in [(0, 0), (-2, 3)]:
            histogram = DensityHistogram(CELL, 5)
            histogram.add((centres[index] + np.array(labels) @ CELL.vectors)[None, None])
            expected = np.zeros((5, 5))
            expected[index] = 25 / CELL.area
            np.testing.assert_allclose(histogram.density(), expected, rtol=1e-12)


def test_follows_a_known_density():
    # n(r) = (1 + cos B1.r) / area, drawn by rejection; 40,000 electrons in 8 x 8 bins: 4% each
    random = np.random.default_rng(1)
    points = random.uniform(size=(80_000, 2)) @ CELL.vectors
    accepted = points[random.uniform(size=len(points)) < (1 + np.cos(points @ CELL.reciprocal[0])) / 2]
    histogram = DensityHistogram(CELL, 8)
    histogram.add(accepted[:, None])
    edges = np.arange(9) / 8
    along = np.diff(edges + np.sin(2 * np.pi * edges) / (2 * np.pi)) * 8  # the bins' exact averages
    expected = np.tile(along[:, None], (1, 8)) / CELL.area
    np.testing.assert_allclose(histogram.density(), expected, rtol=0, atol=5 * 0.05 / CELL.area)
    assert histogram.density()[0].mean() > 5 * histogram.density()[4].mean()


def test_no_configurations_is_no_density():
    np.testing.assert_array_equal(DensityHistogram(CELL, 2).density(), np.zeros((2, 2)))
