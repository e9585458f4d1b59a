"""The forward Laplacian of attention, a few coordinates at a time.

The scores' derivatives are the largest arrays of all, (2 N, heads, N, N). They are needed only to be summed:
over keys into the derivatives of the result, and over coordinates, squared, into its Laplacian.

With s_ij = q_i.k_j / sqrt(d), p = softmax(s), m_i = sum_j p_ij v_j, and c = d s - <d s>_p by coordinate,

    d m = (p c) v + p d v,
    lap m = p (b - <b>_p) v + p lap v + 2 sum_k (p c_k) d_k v,      b = lap s + sum_k c_k^2.

Each derivative of the scores, d q.k + q.d k, is one matrix product of twice as many channels, and so are both
uses of p c; <d s>_p = d q.<k>_p + q.<d k>_p needs none of the scores' size.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from qernel.laplacian.chunks import in_chunks
from qernel.laplacian.first_attention import first_attention
from qernel.laplacian.jet import Jet

_CHUNK_ENTRIES = 20_000  # of the scores' derivatives: 320 kB in single precision for four walkers


def attention(q: Jet, k: Jet, v: Jet) -> Jet:
    """Jets of `attend`: q (electron, group, head, channel), k and v (electron, group, channel)."""
    if q.electron == k.electron == v.electron == 0:
        return first_attention(q, k, v)
    q, k, v = q.dense(), k.dense(), v.dense()
    shape, channels = q.value.shape, q.value.shape[-1]
    keys, values = _by_group(k.value), _by_group(v.value)
    queries = _queries(q.value)
    p = jax.nn.softmax(queries @ keys.mT, axis=-1)
    mean_key = p @ keys

    def step(sums, derivatives):
        dq, dk, dv = _queries(derivatives[0]), _by_group(derivatives[1]), _by_group(derivatives[2])
        mean_dk, mixed = jnp.split(p @ _beside(dk, dv), [channels], axis=-1)
        mean = jnp.sum(dq * mean_key + queries * mean_dk, axis=-1, keepdims=True)
        centred = _beside(dq, queries) @ _beside(keys, dk).mT - mean
        moved, crossed = jnp.split((p * centred) @ _beside(values, dv), [channels], axis=-1)
        bent = jnp.sum(centred**2, axis=0) + 2 * jnp.sum(dq @ dk.mT, axis=0)
        sums = jax.tree.map(jnp.add, sums, (bent, jnp.sum(crossed, axis=0)))
        return sums, _by_electron(moved + mixed, shape)

    start = (jnp.zeros_like(p), jnp.zeros_like(queries))
    (bent, crossed), jacobian = in_chunks(
        step, start, (q.jacobian, k.jacobian, v.jacobian), _CHUNK_ENTRIES // p.size
    )
    bent += _queries(q.laplacian) @ keys.mT + queries @ _by_group(k.laplacian).mT
    turned = p * (bent - jnp.sum(p * bent, axis=-1, keepdims=True))
    laplacian = turned @ values + p @ _by_group(v.laplacian) + 2 * crossed
    return Jet(_by_electron(p @ values, shape), jacobian, _by_electron(laplacian, shape))


def _queries(
    q: Float[Array, "*left electron group head channel"],
) -> Float[Array, "*left group query channel"]:
    """Of all heads of a group one below the other, over sqrt(channels)."""
    q = jnp.moveaxis(q, -4, -2) / math.sqrt(q.shape[-1])
    return q.reshape(*q.shape[:-3], -1, q.shape[-1])


def _by_group(
    x: Float[Array, "*left electron group channel"],
) -> Float[Array, "*left group electron channel"]:
    return jnp.swapaxes(x, -2, -3)


def _by_electron(
    x: Float[Array, "*left group query channel"], shape: tuple[int, ...]
) -> Float[Array, "*left electron group head channel"]:
    electrons, groups, heads, channels = shape
    return jnp.moveaxis(x.reshape(*x.shape[:-3], groups, heads, electrons, channels), -2, -4)


def _beside(x: Array, y: Array) -> Array:
    """The channels of both, whichever is there once for all coordinates."""
    left = jnp.broadcast_shapes(x.shape[:-1], y.shape[:-1])
    return jnp.concatenate([jnp.broadcast_to(each, (*left, each.shape[-1])) for each in (x, y)], axis=-1)
