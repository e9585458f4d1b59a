"""The Hamiltonian in a momentum sector, against brute force in Fock space."""

import itertools
import math

import numpy as np
import pytest

from qernel.lattice import MOIRE_RECIPROCAL, Supercell, supercell_of
from qernel.reference.determinants import (
    count_determinants,
    list_determinants,
    make_modes,
    occupied_modes,
    pairs_by_momentum,
)
from qernel.reference.orbitals import Orbitals, bands
from qernel.reference.pair_matrices import pair_matrices
from qernel.reference.sectors import Sector
from qernel.reference.stars import stars

CELL = Supercell(((1, 0), (1, 2)))
TWIST = (0.1, 0.2)
MOIRE, PHASE, COULOMB = 3.0, 0.6, 2.0


@pytest.fixture(scope="module")
def orbitals() -> Orbitals:
    """Three bands of seven plane waves at two momenta, mixed so that nothing is diagonal or real."""
    plain = bands(CELL, 1.0, 0.2, TWIST, 3, shell=1.01)
    random = np.random.default_rng(0).normal(size=(2, 2, 3, 3))
    mixing = np.linalg.qr(random[0] + 1j * random[1])[0]
    return Orbitals(CELL, plain.twist, plain.points, plain.waves, mixing @ plain.coefficients)


def plane_waves(orbitals: Orbitals, point: int, orbital: int) -> dict[tuple[int, int], complex]:
    """An orbital as amplitudes of integer labels in supercell reciprocal vectors."""
    steps = np.rint(MOIRE_RECIPROCAL @ np.linalg.inv(CELL.reciprocal)).astype(int)
    labels = orbitals.points[point] + orbitals.waves @ steps
    return dict(zip(map(tuple, labels.tolist()), orbitals.coefficients[point, orbital], strict=True))


def density(bra, ket) -> dict[tuple[int, int], complex]:
    """<bra|e^{i q.r}|ket> by q."""
    result = {}
    for (n, a), (m, b) in itertools.product(bra.items(), ket.items()):
        q = (n[0] - m[0], n[1] - m[1])
        result[q] = result.get(q, 0) + np.conj(a) * b
    return result


def one_electron(bra, ket) -> complex:
    element = 0j
    for label, amplitude in bra.items():
        momentum = (np.array(label) + TWIST) @ CELL.reciprocal
        element += np.conj(amplitude) * ket.get(label, 0) * momentum @ momentum / 2
    for q, amplitude in density(bra, ket).items():
        for sign, harmonic in itertools.product((1, -1), ([1, 0], [-1, 1], [0, -1])):
            if np.allclose(q @ CELL.reciprocal, sign * np.array(harmonic) @ MOIRE_RECIPROCAL):
                element -= MOIRE * np.exp(1j * sign * PHASE) * amplitude
    return element


def repulsion(densities, a, b, c, d) -> complex:
    total = 0j
    for q, amplitude in densities[a, c].items():
        length = np.linalg.norm(q @ CELL.reciprocal)
        if length > 1e-9:
            opposite = densities[b, d].get((-q[0], -q[1]), 0)
            total += COULOMB * 2 * math.pi / (CELL.area * length) * amplitude * opposite
    return total


def fock_space_hamiltonian(waves) -> np.ndarray:
    """H on all occupations of M orbitals, bit i of a state that of orbital i, by Jordan and Wigner."""
    count = len(waves)
    lower, string, unit = np.array([[0, 1], [0, 0]]), np.diag([1, -1]), np.eye(2)
    annihilate = []
    for i in range(count):
        operator = np.eye(1)
        for j in range(count):
            operator = np.kron(lower if j == i else string if j < i else unit, operator)
        annihilate.append(operator)
    densities = {(a, c): density(waves[a], waves[c]) for a in range(count) for c in range(count)}
    hamiltonian = np.zeros((2**count,) * 2, complex)
    for a, c in itertools.product(range(count), repeat=2):
        hamiltonian += one_electron(waves[a], waves[c]) * annihilate[a].T @ annihilate[c]
    for a, b, c, d in itertools.product(range(count), repeat=4):
        if a != b and c != d:
            element = repulsion(densities, a, b, c, d) / 2
            if element:
                hamiltonian += element * annihilate[a].T @ annihilate[b].T @ annihilate[d] @ annihilate[c]
    return hamiltonian


@pytest.fixture(scope="module")
def brute_force(orbitals):
    """Modes in an arbitrary order of cost, and the Hamiltonian of their Fock space."""
    costs = np.random.default_rng(1).permutation(6).reshape(2, 3)
    modes = make_modes(costs, 7)
    waves = [plane_waves(orbitals, int(n), int(i)) for n, i in zip(modes.point, modes.orbital, strict=True)]
    return modes, fock_space_hamiltonian(waves)


@pytest.mark.parametrize("electrons", [2, 3, 4])
@pytest.mark.parametrize("budget", [100, 10])
def test_action_of_the_hamiltonian_equals_brute_force(orbitals, brute_force, electrons, budget):
    modes, hamiltonian = brute_force
    matrices = [
        (pair.kinetic + MOIRE * pair.moire) / (electrons - 1) + COULOMB * pair.coulomb
        for pair in pair_matrices(orbitals, PHASE, modes, budget)
    ]
    sizes = []
    for momentum in range(2):
        sector = Sector(orbitals, modes, electrons, momentum, budget)
        occupations = np.sum(1 << occupied_modes(sector.keys, electrons), axis=1)
        matrix = np.stack([sector.apply(matrices, x) for x in np.eye(sector.size, dtype=complex)], axis=1)
        np.testing.assert_allclose(matrix, hamiltonian[np.ix_(occupations, occupations)], atol=1e-10)
        assert sector.size == 1 or np.abs(matrix.imag).max() > 0.01
        sizes.append(sector.size)
    if budget == 100:
        assert sum(sizes) == math.comb(6, electrons)
    elif electrons > 2:
        assert 0 < sum(sizes) < math.comb(6, electrons)


def test_brute_force_conserves_momentum(orbitals, brute_force):
    # so that the sectors together are the whole Hamiltonian
    modes, hamiltonian = brute_force
    states = np.arange(len(hamiltonian))
    odd = sum(((states >> i) & 1) * int(point) for i, point in enumerate(modes.point)) % 2
    assert np.abs(hamiltonian[odd == 0][:, odd == 1]).max() < 1e-10


def test_determinants_are_all_those_within_the_budget():
    sums = np.add.outer(np.arange(3), np.arange(3)) % 3
    costs = np.random.default_rng(2).integers(0, 9, (3, 4))
    for budget in (5, 14, 40):
        modes = make_modes(costs, budget)
        found = list_determinants(modes, sums, 3, budget)
        expected = [
            c for c in itertools.combinations(range(len(modes.cost)), 3) if modes.cost[[*c]].sum() <= budget
        ]
        assert occupied_modes(found.keys, 3).tolist() == [list(c) for c in expected]
        assert found.costs.tolist() == [modes.cost[[*c]].sum() for c in expected]
        assert found.points.tolist() == [modes.point[[*c]].sum() % 3 for c in expected]


def test_counting_agrees_with_listing():
    sums = np.add.outer(np.arange(3), np.arange(3)) % 3
    costs = np.random.default_rng(3).integers(0, 9, (3, 5))
    counts = count_determinants(costs, sums, 4, 30)
    for budget in (0, 8, 17, 30):
        listed = list_determinants(make_modes(costs, budget), sums, 4, budget)
        assert counts[:, budget].tolist() == np.bincount(listed.points, minlength=3).tolist()


def test_pairs_of_a_smaller_budget_come_first():
    sums = np.add.outer(np.arange(3), np.arange(3)) % 3
    costs = np.random.default_rng(4).integers(0, 9, (3, 5))
    few, many = (pairs_by_momentum(make_modes(costs, budget), sums, budget) for budget in (7, 13))
    for some, more in zip(few, many, strict=True):
        assert 0 < len(some) < len(more)
        assert some.tolist() == more[: len(some)].tolist()


@pytest.mark.parametrize(
    ("cell", "sizes"),
    [(supercell_of(3), [1, 2]), (supercell_of(9), [1, 6, 2]), (Supercell(((3, 0), (0, 2))), [1, 2, 2, 1])],
)
def test_stars_of_momenta(cell, sizes):
    assert [len(star) for star in stars(cell)] == sizes
    for star in stars(cell):
        assert len({round(float(np.linalg.norm(np.array(n) @ cell.reciprocal)), 9) for n in star}) == 1
