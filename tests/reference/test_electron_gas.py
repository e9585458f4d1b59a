"""The electron gas against published tables, determinants worked out by hand, and limits."""

import math

import numpy as np
import pytest

from qernel.hamiltonian import Coulomb
from qernel.hamiltonian.bands import filled_band_energy
from qernel.lattice import Supercell, supercell_of
from qernel.reference import attaccalite_energy, hartree_unit, plane_wave_energy, tanatar_ceperley_energy

TRIANGLE = supercell_of(9)
RECTANGLE = Supercell(((1, 0), (1, 2)))
U = 2.3


def per_electron(supercell: Supercell, spins: tuple[int, int], twist=(0.0, 0.0)) -> tuple[float, float]:
    """T and W of E = T / rs^2 + W / rs in Ha* per electron."""
    count = sum(spins)
    rs = math.sqrt(supercell.area / (math.pi * count)) * U
    gas, unit = plane_wave_energy(supercell, spins, U, twist), count * hartree_unit(U)
    return gas.kinetic / unit * rs**2, gas.coulomb / unit * rs


@pytest.mark.parametrize(
    ("count", "kinetic", "coulomb"),
    [
        (7, 0.888392, -0.898989),
        (19, 0.964680, -0.869352),
        (31, 0.996552, -0.857173),
        (37, 0.985732, -0.859539),
    ],
)
def test_polarized_closed_shells_in_a_triangular_cell(count, kinetic, coulomb):
    assert per_electron(TRIANGLE, (count, 0)) == pytest.approx((kinetic, coulomb), abs=1e-6)


def test_two_electrons_by_hand():
    # k = 0 and, with a twist towards it, the shortest reciprocal vector, along the rectangle's long side
    shift = 0.1
    first, second = shift * RECTANGLE.reciprocal[1], (shift - 1) * RECTANGLE.reciprocal[1]
    gas = plane_wave_energy(RECTANGLE, (2, 0), U, (0.0, shift))
    shortest = 2 * math.pi / math.sqrt(3)
    assert np.linalg.norm(first - second) == pytest.approx(shortest)
    assert gas.kinetic == pytest.approx(0.5 * (shift**2 + (1 - shift) ** 2) * shortest**2)
    exchange = 2 * math.pi * U / (math.sqrt(3) * shortest)
    assert gas.coulomb == pytest.approx(U * Coulomb(RECTANGLE).madelung - exchange)
    assert gas.energy == gas.kinetic + gas.coulomb


def test_spins_do_not_exchange():
    up, both = (plane_wave_energy(TRIANGLE, spins, U) for spins in ((7, 0), (7, 7)))
    assert both.energy == pytest.approx(2 * up.energy)


@pytest.mark.parametrize("twist", [(0.0, 0.0), (0.13, 0.29), (-1.87, 1.29)])
def test_kinetic_energy_is_that_of_empty_bands(twist):
    gas = plane_wave_energy(TRIANGLE, (7, 1), U, twist)
    assert gas.kinetic == pytest.approx(filled_band_energy(TRIANGLE, (7, 1), 0.0, 0.0, twist), abs=1e-9)


def test_large_systems_approach_the_infinite_determinant():
    # 1 / rs^2 - 8 / (3 pi rs), averaged over twists
    def error(count: int) -> tuple[float, float]:
        twists = [((i + 0.35) / 4, (j + 0.15) / 4) for i in range(4) for j in range(4)]
        kinetic, coulomb = np.mean([per_electron(TRIANGLE, (count, 0), each) for each in twists], axis=0)
        return abs(kinetic - 1), abs(coulomb + 8 / (3 * math.pi))

    small, large = error(60), error(240)
    assert large[0] < small[0] < 1e-3
    assert small[1] / large[1] == pytest.approx(4, rel=0.1)
    assert large[1] < 1.5e-3


@pytest.mark.parametrize("count", [2, 6, 8, 18])
def test_open_shells_are_an_error(count):
    with pytest.raises(ValueError, match="open shell"):
        plane_wave_energy(TRIANGLE, (count, 0), U)


# Ha* per electron: rs, Attaccalite et al. and Tanatar & Ceperley at polarization 0 and 1
TABLE = [
    (1.0, -0.210759, -0.210299, 0.125786, None),
    (2.0, -0.258418, -0.258072, -0.194677, None),
    (5.0, -0.149481, -0.149547, -0.143739, -0.142413),
    (10.0, -0.085294, -0.085469, -0.084567, -0.084133),
    (20.0, -0.046267, -0.046346, -0.046225, -0.046132),
    (30.0, -0.031908, -0.031930, -0.031919, -0.031892),
    (40.0, -0.024403, -0.024400, -0.024420, -0.024415),
]


@pytest.mark.parametrize(("rs", "amgb", "tc", "amgb_polarized", "tc_polarized"), TABLE)
def test_fits_of_the_thermodynamic_limit(rs, amgb, tc, amgb_polarized, tc_polarized):
    assert attaccalite_energy(rs, 0.0) == pytest.approx(amgb, abs=6e-7)
    assert attaccalite_energy(rs, 1.0) == pytest.approx(amgb_polarized, abs=6e-7)
    assert tanatar_ceperley_energy(rs, 0.0) == pytest.approx(tc, abs=6e-7)
    if tc_polarized is not None:
        assert tanatar_ceperley_energy(rs, 1.0) == pytest.approx(tc_polarized, abs=6e-7)


def test_fit_is_even_in_the_polarization():
    assert attaccalite_energy(3.0, 0.4) == attaccalite_energy(3.0, -0.4)


def test_dense_gas_is_uncorrelated_to_leading_orders():
    # Correlation tends to a constant, -0.1925 Ha* unpolarized, which kinetic and exchange energy dwarf
    rs = 1e-6
    hartree_fock = 1 / (2 * rs**2) - 4 * math.sqrt(2) / (3 * math.pi * rs)
    assert attaccalite_energy(rs, 0.0) - hartree_fock == pytest.approx(-0.1925, abs=1e-3)


@pytest.mark.parametrize("polarization", [0.0, 0.5, 1.0])
def test_ground_state_lies_below_the_determinant(polarization):
    for rs in (1.0, 5.0, 20.0):
        exchange = (1 + polarization) ** 1.5 + (1 - polarization) ** 1.5
        determinant = (1 + polarization**2) / (2 * rs**2)
        determinant -= 2 * math.sqrt(2) / (3 * math.pi * rs) * exchange
        assert attaccalite_energy(rs, polarization) < determinant


@pytest.mark.parametrize(("rs", "polarization"), [(0.0, 0.0), (-1.0, 0.0), (1.0, 1.1)])
def test_attaccalite_needs_a_density_and_a_polarization(rs, polarization):
    with pytest.raises(ValueError, match="no fit"):
        attaccalite_energy(rs, polarization)


@pytest.mark.parametrize(("rs", "polarization"), [(0.5, 0.0), (2.0, 1.0), (76.0, 1.0), (10.0, 0.5)])
def test_tanatar_ceperley_stays_within_its_range(rs, polarization):
    with pytest.raises(ValueError, match="no fit"):
        tanatar_ceperley_energy(rs, polarization)
