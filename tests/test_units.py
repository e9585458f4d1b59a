"""Laboratory units against constants of nature from an independent source."""

import math

import pytest
from scipy import constants

from qernel.units import coulomb_strength, density_parameter, moire_energy

MASS, CONSTANT = 0.35, 8.031  # of the paper's material: m_e and nm


def test_moire_energy_of_the_paper():
    assert moire_energy(MASS, CONSTANT) == pytest.approx(3.37556, abs=5e-6)


def test_moire_energy_is_hbar_squared_over_mass_and_area():
    joule = constants.hbar**2 / (MASS * constants.m_e * (CONSTANT * 1e-9) ** 2)
    milli_electronvolt = joule / (1e-3 * constants.e)
    # CODATA revisions move these constants by less than 1e-8.
    assert moire_energy(MASS, CONSTANT) == pytest.approx(milli_electronvolt, rel=1e-7)


@pytest.mark.parametrize(("dielectric", "expected"), [(5.0, 10.6235), (10.0, 5.3117)])
def test_coulomb_strength_of_the_paper(dielectric, expected):
    assert coulomb_strength(dielectric, MASS, CONSTANT) == pytest.approx(expected, abs=6e-5)


def test_coulomb_strength_is_the_moire_constant_in_effective_bohr_radii():
    bohr_radius = constants.physical_constants["Bohr radius"][0] * 1e9
    expected = CONSTANT / bohr_radius * MASS / 7.0
    assert coulomb_strength(7.0, MASS, CONSTANT) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize(("dielectric", "expected"), [(5.0, 6.83), (10.0, 3.42)])
def test_density_parameter_at_filling_two_thirds(dielectric, expected):
    assert density_parameter(2 / 3, dielectric, MASS, CONSTANT) == pytest.approx(expected, abs=5e-3)


def test_density_parameter_is_one_where_the_electron_disk_has_the_bohr_radius():
    # One electron per moiré cell, u = 1: r_s is the radius of a disk of the cell's area.
    dielectric = coulomb_strength(1.0, MASS, CONSTANT)
    radius = math.sqrt(math.sqrt(3) / 2 / math.pi)
    assert density_parameter(1.0, dielectric, MASS, CONSTANT) == pytest.approx(radius, rel=1e-12)
