"""Pair Jastrow factor with the exact two-dimensional Coulomb cusp."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from qernel.hamiltonian.couplings import Couplings
from qernel.lattice import Supercell


class PairJastrow(eqx.Module):
    """J = sum_{i<j} s_ij d_ij / (1 + d_ij / b), with slope s = u/3 (equal spins) or u (opposite spins).

    d(r) = sqrt(2 sum_i w_i (1 - cos G_i.r)) is a smooth periodic distance, d -> |r| at coalescence, so that
    psi ~ r (1 + u r / 3) for equal spins and 1 + u r for opposite ones. The ranges b > 0 are learnt.
    """

    log_range: Float[Array, "2"]  # log b in a_M for equal and opposite spins
    supercell: Supercell = eqx.field(static=True)
    spins: tuple[int, int] = eqx.field(static=True)

    def __init__(self, supercell: Supercell, spins: tuple[int, int]):
        self.log_range = jnp.zeros(2, jnp.float32)
        self.supercell, self.spins = supercell, spins

    def __call__(self, electrons: Float[Array, "electron 2"], couplings: Couplings) -> Float[Array, ""]:
        dtype = electrons.dtype
        first, second = np.triu_indices(sum(self.spins), 1)
        opposite = (first < self.spins[0]) & (second >= self.spins[0])
        slope = couplings.coulomb.astype(dtype) * jnp.asarray(np.where(opposite, 1.0, 1 / 3), dtype)
        distance = self._distance(electrons[first] - electrons[second])
        inverse_range = jnp.exp(-self.log_range).astype(dtype)[opposite.astype(int)]
        return jnp.sum(slope * distance / (1.0 + distance * inverse_range))

    def _distance(self, displacement: Float[Array, "pair 2"]) -> Float[Array, " pair"]:
        waves, weights = self.supercell.selling_weights()
        dtype = displacement.dtype
        # 1 - cos x = 2 sin^2(x/2) keeps all digits at small distances.
        half_angles = displacement @ jnp.asarray(waves.T / 2, dtype)
        return jnp.sqrt(jnp.sum(jnp.asarray(4 * weights, dtype) * jnp.sin(half_angles) ** 2, axis=-1))
