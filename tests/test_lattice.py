"""Geometry of the moiré lattice and of the supercells cut from it."""

import itertools
import math

import numpy as np
import pytest

from qernel.lattice import (
    CELL_AREA,
    MOIRE_HARMONICS,
    MOIRE_RECIPROCAL,
    MOIRE_VECTORS,
    THREEFOLD,
    Supercell,
    integer_grid,
    supercell_of,
)

SQRT3 = Supercell(((1, 2), (2, 1)))
PAPER_27 = Supercell(((3, 6), (3, -3)))
SKEWED = Supercell(((1, 0), (7, 4)))
SUPERCELLS = [Supercell(((1, 0), (0, 1))), SQRT3, Supercell(((3, 0), (0, 2))), SKEWED, PAPER_27]
K_POINT = np.array([1, 1]) @ MOIRE_RECIPROCAL / 3


def is_integer(values) -> bool:
    return bool(np.allclose(values, np.rint(values), atol=1e-9))


def same_lattice(first: np.ndarray, second: np.ndarray) -> bool:
    change = first @ np.linalg.inv(second)
    return is_integer(change) and math.isclose(abs(np.linalg.det(change)), 1.0, abs_tol=1e-9)


def test_harmonics_are_dual_to_the_lattice():
    assert is_integer(MOIRE_HARMONICS @ MOIRE_VECTORS.T / (2 * math.pi))


def test_harmonics_have_the_length_of_the_paper_and_120_degrees_between_them():
    square = (4 * math.pi / math.sqrt(3)) ** 2
    gram = MOIRE_HARMONICS @ MOIRE_HARMONICS.T
    np.testing.assert_allclose(gram, square * (1.5 * np.eye(3) - 0.5), rtol=1e-12)


def test_k_point_is_equidistant_from_three_reciprocal_vectors():
    distances = np.linalg.norm(K_POINT - integer_grid(2) @ MOIRE_RECIPROCAL, axis=1)
    nearest = np.sort(distances)[:4]
    np.testing.assert_allclose(nearest[:3], nearest[0], rtol=1e-12)
    assert nearest[3] > 1.5 * nearest[0]


@pytest.mark.parametrize("matrix", [((1, 0), (7, 4)), ((5, 3), (2, -1)), ((3, 6), (3, -3))])
def test_reduction_keeps_the_lattice_and_shortens_its_basis(matrix):
    cell = Supercell(matrix)
    assert same_lattice(cell.vectors, np.array(matrix) @ MOIRE_VECTORS)
    first, second = cell.vectors
    lattice = np.linalg.norm(integer_grid(9) @ cell.vectors, axis=1)
    shortest = np.sort(lattice[lattice > 0])[0]
    assert np.linalg.norm(first) == pytest.approx(shortest, rel=1e-12)
    cosine = first @ second / (np.linalg.norm(first) * np.linalg.norm(second))
    assert -0.5 - 1e-12 <= cosine <= 1e-12  # between 90 and 120 degrees


def test_singular_supercell_is_an_error():
    with pytest.raises(ValueError, match="singular"):
        Supercell(((1, 2), (2, 4)))


@pytest.mark.parametrize("cell", SUPERCELLS)
def test_area_counts_moire_cells(cell):
    assert cell.area == pytest.approx(abs(np.linalg.det(cell.vectors)), rel=1e-12)
    assert cell.area == pytest.approx(cell.cells * CELL_AREA, rel=1e-12)


@pytest.mark.parametrize("cell", SUPERCELLS)
def test_reciprocal_vectors_are_dual(cell):
    np.testing.assert_allclose(cell.reciprocal @ cell.vectors.T, 2 * math.pi * np.eye(2), rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [3, 6, 9, 12, 15])
def test_paper_supercells_fit_the_generalized_wigner_crystal(size):
    assert Supercell(((size, 0), (0, size))).fits_sqrt3_order
    assert PAPER_27.fits_sqrt3_order


@pytest.mark.parametrize("first", [(1, 2), (2, 0), (3, 1)])
@pytest.mark.parametrize("second", [(0, 2), (1, -1)])
def test_sqrt3_order_fits_where_the_k_point_is_a_reciprocal_vector(first, second):
    cell = Supercell((first, second))
    assert cell.fits_sqrt3_order == is_integer(cell.vectors @ K_POINT / (2 * math.pi))


@pytest.mark.parametrize("cell", SUPERCELLS)
def test_moire_points_are_the_inequivalent_crystal_momenta(cell):
    points = cell.moire_points()
    assert points.shape == (cell.cells, 2)
    differences = (points[:, None] - points[None]) @ cell.reciprocal
    steps = differences @ MOIRE_VECTORS.T / (2 * math.pi)
    equivalent = np.all(np.isclose(steps, np.rint(steps), atol=1e-9), axis=-1)
    np.testing.assert_array_equal(equivalent, np.eye(cell.cells, dtype=bool))


@pytest.mark.parametrize("twist", [(0.0, 0.0), (0.3, 0.1), (4.2, -7.4)])
@pytest.mark.parametrize("cell", SUPERCELLS)
def test_moire_points_lie_in_the_first_brillouin_zone(cell, twist):
    momenta = (cell.moire_points(twist) + twist) @ cell.reciprocal
    others = momenta[:, None] + integer_grid(2) @ MOIRE_RECIPROCAL
    nearest = np.linalg.norm(others, axis=-1).min(axis=1)
    np.testing.assert_allclose(np.linalg.norm(momenta, axis=1), nearest, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("cell", SUPERCELLS)
def test_momentum_class_names_momenta_up_to_moire_reciprocal_vectors(cell):
    labels = integer_grid(4)
    steps = labels @ cell.reciprocal @ MOIRE_VECTORS.T / (2 * math.pi)
    phases = np.exp(2j * math.pi * steps)
    names = [cell.momentum_class(label) for label in labels]
    for i, j in itertools.combinations(range(0, len(labels), 7), 2):
        assert (names[i] == names[j]) == np.allclose(phases[i], phases[j], atol=1e-9)


@pytest.mark.parametrize("cell", SUPERCELLS)
def test_selling_weights_resolve_the_identity(cell):
    vectors, weights = cell.selling_weights()
    assert np.all(weights >= 0)
    identity = np.einsum("i,ia,ib->ab", weights, vectors, vectors)
    np.testing.assert_allclose(identity, np.eye(2), rtol=0, atol=1e-12)
    assert is_integer(vectors @ cell.vectors.T / (2 * math.pi))


@pytest.mark.parametrize("cell", SUPERCELLS)
def test_selling_distance_vanishes_on_lattice_points_only(cell):
    vectors, weights = cell.selling_weights()
    fractions = np.stack(np.meshgrid(*[np.arange(24) / 24] * 2, indexing="ij"), -1).reshape(-1, 2)
    squares = 2 * (1 - np.cos(fractions @ cell.vectors @ vectors.T)) @ weights
    assert squares[0] == pytest.approx(0.0, abs=1e-12)
    # At 1/24 of the shortest vector from a lattice point the distance is still nearly Euclidean.
    shortest = np.linalg.norm(cell.vectors[0]) / 24
    assert squares[1:].min() > 0.9 * shortest**2 * (math.sqrt(3) / 2) ** 2


@pytest.mark.parametrize(("cells", "shortest"), [(3, math.sqrt(3)), (9, 3.0), (27, math.sqrt(27))])
def test_supercell_of_finds_the_hexagonal_supercell(cells, shortest):
    cell = supercell_of(cells)
    assert cell.cells == cells
    assert cell.fits_sqrt3_order
    np.testing.assert_allclose(np.linalg.norm(cell.vectors, axis=1), shortest, rtol=1e-12)


def test_supercell_of_27_is_the_one_of_the_paper():
    assert same_lattice(supercell_of(27).vectors, PAPER_27.vectors)


def test_supercell_of_no_cells_is_an_error():
    with pytest.raises(ValueError, match="at least one"):
        supercell_of(0)


@pytest.mark.parametrize("cell", SUPERCELLS)
def test_translations_reach_every_moire_cell_once(cell):
    shifts = cell.translations()
    assert shifts.shape == (cell.cells, 2)
    assert is_integer(shifts @ MOIRE_RECIPROCAL.T / (2 * math.pi))
    steps = (shifts[:, None] - shifts[None]) @ cell.reciprocal.T / (2 * math.pi)
    same = np.all(np.isclose(steps, np.rint(steps), atol=1e-9), axis=-1)
    np.testing.assert_array_equal(same, np.eye(cell.cells, dtype=bool))


def test_threefold_rotations_are_symmetries_of_the_moire_lattice_and_its_harmonics():
    np.testing.assert_allclose(THREEFOLD[1] @ [1, 0], [-0.5, math.sqrt(3) / 2], atol=1e-12)
    np.testing.assert_allclose(THREEFOLD[2], THREEFOLD[1] @ THREEFOLD[1], atol=1e-12)
    turned = MOIRE_HARMONICS @ THREEFOLD[1].T
    np.testing.assert_allclose(turned, np.roll(MOIRE_HARMONICS, -1, axis=0), atol=1e-9)


@pytest.mark.parametrize(
    ("matrix", "threefold"),
    [(((1, 0), (0, 1)), True), (((1, 2), (-2, -1)), True), (((3, 6), (3, -3)), True),
     (((2, 1), (-1, 1)), True), (((3, 1), (-1, 2)), True),
     (((2, 0), (0, 1)), False), (((1, 0), (1, 2)), False), (((3, 0), (0, 2)), False)],
)  # fmt: skip
def test_supercells_with_threefold_symmetry(matrix, threefold):
    # Those that the complex numbers a + b e^{2 pi i / 3} describe as multiples of one of them
    assert Supercell(matrix).is_threefold == threefold


@pytest.mark.parametrize("cell", [supercell_of(9), supercell_of(27), Supercell(((2, 0), (0, 1)))])
def test_total_momenta_are_called_by_their_shortest_labels_of_least_entries(cell):
    names = cell.total_momenta()
    classes = {cell.momentum_class(label) for label in names}
    assert len(names) == len(classes) == cell.cells
    assert classes == {cell.momentum_class(label) for label in cell.moire_points()}
    for name in names:
        same = [each for each in integer_grid(12) if cell.momentum_class(each) == cell.momentum_class(name)]
        lengths = np.linalg.norm(same @ cell.reciprocal, axis=1).round(9)
        shortest = [each for each, length in zip(same, lengths, strict=True) if length == lengths.min()]
        assert np.linalg.norm(name @ cell.reciprocal).round(9) == lengths.min()
        assert abs(name).max() == min(abs(each).max() for each in shortest)


def test_the_corner_of_nine_cells_is_called_1_1():
    cell = supercell_of(9)
    assert [1, 1] in cell.total_momenta().tolist()
    assert cell.momentum_class((1, 1)) == cell.momentum_class((-2, 1))
