"""Plane-wave bands of one electron and the energies of filled bands."""

import itertools
import math

import jax.numpy as jnp
import numpy as np
import pytest

from qernel.hamiltonian.bands import bloch_orbitals, crystal_orbitals, filled_band_energy, lowest_fillings
from qernel.hamiltonian.couplings import Family
from qernel.hamiltonian.moire import MoirePotential
from qernel.lattice import MOIRE_HARMONICS, MOIRE_RECIPROCAL, MOIRE_VECTORS, Supercell, supercell_of
from qernel.units import moire_energy

UNIT = moire_energy(0.35, 8.031)
DEPTH = 15.0 / UNIT
PHASE = math.pi / 4
HEXAGONAL_27 = Supercell(((3, 6), (3, -3)))
TABLE = [
    (6, Supercell(((3, 0), (0, 3))), (0.66582, -5.92285, -19.87805)),
    (7, Supercell(((3, 0), (0, 3))), (0.86428, -5.74952, -19.74791)),
    (18, HEXAGONAL_27, (0.49707, -6.08090, -20.00935)),
    (54, Supercell(((9, 0), (0, 9))), (0.54022, -6.05791, -20.00247)),
]


@pytest.mark.parametrize(("electrons", "cell", "energies"), TABLE)
def test_polarized_band_energies_per_electron(electrons, cell, energies):
    computed = [
        filled_band_energy(cell, (electrons, 0), depth * DEPTH, PHASE) / electrons * UNIT
        for depth in (0.7, 1.0, 1.5)
    ]
    # The table's constants of nature were rounded in the sixth digit.
    np.testing.assert_allclose(computed, energies, rtol=0, atol=2.5e-5)  # meV


def test_free_electrons_fill_plane_wave_shells():
    # One electron at Gamma and six at the shortest reciprocal vectors B: 6 x B^2 / 2
    cell = supercell_of(9)
    square = (4 * math.pi / math.sqrt(3) / 3) ** 2
    assert filled_band_energy(cell, (7, 0), 0.0, 0.0) == pytest.approx(3 * square, rel=1e-12)


def test_energies_are_periodic_in_the_twist():
    cell = Supercell(((2, 0), (0, 1)))
    plain = bloch_orbitals(cell, DEPTH, PHASE, (0.2, -0.3)).energies[:6]
    moved = bloch_orbitals(cell, DEPTH, PHASE, (5.2, -8.3)).energies[:6]
    np.testing.assert_allclose(moved, plain, rtol=0, atol=1e-12)


@pytest.mark.parametrize("cell", [supercell_of(3), supercell_of(9), HEXAGONAL_27])
def test_without_its_potential_the_crystals_bands_are_folded_ones(cell):
    twist = (0.1, -0.2)
    crystal = crystal_orbitals(cell, DEPTH, PHASE, 0.0, twist)
    assert len(np.unique(crystal.momenta, axis=0)) == cell.cells // 3
    levels = bloch_orbitals(cell, DEPTH, PHASE, twist).energies
    np.testing.assert_allclose(crystal.energies[: cell.cells], levels[: cell.cells], rtol=0, atol=1e-6)


def test_crystal_states_solve_the_schroedinger_equation_of_three_sublattices():
    """Evaluated point by point, with the potential of the order written out in space."""
    cell, order, twist = supercell_of(9), 0.7, np.array([0.1, -0.2])
    crystal = crystal_orbitals(cell, DEPTH, PHASE, order, twist, shell=6.01)
    points = np.random.default_rng(0).uniform(size=(200, 2)) @ cell.vectors
    corners = MOIRE_RECIPROCAL.T @ np.array([[1, -1, -2], [1, 2, 1]]) / 3  # K and its rotations, as columns
    potential = 2 * order * np.cos(points @ corners).sum(axis=1)
    potential -= 2 * DEPTH * np.cos(points @ MOIRE_HARMONICS.T + PHASE).sum(axis=1)
    for state in (0, 5, 6, 8):
        k = (crystal.momenta[state] + twist) @ cell.reciprocal + crystal.waves @ MOIRE_RECIPROCAL
        waves = crystal.coefficients[state] * np.exp(1j * points @ k.T)
        left = waves @ (0.5 * np.sum(k**2, axis=1)) + potential * waves.sum(axis=1)
        right = crystal.energies[state] * waves.sum(axis=1)
        np.testing.assert_allclose(left, right, atol=1e-3 * np.abs(right).max())


def test_the_crystal_leaves_one_moire_site_of_three_empty():
    cell = HEXAGONAL_27
    crystal = crystal_orbitals(cell, DEPTH, PHASE, DEPTH / 4)
    assert crystal.energies[18] - crystal.energies[17] > 0.5 * DEPTH  # a gap above two bands of three
    sites = np.array([[0, 0], [1, 0], [0, 1]]) @ MOIRE_VECTORS
    k = crystal.momenta[:18, None] @ cell.reciprocal + crystal.waves @ MOIRE_RECIPROCAL
    values = np.einsum("bw,bws->bs", crystal.coefficients[:18], np.exp(1j * k @ sites.T))
    density = np.sum(np.abs(values) ** 2, axis=0)
    assert density[0] < 0.1 * density[1]
    assert density[1] == pytest.approx(density[2], rel=1e-6)


def test_the_crystal_needs_a_supercell_that_it_fits():
    with pytest.raises(ValueError, match="does not fit"):
        crystal_orbitals(supercell_of(4), DEPTH, PHASE, 1.0)


def test_supercell_momenta_are_twists_of_one_moire_cell():
    cell = supercell_of(3)
    folded = bloch_orbitals(cell, DEPTH, PHASE).energies[:9]
    momenta = cell.moire_points() @ cell.reciprocal
    twists = momenta @ np.linalg.inv(MOIRE_RECIPROCAL)
    single = supercell_of(1)
    assert np.allclose(single.reciprocal, MOIRE_RECIPROCAL)
    bands = [bloch_orbitals(single, DEPTH, PHASE, twist).energies[:4] for twist in twists]
    np.testing.assert_allclose(folded, np.sort(np.concatenate(bands))[:9], rtol=0, atol=1e-9)


def test_opposite_phase_and_opposite_twist_have_the_same_energies():
    cell, twist = supercell_of(2), np.array([0.15, 0.35])
    reference = bloch_orbitals(cell, DEPTH, PHASE, twist).energies[:8]
    inverted = bloch_orbitals(cell, DEPTH, -PHASE, -twist).energies[:8]
    reversed_time = bloch_orbitals(cell, DEPTH, PHASE, -twist).energies[:8]
    np.testing.assert_allclose(inverted, reference, rtol=0, atol=1e-9)
    np.testing.assert_allclose(reversed_time, reference, rtol=0, atol=1e-9)


def test_pauli_principle_fills_each_spin_separately():
    cell, twist = supercell_of(3), (0.1, 0.2)  # no degenerate levels
    levels = bloch_orbitals(cell, DEPTH, PHASE, twist).energies
    polarized, mixed, paired = (
        filled_band_energy(cell, spins, DEPTH, PHASE, twist) for spins in [(4, 0), (3, 1), (2, 2)]
    )
    assert polarized == pytest.approx(levels[:4].sum(), rel=1e-12)
    assert mixed == pytest.approx(levels[:3].sum() + levels[0], rel=1e-12)
    assert paired == pytest.approx(2 * levels[:2].sum(), rel=1e-12)
    assert paired < mixed < polarized


def test_orbitals_solve_the_schroedinger_equation_pointwise():
    cell, twist = supercell_of(3), np.array([0.2, 0.4])
    orbitals = bloch_orbitals(cell, DEPTH, PHASE, twist, shell=7.01)
    family = Family(15.0, 1.0, 45.0, 5.0, 0.35, 8.031)
    couplings = family.couplings(jnp.zeros(0, jnp.float64))
    for position in np.random.default_rng(3).uniform(-1, 1, (5, 2)):
        potential = float(MoirePotential()(jnp.asarray(position[None]), couplings))
        for b in range(6):
            momenta = (orbitals.momenta[b] + twist) @ cell.reciprocal
            momenta = momenta + orbitals.waves @ MOIRE_RECIPROCAL
            waves = orbitals.coefficients[b] * np.exp(1j * momenta @ position)
            kinetic = 0.5 * np.sum(momenta**2, axis=1) @ waves
            residual = kinetic + (potential - orbitals.energies[b]) * waves.sum()
            assert abs(residual) < 1e-7  # plane waves beyond seven shells


def test_orbitals_are_orthonormal():
    orbitals = bloch_orbitals(supercell_of(1), DEPTH, PHASE, (0.1, 0.2))
    overlaps = orbitals.coefficients.conj() @ orbitals.coefficients.T
    np.testing.assert_allclose(overlaps, np.eye(len(overlaps)), atol=1e-10)


def test_plane_waves_are_converged():
    cell = supercell_of(3)
    few = bloch_orbitals(cell, 2 * DEPTH, PHASE).energies[:6]
    many = bloch_orbitals(cell, 2 * DEPTH, PHASE, shell=8.01).energies[:6]
    np.testing.assert_allclose(few, many, rtol=0, atol=1e-8)


def lowest_by_class(bloch, cell, count, tried):
    """Lowest energy of `count` orbitals at every total momentum, from all choices of the first `tried`."""
    chosen = list(itertools.combinations(range(tried), count))
    choices = np.array(chosen, int).reshape(len(chosen), count)
    energies = bloch.energies[choices].sum(axis=1)
    names = [cell.momentum_class(total) for total in bloch.momenta[choices].sum(axis=1)]
    found = {}
    for name, energy in zip(names, energies, strict=True):
        found[name] = min(found.get(name, math.inf), energy)
    return found


@pytest.mark.parametrize("spins", [(1, 0), (3, 0), (5, 0), (1, 1), (3, 2), (0, 2)])
@pytest.mark.parametrize("moire", [0.0, 0.3 * DEPTH])
@pytest.mark.parametrize("cell", [supercell_of(3), supercell_of(4), Supercell(((3, 0), (0, 1)))])
def test_lowest_filling_of_every_momentum_by_brute_force(cell, moire, spins):
    bloch = bloch_orbitals(cell, moire, PHASE, (0.05, 0.1))
    up, down = (lowest_by_class(bloch, cell, count, 14 if count < 5 else 13) for count in spins)
    representative = {cell.momentum_class(label): label for label in cell.moire_points()}
    expected = {}
    for (a, first), (b, second) in itertools.product(up.items(), down.items()):
        name = cell.momentum_class(representative[a] + representative[b])
        expected[name] = min(expected.get(name, math.inf), first + second)
    assert len(expected) == cell.cells
    for name, label in representative.items():
        filled = next(lowest_fillings(bloch, cell, spins, tuple(label.tolist())))
        assert tuple(len(set(chosen.tolist())) for chosen in filled) == spins
        chosen = np.concatenate(filled)
        assert cell.momentum_class(bloch.momenta[chosen].sum(axis=0)) == name
        assert bloch.energies[chosen].sum() == pytest.approx(expected[name], abs=1e-9)


@pytest.mark.parametrize(
    ("cells", "spins", "moire", "tried"),
    [(9, (6, 0), DEPTH, range(11)), (4, (3, 0), 0.0, range(20)), (4, (2, 2), 0.0, range(16))],
)
def test_all_fillings_of_the_lowest_energy_by_brute_force(cells, spins, moire, tried):
    cell = supercell_of(cells)
    bloch = bloch_orbitals(cell, moire, PHASE)
    by_name = {cell.momentum_class(label): [] for label in cell.moire_points()}
    for up in itertools.combinations(tried, spins[0]):
        for down in itertools.combinations(tried, spins[1]):
            chosen = [*up, *down]
            name = cell.momentum_class(bloch.momenta[chosen].sum(axis=0))
            by_name[name].append((bloch.energies[chosen].sum(), up, down))
    numbers = []
    for label in cell.moire_points():
        found = by_name[cell.momentum_class(label)]
        lowest = min(found)[0]
        expected = {(up, down) for energy, up, down in found if energy < lowest + 1e-6}
        fillings = list(lowest_fillings(bloch, cell, spins, tuple(label.tolist())))
        assert {(tuple(up.tolist()), tuple(down.tolist())) for up, down in fillings} == expected
        numbers.append(len(fillings))
        assert len(fillings) == len(expected)
    assert max(numbers) > 1  # open shells


def test_fillings_without_a_momentum_are_those_of_the_lowest_levels():
    cell = supercell_of(9)
    bloch = bloch_orbitals(cell, DEPTH, PHASE)
    fillings = list(lowest_fillings(bloch, cell, (5, 1)))
    assert fillings[0][0].tolist() == [0, 1, 2, 3, 4]
    label = bloch.momenta[np.concatenate(fillings[0])].sum(axis=0)
    named = list(lowest_fillings(bloch, cell, (5, 1), tuple(label.tolist())))
    both = [{str(each) for each in found} for found in (fillings, named)]
    assert both[0] == both[1]
    assert len(fillings) == len(named) > 1


def test_lowest_filling_without_a_momentum_takes_the_lowest_levels():
    bloch = bloch_orbitals(supercell_of(3), DEPTH, PHASE)
    up, down = next(lowest_fillings(bloch, supercell_of(3), (4, 2)))
    assert (up.tolist(), down.tolist()) == ([0, 1, 2, 3], [0, 1])


def lowest_by_occupation(bloch, cell, count):
    """As `lowest_by_class`: every number of electrons at every crystal momentum, in its lowest levels."""
    names = np.array([cell.momentum_class(label) for label in bloch.momenta])
    labels, found = cell.moire_points(), {}
    levels = [
        np.cumsum([0.0, *bloch.energies[np.all(names == cell.momentum_class(label), axis=1)]])
        for label in labels
    ]
    for numbers in itertools.product(range(count + 1), repeat=len(labels)):
        if sum(numbers) == count:
            name = cell.momentum_class(np.array(numbers) @ labels)
            energy = sum(level[number] for level, number in zip(levels, numbers, strict=True))
            found[name] = min(found.get(name, math.inf), energy)
    return found


@pytest.mark.parametrize("moire", [0.0, 1.0, DEPTH])
@pytest.mark.parametrize(
    ("cell", "count"),
    [(Supercell(((2, 0), (0, 1))), 7), (Supercell(((2, 0), (0, 1))), 13), (supercell_of(3), 8)],
)
def test_lowest_fillings_reach_across_gaps(cell, count, moire):
    """Eight free electrons in three cells: Gamma has one low level where K and K' have three each."""
    bloch = bloch_orbitals(cell, moire, PHASE)
    expected = lowest_by_occupation(bloch, cell, count)
    for label in cell.moire_points():
        filled, _ = next(lowest_fillings(bloch, cell, (count, 0), tuple(label.tolist())))
        assert len(set(filled.tolist())) == count
        name = cell.momentum_class(bloch.momenta[filled].sum(axis=0))
        assert name == cell.momentum_class(label)
        assert bloch.energies[filled].sum() == pytest.approx(expected[name], abs=1e-9)
