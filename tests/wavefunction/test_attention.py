"""Grouped-query attention against its formula, head by head and electron by electron."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qernel.wavefunction.attention import GroupedQueryAttention

WIDTH, HEADS, SIZE, ELECTRONS = 12, 6, 3, 4


def by_loops(layer: GroupedQueryAttention, groups: int, x: np.ndarray) -> np.ndarray:
    q, k, v, out = (np.asarray(m.weight, float) for m in (layer.query, layer.key, layer.value, layer.output))
    mixed = np.zeros((ELECTRONS, HEADS * SIZE))
    for head in range(HEADS):
        mine = slice(head * SIZE, (head + 1) * SIZE)
        group = head * groups // HEADS
        shared = slice(group * SIZE, (group + 1) * SIZE)
        for i in range(ELECTRONS):
            scores = [(x[i] @ q[:, mine]) @ (x[j] @ k[:, shared]) / SIZE**0.5 for j in range(ELECTRONS)]
            weights = np.exp(scores) / np.exp(scores).sum()
            mixed[i, mine] = sum(weights[j] * (x[j] @ v[:, shared]) for j in range(ELECTRONS))
    return mixed @ out


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_formula(groups):
    layer = GroupedQueryAttention(WIDTH, HEADS, groups, SIZE, gain=0.7, key=jax.random.key(groups))
    x = np.random.default_rng(0).normal(size=(ELECTRONS, WIDTH)).astype(np.float32)
    assert layer.key.weight.shape == layer.value.weight.shape == (WIDTH, groups * SIZE)
    np.testing.assert_allclose(layer(jnp.asarray(x)), by_loops(layer, groups, x), rtol=0, atol=1e-5)


def test_heads_that_do_not_share_evenly_are_an_error():
    with pytest.raises(ValueError, match="6 query heads cannot share 4"):
        GroupedQueryAttention(WIDTH, HEADS, 4, SIZE, gain=1.0, key=jax.random.key(0))
