"""The two-electron reference against limits that are known exactly, and against brute force."""

import itertools
import math

import jax.numpy as jnp
import numpy as np
import pytest

from qernel.hamiltonian.bands import bloch_orbitals
from qernel.hamiltonian.coulomb import Coulomb
from qernel.hamiltonian.couplings import Family
from qernel.hamiltonian.hamiltonian import Hamiltonian, moire_hamiltonian
from qernel.lattice import MOIRE_RECIPROCAL, Supercell, integer_grid, supercell_of
from qernel.reference import ExactPair, exact_pair, exact_pair_energies, ground_state, two_electrons
from qernel.units import coulomb_strength, moire_energy

UNIT = moire_energy(0.35, 8.031)
DEPTH = 15.0 / UNIT
PHASE = math.pi / 4
REPULSION = coulomb_strength(5.0, 0.35, 8.031)
PER_ELECTRON = UNIT / 2  # meV per electron for E_M per supercell
CELL = supercell_of(3)
RECTANGLE = Supercell(((1, 0), (1, 2)))  # 1 by sqrt(3)
FAMILY = Family(15.0, 1.0, 45.0, 5.0, 0.35, 8.031, ranges=(("moire_depth", 0.5, 2.0),))


@pytest.fixture(scope="module")
def sectors() -> list[ExactPair]:
    """The paper's material at depth one, two electrons in three cells."""
    return exact_pair_energies(CELL, DEPTH, PHASE, REPULSION, levels=2)


@pytest.fixture(scope="module")
def shallow() -> list[ExactPair]:
    """A quick case without symmetry: shallow and twisted, in a rectangular supercell."""
    return exact_pair_energies(RECTANGLE, 0.3 * DEPTH, 0.5, REPULSION, (0.1, 0.2), levels=2)


def lowest(pairs: list[ExactPair]) -> np.ndarray:
    return np.array([pair.energies[0] for pair in pairs])


def brute_force(moire, phase, coulomb, twist, cutoff) -> dict[tuple[int, int], float]:
    """Lowest energy in each momentum class, from all determinants of plane waves |k| < cutoff."""
    labels = integer_grid(math.ceil(cutoff * RECTANGLE.vectors.max() / (2 * math.pi)))
    labels = labels[np.linalg.norm(labels @ RECTANGLE.reciprocal, axis=1) < cutoff]
    pairs = np.array(list(itertools.combinations(labels, 2)))
    names = np.array([RECTANGLE.momentum_class(first + second) for first, second in pairs])
    energies = {}
    for name in np.unique(names, axis=0):
        first, second = pairs[np.all(names == name, axis=1)].transpose(1, 0, 2)
        direct = potential(moire, phase, coulomb, first[:, None] - first, second[:, None] - second)
        exchange = potential(moire, phase, coulomb, first[:, None] - second, second[:, None] - first)
        momenta = (np.stack([first, second]) + twist) @ RECTANGLE.reciprocal
        kinetic = np.sum(momenta**2, axis=(0, 2)) / 2
        level = np.linalg.eigvalsh(np.diag(kinetic) + direct - exchange)[0]
        energies[tuple(name.tolist())] = level + coulomb * Coulomb(RECTANGLE).madelung
    return energies


def potential(moire, phase, coulomb, transfer, other_transfer) -> np.ndarray:
    """Matrix elements between products of two plane waves that differ by the transfers (..., 2)."""
    length = np.linalg.norm(transfer @ RECTANGLE.reciprocal, axis=-1)
    collide = np.all(transfer == -other_transfer, axis=-1) & (length > 0)
    scale = 2 * math.pi * coulomb / RECTANGLE.area
    elements = np.divide(scale, length, out=np.zeros_like(length), where=collide).astype(complex)
    for moved, spectator in ((transfer, other_transfer), (other_transfer, transfer)):
        steps = moved @ RECTANGLE.reciprocal @ np.linalg.inv(MOIRE_RECIPROCAL)
        still = np.all(spectator == 0, axis=-1)
        for harmonic in ([1.0, 0.0], [-1.0, 1.0], [0.0, -1.0]):
            for sign in (1, -1):
                hit = still & np.all(np.isclose(steps, np.multiply(sign, harmonic)), axis=-1)
                elements[hit] -= moire * np.exp(1j * sign * phase)
    return elements


def test_known_ground_state(sectors):
    # meV per electron, from an independent calculation
    assert lowest(sectors).min() * PER_ELECTRON == pytest.approx(-61.1998, abs=1e-4)


def test_ground_state_sits_at_the_corners_of_the_brillouin_zone(sectors):
    by_length = sorted(sectors, key=lambda pair: float(np.linalg.norm(pair.momentum)))
    gamma, *corners = (pair.energies[0] * PER_ELECTRON for pair in by_length)
    assert by_length[0].momentum == (0, 0)
    assert corners[0] == pytest.approx(corners[1], abs=1e-8)  # time reversal
    assert 3 < gamma - corners[0] < 9  # meV per electron


def test_claims_the_accuracy_of_a_reference(sectors):
    assert max(pair.uncertainty for pair in sectors) * PER_ELECTRON < 1e-4


def test_components_add_up(sectors, shallow):
    for pair in sectors + shallow:
        total = pair.kinetic + pair.moire + pair.coulomb
        assert total == pytest.approx(pair.energies[0], abs=1e-9)


def test_levels_ascend(sectors, shallow):
    assert all(pair.energies[0] < pair.energies[1] for pair in sectors + shallow)


def test_agrees_with_determinants_of_plane_waves(shallow):
    coarse, fine = (brute_force(0.3 * DEPTH, 0.5, REPULSION, (0.1, 0.2), cutoff) for cutoff in (14.0, 20.0))
    assert len(shallow) == len(fine) == 2
    for pair in shallow:
        name = RECTANGLE.momentum_class(pair.momentum)
        # Brute force is variational and converges from above, some four times closer each time.
        assert pair.energies[0] < fine[name] < coarse[name]
        assert fine[name] - pair.energies[0] < 0.4 * (coarse[name] - pair.energies[0])
        assert fine[name] == pytest.approx(pair.energies[0], abs=3e-3)


@pytest.mark.parametrize("twist", [(0.0, 0.0), (0.1, 0.35)])
def test_without_repulsion_it_is_a_sum_of_bands(twist):
    pairs = exact_pair_energies(RECTANGLE, DEPTH, PHASE, 0.0, twist)
    orbitals = bloch_orbitals(RECTANGLE, DEPTH, PHASE, twist, shell=7.01)
    sums = {}
    for i, j in itertools.combinations(range(8), 2):
        name = RECTANGLE.momentum_class(orbitals.momenta[i] + orbitals.momenta[j])
        sums[name] = min(sums.get(name, math.inf), orbitals.energies[i] + orbitals.energies[j])
    for pair in pairs:
        expected = sums[RECTANGLE.momentum_class(pair.momentum)]
        assert pair.energies[0] == pytest.approx(expected, abs=pair.uncertainty + 1e-9)
        assert pair.coulomb == pytest.approx(0.0, abs=1e-9)


def test_without_moire_potential_the_pair_moves_freely():
    # H = K^2 / 4 + h conserves K: a boost by the twist adds |2 twist|^2 / 4 of kinetic energy to
    # K = 0 (small enough that no K of another relative state comes lower).
    twist = np.array([0.015, 0.025])
    still, boosted = (
        next(
            pair
            for pair in exact_pair_energies(CELL, 0.0, PHASE, REPULSION, boost)
            if pair.momentum == (0, 0)
        )
        for boost in (0 * twist, twist)
    )
    energy = np.sum((2 * twist @ CELL.reciprocal) ** 2) / 4
    assert boosted.energies[0] - still.energies[0] == pytest.approx(energy, abs=1e-9)
    assert boosted.kinetic - still.kinetic == pytest.approx(energy, abs=1e-6)
    assert boosted.moire == pytest.approx(0.0, abs=1e-9)


def test_weak_repulsion_is_first_order_perturbation_theory():
    # Electrons at k = 0 and the shortest reciprocal vector B: exchange lowers u xi by 2 pi / A B.
    coulomb = 1e-5
    shortest = np.linalg.norm(RECTANGLE.reciprocal, axis=1).min()
    pair = ground_state(RECTANGLE, 0.0, 0.0, coulomb)
    slope = Coulomb(RECTANGLE).madelung - 2 * math.pi / (RECTANGLE.area * shortest)
    assert pair.kinetic == pytest.approx(shortest**2 / 2, rel=1e-8)
    assert pair.coulomb / coulomb == pytest.approx(slope, rel=1e-4)  # second order: u


def test_opposite_phase_has_the_same_energy():
    plus, minus = (ground_state(CELL, 0.5 * DEPTH, s * PHASE, REPULSION) for s in (1, -1))
    assert minus.energies[0] == pytest.approx(plus.energies[0], abs=1e-9)
    assert minus.coulomb == pytest.approx(plus.coulomb, abs=1e-6)


def test_energies_are_periodic_in_the_twist(shallow):
    moved = exact_pair_energies(RECTANGLE, 0.3 * DEPTH, 0.5, REPULSION, (1.1, -0.8))
    np.testing.assert_allclose(np.sort(lowest(moved)), np.sort(lowest(shallow)), atol=1e-9)


def test_energies_do_not_depend_on_the_basis_of_the_supercell():
    first = exact_pair_energies(Supercell(((1, 2), (-2, -1))), 0.3 * DEPTH, PHASE, REPULSION)
    second = exact_pair_energies(Supercell(((1, 2), (4, 5))), 0.3 * DEPTH, PHASE, REPULSION)
    np.testing.assert_allclose(np.sort(lowest(first)), np.sort(lowest(second)), atol=1e-9)


def test_components_obey_the_hellmann_feynman_theorem(shallow):
    step, parameters = 1e-3, np.array([0.3 * DEPTH, REPULSION])

    def energies(shift) -> np.ndarray:
        moire, coulomb = (parameters * (1 + step * np.array(shift))).tolist()
        return lowest(exact_pair_energies(RECTANGLE, moire, 0.5, coulomb, (0.1, 0.2)))

    moire = (energies((1, 0)) - energies((-1, 0))) / (2 * step)
    coulomb = (energies((0, 1)) - energies((0, -1))) / (2 * step)
    # Central differences with a step of 1e-3: relative error 1e-6
    np.testing.assert_allclose([pair.moire for pair in shallow], moire, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose([pair.coulomb for pair in shallow], coulomb, rtol=1e-5, atol=1e-5)


def test_cusp_error_falls_as_the_fourth_power_of_the_momentum_cutoff():
    levels = [
        two_electrons._relative_motion(CELL, REPULSION, (0, 1), cutoff, 100.0).energies[0]
        for cutoff in (20.0, 40.0, 80.0)
    ]
    ratio = (levels[0] - levels[1]) / (levels[1] - levels[2])
    assert ratio == pytest.approx(16, rel=0.2)  # the number of plane waves grows in steps


def test_extrapolation_removes_most_of_the_cusp_error(monkeypatch):
    # Without a moiré potential the uncertainty is the size of the extrapolation alone.
    extrapolated = ground_state(CELL, 0.0, PHASE, REPULSION)
    monkeypatch.setattr(two_electrons, "_MOMENTUM_CUTOFFS", (6.0, 9.0))
    converged = ground_state(CELL, 0.0, PHASE, REPULSION)
    assert converged.uncertainty < 0.02 * extrapolated.uncertainty
    error = abs(extrapolated.energies[0] - converged.energies[0])
    assert error < 0.2 * extrapolated.uncertainty


def test_uncertainty_covers_the_change_to_larger_cutoffs(shallow, monkeypatch):
    cutoff = two_electrons._energy_cutoff
    monkeypatch.setattr(two_electrons, "_energy_cutoff", lambda moire: 1.7 * cutoff(moire))
    monkeypatch.setattr(two_electrons, "_MOMENTUM_CUTOFFS", (3.3, 5.0))
    better = exact_pair_energies(RECTANGLE, 0.3 * DEPTH, 0.5, REPULSION, (0.1, 0.2))
    for old, new in zip(shallow, better, strict=True):
        for name in ("kinetic", "moire", "coulomb"):
            assert abs(getattr(new, name) - getattr(old, name)) < old.uncertainty
        assert abs(new.energies[0] - old.energies[0]) < old.uncertainty
        assert new.uncertainty < old.uncertainty


def hamiltonian(spins: tuple[int, int]) -> Hamiltonian:
    return moire_hamiltonian(CELL, spins, FAMILY)


def test_reports_a_hamiltonian_in_mev_per_electron(sectors):
    report = exact_pair(hamiltonian((2, 0)), jnp.array([1.0], jnp.float64))
    best = min(sectors, key=lambda pair: pair.energies[0])
    assert report["energy"] == pytest.approx(-61.1998, abs=1e-4)
    for name in ("kinetic", "moire", "coulomb"):
        assert report[name] == pytest.approx(getattr(best, name) * PER_ELECTRON, abs=1e-4)
    assert 0 < report["uncertainty"] < 1e-4


@pytest.mark.parametrize("spins", [(1, 1), (3, 0), (0, 2)])
def test_other_electrons_are_an_error(spins):
    with pytest.raises(ValueError, match="two spin-polarized electrons"):
        exact_pair(hamiltonian(spins), jnp.array([1.0], jnp.float64))


def test_unknown_terms_are_an_error():
    plain = hamiltonian((2, 0))
    without = Hamiltonian(plain.supercell, plain.spins, plain.family, plain.terms[1:])
    with pytest.raises(ValueError, match="does not know"):
        exact_pair(without, jnp.array([1.0], jnp.float64))


def test_large_supercells_are_an_error():
    with pytest.raises(ValueError, match="16 moiré cells"):
        ground_state(supercell_of(27), DEPTH, PHASE, REPULSION)
