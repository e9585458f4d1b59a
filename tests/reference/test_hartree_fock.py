"""Hartree-Fock against bands, plane waves, exact energies, and a formula without Fourier transforms."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from qernel.hamiltonian import Coulomb
from qernel.hamiltonian.bands import filled_band_energy
from qernel.hamiltonian.couplings import Family
from qernel.hamiltonian.hamiltonian import Hamiltonian, moire_hamiltonian
from qernel.lattice import MOIRE_HARMONICS, MOIRE_VECTORS, Supercell, supercell_of
from qernel.reference import (
    HartreeFock,
    exact_pair,
    hartree_fock_energy,
    has_hartree_fock,
    lowest_determinant,
    plane_wave_energy,
)
from qernel.reference.hartree_fock import (
    _bands,
    _Basis,
    _crystal,
    _descend,
    _energies,
    _energy_cutoff,
    _functional,
    _random,
    _System,
)
from qernel.reference.orbital_descent import minimize, orthonormalize
from qernel.units import coulomb_strength, moire_energy

UNIT = moire_energy(0.35, 8.031)
DEPTH = 15.0 / UNIT
PHASE = math.pi / 4
REPULSION = coulomb_strength(5.0, 0.35, 8.031)
THREE, NINE = supercell_of(3), supercell_of(9)
RECTANGLE = Supercell(((1, 0), (1, 2)))
FAMILY = Family(15.0, 1.0, 45.0, 5.0, 0.35, 8.031, ranges=(("moire_depth", 0.5, 2.0),))
CONTEXT = jnp.array([1.0], jnp.float64)


def system(
    supercell: Supercell, spins: tuple[int, int], moire=DEPTH, phase=PHASE, coulomb=REPULSION, twist=(0, 0)
) -> _System:
    return _System(supercell, spins, moire, phase, coulomb, np.array(twist, float))


def meV(energy: float, electrons: int) -> float:
    return energy * UNIT / electrons


@pytest.fixture(scope="module")
def pair() -> HartreeFock:
    return lowest_determinant(THREE, (2, 0), DEPTH, PHASE, REPULSION)


@pytest.fixture(scope="module")
def six() -> HartreeFock:
    """The paper's material at depth one, six electrons in nine cells."""
    return lowest_determinant(NINE, (6, 0), DEPTH, PHASE, REPULSION)


@pytest.fixture(scope="module")
def generic() -> HartreeFock:
    """A quick case without symmetry: both spins, shallow, twisted, in a rectangular supercell."""
    return lowest_determinant(RECTANGLE, (2, 1), 0.3 * DEPTH, 0.5, REPULSION, (0.1, 0.2))


def dense_energies(basis: _Basis, orbitals: np.ndarray) -> np.ndarray:
    """Kinetic, moiré and Coulomb energy from sums over the plane waves' one- and two-body integrals."""
    supercell, (up, _), moire, phase, coulomb, twist = basis.system
    waves = basis.waves
    spin_matrices = [rows.conj().T @ rows for rows in (orbitals[:up], orbitals[up:])]  # <c+_k c_k'>
    density = sum(spin_matrices)
    kinetic = 0.5 * np.sum(((waves + twist) @ supercell.reciprocal) ** 2, axis=1) @ np.diag(density).real
    transfer = (waves[:, None] - waves[None]) @ supercell.reciprocal  # of <k|e^{iq.r}|k'>: q = k - k'
    potential = np.zeros(transfer.shape[:2], complex)
    for harmonic in MOIRE_HARMONICS:
        for sign in (1, -1):
            hit = np.all(np.isclose(transfer, sign * harmonic), axis=-1)
            potential[hit] -= moire * np.exp(1j * sign * phase)
    moved = waves[:, None] - waves[None]
    lengths = np.linalg.norm(moved @ supercell.reciprocal, axis=-1)
    scale = 2 * math.pi * coulomb / supercell.area
    repulsion = np.divide(scale, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    # <k p|v|k' p'>: k - k' = p' - p
    meet = np.all(moved[:, None, :, None] == -moved[None, :, None, :], axis=-1)
    integrals = np.where(meet, repulsion[:, None, :, None], 0)
    direct = np.einsum("kpab,ka,pb->", integrals, density, density)
    exchange = sum(np.einsum("kpab,kb,pa->", integrals, each, each) for each in spin_matrices)
    self_image = 0.5 * len(orbitals) * coulomb * Coulomb(supercell).madelung
    return np.array([kinetic, np.sum(potential * density).real, 0.5 * (direct - exchange).real + self_image])


@pytest.mark.parametrize("twist", [(0.0, 0.0), (0.1, 0.35)])
@pytest.mark.parametrize("spins", [(2, 1), (3, 0), (0, 1)])
def test_energy_is_that_of_plane_wave_integrals(spins, twist):
    basis = _Basis.make(system(RECTANGLE, spins, phase=0.5, twist=twist), 80.0)
    assert 15 < len(basis.waves) < 40
    orbitals = _random(basis, 7)
    np.testing.assert_allclose(_energies(orbitals, basis), dense_energies(basis, orbitals), atol=1e-9)


def test_converged_energy_is_that_of_plane_wave_integrals():
    basis = _Basis.make(system(RECTANGLE, (2, 1), phase=0.5, twist=(0.1, 0.2)), 80.0)
    found = _descend(basis, _random(basis, 7), 1e-6)
    assert found.residual < 1e-6
    assert found.energy == pytest.approx(dense_energies(basis, found.orbitals).sum(), abs=1e-9)


def test_gradient_is_the_slope_along_orbital_rotations():
    basis = _Basis.make(system(RECTANGLE, (2, 1), phase=0.5, twist=(0.1, 0.2)), 80.0)
    orbitals, direction, step = _random(basis, 7), _random(basis, 8), 1e-5
    for rows in (slice(0, 2), slice(2, 3)):  # rotations into unoccupied orbitals
        overlap = direction[rows] @ orbitals[rows].conj().T
        direction[rows] -= overlap @ orbitals[rows]
    forth, back = (
        _functional(orthonormalize(orbitals + sign * step * direction, (2, 1)), basis)[0] for sign in (1, -1)
    )
    slope = 2 * np.vdot(_functional(orbitals, basis)[1], direction).real
    assert abs(slope) > 1
    assert slope == pytest.approx((forth - back) / (2 * step), rel=1e-6)


@pytest.mark.parametrize(
    ("spins", "twist"), [((6, 0), (0.0, 0.0)), ((3, 2), (0.1, 0.35)), ((0, 4), (1.1, -2.6))]
)
def test_without_repulsion_it_fills_bands(spins, twist):
    state = lowest_determinant(NINE, spins, DEPTH, PHASE, 0.0, twist)
    assert state.energy == pytest.approx(filled_band_energy(NINE, spins, DEPTH, PHASE, twist), abs=1e-4)
    assert state.coulomb == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("spins", [(7, 0), (7, 1)])
def test_filled_plane_waves_have_their_energy(spins):
    basis = _Basis.make(system(NINE, spins, moire=0.0), 60.0)
    kinetic, moire, coulomb = _energies(_bands(basis), basis)
    gas = plane_wave_energy(NINE, spins, REPULSION)
    assert (kinetic, coulomb) == pytest.approx((gas.kinetic, gas.coulomb), abs=1e-9)
    assert moire == 0


def test_dense_closed_shell_is_a_determinant_of_plane_waves():
    # At r_s = 0.6 nothing breaks the symmetry
    state = lowest_determinant(NINE, (7, 0), 0.0, PHASE, 1.0)
    assert state.energy == pytest.approx(plane_wave_energy(NINE, (7, 0), 1.0).energy, abs=1e-7)


def test_six_electrons_crystallize(six):
    # The exact energy is about -59.5; a neural determinant stopped early at -57.71(5)
    assert -59.45 < meV(six.energy, 6) < -57.71
    assert meV(six.energy, 6) == pytest.approx(-58.8795, abs=1e-4)
    assert six.converged
    assert six.residual < 1e-5
    assert meV(six.uncertainty, 6) < 2e-3


def test_random_starts_find_the_crystal_and_nothing_lower(six):
    crystal = six.starts["crystal"]
    others = [energy for name, energy in six.starts.items() if name.startswith("random")]
    assert min(others) == pytest.approx(crystal, abs=1e-4)
    assert six.starts["bands"] > crystal + 1


def test_uncertainty_covers_a_much_larger_cutoff(six):
    cutoff = _energy_cutoff(system(NINE, (6, 0)))
    larger = lowest_determinant(NINE, (6, 0), DEPTH, PHASE, REPULSION, cutoff=1.5 * cutoff)
    for name in ("energy", "kinetic", "moire", "coulomb"):
        assert getattr(larger, name) == pytest.approx(getattr(six, name), abs=six.uncertainty)
    assert larger.energy == pytest.approx(six.energy, abs=1e-5)


def test_components_add_up(pair, six, generic):
    for state in (pair, six, generic):
        assert state.kinetic + state.moire + state.coulomb == pytest.approx(state.energy, abs=1e-9)


def test_orbitals_are_orthonormal_eigenstates_of_the_fock_operator(generic):
    up, down = generic.coefficients[:2], generic.coefficients[2:]
    np.testing.assert_allclose(up @ up.conj().T, np.eye(2), atol=1e-10)
    np.testing.assert_allclose(down @ down.conj().T, np.eye(1), atol=1e-10)
    parameters = system(RECTANGLE, (2, 1), 0.3 * DEPTH, 0.5, twist=(0.1, 0.2))
    basis = _Basis.make(parameters, _energy_cutoff(parameters))
    np.testing.assert_array_equal(basis.waves, generic.waves)
    _, fock = _functional(generic.coefficients, basis)
    np.testing.assert_allclose(fock, generic.levels[:, None] * generic.coefficients, atol=2e-5)


def test_lies_between_the_exact_pair_and_the_determinant_of_bands(pair):
    exact = exact_pair(moire_hamiltonian(THREE, (2, 0), FAMILY), CONTEXT)
    basis = _Basis.make(system(THREE, (2, 0)), _energy_cutoff(system(THREE, (2, 0))))
    bands = meV(_energies(_bands(basis), basis).sum(), 2)
    assert exact["energy"] + 0.1 < meV(pair.energy, 2) < bands - 0.1


def test_one_electron_is_exact():
    state = lowest_determinant(THREE, (1, 0), DEPTH, PHASE, REPULSION)
    band = filled_band_energy(THREE, (1, 0), DEPTH, PHASE)
    self_image = 0.5 * REPULSION * Coulomb(THREE).madelung
    assert state.energy == pytest.approx(band + self_image, abs=1e-4)


@pytest.mark.parametrize("coulomb", [0.5, REPULSION])
def test_unrestricted_orbitals_lie_below_restricted_ones(coulomb):
    basis = _Basis.make(system(THREE, (1, 1), coulomb=coulomb), 150.0)

    def restricted(orbital):
        energy, gradient = _functional(np.concatenate([orbital, orbital]), basis)
        return energy, gradient[:1] + gradient[1:]

    shared = min(
        minimize(restricted, start[:1], (1, 0), 1 / (basis.kinetic + 20), 1e-5).energy
        for start in (_crystal(basis), _random(basis, 0))
    )
    free = lowest_determinant(THREE, (1, 1), DEPTH, PHASE, coulomb, cutoff=150.0)
    # Weakly repelling electrons share an orbital; strongly repelling ones sit on different sites.
    if coulomb == REPULSION:
        assert free.energy < shared - 1
    else:
        assert free.energy == pytest.approx(shared, abs=1e-3)


def test_translated_seeds_have_the_same_energy(six):
    parameters = system(NINE, (6, 0))
    basis = _Basis.make(parameters, 0.6 * _energy_cutoff(parameters))
    energies = [_descend(basis, _crystal(basis, shift), 1e-5).energy for shift in range(3)]
    assert energies == pytest.approx([six.starts["crystal"]] * 3, abs=1e-5)


def test_any_translation_of_orbitals_leaves_the_electron_gas_alone():
    basis = _Basis.make(system(RECTANGLE, (2, 1), moire=0.0, twist=(0.1, 0.2)), 80.0)
    orbitals = _random(basis, 7)
    moved = orbitals * np.exp(-1j * basis.waves @ RECTANGLE.reciprocal @ np.array([0.37, -0.21]))
    np.testing.assert_allclose(_energies(moved, basis), _energies(orbitals, basis), atol=1e-9)


def test_components_obey_the_hellmann_feynman_theorem():
    step = 1e-3

    def basis(moire: float, coulomb: float) -> _Basis:
        depth, repulsion = 0.3 * DEPTH * (1 + step * moire), REPULSION * (1 + step * coulomb)
        return _Basis.make(system(RECTANGLE, (2, 1), depth, 0.5, repulsion, (0.1, 0.2)), 120.0)

    found = _descend(basis(0, 0), _random(basis(0, 0), 0), 1e-6)
    _, moire, coulomb = _energies(found.orbitals, basis(0, 0))

    def slope(*direction: float) -> float:
        forth, back = (basis(*(sign * np.array(direction)).tolist()) for sign in (1, -1))
        energies = [_descend(each, found.orbitals, 1e-6).energy for each in (forth, back)]
        return (energies[0] - energies[1]) / (2 * step)

    assert moire == pytest.approx(slope(1, 0), rel=1e-5)
    assert coulomb == pytest.approx(slope(0, 1), rel=1e-5)


def test_both_spins_are_treated_alike():
    one, other = (lowest_determinant(RECTANGLE, spins, DEPTH, PHASE, REPULSION) for spins in ((2, 1), (1, 2)))
    assert other.energy == pytest.approx(one.energy, abs=1e-5)


def test_opposite_phase_has_the_same_energy(pair):
    mirrored = lowest_determinant(THREE, (2, 0), DEPTH, -PHASE, REPULSION)
    assert mirrored.energy == pytest.approx(pair.energy, abs=1e-5)


def test_energy_is_periodic_in_the_twist(generic):
    moved = lowest_determinant(RECTANGLE, (2, 1), 0.3 * DEPTH, 0.5, REPULSION, (1.1, -2.8))
    assert moved.energy == pytest.approx(generic.energy, abs=1e-6)


def test_energy_does_not_depend_on_the_basis_of_the_supercell():
    first = lowest_determinant(Supercell(((1, 2), (-2, -1))), (2, 0), DEPTH, PHASE, REPULSION)
    second = lowest_determinant(Supercell(((1, 2), (4, 5))), (2, 0), DEPTH, PHASE, REPULSION)
    assert second.energy == pytest.approx(first.energy, abs=1e-6)


def test_crystal_seed_sits_on_two_of_three_sublattices():
    basis = _Basis.make(system(NINE, (3, 3)), 150.0)
    sites = NINE.sites()
    phases = np.exp(1j * basis.waves @ NINE.reciprocal @ (sites @ MOIRE_VECTORS).T)
    density = np.sum(np.abs(_crystal(basis) @ phases) ** 2, axis=0)
    empty = density < 0.1 * density.max()
    assert empty.sum() == 3
    assert len(set(sites[empty].sum(axis=1) % 3)) == 1


def test_reports_a_hamiltonian_in_mev_per_electron(pair):
    report = hartree_fock_energy(moire_hamiltonian(THREE, (2, 0), FAMILY), CONTEXT)
    assert set(report) == {"energy", "kinetic", "moire", "coulomb", "uncertainty"}
    for name, value in report.items():
        assert value == pytest.approx(meV(getattr(pair, name), 2), abs=1e-5)


def test_unknown_terms_are_an_error():
    plain = moire_hamiltonian(THREE, (2, 0), FAMILY)
    without = Hamiltonian(plain.supercell, plain.spins, plain.family, plain.terms[1:])
    with pytest.raises(ValueError, match="Hartree-Fock knows"):
        hartree_fock_energy(without, CONTEXT)
    assert (has_hartree_fock(plain), has_hartree_fock(without)) == (True, False)


@pytest.mark.parametrize("spins", [(0, 0), (-1, 2)])
def test_no_electrons_are_an_error(spins):
    with pytest.raises(ValueError, match="not both zero"):
        lowest_determinant(THREE, spins, DEPTH, PHASE, REPULSION)


def test_too_few_plane_waves_are_an_error():
    with pytest.raises(ValueError, match="raise cutoff"):
        lowest_determinant(THREE, (9, 0), DEPTH, PHASE, REPULSION, cutoff=10.0)
