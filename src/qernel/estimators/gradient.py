"""The energy gradient: clipped local energies against the scores d log psi / d theta.

For complex psi with real parameters theta,

    dE / d theta = 2 Re < (E_L - E)* d_theta log psi >
                 = 2 < Re(E_L - E) d_theta log|psi| + Im(E_L - E) d_theta arg psi >.

Both halves count: without the second the phase is never corrected. Averages are centred and clipped
per context; pooled over contexts, the spread of E(c) would swamp the gradient.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Complex, Float, PyTree

from qernel.batching import BY_WALKER, REPLICATED, over_devices, over_walkers
from qernel.hamiltonian.couplings import Couplings
from qernel.wavefunction.base import Wavefunction

_CLIP = 5.0  # in mean absolute deviations


def clipped_residual(energies: Complex[Array, "context walker"]) -> Float[Array, "part context walker"]:
    """Real and imaginary part of E_L - E, centred per context, outliers clipped.

    Each part is clipped at five mean absolute deviations from its context's median, then centred again.
    """

    def clip(values):
        centre = jnp.median(values, axis=1, keepdims=True)
        reach = _CLIP * jnp.mean(jnp.abs(values - centre), axis=1, keepdims=True)
        clipped = jnp.clip(values, centre - reach, centre + reach)
        return clipped - jnp.mean(clipped, axis=1, keepdims=True)

    return jnp.stack([clip(energies.real), clip(energies.imag)])


class Scores(NamedTuple):
    """d log|psi| / d theta and d arg psi / d theta, pytrees like the model's parameters.

    Leaves are (context, walker, ...), centred per context.
    """

    log_abs: PyTree
    phase: PyTree


def scores(
    model: Wavefunction,
    electrons: Float[Array, "context walker electron 2"],
    couplings: Couplings,
    mesh: Mesh,
    microbatch: int,
) -> Scores:
    """The scores of every walker."""

    def one(model, configuration, coupling):
        parameters, static = eqx.partition(model, eqx.is_inexact_array)

        def log_psi(parameters):
            return tuple(eqx.combine(parameters, static)(configuration, coupling))

        values, backward = jax.vjp(log_psi, parameters)
        one, zero = jnp.ones_like(values[0]), jnp.zeros_like(values[0])
        return Scores(backward((one, zero))[0], backward((zero, one))[0])

    raw = over_walkers(one, mesh, microbatch)(model, electrons, couplings)
    return jax.tree.map(lambda rows: rows - jnp.mean(rows, axis=1, keepdims=True), raw)


def energy_gradient(
    model: Wavefunction,
    electrons: Float[Array, "context walker electron 2"],
    couplings: Couplings,
    residual: Float[Array, "part context walker"],
    mesh: Mesh,
    microbatch: int,
) -> Wavefunction:
    """dE / d theta averaged over contexts, as a pytree like the model's parameters.

    Accumulated over microbatches, without the per-walker scores. Equal to contracting them.
    """
    count = residual[0].size

    def local(model, electrons, couplings, residual):
        parameters, static = eqx.partition(model, eqx.is_inexact_array)
        contexts, share = electrons.shape[:2]
        size = max(n for n in range(1, min(microbatch, share) + 1) if share % n == 0)

        def chunk(total, inputs):
            configurations, coupling, weights = inputs

            def weighted(parameters):
                wavefunction = eqx.combine(parameters, static)
                values = jax.vmap(lambda r: wavefunction(r, coupling))(configurations)
                return jnp.sum(weights[0] * values.log_abs) + jnp.sum(weights[1] * values.phase)

            return jax.tree.map(jnp.add, total, jax.grad(weighted)(parameters)), None

        chunks = share // size
        inputs = (
            electrons.reshape(contexts * chunks, size, *electrons.shape[2:]),
            jax.tree.map(lambda x: jnp.repeat(x, chunks, axis=0), couplings),
            residual.reshape(2, contexts * chunks, size).swapaxes(0, 1),
        )
        zero = jax.tree.map(jnp.zeros_like, parameters)
        total, _ = jax.lax.scan(chunk, zero, inputs)
        return jax.lax.psum(total, "walkers")

    residual_spec = jax.sharding.PartitionSpec(None, None, "walkers")
    specs = (REPLICATED, BY_WALKER, REPLICATED, residual_spec)
    weights = residual * jnp.asarray(2.0 / count, residual.dtype)
    return over_devices(local, mesh, specs, REPLICATED)(model, electrons, couplings, weights)
