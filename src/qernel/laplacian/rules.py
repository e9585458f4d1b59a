"""How jets pass through the operations that a wavefunction is made of.

For y = f(x_1, x_2, ...), with derivatives d_k in the coordinates and sums over repeated arguments,

    d_k y = f'(x) d_k x,        lap y = f'(x) lap x + sum_k f''(x)[d_k x, d_k x].

Linear operations lack the second term. What has no rule of its own goes by automatic differentiation, which
is correct and slow.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from qernel.laplacian.jet import Jet, Operand

Function = Callable[..., list]  # of arrays, one for each operand; returns arrays


def names(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


#: Their derivatives count as zero.
CONSTANT = names("stop_gradient lt le gt ge eq ne and or not is_finite argmax argmin")
#: Linear in all operands that depend on the coordinates.
LINEAR = names(
    "add sub neg reshape transpose broadcast_in_dim squeeze concatenate split slice gather reduce_sum"
    " convert_element_type complex real imag conj select_n pad copy rev"
)
#: Of one operand, entry by entry, and smooth.
ELEMENTWISE = names("sin cos tan exp log log1p expm1 sqrt rsqrt tanh logistic erf integer_pow square")


def linear(function: Function, operands: Sequence[Operand], electron: int | None = None) -> list[Jet]:
    """A function that is linear, or affine, in all operands that are jets."""
    inner, jets = _of_jets(function, operands)
    values = tuple(jet.value for jet in jets)

    def push(*directions: Array) -> list:
        return jax.jvp(inner, values, directions)[1]

    jacobians = jax.vmap(push)(*(jet.jacobian for jet in jets))
    laplacians = push(*(jet.laplacian for jet in jets))
    return [Jet(*parts, electron) for parts in zip(inner(*values), jacobians, laplacians, strict=True)]


def general(function: Function, operands: Sequence[Operand]) -> list[Operand]:
    """Any differentiable function, with 2 N second derivatives along lines. Integers come as they are."""
    operands = [x.dense() if isinstance(x, Jet) else x for x in operands]
    plain = function(*(x.value if isinstance(x, Jet) else x for x in operands))
    smooth = [i for i, x in enumerate(plain) if jnp.issubdtype(x.dtype, jnp.inexact)]

    def smooth_part(*arguments):
        results = function(*arguments)
        return [results[i] for i in smooth]

    inner, jets = _of_jets(smooth_part, operands)
    values = tuple(jet.value for jet in jets)

    def bend(*directions: Array) -> list:
        return jax.jvp(lambda *x: jax.jvp(inner, x, directions)[1], values, directions)[1]

    second = jax.vmap(bend)(*(jet.jacobian for jet in jets))
    for i, jet, bent in zip(smooth, linear(smooth_part, operands), second, strict=True):
        plain[i] = jet._replace(laplacian=jet.laplacian + jnp.sum(bent, axis=0))
    return plain


def elementwise(function: Callable[[Array], Array], x: Jet) -> Jet:
    """A smooth function of each entry, holomorphic where it is complex."""
    one = jnp.ones_like(x.value)

    def slope(value):
        return jax.jvp(function, (value,), (one,))[1]

    first, second = jax.jvp(slope, (x.value,), (one,))
    return Jet(function(x.value), first * x.jacobian, first * x.laplacian + second * x.squares, x.electron)


def product(x: Jet, y: Jet) -> Jet:
    """x y, entry by entry. Where one is known to depend on one electron, so do the crossed terms."""
    if x.electron is None:
        x, y = y, x
    axis = x.electron
    if axis is not None and x.value.shape[axis] != y.value.shape[axis]:
        x, y, axis = x.dense(), y.dense(), None
    slope = x.jacobian * y.value
    if axis == y.electron:
        slope, own = slope + x.value * y.jacobian, y.jacobian
    else:
        assert axis is not None
        y = y.dense()
        slope, own = Jet(x.value * y.value, slope, y.laplacian, axis).dense().jacobian, y.own(axis)
        slope, axis = slope + x.value * y.jacobian, None
    cross = jnp.sum(x.jacobian * own, axis=0)
    return Jet(x.value * y.value, slope, x.laplacian * y.value + x.value * y.laplacian + 2 * cross, axis)


def contraction(x: Jet, y: Jet, parameters: dict[str, Any], electron: int | None = None) -> Jet:
    """A matrix product of two jets with derivatives in the same coordinates, as `lax.dot_general` makes it.

    `electron` is the results' electron axis where both operands depend on one electron, the same for both.
    """
    (contract_x, contract_y), (batch_x, batch_y) = parameters["dimension_numbers"]
    options = {name: parameters[name] for name in ("precision", "preferred_element_type")}

    def dot(a, b):
        return lax.dot_general(a, b, parameters["dimension_numbers"], **options)

    def behind(axes):
        return tuple(axis + 1 for axis in axes)

    contract = ((0, *behind(contract_x)), (0, *behind(contract_y)))
    cross = lax.dot_general(x.jacobian, y.jacobian, (contract, (behind(batch_x), behind(batch_y))), **options)
    return Jet(
        dot(x.value, y.value),
        jax.vmap(dot, (0, None))(x.jacobian, y.value) + jax.vmap(dot, (None, 0))(x.value, y.jacobian),
        dot(x.laplacian, y.value) + dot(x.value, y.laplacian) + 2 * cross,
        electron,
    )


def softmax(x: Jet) -> Jet:
    """p = softmax(x) over the last axis: with c_k = d_k x - <d_k x>_p,

    d_k p = p c_k,        lap p = p (v - <v>_p),        v = lap x + sum_k c_k^2.
    """
    if x.electron == x.value.ndim - 1:
        x = x.dense()
    p = jax.nn.softmax(x.value, axis=-1)
    centred = x.jacobian - jnp.sum(p * x.jacobian, axis=-1, keepdims=True)
    bent = x.laplacian + jnp.sum(centred**2, axis=0)
    return Jet(p, p * centred, p * (bent - jnp.sum(p * bent, axis=-1, keepdims=True)), x.electron)


def _of_jets(function: Function, operands: Sequence[Operand]) -> tuple[Function, list[Jet]]:
    """`function` of the jets' values alone, constants filled in, and the jets."""

    def inner(*values):
        rest = iter(values)
        return function(*(next(rest) if isinstance(x, Jet) else x for x in operands))

    return inner, [x for x in operands if isinstance(x, Jet)]
