"""What one electron knows of itself: periodic functions of its position, and its spin."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from qernel.lattice import MOIRE_CORNERS, MOIRE_HARMONICS, Supercell
from qernel.wavefunction.base import spin_labels


class PeriodicFeatures(eqx.Module):
    """sin and cos of B.r for the supercell's two reciprocal vectors, and the spin.

    With `moire_harmonics`, also sin and cos of the three g_j.r: they resolve the position inside a moiré
    cell and mean the same in every supercell. Without `place`, they are all there is: the electron knows
    its position within a moiré cell, but not which cell it is in. With `order`, also sin and cos of K_j.r for
    the corners of the moiré zone: it knows which of the three sublattices of the sqrt3 x sqrt3 order.
    """

    supercell: Supercell = eqx.field(static=True)
    spins: tuple[int, int] = eqx.field(static=True)
    moire_harmonics: bool = eqx.field(static=True)
    place: bool = eqx.field(static=True, default=True)
    order: bool = eqx.field(static=True, default=False)

    @property
    def names(self) -> tuple[str, ...]:
        """What each feature is, e.g. sin g1."""
        used = ("B", 2 * self.place), ("g", 3 * self.moire_harmonics), ("K", 3 * self.order)
        waves = [f"{letter}{n + 1}" for letter, count in used for n in range(count)]
        return *(f"{function} {wave}" for function in ("sin", "cos") for wave in waves), "spin"

    @property
    def size(self) -> int:
        """Number of features per electron."""
        return len(self.names)

    def __call__(self, electrons: Float[Array, "electron 2"]) -> Float[Array, "electron feature"]:
        dtype = electrons.dtype
        coarse = self.supercell.reciprocal[: 2 * self.place]
        fine = MOIRE_HARMONICS[: 3 * self.moire_harmonics]
        corners = MOIRE_CORNERS[: 3 * self.order]
        angles = electrons @ jnp.asarray(np.concatenate([coarse, fine, corners]).T, dtype)
        spin = jnp.asarray(spin_labels(self.spins), dtype)[:, None]
        return jnp.concatenate([jnp.sin(angles), jnp.cos(angles), spin], axis=-1)
