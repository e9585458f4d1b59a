"""More contexts where the local energy varies more: what is drawn, what it counts, and that it is kept."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qernel.batching import walker_mesh
from qernel.hamiltonian import make_hamiltonian
from qernel.optimize import make_optimizer
from qernel.optimize.rows import KeptRows
from qernel.training.checkpoint import load_checkpoint, save_checkpoint
from qernel.training.emphasis import Emphasis
from qernel.training.loop import initial_state, train
from qernel.training.step import _positions, make_optimization


def test_draws_are_even_before_anything_was_measured():
    np.testing.assert_array_equal(Emphasis.even(np.ones(4), 2).density, np.ones((2, 16)))


def test_density_follows_the_measured_spread():
    positions = jnp.linspace(0, 1, 41)[:, None]
    spread = jnp.where(positions[:, 0] > 0.5, 4.0, 1.0)
    density = Emphasis.even(np.ones(41), 1).measured(positions, spread).density[0]
    assert density.mean() == pytest.approx(1)
    # Far from the step, half of the draws are even and half go as 1 to 4.
    np.testing.assert_allclose(density[[0, 15]], 0.5 + 0.5 * np.array([1, 4]) / 2.5, rtol=0.01)
    assert np.all(np.diff(density) >= -1e-9)


def test_draws_are_even_where_nothing_varies():
    emphasis = Emphasis.even(np.ones(2), 1).measured(jnp.array([[0.2], [0.8]]), jnp.zeros(2))
    np.testing.assert_array_equal(emphasis.density, np.ones((1, 16)))


def test_what_was_measured_long_ago_is_forgotten():
    positions = jnp.array([[0.2], [0.8]])
    emphasis = Emphasis.even(np.ones(2), 1).measured(positions, jnp.array([1000.0, 1.0]))
    for _ in range(3000):
        emphasis = emphasis.measured(positions, jnp.array([1.0, 1.0]))
    np.testing.assert_allclose(emphasis.density, 1, rtol=0.1)


def test_rows_give_the_weighted_gradient_and_the_weighted_metric():
    random, weights = np.random.default_rng(0), np.array([0.5, 2.0, 0.5])
    scores = random.normal(size=(3, 4, 2, 7))
    scores -= scores.mean(axis=1, keepdims=True)
    residual = jnp.asarray(random.normal(size=(3, 4, 2)))
    emphasis = Emphasis(jnp.asarray(weights), jnp.zeros((2, 1, 16)))
    rows = KeptRows(jnp.asarray(scores), emphasis.factors)
    gradient = np.einsum("c,cwkp,cwk->p", weights, scores, residual)
    np.testing.assert_allclose(rows.combine(emphasis.on_rows(residual).reshape(-1)), gradient)
    weighted = np.asarray(emphasis.on_gradient(residual))
    np.testing.assert_allclose(np.einsum("cwkp,cwk->p", scores, weighted), gradient)
    along = np.stack([rows.along(direction) for direction in jnp.eye(7)])
    metric = np.einsum("c,cwkp,cwkq->pq", weights, scores, scores)
    np.testing.assert_allclose(along @ along.T, metric)


def test_a_context_that_counts_for_two_beside_one_that_counts_nothing_is_alone(tiny):
    """An update with weights (2, 0) is that of the first context by itself."""
    config = tiny("adaptive=true", "precision=float64", "optimizer.name=minsr")
    hamiltonian, state = make_hamiltonian(config), initial_state(config)
    optimize = make_optimization(config, hamiltonian, make_optimizer(config.optimizer), walker_mesh(1))
    weighted = dataclasses.replace(state, emphasis=Emphasis(jnp.array([2.0, 0.0]), state.emphasis.sums))
    walkers = jax.tree.map(lambda leaf: leaf[:1], state.walkers)
    alone = dataclasses.replace(state, walkers=walkers, contexts=state.contexts[:1], emphasis=None)
    both, one, even = (
        eqx.filter(optimize(each, jnp.ones(len(each.contexts)))[0].model, eqx.is_inexact_array)
        for each in (weighted, alone, state)
    )
    before = eqx.filter(state.model, eqx.is_inexact_array)
    steps = [
        np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(jax.tree.map(jnp.subtract, each, before))])
        for each in (both, one, even)
    ]
    length = np.linalg.norm(steps[1])
    assert np.linalg.norm(steps[0] - steps[1]) < 0.006 * length  # twice what the solve is exact to
    assert np.linalg.norm(steps[2] - steps[1]) > 0.1 * length


def test_training_measures_redraws_and_resumes_bit_for_bit(tiny, tmp_path):
    config = tiny("adaptive=true")
    straight = [state for state, _ in train(config, initial_state(config))]
    path = save_checkpoint(tmp_path, jax.device_get(straight[2]))
    *_, (resumed, _) = train(config, load_checkpoint(path, initial_state(config)))
    jax.tree.map(
        np.testing.assert_array_equal,
        *(eqx.filter(each, eqx.is_array) for each in (resumed, straight[-1])),
    )
    # Redrawn before steps 0, 2 and 4: evenly first, then by what was seen.
    weights = [np.asarray(state.emphasis.weights) for state in straight]
    np.testing.assert_allclose(weights[1], 1)
    assert np.all(weights[2] != 1)
    for each in weights:
        assert np.mean(each) == pytest.approx(1)


def test_a_step_measures_where_in_the_range_its_contexts_are(tiny):
    config = tiny("sector=[[0,0],[1,0]]", "walkers=16")  # depths of 0.5 to 2, and sectors
    contexts = jnp.array([[0.5, 0.0], [1.7, 1.0]])
    np.testing.assert_allclose(_positions(config, contexts), [[0.0], [0.8]])
