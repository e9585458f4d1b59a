"""Normalization over the feature axis."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

_EPSILON = 1e-5


class RMSNorm(eqx.Module):
    """x -> x / sqrt(mean(x^2) + eps) * g."""

    gain: Float[Array, " width"]

    def __init__(self, width: int):
        self.gain = jnp.ones(width, jnp.float32)

    def __call__(self, x: Float[Array, "electron width"]) -> Float[Array, "electron width"]:
        scale = 1.0 / jnp.sqrt(jnp.mean(x * x, axis=-1, keepdims=True) + _EPSILON)
        return x * scale * self.gain


class LayerNorm(eqx.Module):
    """x -> (x - mean) / sqrt(var + eps) * g + b."""

    gain: Float[Array, " width"]
    bias: Float[Array, " width"]

    def __init__(self, width: int):
        self.gain = jnp.ones(width, jnp.float32)
        self.bias = jnp.zeros(width, jnp.float32)

    def __call__(self, x: Float[Array, "electron width"]) -> Float[Array, "electron width"]:
        centred = x - jnp.mean(x, axis=-1, keepdims=True)
        scale = 1.0 / jnp.sqrt(jnp.mean(centred * centred, axis=-1, keepdims=True) + _EPSILON)
        return centred * scale * self.gain + self.bias
