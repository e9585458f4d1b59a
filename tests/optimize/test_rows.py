"""Scores that are computed anew for every product, against the same scores in memory."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qernel.batching import walker_mesh
from qernel.hamiltonian import make_hamiltonian
from qernel.optimize import make_optimizer
from qernel.optimize.rows import score_rows
from qernel.training.loop import initial_state
from qernel.training.step import couplings_of, make_optimization

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


@pytest.mark.parametrize("overrides", [(), ("adaptive=true",), ("optimizer.name=minsr",)])
def test_same_update(tiny, overrides):
    config = tiny("walkers=16", *overrides)
    hamiltonian, state = make_hamiltonian(config), initial_state(config)

    def updated(keep):
        changed = tiny("walkers=16", f"keep_scores={str(keep).lower()}", *overrides)
        optimize = make_optimization(changed, hamiltonian, make_optimizer(config.optimizer), walker_mesh(8))
        following = optimize(state, jnp.ones(2))[0]
        return jax.tree.leaves(eqx.filter(following.model, eqx.is_inexact_array))

    before = jax.tree.leaves(eqx.filter(state.model, eqx.is_inexact_array))
    for old, kept, recomputed in zip(before, updated(True), updated(False), strict=True):
        np.testing.assert_allclose(recomputed - old, kept - old, rtol=1e-6, atol=1e-12)
