"""Total spin of states whose multiplet is known."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qernel.estimators.spin import Spin
from qernel.lattice import Supercell, supercell_of
from qernel.wavefunction.base import Wavefunction, sum_of_determinants
from qernel.wavefunction.operations import slogdet

CELL = supercell_of(3)


class AllInOne(Wavefunction):
    """One determinant over all electrons, whatever their spin: the largest total spin."""

    labels: tuple = eqx.field(static=True)
    supercell: Supercell = eqx.field(static=True)

    def __call__(self, electrons, couplings):
        angles = electrons @ jnp.asarray((np.array(self.labels, float) @ self.supercell.reciprocal).T)
        return sum_of_determinants(*slogdet(jax.lax.complex(jnp.cos(angles), jnp.sin(angles))[None]))


@pytest.mark.parametrize(
    ("up", "down", "spin"),
    [
        (((0, 0),), ((0, 0),), 0),
        (((0, 0), (1, 0)), ((0, 0), (1, 0)), 0),
        (((0, 0), (1, 0)), ((1, 0),), 1 / 2),
        (((0, 0), (1, 0), (0, 1)), (), 3 / 2),
    ],
)
def test_filled_shells_carry_the_spin_of_the_rest(up, down, spin, system, plane_waves, samples_of, scattered):
    hamiltonian = system(CELL, (len(up), len(down)))
    electrons = scattered(hamiltonian, 8)
    samples, _ = samples_of(Spin(hamiltonian), plane_waves(hamiltonian, up, down), electrons)
    np.testing.assert_allclose(samples["spin_squared"], spin * (spin + 1), atol=1e-8)


@pytest.mark.parametrize(("spins", "spin"), [((1, 1), 1), ((2, 1), 3 / 2), ((1, 2), 3 / 2), ((2, 2), 2)])
def test_antisymmetric_positions_are_the_largest_spin(spins, spin, system, samples_of, scattered):
    hamiltonian = system(CELL, spins)
    model = AllInOne(((0, 0), (1, 0), (0, 1), (1, 1))[: sum(spins)], CELL)
    samples, _ = samples_of(Spin(hamiltonian), model, scattered(hamiltonian, 8))
    np.testing.assert_allclose(samples["spin_squared"], spin * (spin + 1), atol=1e-8)


def test_contaminated_determinant(system, plane_waves, three_on_grid, exactly):
    """S_z (S_z + 1) + n_down - sum |<up|down>|^2: with no common orbital a mixture of S = 1/2 and 3/2."""
    hamiltonian = system(CELL, (2, 1))
    model = plane_waves(hamiltonian, ((0, 0), (1, 0)), ((0, 1),))
    found = exactly(Spin(hamiltonian), model, three_on_grid(CELL))
    assert found["spin_squared"].value == pytest.approx(3 / 4 + 1, abs=1e-9)
    assert found["spin_z"].value == 1 / 2
