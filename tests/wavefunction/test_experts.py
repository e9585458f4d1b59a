"""The mixture of experts against a loop over experts, and its smoothness where routing changes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qernel.laplacian import forward_laplacian
from qernel.wavefunction.experts import MixtureOfExperts

WIDTH, EXPERTS, HIDDEN = 6, 3, 5


@pytest.fixture(scope="module")
def layer():
    made = MixtureOfExperts(WIDTH, EXPERTS, HIDDEN, gain=0.5, key=jax.random.key(0))
    return jax.tree.map(lambda x: x.astype(jnp.float64), made)


def activation(x):
    return x / 2 * (1 + x / np.sqrt(1 + x**2))


def test_formula(layer):
    h = np.random.default_rng(1).normal(size=(4, WIDTH))
    logits = h @ np.asarray(layer.router.weight)
    gates = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = activation(h @ np.asarray(layer.shared_in.weight)) @ np.asarray(layer.shared_out.weight)
    for e in range(EXPERTS):
        one = activation(h @ np.asarray(layer.experts_in[e])) @ np.asarray(layer.experts_out[e])
        expected += gates[:, e : e + 1] * one
    np.testing.assert_allclose(layer(jnp.asarray(h)), expected, rtol=0, atol=1e-13)
    np.testing.assert_allclose(layer.routing(jnp.asarray(h)), gates, rtol=1e-13)


def test_second_derivatives_are_continuous_where_the_leading_expert_changes(layer):
    start, end = np.random.default_rng(2).normal(size=(2, WIDTH))
    weight = np.asarray(layer.router.weight)
    difference = weight[:, 0] - weight[:, 1]
    crossing = start @ difference / ((start - end) @ difference)  # experts 0 and 1 tie here
    curve = jax.jit(
        jax.vmap(jax.jacrev(jax.jacrev(lambda t: layer(jnp.asarray(start + t * (end - start))[None])[0])))
    )
    left, right = curve(crossing + jnp.array([-1e-7, 1e-7]))
    np.testing.assert_allclose(left, right, rtol=0, atol=1e-5)


def shapes(jaxpr):
    """Of all arrays, those inside of called functions too."""
    for equation in jaxpr.eqns:
        yield from (variable.aval.shape for variable in equation.outvars)
        for value in jax.tree.leaves(equation.params, is_leaf=lambda x: hasattr(x, "eqns")):
            if hasattr(value, "eqns"):
                yield from shapes(value)


def test_channels_of_electrons_are_never_split_by_expert(layer):
    """XLA for GPUs (JAX 0.11.2) gets their Laplacian wrong where an expert's channels are no power of two."""
    into = jnp.asarray(np.random.default_rng(0).normal(size=(2, WIDTH)))
    traced = jax.make_jaxpr(lambda r: forward_laplacian(lambda x: layer(x @ into), r))(jnp.ones((4, 2)))
    found = set(shapes(traced.jaxpr))
    assert any(shape[-2:] == (4, EXPERTS * HIDDEN) for shape in found)
    assert not any(shape[-3:] == (4, EXPERTS, HIDDEN) for shape in found)
