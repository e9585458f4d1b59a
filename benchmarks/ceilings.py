"""What the device can do at most: products of float32 matrices, and moving data."""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp

_REPEATS = 10


def ceilings() -> dict[str, float]:
    """Rates measured on the first device: operations per second of large products at full precision and, for
    comparison, with the factors rounded as TF32; bytes read and written per second by a large copy."""
    large = jax.default_backend() != "cpu"
    size, count = (8192, 2**28) if large else (2048, 2**25)
    a, b = jax.random.normal(jax.random.key(0), (2, size, size), jnp.float32)
    x = jax.random.normal(jax.random.key(1), (count,), jnp.float32)
    operations, moved = 2 * size**3, 2 * x.nbytes
    return {
        "float32_per_s": operations / _seconds(lambda a, b: jnp.matmul(a, b, precision="highest"), a, b),
        "tf32_per_s": operations / _seconds(lambda a, b: jnp.matmul(a, b, precision="tensorfloat32"), a, b),
        "bytes_per_s": moved / _seconds(lambda x: x + 1, x),
    }


def _seconds(function: Callable, *arguments: jax.Array) -> float:
    """Seconds of the fastest of several calls, without compilation."""
    compiled, best = jax.jit(function).lower(*arguments).compile(), float("inf")
    for _ in range(_REPEATS):
        start = time.perf_counter()
        jax.block_until_ready(compiled(*arguments))
        best = min(best, time.perf_counter() - start)
    return best
