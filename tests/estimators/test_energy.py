"""Energies in laboratory units, their variance and V-score, from samples whose statistics are known."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qernel.estimators.energy import Energy
from qernel.estimators.local_energy import LocalEnergy
from qernel.estimators.observable import Configuration
from qernel.lattice import supercell_of
from qernel.units import coulomb_strength, moire_energy
from qernel.wavefunction.base import Wavefunction

UNIT = moire_energy(0.35, 8.031)
REPULSION = coulomb_strength(5.0, 0.35, 8.031)


@pytest.fixture(scope="module")
def found(system, accumulated):
    """Complex local energies of mean -20 and standard deviations 3 and 2 (real and imaginary)."""
    hamiltonian = system(supercell_of(4), (2, 1))
    observable, random = Energy(hamiltonian), np.random.default_rng(0)
    total = -20 + 3 * random.normal(size=(200, 64)) + 2j * random.normal(size=(200, 64))
    parts = np.stack([0.5 * total.real, 0.2 * total.real, 0.3 * total.real], axis=-1)
    couplings = hamiltonian.family.couplings(jnp.zeros(0, jnp.float64))

    def sample(energy, components):
        local = LocalEnergy(jnp.asarray(energy), jnp.asarray(components))
        at = Configuration(jnp.zeros((3, 2)), jnp.zeros(0), couplings, local, jax.random.key(0))
        return observable.sample(Wavefunction(), at)

    samples = {name: np.asarray(values) for name, values in sample(total, np.moveaxis(parts, -1, 0)).items()}
    return observable.results(accumulated(samples), couplings)


def test_energies_are_per_electron_in_mev(found):
    root = math.sqrt(200 * 64)
    for name, part in (("energy", 1.0), ("kinetic", 0.5), ("moire", 0.2), ("coulomb", 0.3)):
        error = 3 * part * UNIT / 3 / root
        assert found[name].units == "meV"
        assert found[name].error == pytest.approx(error, rel=0.25)
        assert abs(found[name].value + 20 * part * UNIT / 3) < 4 * error
        assert found[f"{name}_r_hat"].value == pytest.approx(1, abs=0.02)
        assert found[f"{name}_effective_samples"].value == pytest.approx(200 * 64, rel=0.5)
    assert abs(found["imaginary"].value) < 4 * found["imaginary"].error
    assert found["imaginary"].error == pytest.approx(2 * UNIT / 3 / root, rel=0.25)


def test_variance_counts_both_parts_of_the_local_energy(found):
    root = math.sqrt(200 * 64)
    scale = (UNIT / 3) ** 2
    # Var of x^2 for a Gaussian is 2 sigma^4
    error = scale * math.sqrt(2 * (3**4 + 2**4)) / root
    assert found["variance"].error == pytest.approx(error, rel=0.3)
    assert abs(found["variance"].value - scale * 13) < 4 * error
    assert found["spread"].value == pytest.approx(math.sqrt(float(found["variance"].value)))


def test_v_score_is_relative_to_the_madelung_energy(found):
    area = 4 * math.sqrt(3) / 2
    at_random = 3 / 2 * REPULSION * -3.921031579 / math.sqrt(area)  # of the triangular lattice, by theory
    expected = 3 * 13 / (-20 - at_random) ** 2
    assert abs(found["v_score"].value - expected) < 4 * found["v_score"].error
    assert 0 < found["v_score"].error < 0.1 * expected


class Ramp(eqx.Module):
    """A term that the V-score's reference energy knows nothing of."""

    name = "ramp"

    def __call__(self, electrons, couplings):
        return jnp.sum(electrons)


def test_no_v_score_where_the_energy_at_random_places_is_not_known(system, accumulated):
    plain = system(supercell_of(4), (2, 1))
    hamiltonian = eqx.tree_at(lambda h: h.terms, plain, (*plain.terms, Ramp()))
    observable, random = Energy(hamiltonian), np.random.default_rng(0)
    couplings = hamiltonian.family.couplings(jnp.zeros(0, jnp.float64))
    local = LocalEnergy(
        jnp.asarray(random.normal(size=(20, 8)) + 0j), jnp.asarray(random.normal(size=(4, 20, 8)))
    )
    at = Configuration(jnp.zeros((3, 2)), jnp.zeros(0), couplings, local, jax.random.key(0))
    samples = {name: np.asarray(values) for name, values in observable.sample(Wavefunction(), at).items()}
    found = observable.results(accumulated(samples), couplings)
    assert "v_score" not in found
    assert {"variance", "ramp"} <= found.keys()
