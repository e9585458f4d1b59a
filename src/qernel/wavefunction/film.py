"""How the context enters: a small embedding, and feature-wise linear modulation (FiLM)."""

import equinox as eqx
import jax.numpy as jnp
from jax.random import split
from jaxtyping import Array, Float, PRNGKeyArray

from qernel.wavefunction.activation import algebraic_gelu
from qernel.wavefunction.linear import Linear
from qernel.wavefunction.norm import LayerNorm, RMSNorm


class ContextEmbedding(eqx.Module):
    """e(c): a two-layer perceptron of the context scaled to [-1, 1].

    The embedding is narrow, because each modulation holds 2 x width x size weights.
    """

    hidden: Linear
    output: Linear

    def __init__(self, coordinates: int, size: int, *, key: PRNGKeyArray):
        first, second = split(key)
        self.hidden = Linear(coordinates, 2 * size, bias=True, key=first)
        self.output = Linear(2 * size, size, bias=True, key=second)

    def __call__(self, coordinates: Float[Array, " coordinate"]) -> Float[Array, " embedding"]:
        dtype = self.hidden.weight.dtype
        return self.output(algebraic_gelu(self.hidden(coordinates.astype(dtype))))

    def with_last(self, fixed: Float[Array, " fixed"]) -> "ContextEmbedding":
        """The same function of the other coordinates, where the last ones have these values."""
        varying = self.hidden.weight.shape[0] - len(fixed)
        assert self.hidden.bias is not None
        bias = self.hidden.bias + fixed.astype(self.hidden.bias.dtype) @ self.hidden.weight[varying:]
        new = (self.hidden.weight[:varying], bias)
        return eqx.tree_at(lambda c: (c.hidden.weight, c.hidden.bias), self, new)


class FiLM(eqx.Module):
    """h -> (1 + gamma(e)) h + beta(e), with gamma and beta linear in e and zero at the start.

    Source: Perez et al., arXiv:1709.07871.
    """

    weight: Float[Array, "embedding two_width"]

    def __init__(self, embedding: int, width: int):
        self.weight = jnp.zeros((embedding, 2 * width), jnp.float32)

    def __call__(
        self, h: Float[Array, "electron width"], embedding: Float[Array, " embedding"]
    ) -> Float[Array, "electron width"]:
        gamma, beta = jnp.split(embedding @ self.weight, 2)
        return (1.0 + gamma) * h + beta


class ModulatedNorm(eqx.Module):
    """FiLM(norm(x)); the norm alone where the network is not conditioned (embedding size 0)."""

    norm: RMSNorm | LayerNorm
    film: FiLM | None

    def __init__(self, norm: RMSNorm | LayerNorm, embedding: int):
        self.norm = norm
        self.film = FiLM(embedding, norm.gain.shape[0]) if embedding else None

    def __call__(
        self, x: Float[Array, "electron width"], embedding: Float[Array, " embedding"] | None
    ) -> Float[Array, "electron width"]:
        x = self.norm(x)
        return x if self.film is None or embedding is None else self.film(x, embedding)
