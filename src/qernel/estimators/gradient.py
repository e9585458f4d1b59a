"""The energy gradient: clipped local energies against the scores d log psi / d theta.

For complex psi with real parameters theta,

    dE / d theta = 2 Re < (E_L - E)* d_theta log psi >
                 = 2 < Re(E_L - E) d_theta log|psi| + Im(E_L - E) d_theta arg psi >.

Both halves count: without the second the phase is never corrected. Averages are centred and clipped
per context; pooled over contexts, the spread of E(c) would swamp the gradient.
"""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Complex, Float, PyTree

from qernel.batching import BY_WALKER, REPLICATED, even_chunks, over_devices, over_walkers, sum_over_devices
from qernel.hamiltonian.couplings import Couplings
from qernel.wavefunction.base import Wavefunction

_CLIP = 5.0  # in mean absolute deviations


def clipped_residual(energies: Complex[Array, "context walker"]) -> Float[Array, "context walker part"]:
    """Real and imaginary part of E_L - E, centred per context, outliers clipped.

    Each part is clipped at five mean absolute deviations from its context's median, then centred again.
    """

    def clip(values):
        centre = jnp.median(values, axis=1, keepdims=True)
        reach = _CLIP * jnp.mean(jnp.abs(values - centre), axis=1, keepdims=True)
        clipped = jnp.clip(values, centre - reach, centre + reach)
        return clipped - jnp.mean(clipped, axis=1, keepdims=True)

    return jnp.stack([clip(energies.real), clip(energies.imag)], axis=-1)


def scores(
    model: Wavefunction,
    electrons: Float[Array, "context walker electron 2"],
    couplings: Couplings,
    mesh: Mesh,
    microbatch: int,
) -> PyTree:
    """The scores of every walker: d log|psi| / d theta and d arg psi / d theta.

    A pytree like the model's parameters with leaves (context, walker, part, ...), relative to the scores of
    the first walker of each context. That brings them close to their mean, with which all rounding errors
    would grow, without the time it takes to go through all of them twice.
    """
    return of_scores(lambda each, _: each, None, model, electrons, couplings, mesh, microbatch)


def of_scores(
    function: Callable[[PyTree, Any], Any],
    argument: Any,
    model: Wavefunction,
    electrons: Float[Array, "context walker electron 2"],
    couplings: Couplings,
    mesh: Mesh,
    microbatch: int,
) -> Any:
    """`function(scores, argument)` of every walker, without holding the scores of more than a microbatch.

    The scores are a pytree like the model's parameters with leaves (part, ...), relative as in `scores`.
    """

    def raw(model, configuration, coupling):
        parameters, static = eqx.partition(model, eqx.is_inexact_array)

        def log_psi(parameters):
            return tuple(eqx.combine(parameters, static)(configuration, coupling))

        values, backward = jax.vjp(log_psi, parameters)
        parts = jnp.eye(2, dtype=values[0].dtype)
        return jax.vmap(backward)((parts[0], parts[1]))[0]

    def of_relative(given, configuration, context):
        (model, argument), (coupling, first) = given, context
        return function(jax.tree.map(jnp.subtract, raw(model, configuration, coupling), first), argument)

    first = jax.vmap(raw, (None, 0, 0))(model, electrons[:, 0], couplings)
    return over_walkers(of_relative, mesh, microbatch)((model, argument), electrons, (couplings, first))


def energy_gradient(
    model: Wavefunction,
    electrons: Float[Array, "context walker electron 2"],
    couplings: Couplings,
    residual: Float[Array, "context walker part"],
    mesh: Mesh,
    microbatch: int,
) -> Wavefunction:
    """dE / d theta averaged over contexts, as a pytree like the model's parameters."""
    weights = residual * jnp.asarray(2.0 / math.prod(residual.shape[:2]), residual.dtype)
    return contracted_scores(model, electrons, couplings, weights, mesh, microbatch)


def contracted_scores(
    model: Wavefunction,
    electrons: Float[Array, "context walker electron 2"],
    couplings: Couplings,
    weights: Float[Array, "context walker part"],
    mesh: Mesh,
    microbatch: int,
) -> Wavefunction:
    """The sum of all scores, each times its weight, as a pytree like the model's parameters.

    Accumulated over microbatches, without the scores of single walkers.
    """

    def local(model, electrons, couplings, weights):
        parameters, static = eqx.partition(model, eqx.is_inexact_array)
        contexts, share = electrons.shape[:2]
        chunks, size = even_chunks(share, microbatch)
        filled = [(0, 0), (0, chunks * size - share), (0, 0)]  # by the last walker, without weight
        electrons = jnp.pad(electrons, [*filled, (0, 0)], mode="edge")
        weights = jnp.pad(weights, filled)

        def chunk(total, inputs):
            configurations, coupling, weights = inputs

            def weighted(parameters):
                wavefunction = eqx.combine(parameters, static)
                values = jax.vmap(lambda r: wavefunction(r, coupling))(configurations)
                return jnp.sum(weights[:, 0] * values.log_abs + weights[:, 1] * values.phase)

            return jax.tree.map(jnp.add, total, jax.grad(weighted)(parameters)), None

        inputs = (
            electrons.reshape(contexts * chunks, size, *electrons.shape[2:]),
            jax.tree.map(lambda x: jnp.repeat(x, chunks, axis=0), couplings),
            weights.reshape(contexts * chunks, size, 2),
        )
        zero = jax.tree.map(jnp.zeros_like, parameters)
        total, _ = jax.lax.scan(chunk, zero, inputs)
        return sum_over_devices(total)

    specs = (REPLICATED, BY_WALKER, REPLICATED, BY_WALKER)
    return over_devices(local, mesh, specs, REPLICATED)(model, electrons, couplings, weights)
