"""SPRING and MinSR in walker space against the same updates in parameter space."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qernel.config import OptimizerConfig
from qernel.optimize import make_optimizer
from qernel.optimize.rows import KeptRows
from qernel.optimize.spring import spring

CONTEXTS, WALKERS, PARAMETERS = 2, 5, 9
COUNT = CONTEXTS * WALKERS
DAMPING = 1e-3
UNBOUNDED = 1e30


def unbounded(t):
    return UNBOUNDED


def split(flat):
    """Vectors of nine parameters as the pytree of a model."""
    return {"a": jnp.asarray(flat[..., :3]), "b": jnp.asarray(flat[..., 3:]).reshape(*flat.shape[:-1], 2, 3)}


def flatten(tree):
    return np.concatenate([np.ravel(tree["a"]), np.ravel(tree["b"])])


def batch(seed):
    """Centred scores and residuals, and as the matrix O and the vector eps of the paper."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=(CONTEXTS, WALKERS, 2, PARAMETERS))
    residual = random.normal(size=(CONTEXTS, WALKERS, 2))
    rows -= rows.mean(axis=1, keepdims=True)
    residual -= residual.mean(axis=1, keepdims=True)
    o = rows.reshape(2 * COUNT, PARAMETERS) / np.sqrt(COUNT)
    eps = residual.reshape(2 * COUNT) / np.sqrt(COUNT)
    return KeptRows(split(rows), jnp.ones(CONTEXTS)), jnp.asarray(residual), o, eps


def test_minsr_is_the_natural_gradient():
    rows, residual, o, eps = batch(1)
    transform = spring(lambda t: 0.1, momentum=0.0, damping=DAMPING, norm_bound=unbounded)
    zero = split(np.zeros(PARAMETERS))
    step, _ = transform.update(zero, transform.init(zero), rows=rows, residual=residual)
    # S = O^T O; the force O^T eps is half the energy gradient.
    expected = -0.1 * np.linalg.solve(o.T @ o + DAMPING * np.eye(PARAMETERS), o.T @ eps)
    np.testing.assert_allclose(flatten(step), expected, rtol=1e-8)


def test_spring_keeps_what_the_walkers_say_nothing_about():
    # In parameter space: phi = argmin |O phi - eps|^2 + damping |phi - mu phi_old|^2
    momentum, damping = 0.8, 0.05
    rates = lambda t: 0.1 / (1 + t / 2)  # noqa: E731
    transform = spring(rates, momentum=momentum, damping=damping, norm_bound=unbounded)
    zero = split(np.zeros(PARAMETERS))
    state, phi = transform.init(zero), np.zeros(PARAMETERS)
    for t in range(4):
        rows, residual, o, eps = batch(10 + t)
        step, state = transform.update(zero, state, rows=rows, residual=residual)
        matrix = o.T @ o + damping * np.eye(PARAMETERS)
        phi = np.linalg.solve(matrix, o.T @ eps + damping * momentum * phi)
        np.testing.assert_allclose(flatten(step), -rates(t) * phi, rtol=1e-8)
    assert float(state.count) == 4


@pytest.mark.parametrize("bound", [1e-3, 1e-6])
def test_steps_longer_than_the_bound_are_shortened_to_it(bound):
    rows, residual, o, _ = batch(2)
    zero = split(np.zeros(PARAMETERS))

    def step(norm_bound):
        transform = spring(lambda t: 0.5, momentum=0.9, damping=DAMPING, norm_bound=lambda t: norm_bound)
        made, _ = transform.update(zero, transform.init(zero), rows=rows, residual=residual)
        return flatten(made)

    free, bounded = step(UNBOUNDED), step(bound)
    assert np.sum((o @ free) ** 2) > bound
    assert np.sum((o @ bounded) ** 2) == pytest.approx(bound, rel=1e-9)
    np.testing.assert_allclose(bounded / np.linalg.norm(bounded), free / np.linalg.norm(free), atol=1e-12)
    np.testing.assert_array_equal(step(2 * np.sum((o @ free) ** 2)), free)


def test_the_bound_falls_from_the_first_to_the_last():
    zero, lengths = split(np.zeros(PARAMETERS)), []
    config = OptimizerConfig(learning_rate=100.0, first_norm_bound=9e-4, norm_bound=1e-4)
    optimizer = make_optimizer(config)
    state = optimizer.init(zero)
    for t in range(301):
        rows, residual, o, _ = batch(t)
        step, state = optimizer.update(zero, state, zero, rows=rows, residual=residual)
        lengths.append(np.sum((o @ flatten(step)) ** 2))
    assert lengths[0] == pytest.approx(9e-4, rel=1e-9)
    assert np.all(np.diff(lengths) < 0)
    assert lengths[10] == pytest.approx(3e-4, rel=1e-9)
    assert lengths[300] == pytest.approx(1e-4, rel=0.01)


def test_minsr_by_name_forgets_the_last_direction():
    zero = split(np.zeros(PARAMETERS))
    optimizer = make_optimizer(OptimizerConfig(name="minsr", momentum=0.9, first_norm_bound=UNBOUNDED))
    state = optimizer.init(zero)
    for seed in (5, 6):
        rows, residual, o, eps = batch(seed)
        step, state = optimizer.update(zero, state, zero, rows=rows, residual=residual)
    rate = 0.05 / (1 + 1 / 1000)
    expected = -rate * np.linalg.solve(o.T @ o + 1e-3 * np.eye(PARAMETERS), o.T @ eps)
    np.testing.assert_allclose(flatten(step), expected, rtol=1e-7)


def test_adam_by_name():
    gradient = split(np.array([1.0, -2.0, 3.0, -4.0, 5.0, -6.0, 7.0, -8.0, 9.0]))
    optimizer = make_optimizer(OptimizerConfig(name="adam", learning_rate=0.01, decay_steps=1.0))
    state = optimizer.init(gradient)
    for t in range(3):
        with jax.numpy_dtype_promotion("standard"):  # which optax relies on
            step, state = optimizer.update(gradient, state, gradient)
        # A constant gradient makes steps of the learning rate against its sign.
        expected = jax.tree.map(lambda g, t=t: -0.01 / (1 + t) * jnp.sign(g), gradient)
        np.testing.assert_allclose(flatten(step), flatten(expected), rtol=1e-6)


def test_works_in_single_precision():
    rows, residual, o, eps = batch(7)
    rows, residual = jax.tree.map(lambda x: x.astype(jnp.float32), (rows, residual))
    zero = jax.tree.map(lambda x: x.astype(jnp.float32), split(np.zeros(PARAMETERS)))
    optimizer = make_optimizer(OptimizerConfig(first_norm_bound=UNBOUNDED))
    step, state = optimizer.update(zero, optimizer.init(zero), zero, rows=rows, residual=residual)
    assert {leaf.dtype for leaf in jax.tree.leaves((step, state.direction))} == {np.dtype(np.float32)}
    expected = -0.05 * np.linalg.solve(o.T @ o + 1e-3 * np.eye(PARAMETERS), o.T @ eps)
    np.testing.assert_allclose(flatten(step), expected, rtol=1e-3)
