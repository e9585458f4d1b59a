"""The forward Laplacian of the first attention, whose queries, keys and values know one electron each.

Moving electron e by its coordinate a changes row e of the scores, by d q_e.k_j / sqrt(d), and their column e,
by t_ie = q_i.d k_e / sqrt(d). With the means over p = softmax(s) taken off, and
x_ij = d q_i.(k_j - <k>_i) / sqrt(d),

    c_ij = delta_ie x_ij + t_ie (delta_je - p_ie),

so that sums over all coordinates (see `attention`) are sums over N^2 pairs, not N^3 triples:

    d_e m_i = delta_ie sum_j p_ij x_ij v_j + p_ie [t_ie (v_e - m_i) + d v_e],
    sum_e c_ij^2 = x_ij^2 + 2 x_ij t_ii (delta_ij - p_ii) + t_ij^2 (1 - 2 p_ij) + sum_e t_ie^2 p_ie^2.
"""

import math

import jax
import jax.numpy as jnp

from qernel.laplacian.jet import Jet


def first_attention(q: Jet, k: Jet, v: Jet) -> Jet:
    """Jets of `attend` of such q (electron, group, head, channel), k and v (electron, group, channel)."""
    scale = 1 / math.sqrt(q.value.shape[-1])
    q = Jet(scale * q.value, scale * q.jacobian, scale * q.laplacian, q.electron)
    p = jax.nn.softmax(jnp.einsum("igrc,jgc->grij", q.value, k.value), axis=-1)
    mixed = jnp.einsum("grij,jgc->igrc", p, v.value)
    x = jnp.einsum("aigrc,jgc->agrij", q.jacobian, k.value)
    x = x - jnp.sum(p * x, axis=-1, keepdims=True)
    t = jnp.einsum("igrc,ajgc->agrij", q.value, k.jacobian)
    same = jnp.eye(len(q.value), dtype=p.dtype)
    jacobian = _jacobian(p, x, t, v, mixed, same)

    bent = 2 * same * jnp.einsum("aigrc,aigc->gri", q.jacobian, k.jacobian)[..., None]
    bent += jnp.einsum("igrc,jgc->grij", q.laplacian, k.value)
    bent += jnp.einsum("igrc,jgc->grij", q.value, k.laplacian)
    own_t, own_p = (jnp.sum(same * each, axis=-1, keepdims=True) for each in (t, p))
    squares = (
        x**2
        + 2 * x * own_t * (same - own_p)
        + t**2 * (1 - 2 * p)
        + jnp.sum((t * p) ** 2, axis=-1, keepdims=True)
    )
    bent += jnp.sum(squares, axis=0)
    turned = p * (bent - jnp.sum(p * bent, axis=-1, keepdims=True))
    crossed = jnp.einsum("agrij,ajgc->igrc", p * (same * x + t * (1 - p)), v.jacobian)
    laplacian = jnp.einsum("grij,jgc->igrc", turned, v.value) + jnp.einsum("grij,jgc->igrc", p, v.laplacian)
    return Jet(mixed, jacobian, laplacian + 2 * crossed)


def _jacobian(p, x, t, v: Jet, mixed, same):
    """d_e m_i, (2 N, electron, group, head, channel)."""
    row = jnp.swapaxes(jnp.einsum("agrij,jgc->aigrc", p * x, v.value), 0, 1)[:, :, None]  # (e, a, 1, g, r, c)
    p = jnp.moveaxis(p, (-1, -2), (0, 1))[:, None, ..., None]  # (e, 1, i, g, r, 1)
    t = jnp.moveaxis(t, (-1, -2), (0, 2))[..., None]  # (e, a, i, g, r, 1)
    value = v.value[:, None, None, :, None, :]  # (e, 1, 1, g, 1, c)
    slope = jnp.swapaxes(v.jacobian, 0, 1)[:, :, None, :, None, :]  # (e, a, 1, g, 1, c)
    full = p * (t * (value - mixed) + slope) + same[:, None, :, None, None, None] * row
    return full.reshape(-1, *mixed.shape)
