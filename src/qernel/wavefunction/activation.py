"""Smooth activations with power-law tails.

Exponentially saturating activations starve the gradient far from the origin; these approach their
asymptotes as powers of 1/x, and all their derivatives are continuous, as the Laplacian requires.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from qernel.wavefunction.operations import elementwise


@elementwise
def algebraic_gelu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """x/2 (1 + x / sqrt(1 + x^2)): the shape of GELU, falling to zero as -1/(4|x|)."""
    return 0.5 * x * (1.0 + algebraic_tanh(x))


@elementwise
def algebraic_tanh(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """x / sqrt(1 + x^2): bounded by +-1, approached as 1/(2 x^2)."""
    return x / jnp.sqrt(1.0 + x * x)


@elementwise
def gelu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """GELU in its tanh form, of the baselines."""
    return jax.nn.gelu(x)
