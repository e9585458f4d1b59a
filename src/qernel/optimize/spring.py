"""SPRING and MinSR: the natural gradient solved in the space of walkers.

With O the (rows, parameters) matrix of centred scores / sqrt(walkers), real and imaginary parts as
separate rows, and eps the centred local energies / sqrt(walkers) in the same order, the energy gradient
is 2 O^T eps and the natural-gradient matrix is S = O^T O. SPRING (Goldshlager et al., arXiv:2401.10190)
keeps the part of the last direction phi that the present walkers say nothing about:

    phi_t = mu phi_{t-1} + O^T (O O^T + damping)^{-1} (eps - mu O phi_{t-1}).

mu = 0 is MinSR (Chen and Heyl, arXiv:2302.01941). Scores are centred per context, so S is the mean of
the contexts' covariances. The step -lr phi is shortened where its squared Fisher length
lr^2 phi^T S phi would exceed `norm_bound`: without it the first step from random weights can be fatal.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from qernel.estimators.gradient import Scores


class SpringState(NamedTuple):
    """Number of updates made, and the last direction phi, a pytree like the parameters."""

    count: Float[Array, ""]
    direction: PyTree


def spring(
    learning_rate: optax.Schedule, *, momentum: float, damping: float, norm_bound: float
) -> optax.GradientTransformationExtraArgs:
    """The update as an optax transformation.

    Its `update` takes, besides optax's arguments, `scores` as made by `qernel.estimators.gradient` and
    `residual` (part, context, walker), the clipped residual energies; the gradient it is given is not
    used, as 2 O^T eps is the same.
    """

    def init(parameters):
        return SpringState(jnp.zeros((), jnp.float64), jax.tree.map(jnp.zeros_like, parameters))

    def update(gradient, state, parameters=None, *, scores: Scores, residual):
        dtype = residual.dtype
        scale = 1 / jnp.sqrt(jnp.asarray(residual[0].size, dtype))
        carried = jax.tree.map(lambda d: jnp.asarray(momentum, d.dtype) * d, state.direction)
        target = scale * (residual.reshape(-1) - _along(scores, carried))
        solution = solve_damped(gram(scores) * (scale * scale).astype(jnp.float64), target, damping)
        correction = _combine(scores, scale * solution)
        direction = jax.tree.map(jnp.add, carried, correction)
        rate = learning_rate(state.count)
        length = rate * rate * jnp.sum((scale * _along(scores, direction)) ** 2).astype(jnp.float64)
        rate = rate * jnp.minimum(1.0, jnp.sqrt(norm_bound / jnp.maximum(length, 1e-30)))
        step = jax.tree.map(lambda d: (-rate).astype(d.dtype) * d, direction)
        return step, SpringState(state.count + 1, direction)

    return optax.GradientTransformationExtraArgs(init, update)  # pyright: ignore[reportArgumentType]


def gram(scores: Scores) -> Float[Array, "row row"]:
    """Inner products of all score rows, rows ordered (part, context, walker); float64.

    Summed parameter block by parameter block, so that no (row, parameter) matrix is put together.
    """
    blocks = list(zip(jax.tree.leaves(scores.log_abs), jax.tree.leaves(scores.phase), strict=True))

    def products(a, b):
        cross = a @ b.T
        return jnp.block([[a @ a.T, cross], [cross.T, b @ b.T]])

    parts = [products(_rows(log_abs), _rows(phase)) for log_abs, phase in blocks]
    return functools.reduce(jnp.add, parts).astype(jnp.float64)


def solve_damped(
    matrix: Float[Array, "row row"], target: Float[Array, " row"], damping: float
) -> Float[Array, " row"]:
    """(matrix + damping)^{-1} target in float64.

    By Cholesky; where rounding has made the damped matrix indefinite, by eigenvalues, the negative ones
    counting as zero.
    """
    right = target.astype(jnp.float64)
    factor = jax.scipy.linalg.cholesky(matrix + damping * jnp.eye(len(right), dtype=jnp.float64), lower=True)

    def by_eigenvalues():
        values, vectors = jnp.linalg.eigh(matrix)
        return vectors @ ((vectors.T @ right) / (jnp.maximum(values, 0.0) + damping))

    solution = jax.lax.cond(
        jnp.all(jnp.isfinite(factor)),
        lambda: jax.scipy.linalg.cho_solve((factor, True), right),
        by_eigenvalues,
    )
    return solution.astype(target.dtype)


def _rows(leaf: Float[Array, "context walker *shape"]) -> Float[Array, "row parameter"]:
    return leaf.reshape(leaf.shape[0] * leaf.shape[1], -1)


def _along(scores: Scores, direction: PyTree) -> Float[Array, " row"]:
    """The rows' inner products with a direction in parameter space."""

    def part(tree):
        products = jax.tree.map(lambda leaf, d: _rows(leaf) @ d.reshape(-1), tree, direction)
        return sum(jax.tree.leaves(products))

    return jnp.concatenate([part(scores.log_abs), part(scores.phase)])


def _combine(scores: Scores, weights: Float[Array, " row"]) -> PyTree:
    """The sum of the rows with the given weights, as a pytree like the parameters."""
    first, second = jnp.split(weights, 2)

    def one(log_abs, phase):
        return (first @ _rows(log_abs) + second @ _rows(phase)).reshape(log_abs.shape[2:])

    return jax.tree.map(one, scores.log_abs, scores.phase)
