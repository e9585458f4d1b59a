"""From laboratory parameters to dimensionless couplings."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qernel.hamiltonian.couplings import Couplings, Family

PAPER = Family(
    moire_potential=15.0,
    moire_depth=1.0,
    moire_phase=45.0,
    dielectric_constant=5.0,
    effective_mass=0.35,
    moire_constant=8.031,
)
ALL_RANGES = (
    ("moire_depth", 0.5, 2.0),
    ("moire_phase", 0.0, 60.0),
    ("dielectric_constant", 4.0, 12.0),
    ("effective_mass", 0.3, 0.5),
    ("moire_constant", 6.0, 10.0),
    ("twist_1", 0.0, 1.0),
    ("twist_2", -0.5, 0.5),
)
EVERYTHING = dataclasses.replace(PAPER, ranges=ALL_RANGES)


def test_conversions_of_the_paper():
    couplings = PAPER.couplings(jnp.zeros(0, jnp.float64))
    assert float(couplings.energy_unit) == pytest.approx(3.37556, abs=5e-6)
    assert float(couplings.moire) == pytest.approx(4.44371, abs=5e-6)
    assert float(couplings.coulomb) == pytest.approx(10.6235, abs=5e-5)
    assert float(couplings.phase) == pytest.approx(np.pi / 4, rel=1e-12)


def test_dielectric_constant_ten():
    weak = dataclasses.replace(PAPER, dielectric_constant=10.0)
    couplings = weak.couplings(jnp.zeros(0, jnp.float64))
    assert float(couplings.coulomb) == pytest.approx(5.3117, abs=6e-5)


def test_context_replaces_the_fixed_parameters():
    context = jnp.array([1.5, 30.0, 10.0, 0.4, 9.0, 0.25, -0.125], jnp.float64)
    expected = Family(15.0, 1.5, 30.0, 10.0, 0.4, 9.0, 0.25, -0.125)
    fixed = expected.couplings(jnp.zeros(0, jnp.float64))
    varied = EVERYTHING.couplings(context)
    for name in ("moire", "phase", "coulomb", "twist", "energy_unit"):
        np.testing.assert_allclose(getattr(varied, name), getattr(fixed, name), rtol=1e-14)


def test_coordinates_span_minus_one_to_one():
    low, high = (jnp.array([r[i] for r in ALL_RANGES], jnp.float64) for i in (1, 2))
    np.testing.assert_allclose(EVERYTHING.couplings(low).coordinates, -1.0, atol=1e-14)
    np.testing.assert_allclose(EVERYTHING.couplings(high).coordinates, 1.0, atol=1e-14)
    middle = EVERYTHING.couplings(EVERYTHING.middle()).coordinates
    np.testing.assert_allclose(middle, 0.0, atol=1e-14)


def test_family_without_ranges_has_no_coordinates():
    assert PAPER.names == ()
    assert PAPER.couplings(PAPER.middle()).coordinates.shape == (0,)


def scalars(couplings: Couplings) -> jax.Array:
    values = [couplings.moire, couplings.phase, couplings.coulomb, couplings.energy_unit]
    return jnp.concatenate([jnp.stack(values), couplings.twist, couplings.coordinates])


def test_derivatives_are_finite_differences():
    context, step = EVERYTHING.middle(), 1e-4

    def couple(c):
        return scalars(EVERYTHING.couplings(c))

    jacobian = jax.jacobian(couple)(context)
    for i in range(len(ALL_RANGES)):
        shift = step * jnp.eye(len(ALL_RANGES), dtype=jnp.float64)[i]
        difference = (couple(context + shift) - couple(context - shift)) / (2 * step)
        # Central differences: error step^2 times third derivatives of up to 1e3
        np.testing.assert_allclose(jacobian[:, i], difference, rtol=1e-4, atol=1e-6)


def test_interaction_falls_as_the_inverse_dielectric_constant():
    family = dataclasses.replace(PAPER, ranges=(("dielectric_constant", 4.0, 12.0),))
    slope = jax.grad(lambda c: family.couplings(c).coulomb)(jnp.array([5.0], jnp.float64))
    assert float(slope[0]) == pytest.approx(-10.6235 / 5, rel=1e-5)


def test_batches_of_contexts_by_vmap():
    contexts = jnp.stack([EVERYTHING.middle(), EVERYTHING.middle() * 1.01])
    batch = jax.vmap(EVERYTHING.couplings)(contexts)
    np.testing.assert_allclose(batch.moire[1], EVERYTHING.couplings(contexts[1]).moire, rtol=1e-14)


def test_integers_are_contexts_too():
    family = dataclasses.replace(PAPER, ranges=(("moire_depth", 0.5, 2.0),))
    given, meant = family.couplings(jnp.array([1])), family.couplings(jnp.array([1.0]))
    jax.tree.map(np.testing.assert_array_equal, given, meant)


def test_single_precision_context_gives_single_precision_couplings():
    couplings = EVERYTHING.couplings(EVERYTHING.middle().astype(jnp.float32))
    assert {leaf.dtype for leaf in jax.tree.leaves(couplings)} == {jnp.dtype(jnp.float32)}
