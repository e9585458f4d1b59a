"""The scores of all walkers as a matrix, one row per walker and part, never put together.

Rows are ordered (part, context, walker), log|psi| before arg psi; every tensor of parameters has a block of
columns.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from qernel.estimators.gradient import Scores

_PRECISION = jax.lax.Precision.HIGHEST  # GPUs would round the factors of float32 products to fewer digits


def along(scores: Scores, direction: PyTree) -> Float[Array, " row"]:
    """The rows' inner products with a direction in parameter space."""

    def part(tree):
        products = jax.tree.map(lambda leaf, d: product(_rows(leaf), d.reshape(-1)), tree, direction)
        return sum(jax.tree.leaves(products))

    return jnp.concatenate([part(scores.log_abs), part(scores.phase)])


def combine(scores: Scores, weights: Float[Array, " row"]) -> PyTree:
    """The sum of the rows with the given weights, as a pytree like the parameters."""
    contexts, walkers = jax.tree.leaves(scores.log_abs)[0].shape[:2]
    first, second = weights.reshape(2, contexts, walkers)

    def contract(weights, leaf):
        # Context by context: contracting both axes at once transposes the leaf, three times slower.
        columns = leaf.reshape(contexts, walkers, -1)
        summed = jnp.einsum("cw,cwp->cp", weights, columns, precision=_PRECISION).sum(axis=0)
        return summed.reshape(leaf.shape[2:])

    def one(log_abs, phase):
        return contract(first, log_abs) + contract(second, phase)

    return jax.tree.map(one, scores.log_abs, scores.phase)


def gram(scores: Scores) -> Float[Array, "row row"]:
    """Inner products of all rows, in float64; summed over blocks of columns."""
    blocks = list(zip(jax.tree.leaves(scores.log_abs), jax.tree.leaves(scores.phase), strict=True))

    def products(a, b):
        cross = product(a, b.T)
        return jnp.block([[product(a, a.T), cross], [cross.T, product(b, b.T)]])

    parts = [products(_rows(log_abs), _rows(phase)) for log_abs, phase in blocks]
    return functools.reduce(jnp.add, parts).astype(jnp.float64)


def sketch(scores: Scores, width: int) -> Float[Array, "row width"]:
    """The rows folded to `width` columns: columns that are so far apart are added with random signs.

    Inner products of folded rows estimate those of the rows, without bias (Charikar, Chen and Farach-Colton,
    doi:10.1016/S0304-3975(03)00400-6). The signs are the same at every call.
    """

    def half(tree):
        pieces, place = [], 0
        for number, leaf in enumerate(jax.tree.leaves(tree)):
            columns = _rows(leaf)
            key = jax.random.fold_in(jax.random.key(0), number)
            columns = columns * jax.random.rademacher(key, columns.shape[1:], columns.dtype)
            while columns.shape[1]:
                piece, columns = columns[:, : width - place], columns[:, width - place :]
                end = place + piece.shape[1]
                pieces.append(jnp.pad(piece, ((0, 0), (place, width - end))))
                place = end % width
        return functools.reduce(jnp.add, pieces)

    return jnp.concatenate([half(scores.log_abs), half(scores.phase)])


def size(scores: Scores) -> tuple[int, int]:
    """Numbers of rows and columns."""
    leaves = jax.tree.leaves(scores.log_abs)
    return 2 * math.prod(leaves[0].shape[:2]), sum(math.prod(leaf.shape[2:]) for leaf in leaves)


def product(a: Float[Array, "n m"], b: Float[Array, "m ..."]) -> Float[Array, "n ..."]:
    """a b, at full precision on every device."""
    return jnp.matmul(a, b, precision=_PRECISION)


def _rows(leaf: Float[Array, "context walker *shape"]) -> Float[Array, "row parameter"]:
    return leaf.reshape(leaf.shape[0] * leaf.shape[1], -1)
