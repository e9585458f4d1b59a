"""The descent on problems whose minimum is known."""

import numpy as np
import pytest
from scipy.stats import unitary_group

from qernel.reference.orbital_descent import minimize, orthonormalize, spin_blocks

SPINS = (3, 2)
WAVES = 20


def noise(seed: int, rows: int = sum(SPINS)) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.normal(size=(rows, WAVES)) + 1j * random.normal(size=(rows, WAVES))


@pytest.fixture(scope="module")
def matrix() -> np.ndarray:
    """A Hermitian matrix with levels 1, 4, 9, ... in random directions."""
    directions = unitary_group.rvs(WAVES, random_state=0)
    return (directions * np.arange(1.0, WAVES + 1) ** 2) @ directions.conj().T


def linear(matrix: np.ndarray):
    """The energy of independent electrons, sum_i <i|H|i>, and its gradient."""
    return lambda orbitals: (np.vdot(orbitals, orbitals @ matrix.T).real, orbitals @ matrix.T)


def test_independent_electrons_fill_the_lowest_levels(matrix):
    found = minimize(linear(matrix), noise(1), SPINS, np.ones(WAVES), 1e-7)
    assert found.residual < 1e-7
    assert found.energy == pytest.approx((1 + 4 + 9) + (1 + 4), abs=1e-9)
    for block, levels in zip(spin_blocks(SPINS), ([1, 4, 9], [1, 4]), strict=True):
        rows = found.orbitals[block]
        np.testing.assert_allclose(rows @ rows.conj().T, np.eye(len(rows)), atol=1e-12)
        np.testing.assert_allclose(np.linalg.eigvalsh(rows.conj() @ matrix @ rows.T), levels, atol=1e-9)


def test_energy_never_rises(matrix):
    energies = [
        minimize(linear(matrix), noise(1), SPINS, np.ones(WAVES), 1e-9, n).energy for n in range(1, 15)
    ]
    assert np.all(np.diff(energies) < 0)


def test_says_when_it_has_not_converged(matrix):
    short = minimize(linear(matrix), noise(1), SPINS, np.ones(WAVES), 1e-7, iterations=3)
    assert short.iterations == 3
    assert short.residual > 1e-7


def test_preconditioner_speeds_it_up_and_leaves_the_answer():
    diagonal = np.diag(np.arange(1.0, WAVES + 1) ** 3).astype(complex)
    plain, helped = (
        minimize(linear(diagonal), noise(2), SPINS, weights, 1e-6)
        for weights in (np.ones(WAVES), 1 / (1 + diagonal.diagonal().real))
    )
    assert helped.energy == pytest.approx(plain.energy, abs=1e-8)
    assert helped.energy == pytest.approx((1 + 8 + 27) + (1 + 8), abs=1e-8)
    assert helped.iterations < 0.7 * plain.iterations


def test_orthonormal_orbitals_are_the_closest_and_span_the_same():
    rows = noise(3)
    result = orthonormalize(rows, SPINS)
    for block in spin_blocks(SPINS):
        # S^{-1/2} C is the unitary factor of the polar decomposition, from the singular value decomposition
        left, _, right = np.linalg.svd(rows[block], full_matrices=False)
        np.testing.assert_allclose(result[block], left @ right, atol=1e-12)


@pytest.mark.parametrize("spins", [(4, 0), (0, 4)])
def test_a_spin_without_electrons_has_no_rows(spins):
    assert spin_blocks(spins) == [slice(0, 4)]
