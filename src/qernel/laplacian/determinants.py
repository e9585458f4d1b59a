"""The forward Laplacian of determinants: of any matrices, and of orbitals a few coordinates at a time.

With the inverse X^-1 and M_m = d_m X X^-1 for each coordinate m,

    d_m log det X = tr M_m,        lap log det X = tr(X^-1 lap X) - sum_m tr M_m^2.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Inexact

from qernel.laplacian.chunks import in_chunks
from qernel.laplacian.jet import Jet, Operand, constant
from qernel.wavefunction.operations import as_complex

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

    None where weights are no constants, seeds and factors depend on more than their own electron i, or
    features are not those of all electrons.
    """
    local = all(not isinstance(each, Jet) or each.electron == 1 for each in (seed, factor))
    if isinstance(weight, Jet) or not local:
        return None
    x = x.dense() if isinstance(x, Jet) else constant(x, 2 * len(x))
    count = len(x.value)
    if len(x.jacobian) != 2 * count:
        return None
    shape = (weight.shape[2], count, count)
    each = (jnp.moveaxis(weight, 2, 0), _by_determinant(seed, shape), _by_determinant(factor, shape))
    matrices, first, second = lax.map(lambda inputs: _determinant(x, *inputs), each)
    return _sign_and_logarithm(matrices, first.T, second)


def _determinant(
    x: Jet, weight: Float[Array, "part width orbital"], seed: Jet, factor: Jet
) -> tuple[Inexact[Array, "n n"], Inexact[Array, " row"], Inexact[Array, ""]]:
    """One determinant's matrix X, tr M_m by coordinate m, and lap log det X.

    M_m = F_m + e_o r_m^T is what the features do, and, in the row of the electron o that m belongs to, its
    seed and factor: tr M_m^2 = tr F_m^2 + 2 sum_i (F_m)_io (r_m)_i + (r_m)_o^2.
    """
    bare = seed.value + _network(x.value, weight)
    slope = seed.jacobian + _network(x.own(0), weight)  # in the electron's own coordinates
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
        dx, owner, row = chunk
        moved = by_features(dx)
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
        return lambda dx: (factor * _network(dx, weight)) @ inverse
    response = (factor[:, None, :] * as_complex(weight)) @ inverse
    parts = jnp.concatenate([response.real, response.imag] if len(weight) == 2 else [response], axis=-1)
    return lambda dx: as_complex(jnp.split(jnp.einsum("mic,icl->mil", dx, parts), len(weight), axis=-1))


def _network(
    x: Float[Array, "*left width"], weight: Float[Array, "part width orbital"]
) -> Inexact[Array, "*left orbital"]:
    return as_complex([x @ part for part in weight])


def _by_determinant(x: Operand, shape: tuple[int, int, int]) -> Jet:
    """Seeds or factors for each determinant in turn: all parts lead with the axis of determinants.

    The Jacobian's two rows are derivatives in electron i's own coordinates, as where `Jet.electron` is set,
    which would not pass through the loop over determinants.
    """
    x = x if isinstance(x, Jet) else constant(x, 2)
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
