"""One optimization step: what is refused, and optimizers that take a gradient."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from qernel.batching import walker_mesh
from qernel.hamiltonian import make_hamiltonian
from qernel.training.loop import initial_state, train
from qernel.training.step import make_optimization


def leaves(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_array))]


@pytest.mark.parametrize("bad", ["update", "memory", None])
def test_a_step_is_refused_where_update_or_memory_are_not_finite(tiny, bad):
    config = tiny("optimizer.name=adam")
    hamiltonian, state = make_hamiltonian(config), initial_state(config)
    number = {name: jnp.nan if name == bad else 0.5 for name in ("update", "memory")}

    def update(gradient, memory, parameters=None, **_):
        return jax.tree.map(lambda g: jnp.full_like(g, number["update"]), gradient), memory + number["memory"]

    optimizer = optax.GradientTransformationExtraArgs(lambda parameters: jnp.zeros(3), update)
    before = eqx.tree_at(lambda s: s.optimizer, state, jnp.zeros(3))
    mesh = walker_mesh(config.training.walkers // 2)
    after, metrics, energies = make_optimization(config, hamiltonian, optimizer, mesh)(before, jnp.ones(2))
    assert np.isfinite(energies).all()
    assert bool(metrics.refused) == (bad is not None)
    moved = 0.0 if bad else 0.5
    np.testing.assert_array_equal(after.optimizer, np.full(3, moved))
    for a, b in zip(leaves(after.model), leaves(before.model), strict=True):
        np.testing.assert_allclose(a, b + moved)


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_optimizers_that_take_a_gradient_lower_the_energy(tiny, optimizer):
    config = tiny(f"optimizer.name={optimizer}", "walkers=64", "stages=[{steps=60}]", "contexts={}")
    with jax.numpy_dtype_promotion("standard"):  # which optax relies on
        energies = np.array([metrics.energy for _, metrics in train(config, initial_state(config))])
    first, last = energies[:10, 0], energies[-10:, 0]  # of which the former still fall
    assert last.mean() < first.mean() - 8 * last.std() / math.sqrt(10)
