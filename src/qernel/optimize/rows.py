"""The centred scores of all walkers as a matrix, one row per walker and part, never put together.

Rows are ordered (context, walker, part), log|psi| before arg psi; every tensor of parameters has a block of
columns. The scores come relative to one walker's of their context (`qernel.estimators.gradient`). What is
missing to centre them is done to the products, which are smaller by far.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

_PRECISION = jax.lax.Precision.HIGHEST  # GPUs would round the factors of float32 products to fewer digits


def along(scores: PyTree, direction: PyTree) -> Float[Array, " row"]:
    """The rows' inner products with a direction in parameter space."""
    products = jax.tree.map(lambda leaf, d: product(_matrix(leaf), d.reshape(-1)), scores, direction)
    return _centred(functools.reduce(jnp.add, jax.tree.leaves(products)), scores)


def combine(scores: PyTree, weights: Float[Array, " row"]) -> PyTree:
    """The sum of the rows with the given weights, as a pytree like the parameters."""
    weights = _centred(weights, scores)

    def contract(leaf):
        # Context by context: contracting all axes at once transposes the leaf, three times slower.
        contexts, *_ = leaf.shape
        columns = leaf.reshape(contexts, -1, math.prod(leaf.shape[3:]))
        by_context = weights.reshape(contexts, -1)
        summed = jnp.einsum("cr,crp->cp", by_context, columns, precision=_PRECISION).sum(axis=0)
        return summed.reshape(leaf.shape[3:])

    return jax.tree.map(contract, scores)


def sketched_gram(scores: PyTree, columns: int) -> Float[Array, "row row"]:
    """An unbiased estimate of the inner products of all rows, in float64, from about so many columns.

    Each tensor's columns are folded: those that are so far apart are added with random signs, the same at
    every call (Charikar, Chen and Farach-Colton, doi:10.1016/S0304-3975(03)00400-6). Where there are no more
    columns than asked for, none is folded and the estimate is exact.
    """
    _, count = size(scores)
    folds = -(-count // columns)
    folded = [_folded(leaf, folds, number) for number, leaf in enumerate(jax.tree.leaves(scores))]
    sketch = _centred(jnp.concatenate(folded, axis=1), scores)
    first, second = jnp.split(sketch, [len(sketch) // 2])
    cross = product(first, second.T)  # and not its transpose: a quarter less to do
    matrix = jnp.block([[product(first, first.T), cross], [cross.T, product(second, second.T)]])
    return matrix.astype(jnp.float64)


def size(scores: PyTree) -> tuple[int, int]:
    """Numbers of rows and columns."""
    leaves = jax.tree.leaves(scores)
    return math.prod(leaves[0].shape[:3]), sum(math.prod(leaf.shape[3:]) for leaf in leaves)


def product(a: Float[Array, "n m"], b: Float[Array, "m ..."]) -> Float[Array, "n ..."]:
    """a b, at full precision on every device."""
    return jnp.matmul(a, b, precision=_PRECISION)


def _folded(leaf, folds: int, seed: int) -> Float[Array, "row folded"]:
    columns = _matrix(leaf)
    if folds == 1:
        return columns
    width = -(-columns.shape[1] // folds)
    signs = jax.random.rademacher(jax.random.key(seed), columns.shape[1:], columns.dtype)
    padded = jnp.pad(columns * signs, ((0, 0), (0, folds * width - columns.shape[1])))
    return jnp.sum(padded.reshape(-1, folds, width), axis=1)


def _centred(x: Float[Array, "row ..."], scores: PyTree) -> Float[Array, "row ..."]:
    """The means over the walkers of each context and part subtracted."""
    by_walker = x.reshape(*jax.tree.leaves(scores)[0].shape[:3], *x.shape[1:])
    return (by_walker - jnp.mean(by_walker, axis=1, keepdims=True)).reshape(x.shape)


def _matrix(leaf: Float[Array, "context walker part *shape"]) -> Float[Array, "row parameter"]:
    return leaf.reshape(math.prod(leaf.shape[:3]), -1)
