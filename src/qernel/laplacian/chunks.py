"""A few coordinates at a time: derivatives that are only summed need never be there all at once."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array


def in_chunks(
    step: Callable[[Any, tuple[Array, ...]], tuple[Any, Array]],
    sums: Any,
    rows: tuple[Array, ...],
    most: int,
) -> tuple[Any, Array]:
    """Carry `sums` through `step(sums, chunk of each array) -> sums, results`, and collect the results.

    Chunks are even parts of the arrays' leading axis, of at most so many rows.
    """
    count = rows[0].shape[0]
    size = next(size for size in range(min(count, max(most, 1)), 0, -1) if count % size == 0)
    # Slices of the arrays as they are: `lax.scan`, batched over walkers, would copy them all beforehand.
    shape = jax.eval_shape(lambda: step(sums, tuple(x[:size] for x in rows))[1])

    def body(index, carried):
        sums, results = carried
        chunk = tuple(lax.dynamic_slice_in_dim(x, index * size, size) for x in rows)
        sums, more = step(sums, chunk)
        return sums, lax.dynamic_update_slice_in_dim(results, more, index * size, 0)

    empty = jnp.zeros((count, *shape.shape[1:]), shape.dtype)
    return lax.fori_loop(0, count // size, body, (sums, empty))
