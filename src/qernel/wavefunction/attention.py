"""Self-attention between electrons, with grouped key/value heads."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.random import split
from jaxtyping import Array, Float, PRNGKeyArray

from qernel.wavefunction.linear import Linear


class GroupedQueryAttention(eqx.Module):
    """H query heads share G <= H key/value heads; head h reads key/value head floor(h G / H).

    softmax(q k^T / sqrt(head size)) v over all electrons, unmasked: permutation-equivariant.
    G = H is ordinary multi-head attention. Source: Ainslie et al., arXiv:2305.13245.
    """

    query: Linear
    key: Linear
    value: Linear
    output: Linear
    heads: int = eqx.field(static=True)
    groups: int = eqx.field(static=True)

    def __init__(
        self, width: int, heads: int, groups: int, head_size: int, *, gain: float, key: PRNGKeyArray
    ):
        if heads % groups:
            raise ValueError(f"{heads} query heads cannot share {groups} key/value heads evenly")
        keys = split(key, 4)
        self.query = Linear(width, heads * head_size, key=keys[0])
        self.key = Linear(width, groups * head_size, key=keys[1])
        self.value = Linear(width, groups * head_size, key=keys[2])
        self.output = Linear(heads * head_size, width, gain=gain, key=keys[3])
        self.heads, self.groups = heads, groups

    def __call__(self, x: Float[Array, "electron width"]) -> Float[Array, "electron width"]:
        count = x.shape[0]
        q = self.query(x).reshape(count, self.groups, self.heads // self.groups, -1)
        k = self.key(x).reshape(count, self.groups, -1)
        v = self.value(x).reshape(count, self.groups, -1)
        scores = jnp.einsum("igrd,jgd->grij", q, k) / math.sqrt(q.shape[-1])
        mixed = jnp.einsum("grij,jgd->igrd", jax.nn.softmax(scores, axis=-1), v)
        return self.output(mixed.reshape(count, -1))
