"""The forward Laplacian of attention, a few coordinates at a time.

The scores' derivatives are the largest arrays of all, (2 N, heads, N, N). They are needed only to be summed:
over keys into the derivatives of the result, and over coordinates, squared, into its Laplacian. Taking the
coordinates in chunks keeps them in the cache of a CPU, and in the memory of anything.

With s_ij = q_i.k_j / sqrt(d), p = softmax(s), m_i = sum_j p_ij v_j, and c = d s - <d s>_p by coordinate,

    d m = (p c) v + p d v,
    lap m = p (b - <b>_p) v + p lap v + 2 sum_k (p c_k) d_k v,      b = lap s + sum_k c_k^2.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from qernel.laplacian.jet import Jet

_CHUNK_ENTRIES = 25_000  # of the scores' derivatives: 400 kB in single precision for four walkers


def attention(q: Jet, k: Jet, v: Jet) -> Jet:
    """Jets of `attend`: q (electron, group, head, channel), k and v (electron, group, channel)."""
    q, k, v = q.dense(), k.dense(), v.dense()
    scale = 1 / math.sqrt(q.value.shape[-1])
    p = jax.nn.softmax(scale * _scores(q.value, k.value), axis=-1)

    def step(sums, derivatives):
        dq, dk, dv = derivatives
        slope = scale * (_scores(dq, k.value) + _scores(q.value, dk))
        weighted = p * slope
        mean = jnp.sum(weighted, axis=-1, keepdims=True)
        centred = slope - mean
        moved = weighted - p * mean
        bent, crossed = sums
        bent = bent + jnp.sum(centred**2, axis=0)
        crossed = crossed + jnp.einsum("...grij,...jgc->igrc", moved, dv)
        return (bent, crossed), _mix(moved, v.value) + _mix(p, dv)

    start = (jnp.zeros_like(p), jnp.zeros_like(q.value))
    (bent, crossed), jacobian = _in_chunks(step, start, (q.jacobian, k.jacobian, v.jacobian), p.size)
    doubled = jnp.einsum("kigrc,kjgc->grij", q.jacobian, k.jacobian)
    bent += scale * (_scores(q.laplacian, k.value) + _scores(q.value, k.laplacian) + 2 * doubled)
    turned = p * (bent - jnp.sum(p * bent, axis=-1, keepdims=True))
    laplacian = _mix(turned, v.value) + _mix(p, v.laplacian) + 2 * crossed
    return Jet(_mix(p, v.value), jacobian, laplacian)


def _scores(
    q: Float[Array, "*left electron group head channel"], k: Float[Array, "*right electron group channel"]
) -> Float[Array, "*either group head electron electron"]:
    return jnp.einsum("...igrc,...jgc->...grij", q, k)


def _mix(
    p: Float[Array, "*left group head electron electron"], v: Float[Array, "*right electron group channel"]
) -> Float[Array, "*either electron group head channel"]:
    return jnp.einsum("...grij,...jgc->...igrc", p, v)


def _in_chunks(step, start, rows, entries: int):
    """scan `step` over chunks of the rows' leading axis; `entries` is the size of what each row leads to."""
    count = rows[0].shape[0]
    size = max(1, min(count, _CHUNK_ENTRIES // entries))
    whole = count // size * size
    chunks = tuple(x[:whole].reshape(-1, size, *x.shape[1:]) for x in rows)
    sums, results = lax.scan(step, start, chunks)
    results = results.reshape(whole, *results.shape[2:])
    if whole < count:
        sums, rest = step(sums, tuple(x[whole:] for x in rows))
        results = jnp.concatenate([results, rest])
    return sums, results
