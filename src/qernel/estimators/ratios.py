"""psi at another configuration over psi at this one: what expectation values of operators are made of."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from qernel.hamiltonian.couplings import Couplings
from qernel.wavefunction.base import Wavefunction


def amplitude_ratios(
    model: Wavefunction,
    electrons: Float[Array, "electron 2"],
    others: Float[Array, "other electron 2"],
    couplings: Couplings,
) -> Complex[Array, " other"]:
    """psi(other) / psi(electrons) for every other configuration."""
    here = model(electrons, couplings)
    there = jax.vmap(lambda r: model(r, couplings))(others)
    size = jnp.exp((there.log_abs - here.log_abs).astype(jnp.float64))
    angle = (there.phase - here.phase).astype(jnp.float64)
    return jax.lax.complex(size * jnp.cos(angle), size * jnp.sin(angle))
