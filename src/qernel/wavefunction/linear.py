"""Random initial weights, and linear maps of all electrons at once."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray


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


def linear_map(
    x: Float[Array, "electron inputs"], weight: Float[Array, "inputs outputs"]
) -> Float[Array, "electron outputs"]:
    """x W, with a gradient that suits one walker at a time.

    The natural gradient needs dW = sum_i x_i g_i^T of every walker separately: a thin outer product.
    Written as a broadcast sum it is one fused loop, several times faster on a CPU than batched matmuls.
    """
    return _named_linear_map(x, weight)


@jax.custom_vjp
def _linear_map(x, weight):
    return x @ weight


def _forward(x, weight):
    return x @ weight, (x, weight)


def _backward(saved, g):
    x, weight = saved
    return g @ weight.T, jnp.sum(x[:, :, None] * g[:, None, :], axis=0)


_linear_map.defvjp(_forward, _backward)


def _qernel_linear_map(x, weight):
    return _linear_map(x, weight)


#: Compiled under a name by which the forward Laplacian finds its own rule (see `qernel.laplacian`).
_named_linear_map = jax.jit(_qernel_linear_map)
LINEAR_MAP = _qernel_linear_map.__name__
