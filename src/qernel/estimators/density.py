"""The one-electron density, over the supercell and averaged over the symmetries of the moiré lattice."""

import math
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from qernel.estimators.observable import Configuration, Coordinate, Observable, Result
from qernel.estimators.statistics import Accumulator
from qernel.hamiltonian.couplings import Couplings
from qernel.lattice import CELL_AREA, MOIRE_RECIPROCAL, MOIRE_VECTORS, THREEFOLD
from qernel.wavefunction.base import Wavefunction

_BINS = 48  # along each supercell vector
_CELL_BINS = 24  # along each moiré vector


class Density(Observable):
    """Electrons per a_M^2: raw over the supercell, and symmetrized in one moiré cell.

    The symmetrized density averages over all moiré translations and over the three rotations about a moiré
    site: it shows the shape of the charge in a cell, and hides any order that breaks these symmetries.
    """

    def sample(self, model: Wavefunction, at: Configuration) -> dict[str, Array]:
        raw = _counts(at.electrons, self.hamiltonian.supercell.reciprocal, _BINS)
        rotated = jnp.concatenate([at.electrons @ jnp.asarray(r.T, at.electrons.dtype) for r in THREEFOLD])
        return {"raw": raw, "folded": _counts(rotated, MOIRE_RECIPROCAL, _CELL_BINS)}

    def results(self, samples: Mapping[str, Accumulator], couplings: Couplings) -> dict[str, Result]:
        supercell = self.hamiltonian.supercell
        raw, folded = samples["raw"].estimate(), samples["folded"].estimate()
        over = _BINS**2 / supercell.area
        cell_over = _CELL_BINS**2 / (len(THREEFOLD) * supercell.cells * CELL_AREA)
        averaged = "electron density averaged over moiré translations and threefold rotations"
        return {
            "density": Result(
                over * raw.mean, over * raw.error, "a_M^-2", "electron density", ("cell_1", "cell_2")
            ),
            "density_symmetrized": Result(
                cell_over * folded.mean, cell_over * folded.error, "a_M^-2", averaged, ("moire_1", "moire_2")
            ),
        }

    def coordinates(self) -> dict[str, Coordinate]:
        found = {}
        for prefix, vectors, bins in (
            ("cell", self.hamiltonian.supercell.vectors, _BINS),
            ("moire", MOIRE_VECTORS, _CELL_BINS),
        ):
            dims = (f"{prefix}_1", f"{prefix}_2")
            centres = bin_centres(vectors, bins)
            for axis, name in enumerate(("x", "y")):
                name = name if prefix == "cell" else f"{prefix}_{name}"
                found[name] = Coordinate(dims, centres[..., axis], "a_M", f"position along {name[-1]}")
        return found


def bin_centres(vectors: Float[np.ndarray, "2 2"], bins: int) -> Float[np.ndarray, "bin_1 bin_2 2"]:
    """Centres of the bins x bins parallelograms of a cell spanned by `vectors`."""
    axis = (np.arange(bins) + 0.5) / bins
    fractions = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)
    return fractions @ vectors


def _counts(
    electrons: Float[Array, "electron 2"], reciprocal: Float[np.ndarray, "2 2"], bins: int
) -> Float[Array, "bin_1 bin_2"]:
    """Number of electrons in each bin of the cell that is dual to `reciprocal`."""
    fractions = electrons @ jnp.asarray(reciprocal.T / (2 * math.pi), electrons.dtype)
    index: Int[Array, "electron 2"] = jnp.floor(fractions * bins).astype(jnp.int32) % bins
    return jnp.zeros((bins, bins), jnp.float32).at[index[:, 0], index[:, 1]].add(1.0)
