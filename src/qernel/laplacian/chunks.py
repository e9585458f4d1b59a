"""A few coordinates at a time: derivatives that are only summed need never be there all at once."""

import math
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

    Chunks are parts of the arrays' leading axis, of at most `most` rows and all of one size but for the last.
    """
    count = rows[0].shape[0]
    size = math.ceil(count / math.ceil(count / max(most, 1)))
    whole = count // size * size

    def chunk_at(start, size: int) -> tuple[Array, ...]:
        # Slices of the arrays as they are: `lax.scan`, batched over walkers, would copy them all beforehand.
        return tuple(lax.dynamic_slice_in_dim(x, start, size) for x in rows)

    def body(index, carried):
        sums, results = carried
        sums, more = step(sums, chunk_at(index * size, size))
        return sums, lax.dynamic_update_slice_in_dim(results, more, index * size, 0)

    one = jax.eval_shape(lambda: step(sums, chunk_at(0, size))[1])
    carried = sums, jnp.zeros((count, *one.shape[1:]), one.dtype)
    sums, results = lax.fori_loop(0, count // size, body, carried)
    if whole < count:
        sums, rest = step(sums, chunk_at(whole, count - whole))
        results = lax.dynamic_update_slice_in_dim(results, rest, whole, 0)
    return sums, results
