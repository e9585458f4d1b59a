"""The Jastrow factor: cusp, periodicity, symmetry."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qernel.hamiltonian.couplings import Family
from qernel.lattice import supercell_of
from qernel.units import coulomb_strength
from qernel.wavefunction.jastrow import PairJastrow

CELL = supercell_of(4)
FAMILY = Family(15.0, 1.0, 45.0, 5.0, 0.35, 8.031, ranges=(("dielectric_constant", 4.0, 12.0),))
EQUAL, OPPOSITE = (2, 0), (1, 1)


def jastrow(electrons, spins, dielectric_constant=5.0, log_range=(0.3, -0.2)):
    factor = PairJastrow(CELL, spins)
    factor = jax.tree.map(lambda _: jnp.asarray(log_range), factor)
    couplings = FAMILY.couplings(jnp.array([dielectric_constant]))
    return factor(jnp.asarray(electrons), couplings)


@pytest.mark.parametrize(("spins", "share"), [(EQUAL, 1 / 3), (OPPOSITE, 1.0)])
@pytest.mark.parametrize("dielectric_constant", [5.0, 10.0])
@pytest.mark.parametrize("direction", [(1.0, 0.0), (0.6, -0.8)])
def test_cusp(spins, share, dielectric_constant, direction):
    # psi ~ r (1 + u r / 3) for equal spins, 1 + u r for opposite ones (2D, relative mass 1/2)
    u = coulomb_strength(dielectric_constant, 0.35, 8.031)
    r = 1e-5
    near, at = (
        jastrow([np.array(direction) * d, [0.0, 0.0]], spins, dielectric_constant) for d in (2 * r, r)
    )
    assert float(near - at) / r == pytest.approx(share * u, rel=1e-4)


def test_is_periodic_and_bounded():
    electrons = np.random.default_rng(0).uniform(size=(3, 2)) @ CELL.vectors
    moved = electrons + np.array([[0, 0], [2, -1], [0, 3]]) @ CELL.vectors
    assert float(jastrow(moved, (2, 1))) == pytest.approx(float(jastrow(electrons, (2, 1))), abs=1e-11)


def test_is_symmetric_within_a_spin_and_sums_over_pairs():
    a, b, c = np.random.default_rng(1).uniform(size=(3, 2)) @ CELL.vectors
    whole = float(jastrow([a, b, c], (2, 1)))
    assert float(jastrow([b, a, c], (2, 1))) == pytest.approx(whole, abs=1e-12)
    pairs = jastrow([a, b], EQUAL) + jastrow([a, c], OPPOSITE) + jastrow([b, c], OPPOSITE)
    assert float(pairs) == pytest.approx(whole, abs=1e-12)


def test_is_smooth_half_a_cell_away():
    # Nearest-image distances have a kink there; this one must not.
    def value(shift):
        position = 0.5 * CELL.vectors[0] + shift * CELL.vectors[0] + np.array([0.05, 0.2])
        return float(jastrow([position, [0.0, 0.0]], EQUAL))

    h = 1e-3
    left, right = ((value(s) - value(s - h)) / h for s in (0.0, h))
    assert abs(right - left) < 0.1  # a kink would jump by the slope's size, some u / 3 times the cell
    assert abs(value(0.3) - value(0.0)) > 0.05


def test_wider_range_means_a_longer_reach():
    electrons = [0.4 * CELL.vectors[0], [0.0, 0.0]]
    short, long = (float(jastrow(electrons, EQUAL, log_range=(b, 0.0))) for b in (-1.0, 1.0))
    assert long > 1.5 * short


def test_two_down_electrons_are_of_equal_spin():
    a, b, c = np.random.default_rng(1).uniform(size=(3, 2)) @ CELL.vectors
    pairs = (([a, b], OPPOSITE), ([a, c], OPPOSITE), ([b, c], EQUAL))
    expected = sum(float(jastrow(pair, spins)) for pair, spins in pairs)
    assert float(jastrow([a, b, c], (1, 2))) == pytest.approx(expected, abs=1e-11)
