"""Operations that derivatives treat as a whole.

The forward Laplacian knows these functions by the names they are compiled under, and has one rule for each
(`qernel.laplacian`). Everything also works without: a name is an opportunity, not a duty.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float, Inexact

_PREFIX, _ELEMENTWISE = "qernel_", "qernel_elementwise_"
F = TypeVar("F", bound=Callable)


def operation(function: F) -> F:
    """Compile a function of arrays under a name that tells which it is, and the ranks of its arguments.

    `jax.vmap` leaves names as they are and adds an axis somewhere: where the ranks of the arguments are not
    those of the name, the function is a batched one.
    """

    @functools.cache
    def compiled(ranks: tuple[int, ...]) -> Callable:
        def named(*arguments):
            return function(*arguments)

        named.__name__ = name_of(function.__name__, ranks)
        return jax.jit(named)

    @functools.wraps(function)
    def call(*arguments):
        return compiled(tuple(x.ndim for x in arguments))(*arguments)

    return call  # pyright: ignore[reportReturnType]


def name_of(operation: str, ranks: tuple[int, ...]) -> str:
    """The name that an operation on arguments of these ranks is compiled under."""
    return "_".join([_PREFIX + operation, *map(str, ranks)])


def elementwise(function: F) -> F:
    """Compile a smooth function of one array, entry by entry, as such: f' and f'' are all that is needed."""
    function.__name__ = _ELEMENTWISE + function.__name__
    return jax.jit(function)  # pyright: ignore[reportReturnType]


def is_elementwise(name: str) -> bool:
    """Whether a function was compiled under this name by `elementwise`."""
    return name.startswith(_ELEMENTWISE)


@operation
def softmax(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """exp(x) / sum exp(x) over the last axis."""
    return jax.nn.softmax(x, axis=-1)


@operation
def attend(
    q: Float[Array, "electron group head channel"],
    k: Float[Array, "electron group channel"],
    v: Float[Array, "electron group channel"],
) -> Float[Array, "electron group head channel"]:
    """softmax(q k^T / sqrt(channels)) v over all electrons; each group of query heads shares k and v."""
    scores = jnp.einsum("igrc,jgc->grij", q, k) / math.sqrt(q.shape[-1])
    return jnp.einsum("grij,jgc->igrc", jax.nn.softmax(scores, axis=-1), v)


@jax.custom_vjp
def _linear_map(x, weight):
    return x @ weight


def _forward(x, weight):
    return x @ weight, (x, weight)


def _backward(saved, g):
    x, weight = saved
    return g @ weight.T, jnp.sum(x[:, :, None] * _at_hand(g)[:, None, :], axis=0)


def _at_hand(g: Float[Array, "electron outputs"]) -> Float[Array, "electron outputs"]:
    """g itself; on a CPU the result of a product, which the compiler computes once.

    It would else compute all that leads to an element of g anew for every input that it is multiplied with.
    """
    identity = jnp.eye(g.shape[1], dtype=g.dtype)
    return jax.lax.platform_dependent(g, cpu=lambda g: g @ identity, default=lambda g: g)


_linear_map.defvjp(_forward, _backward)


@operation
def linear_map(
    x: Float[Array, "electron inputs"], weight: Float[Array, "inputs outputs"]
) -> Float[Array, "electron outputs"]:
    """x W, with a gradient that suits one walker at a time.

    The natural gradient needs dW = sum_i x_i g_i^T of every walker separately: a thin outer product.
    Written as a broadcast sum it is one fused loop, several times faster on a CPU than batched matmuls.
    """
    return _linear_map(x, weight)


@operation
def slogdet(
    x: Complex[Array, "*batch n n"] | Float[Array, "*batch n n"],
) -> tuple[Complex[Array, "*batch"] | Float[Array, "*batch"], Float[Array, "*batch"]]:
    """Phase and logarithm of the modulus of determinants."""
    sign, logarithm = jnp.linalg.slogdet(x)
    return sign, logarithm


@operation
def orbital_determinants(
    x: Float[Array, "electron width"],
    weight: Float[Array, "part width determinant orbital"],
    seed: Inexact[Array, "#determinant #electron #orbital"],
    factor: Inexact[Array, "#determinant #electron #orbital"],
) -> tuple[Inexact[Array, " determinant"], Float[Array, " determinant"]]:
    """`slogdet` of the matrices factor_kij (seed_kij + w_kj . x_i)."""
    return slogdet(factor * (seed + network_orbitals(x, weight)))


def network_orbitals(
    x: Float[Array, "electron width"], weight: Float[Array, "part width determinant orbital"]
) -> Inexact[Array, "determinant electron orbital"]:
    """w_kj . x_i; the weights' first axis holds real and imaginary parts (one entry: real orbitals)."""
    return as_complex([jnp.einsum("id,dkj->kij", x, weight[part]) for part in range(len(weight))])


def as_complex(
    parts: Sequence[Float[Array, "*shape"]] | Float[Array, "part ..."],
) -> Inexact[Array, "..."]:
    """Real and imaginary parts as one complex array, or the only part."""
    return jax.lax.complex(parts[0], parts[1]) if len(parts) == 2 else parts[0]
