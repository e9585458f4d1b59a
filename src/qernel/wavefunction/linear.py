"""Random initial weights, and linear maps of all electrons at once."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from qernel.wavefunction.operations import linear_map


def normal(key: PRNGKeyArray, shape: tuple[int, ...], scale: float) -> Float[Array, "..."]:
    """Normal weights of standard deviation `scale`."""
    return scale * jax.random.normal(key, shape, jnp.float32)


class Linear(eqx.Module):
    """x -> x W (+ b), with Var W = gain^2 / inputs."""

    weight: Float[Array, "inputs outputs"]
    bias: Float[Array, " outputs"] | None

    def __init__(
        self, inputs: int, outputs: int, *, bias: bool = False, gain: float = 1.0, key: PRNGKeyArray
    ):
        self.weight = normal(key, (inputs, outputs), gain / math.sqrt(max(inputs, 1)))
        self.bias = jnp.zeros(outputs, jnp.float32) if bias else None

    def __call__(self, x: Float[Array, "*electron inputs"]) -> Float[Array, "*electron outputs"]:
        y = linear_map(x, self.weight) if x.ndim == 2 else x @ self.weight
        return y if self.bias is None else y + self.bias
