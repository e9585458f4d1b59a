"""Scores that are computed anew for every product, against the same scores in memory."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qernel.batching import walker_mesh
from qernel.hamiltonian import make_hamiltonian
from qernel.hamiltonian.hamiltonian import couplings_of
from qernel.optimize import make_optimizer
from qernel.optimize.rows import score_rows
from qernel.training.loop import initial_state
from qernel.training.step import make_optimization

WALKERS = 6


@pytest.fixture(scope="module")
def both(tiny, generic, scattered):
    """Kept and recomputed rows of two contexts that count differently, walkers by four and two."""
    model, hamiltonian = generic(tiny())
    couplings = couplings_of(hamiltonian, jnp.array([[0.7], [1.6]]), jnp.float64)
    electrons = scattered(hamiltonian, 2 * WALKERS).reshape(2, WALKERS, 3, 2)
    batch = (model, electrons, couplings, walker_mesh(WALKERS), 4)
    factors = jnp.array([0.5, 2.0])
    return [score_rows(*batch, factors=factors, keep=keep) for keep in (True, False)]


def test_same_size(both):
    kept, recomputed = both
    assert (kept.count, kept.columns) == (recomputed.count, recomputed.columns)
    assert kept.count == 4 * WALKERS


def test_products_of_a_single_context(both):
    """Which are computed in another way than those of several."""
    kept = both[0]
    alone = eqx.tree_at(
        lambda rows: (rows.scores, rows.factors),
        kept,
        (jax.tree.map(lambda x: x[:1], kept.scores), kept.factors[:1]),
    )
    weights = jnp.asarray(np.random.default_rng(1).normal(size=4 * WALKERS)).at[2 * WALKERS :].set(0.0)
    for one, all_of_them in zip(
        *(jax.tree.leaves(each) for each in (alone.combine(weights[: 2 * WALKERS]), kept.combine(weights))),
        strict=True,
    ):
        np.testing.assert_allclose(one, all_of_them, rtol=1e-12, atol=1e-12)


def test_same_products(both):
    random = np.random.default_rng(0)
    weights = jnp.asarray(random.normal(size=4 * WALKERS))
    sums = [eqx.filter_jit(lambda rows: rows.combine(weights))(rows) for rows in both]
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)  # noqa: E731
    jax.tree.map(close, *(jax.tree.leaves(each) for each in sums))
    direction = jax.tree.map(lambda leaf: jnp.asarray(random.normal(size=leaf.shape)), sums[0])
    along = [eqx.filter_jit(lambda rows: rows.along(direction))(rows) for rows in both]
    close(*along)
    assert np.std(along[0]) > 0.1


@pytest.mark.parametrize("share", [1, 3])
def test_same_sketch(both, share):
    columns = -(-both[0].columns // share)
    kept, recomputed = (eqx.filter_jit(lambda rows: rows.sketched_gram(columns))(rows) for rows in both)
    np.testing.assert_allclose(recomputed, kept, rtol=1e-9, atol=1e-9)


def updated(config, state, keep):
    """The parameters after two steps, the second with momentum."""
    hamiltonian, optimizer = make_hamiltonian(config), make_optimizer(config.optimizer)
    changed = config.model_copy(
        update={"optimizer": config.optimizer.model_copy(update={"keep_scores": keep})}
    )
    optimize = make_optimization(changed, hamiltonian, optimizer, walker_mesh(8))
    for _ in range(2):
        state, metrics, _ = optimize(state, jnp.ones(2, config.training.precision))
        assert not metrics.refused
    return jax.tree.leaves(eqx.filter(state.model, eqx.is_inexact_array))


@pytest.mark.parametrize("overrides", [(), ("adaptive=true",), ("optimizer.name=minsr",)])
def test_same_update(tiny, overrides):
    config = tiny("walkers=16", *overrides)
    state = initial_state(config)
    if state.emphasis is not None:
        state = eqx.tree_at(lambda s: s.emphasis.weights, state, jnp.array([0.4, 1.6]))
    before = jax.tree.leaves(eqx.filter(state.model, eqx.is_inexact_array))
    kept, recomputed = (updated(config, state, keep) for keep in (True, False))
    for old, one, other in zip(before, kept, recomputed, strict=True):
        np.testing.assert_allclose(other - old, one - old, rtol=1e-6, atol=1e-12)
    assert max(np.abs(one - old).max() for old, one in zip(before, kept, strict=True)) > 1e-4


def test_same_update_in_single_precision(tiny):
    config = tiny("walkers=16", "precision=float32")
    state = initial_state(config)
    before = jax.tree.leaves(eqx.filter(state.model, eqx.is_inexact_array))
    steps = [
        np.concatenate(
            [np.ravel(new - old) for new, old in zip(updated(config, state, keep), before, strict=True)]
        )
        for keep in (True, False)
    ]
    assert np.linalg.norm(steps[0] - steps[1]) < 1e-3 * np.linalg.norm(steps[0])
