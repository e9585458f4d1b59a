"""Self-attention between electrons, with grouped key/value heads."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.random import split
from jaxtyping import Array, Float, PRNGKeyArray

from qernel.wavefunction.linear import Linear
from qernel.wavefunction.operations import attend


class Rotations(NamedTuple):
    """cos and sin of the angles that channel pairs turn by."""

    cos: Float[Array, "electron pair"]
    sin: Float[Array, "electron pair"]


class GroupedQueryAttention(eqx.Module):
    """H query heads share G <= H key/value heads; head h reads key/value head floor(h G / H).

    softmax(q k^T / sqrt(head size)) v over all electrons, unmasked: permutation-equivariant.
    G = H is ordinary multi-head attention. Source: Ainslie et al., arXiv:2305.13245.

    With `rotations`, channel pairs of q, k and v turn with the electron's position (see `rotate`) and the
    result is turned back: electrons then know of one another their displacement only, so that moving all of
    them together changes nothing. For scores this is RoPE (Su et al., arXiv:2104.09864).
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

    @property
    def head_size(self) -> int:
        return self.query.weight.shape[1] // self.heads

    def __call__(
        self, x: Float[Array, "electron width"], rotations: Rotations | None = None
    ) -> Float[Array, "electron width"]:
        count = x.shape[0]
        q = self.query(x).reshape(count, self.groups, self.heads // self.groups, -1)
        k = self.key(x).reshape(count, self.groups, -1)
        v = self.value(x).reshape(count, self.groups, -1)
        if rotations is not None:
            q, k, v = rotate(q, rotations), rotate(k, rotations), rotate(v, rotations)
        mixed = attend(q, k, v)
        if rotations is not None:
            mixed = rotate(mixed, Rotations(rotations.cos, -rotations.sin))
        return self.output(mixed.reshape(count, -1))


def rotations_of(
    electrons: Float[Array, "electron 2"], waves: Float[np.ndarray, "wave 2"], head_size: int
) -> Rotations:
    """Angles G.r of each electron for each pair of a head's channels; pairs take the waves G in turn."""
    waves = np.resize(waves, (head_size // 2, 2))
    angles = electrons @ jnp.asarray(waves.T, electrons.dtype)
    return Rotations(jnp.cos(angles), jnp.sin(angles))


def rotate(
    x: Float[Array, "electron *head channel"], rotations: Rotations
) -> Float[Array, "electron *head channel"]:
    """Turn each pair of channels, one from either half, by its angle: (a + i b) -> (a + i b) e^{i angle}."""
    a, b = jnp.split(x, 2, axis=-1)
    shape = (a.shape[0], *[1] * (a.ndim - 2), a.shape[-1])
    cos, sin = rotations.cos.reshape(shape), rotations.sin.reshape(shape)
    return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1)
