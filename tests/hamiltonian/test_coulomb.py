"""The Ewald sum against Madelung constants and against direct lattice sums."""

import dataclasses
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qernel.hamiltonian.coulomb import Coulomb
from qernel.hamiltonian.couplings import Family
from qernel.lattice import Supercell, supercell_of

HEXAGONAL = Supercell(((1, 2), (2, 1)))
RECTANGULAR = Supercell(((1, 0), (2, 4)))  # 1 by 2 sqrt(3)
OBLIQUE = Supercell(((2, 0), (1, 3)))
FAMILY = Family(
    moire_potential=15.0,
    moire_depth=1.0,
    moire_phase=45.0,
    dielectric_constant=5.0,
    effective_mass=0.35,
    moire_constant=8.031,
)
COUPLINGS = FAMILY.couplings(jnp.zeros(0, jnp.float64))
# erfc(4.2) = 3e-9 is the relative size of the first neglected terms, some ten of them.
TRUNCATION = 3e-8


def energy(cell: Supercell, electrons) -> float:
    """Coulomb energy in units of u / a_M, as the implementation sees it."""
    value = jax.jit(Coulomb(cell))(jnp.asarray(electrons, jnp.float64), COUPLINGS)
    return float(value / COUPLINGS.coulomb)


def direct_sum(cell: Supercell, displacement, damping: float) -> float:
    """sum_R e^{-s d^2} / d with d = |r + R| > 0, less its average over r."""
    radius = math.sqrt(40 / damping)  # where the damping factor is e^-40
    reach = math.ceil(radius * np.linalg.norm(cell.reciprocal, axis=1).max() / (2 * math.pi)) + 1
    axis = np.arange(-reach, reach + 1)
    images = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2) @ cell.vectors
    distance = np.linalg.norm(displacement + images, axis=1)
    distance = distance[distance > 1e-12]
    background = math.pi**1.5 / (cell.area * math.sqrt(damping))
    return float(np.sum(np.exp(-damping * distance**2) / distance) - background)


def lattice_sum(cell: Supercell, displacement) -> float:
    """The limit s -> 0 of the damped sum, whose error is a power series in s."""
    values = [direct_sum(cell, displacement, 0.02 * 2.0**-i) for i in range(4)]
    for order in (1, 2, 3):
        factor = 2**order
        values = [(factor * b - a) / (factor - 1) for a, b in itertools.pairwise(values)]
    return values[0]


def configuration(cell: Supercell, count: int) -> np.ndarray:
    """Electrons at random in the supercell, (count, 2)."""
    return np.random.default_rng(count).uniform(size=(count, 2)) @ cell.vectors


@pytest.mark.parametrize("cells", [1, 3, 9, 27])
def test_madelung_constant_of_the_triangular_lattice(cells):
    cell = supercell_of(cells)
    expected = -3.921031579 / math.sqrt(cell.area)
    assert Coulomb(cell).madelung == pytest.approx(expected, abs=TRUNCATION)


@pytest.mark.parametrize("cell", [HEXAGONAL, RECTANGULAR, OBLIQUE])
def test_madelung_constant_is_the_direct_lattice_sum(cell):
    # Images of an electron around itself: the bare 1/r at R = 0 is left out. Extrapolation: 1e-6.
    assert Coulomb(cell).madelung == pytest.approx(lattice_sum(cell, np.zeros(2)), abs=2e-6)


@pytest.mark.parametrize("cell", [HEXAGONAL, RECTANGULAR, OBLIQUE])
def test_pair_energy_is_the_direct_lattice_sum(cell):
    for position in configuration(cell, 4):
        expected = lattice_sum(cell, position) + Coulomb(cell).madelung
        assert energy(cell, [position, [0.0, 0.0]]) == pytest.approx(expected, abs=2e-6)


def test_energy_is_a_sum_over_pairs_and_self_images():
    electrons = configuration(OBLIQUE, 5)
    madelung = Coulomb(OBLIQUE).madelung
    pairs = [energy(OBLIQUE, electrons[[i, j]]) - madelung for i in range(5) for j in range(i + 1, 5)]
    # The neglected terms of ten pairs add up, in both ways of summing alike.
    assert energy(OBLIQUE, electrons) == pytest.approx(sum(pairs) + 2.5 * madelung, abs=1e-9)


def test_single_electron_has_half_the_madelung_energy():
    assert energy(HEXAGONAL, [[0.3, 0.1]]) == pytest.approx(Coulomb(HEXAGONAL).madelung / 2, abs=1e-12)


@pytest.mark.parametrize("cell", [HEXAGONAL, RECTANGULAR, OBLIQUE])
def test_pair_potential_averages_to_zero(cell):
    # Integrate over the four triangles between the origin and the sides of the parallelogram
    # centred on it: the Jacobian, linear in the distance, cancels the divergence of 1/r.
    nodes, weights = np.polynomial.legendre.leggauss(32)
    nodes, weights = (nodes + 1) / 2, weights / 2
    corners = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) / 2 @ cell.vectors
    starts, ends = corners[:, None], np.roll(corners, -1, axis=0)[:, None]
    sides = starts + nodes[:, None] * (ends - starts)  # (triangle, along, 2)
    positions = nodes[:, None] * sides[:, :, None]  # (triangle, along, radial, 2)
    pairs = jnp.stack([jnp.asarray(positions), jnp.zeros_like(positions)], axis=-2)
    values = jax.vmap(lambda electrons: Coulomb(cell)(electrons, COUPLINGS))(pairs.reshape(-1, 2, 2))
    values = np.asarray(values).reshape(positions.shape[:-1]) / float(COUPLINGS.coulomb)
    mean = np.einsum("tar,r,a,r->", values, nodes, weights, weights) / 2  # 1/2: triangle / cell
    assert mean == pytest.approx(Coulomb(cell).madelung, abs=1e-7)


@pytest.mark.parametrize("cell", [HEXAGONAL, RECTANGULAR, OBLIQUE])
def test_is_periodic_in_each_electron(cell):
    electrons = configuration(cell, 4)
    moved = electrons.copy()
    moved[0] += 3 * cell.vectors[0]
    moved[2] -= cell.vectors[0] - 2 * cell.vectors[1]
    assert energy(cell, moved) == pytest.approx(energy(cell, electrons), abs=1e-10)


def test_is_symmetric_under_exchange_inversion_and_translation():
    electrons = configuration(OBLIQUE, 4)
    reference = energy(OBLIQUE, electrons)
    # Another displacement may be wrapped to other images: equal up to the neglected terms.
    assert energy(OBLIQUE, electrons[[2, 0, 3, 1]]) == pytest.approx(reference, abs=TRUNCATION)
    assert energy(OBLIQUE, -electrons) == pytest.approx(reference, abs=TRUNCATION)
    assert energy(OBLIQUE, electrons + np.array([0.3, 0.7])) == pytest.approx(reference, abs=TRUNCATION)


@pytest.mark.parametrize("matrix", [((1, 2), (-1, 1)), ((3, 3), (4, 5)), ((-2, -1), (1, 2))])
def test_depends_on_the_lattice_and_not_on_its_basis(matrix):
    electrons = configuration(HEXAGONAL, 4)
    assert energy(Supercell(matrix), electrons) == pytest.approx(energy(HEXAGONAL, electrons), abs=TRUNCATION)


def test_diverges_as_the_bare_repulsion():
    # v(r) - 1/r tends to xi - v's own images, the Madelung constant again, with zero slope.
    gap = 1e-4
    regular = energy(HEXAGONAL, [[gap, 0.0], [0.0, 0.0]]) - 1 / gap
    assert regular == pytest.approx(2 * Coulomb(HEXAGONAL).madelung, abs=1e-6)


def test_scales_with_the_inverse_dielectric_constant():
    electrons = jnp.asarray(configuration(OBLIQUE, 3))
    screened = dataclasses.replace(FAMILY, dielectric_constant=10.0)
    weak = Coulomb(OBLIQUE)(electrons, screened.couplings(jnp.zeros(0, jnp.float64)))
    strong = Coulomb(OBLIQUE)(electrons, COUPLINGS)
    assert float(strong / weak) == pytest.approx(2.0, rel=1e-12)


def test_single_precision_agrees():
    electrons = configuration(supercell_of(9), 6)
    couplings = FAMILY.couplings(jnp.zeros(0, jnp.float32))
    single = Coulomb(supercell_of(9))(jnp.asarray(electrons, jnp.float32), couplings)
    assert single.dtype == jnp.float32
    double = energy(supercell_of(9), electrons)
    # Fifteen pairs of order one, each with a rounding error of some 1e-6
    assert float(single / couplings.coulomb) == pytest.approx(double, abs=3e-5)
