"""The linear system of the natural gradient in the space of walkers, (O O^T + damping) x = b.

O are the scores over sqrt(walkers), with rows as in `qernel.optimize.rows`. O O^T takes rows^2 x parameters
operations, as many as the rest of a step or more. It is never computed; conjugate gradients need only a few
products with O and O^T, if their preconditioner is good. Here it is (Y Y^T + damping)^{-1}, with Y a sketch
of O, folded to a few columns per row: Y Y^T + damping has the eigenvalues of the matrix up to moderate
factors, also where they span ten decades (a subspace embedding; as a preconditioner: Avron, Maymounkov and
Toledo, doi:10.1137/090767911). Where there are so few parameters that nothing is folded, the preconditioner
is the inverse itself.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from qernel.optimize.rows import Rows

_COLUMNS, _PIECES = 6, 32  # columns of the sketch: per row, or if that is more, one per so many parameters
_TOLERANCE = 0.003  # relative error of the solution in the norm of the matrix
MOST_ITERATIONS = 12  # which most steps of a training take
_ROUNDING = 10  # of the sketch's Gram matrix, relative to its trace, in units of the precision


def solve_damped(rows: Rows, target: Float[Array, " row"], damping: float) -> Float[Array, " row"]:
    """(O O^T + damping)^{-1} target, with O = rows / sqrt(walkers); vectors in float64 on the way.

    The error that is stopped at is sqrt(r^T M^{-1} r), with residual r and preconditioner M^{-1}. Where the
    preconditioner is not finite, neither is the solution.
    """
    scale = 2 / rows.count
    sketched = scale * rows.sketched_gram(sketch_columns(rows.count, rows.columns))
    factor = _factor(sketched, damping, _ROUNDING * float(jnp.finfo(target.dtype).eps))

    def product(x):
        inner = rows.along(rows.combine(x.astype(target.dtype)))
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
        return (square > _TOLERANCE**2 * start) & (iteration < MOST_ITERATIONS)

    solution, *_ = jax.lax.while_loop(unfinished, step, (jnp.zeros_like(right), right, first, start, 0))
    return jnp.where(jnp.isfinite(start), solution, jnp.nan).astype(target.dtype)


def sketch_columns(rows: int, parameters: int) -> int:
    """How many columns the scores are folded to, about."""
    return max(_COLUMNS * rows, parameters // _PIECES)


def _factor(matrix: Float[Array, "row row"], damping: float, rounding: float) -> Float[Array, "row row"]:
    """The lower Cholesky factor of matrix + damping, shifted further where rounding made that indefinite."""

    def shifted(by):
        return jax.scipy.linalg.cholesky(matrix + by * jnp.eye(len(matrix), dtype=matrix.dtype), lower=True)

    factor = shifted(damping)
    beyond = damping + rounding * jnp.trace(matrix)
    return jax.lax.cond(jnp.all(jnp.isfinite(factor)), lambda: factor, lambda: shifted(beyond))
