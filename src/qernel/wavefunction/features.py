"""What one electron knows of itself: periodic functions of its position, and its spin."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from qernel.lattice import MOIRE_HARMONICS, Supercell
from qernel.wavefunction.base import spin_labels


class PeriodicFeatures(eqx.Module):
    """sin and cos of B.r for the supercell's two reciprocal vectors, and the spin.

    With `moire_harmonics`, also sin and cos of the three g_j.r: they resolve the position inside a moiré
    cell and mean the same in every supercell. Without `place`, they are all there is: the electron knows
    its position within a moiré cell, but not which cell it is in.
    """

    supercell: Supercell = eqx.field(static=True)
    spins: tuple[int, int] = eqx.field(static=True)
    moire_harmonics: bool = eqx.field(static=True)
    place: bool = eqx.field(static=True, default=True)

    @property
    def size(self) -> int:
        """Number of features per electron."""
        return 1 + 4 * self.place + 6 * self.moire_harmonics

    def __call__(self, electrons: Float[Array, "electron 2"]) -> Float[Array, "electron feature"]:
        dtype = electrons.dtype
        coarse = self.supercell.reciprocal[: 2 * self.place]
        fine = MOIRE_HARMONICS[: 3 * self.moire_harmonics]
        angles = electrons @ jnp.asarray(np.concatenate([coarse, fine]).T, dtype)
        spin = jnp.asarray(spin_labels(self.spins), dtype)[:, None]
        return jnp.concatenate([jnp.sin(angles), jnp.cos(angles), spin], axis=-1)
