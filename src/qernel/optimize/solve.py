"""The linear system of the natural gradient in the space of walkers, (O O^T + damping) x = b.

O are the scores over sqrt(walkers), with rows as in `qernel.optimize.rows`. With few rows or parameters O O^T
is put together and factorized, in rows^2 x parameters operations. With many, that costs as much as the rest
of a step or more; conjugate gradients need only a few products with O and O^T, if their preconditioner is
good. Here it is (Y Y^T + damping)^{-1} with Y a sketch of O, folded to twice as many columns as there are
rows or more:
Y Y^T + damping has the eigenvalues of the matrix up to moderate factors, also where they span ten decades (a
subspace embedding; as a preconditioner: Avron, Maymounkov and Toledo, doi:10.1137/090767911), so that a few
iterations suffice.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from qernel.estimators.gradient import Scores
from qernel.optimize import rows

_WIDTH, _PIECES = 2, 32  # columns of the sketch: per row, or if that is more, one per so many parameters
_MANY_ROWS, _MANY = 640, 4  # rows, and parameters per row, beyond which conjugate gradients are cheaper
_TOLERANCE, _MOST = 0.003, 30  # relative error of the solution in the norm of the matrix; iterations
_ROUNDING = 10  # of the sketch's Gram matrix, relative to its trace, in units of the precision


def solve_damped(scores: Scores, target: Float[Array, " row"], damping: float) -> Float[Array, " row"]:
    """(O O^T + damping)^{-1} target, with O = scores / sqrt(walkers)."""
    count, parameters = rows.size(scores)
    if count <= _MANY_ROWS or parameters <= _MANY * count:
        solution = factorized(rows.gram(scores) * (2 / count), target.astype(jnp.float64), damping)
    else:
        solution = iterated(scores, target, damping)
    return solution.astype(target.dtype)


def factorized(
    matrix: Float[Array, "row row"], target: Float[Array, " row"], damping: float
) -> Float[Array, " row"]:
    """(matrix + damping)^{-1} target in float64.

    By Cholesky; where rounding has made the damped matrix indefinite, by eigenvalues, the negative ones
    counting as zero.
    """
    factor = jax.scipy.linalg.cholesky(_shifted(matrix, damping), lower=True)

    def by_eigenvalues():
        values, vectors = jnp.linalg.eigh(matrix)
        return vectors @ ((vectors.T @ target) / (jnp.maximum(values, 0.0) + damping))

    return jax.lax.cond(
        jnp.all(jnp.isfinite(factor)),
        lambda: jax.scipy.linalg.cho_solve((factor, True), target),
        by_eigenvalues,
    )


def iterated(scores: Scores, target: Float[Array, " row"], damping: float) -> Float[Array, " row"]:
    """(O O^T + damping)^{-1} target by preconditioned conjugate gradients; vectors in float64.

    The error that is stopped at is sqrt(r^T M^{-1} r), with residual r and preconditioner M^{-1}. Where the
    preconditioner is not finite, neither is the solution.
    """
    count, parameters = rows.size(scores)
    scale = 2 / count
    sketched = rows.sketch(scores, max(_WIDTH * count, -(-parameters // _PIECES)))
    matrix = scale * rows.product(sketched, sketched.T).astype(jnp.float64)
    shift = damping + _ROUNDING * float(jnp.finfo(target.dtype).eps) * jnp.trace(matrix)
    factor = jax.scipy.linalg.cholesky(_shifted(matrix, shift), lower=True)

    def product(x):
        inner = rows.along(scores, rows.combine(scores, x.astype(target.dtype)))
        return scale * inner.astype(jnp.float64) + damping * x

    def precondition(r):
        return jax.scipy.linalg.cho_solve((factor, True), r)

    def step(state):
        x, r, direction, square, iteration = state
        image = product(direction)
        length = square / (direction @ image)
        x, r = x + length * direction, r - length * image
        conditioned = precondition(r)
        new = r @ conditioned
        return x, r, conditioned + (new / square) * direction, new, iteration + 1

    right = target.astype(jnp.float64)
    first = precondition(right)
    start = right @ first

    def unfinished(state):
        *_, square, iteration = state
        return (square > _TOLERANCE**2 * start) & (iteration < _MOST)

    solution, *_ = jax.lax.while_loop(unfinished, step, (jnp.zeros_like(right), right, first, start, 0))
    return jnp.where(jnp.isfinite(start), solution, jnp.nan)


def _shifted(matrix: Float[Array, "row row"], shift) -> Float[Array, "row row"]:
    return matrix + shift * jnp.eye(len(matrix), dtype=matrix.dtype)
