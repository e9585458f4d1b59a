"""The forward Laplacian of determinants: of any matrices, and of generalized orbitals without their Jacobian.

With the inverse X^-1 and M_m = d_m X X^-1 for each coordinate m,

    d_m log det X = tr M_m,        lap log det X = tr(X^-1 lap X) - sum_m tr M_m^2.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Inexact

from qernel.laplacian.chunks import in_chunks
from qernel.laplacian.jet import Jet, Operand

_CHUNK_ROWS = 36  # fewer would read the response of M to the features, n x width x n, too often


def slogdet(x: Jet) -> list[Jet]:
    """Signs (phases) and logarithms of the determinants of matrices."""
    x = x.dense()
    inverse = jnp.linalg.inv(x.value)
    moved = jnp.einsum("m...ij,...jl->m...il", x.jacobian, inverse)
    first = jnp.trace(moved, axis1=-2, axis2=-1)
    squared = jnp.sum(moved * moved.mT, axis=(0, -2, -1))
    return _sign_and_logarithm(x.value, first, jnp.sum(inverse.mT * x.laplacian, axis=(-2, -1)) - squared)


def orbital_determinants(x: Operand, weight: Operand, seed: Operand, factor: Operand) -> list[Jet] | None:
    """`slogdet` of factor_kij (seed_kij + w_kj . x_i), one determinant after the other.

    None where weights are no constants, or seeds and factors depend on more than their own electron i.
    """
    if isinstance(weight, Jet) or any(
        isinstance(each, Jet) and each.electron != 1 for each in (seed, factor)
    ):
        return None
    if isinstance(x, Jet):
        x = x.dense()
    else:
        x = Jet(x, jnp.zeros((2 * len(x), *x.shape), x.dtype), jnp.zeros_like(x))
    shape = (weight.shape[2], *2 * x.value.shape[:1])
    seeds, factors = _local(seed, shape), _local(factor, shape)
    matrices, first, second = lax.map(
        lambda each: _one(x, *each), (jnp.moveaxis(weight, 2, 0), seeds, factors)
    )
    return _sign_and_logarithm(matrices, first.T, second)


def _one(
    x: Jet, weight: Float[Array, "part width orbital"], seed: Jet, factor: Jet
) -> tuple[Inexact[Array, "n n"], Inexact[Array, " row"], Inexact[Array, ""]]:
    """One determinant's matrix X, tr M_m by coordinate m, and lap log det X.

    M_m is what the features do, and, in the row of the electron that m belongs to, its seed and factor.
    """
    bare = seed.value + _network(x.value, weight)
    slope = seed.jacobian + _network(x.own(0), weight)
    matrix = factor.value * bare
    inverse = jnp.linalg.inv(matrix)
    bent = factor.value * (seed.laplacian + _network(x.laplacian, weight)) + factor.laplacian * bare
    bent = bent + 2 * jnp.sum(factor.jacobian * slope, axis=0)
    own = jnp.swapaxes((factor.jacobian * bare + factor.value * seed.jacobian) @ inverse, 0, 1)
    diagonal = jnp.repeat(jnp.eye(len(bare), dtype=bool), 2, axis=0)
    rows = own.reshape(diagonal.shape)
    on_diagonal = jnp.sum(jnp.where(diagonal, rows, 0), axis=1)
    owners = jnp.repeat(jnp.arange(len(bare)), 2)
    by_features = _by_features(weight, factor.value, inverse)

    def step(squared, chunk):
        slope, owner, row = chunk
        moved = by_features(slope)
        columns = jnp.take_along_axis(moved, owner[:, None, None], axis=2)[:, :, 0]
        squared = squared + jnp.sum(moved * moved.mT) + 2 * jnp.sum(columns * row)
        return squared, jnp.sum(jnp.diagonal(moved, axis1=-2, axis2=-1), axis=-1)

    squared, first = in_chunks(step, jnp.sum(on_diagonal**2), (x.jacobian, owners, rows), _CHUNK_ROWS)
    return matrix, first + on_diagonal, jnp.sum(inverse.mT * bent) - squared


def _by_features(
    weight: Float[Array, "part width orbital"],
    factor: Inexact[Array, "electron orbital"],
    inverse: Inexact[Array, "orbital electron"],
) -> Callable[[Float[Array, "row electron width"]], Inexact[Array, "row electron electron"]]:
    """M by derivatives of the features alone, M_il = sum_cj dx_ic w_cj factor_ij (X^-1)_jl.

    What is multiplied first is what makes less work.
    """
    width, electrons = weight.shape[1], len(factor)
    if 2 * electrons <= width:
        return lambda slope: (factor * _network(slope, weight)) @ inverse
    response = (factor[:, None, :] * _complex(weight)) @ inverse
    parts = jnp.concatenate([response.real, response.imag] if len(weight) == 2 else [response], axis=-1)
    return lambda slope: _complex(
        jnp.stack(jnp.split(jnp.einsum("mic,icl->mil", slope, parts), len(weight), axis=-1))
    )


def _network(
    x: Float[Array, "*left width"], weight: Float[Array, "part width orbital"]
) -> Inexact[Array, "*left orbital"]:
    return _complex(jnp.stack([x @ part for part in weight]))


def _complex(parts: Float[Array, "part ..."]) -> Inexact[Array, "..."]:
    return lax.complex(parts[0], parts[1]) if len(parts) == 2 else parts[0]


def _local(x: Operand, shape: tuple[int, int, int]) -> Jet:
    """The same with an axis of determinants in front, of derivatives in an electron's own coordinates."""
    if not isinstance(x, Jet):
        x = Jet(x, jnp.zeros((2, *x.shape), x.dtype), jnp.zeros_like(x))
    jacobian = jnp.broadcast_to(x.jacobian, (2, *shape))
    return Jet(
        jnp.broadcast_to(x.value, shape), jnp.swapaxes(jacobian, 0, 1), jnp.broadcast_to(x.laplacian, shape)
    )


def _sign_and_logarithm(
    matrix: Inexact[Array, "... n n"],
    first: Inexact[Array, "row ..."],
    second: Inexact[Array, "..."],
) -> list[Jet]:
    """Jets of the sign and of the logarithm of the modulus from derivatives of log det."""
    sign, logarithm = jnp.linalg.slogdet(matrix)
    turn, bend = _imaginary(first), _imaginary(second)
    return [
        Jet(sign, sign * turn, sign * (bend + jnp.sum(turn**2, axis=0))),
        Jet(logarithm, jnp.real(first), jnp.real(second)),
    ]


def _imaginary(x: Array) -> Array:
    """i Im x."""
    return lax.complex(jnp.zeros_like(x.real), x.imag) if jnp.iscomplexobj(x) else jnp.zeros_like(x)
