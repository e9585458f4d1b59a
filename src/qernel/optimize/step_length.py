"""How far along its direction a step goes."""

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float


def bounded_rate(rate: ArrayLike, squared: ArrayLike, bound: ArrayLike) -> Float[Array, ""]:
    """The rate, or a smaller one where the step's squared Fisher length would exceed the bound.

    `squared` is that of the direction, phi^T S phi; the step's is rate^2 times it.
    """
    rate, squared, bound = (jnp.asarray(x, jnp.float64) for x in (rate, squared, bound))
    length = rate * rate * squared
    return rate * jnp.minimum(1.0, jnp.sqrt(bound / jnp.maximum(length, 1e-30)))
