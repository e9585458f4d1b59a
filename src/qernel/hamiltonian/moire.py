"""The moiré potential."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from qernel.hamiltonian.couplings import Couplings
from qernel.lattice import MOIRE_HARMONICS


class MoirePotential(eqx.Module):
    """V(r) = -2 w sum_{j=1..3} cos(g_j.r + phi), summed over electrons, in E_M.

    At phi = pi/4 its deepest minima are the lattice sites. phi -> -phi mirrors it through the origin.
    """

    name = "moire"

    def __call__(self, electrons: Float[Array, "electron 2"], couplings: Couplings) -> Float[Array, ""]:
        harmonics = jnp.asarray(MOIRE_HARMONICS, electrons.dtype)
        waves = jnp.cos(electrons @ harmonics.T + couplings.phase)
        return -2 * couplings.moire * jnp.sum(waves)
