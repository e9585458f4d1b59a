"""The one-electron density on a grid that follows the supercell."""

import math

import numpy as np

from qernel.lattice import Supercell


class DensityHistogram:
    """Counts electrons in `bins` x `bins` parallelograms of the supercell."""

    def __init__(self, supercell: Supercell, bins: int):
        self.supercell, self.bins = supercell, bins
        self.counts = np.zeros((bins, bins))
        self.configurations = 0

    def add(self, electrons: np.ndarray) -> None:
        """Count configurations (walker, electron, 2), positions in a_M."""
        fractions = np.asarray(electrons, float) @ self.supercell.reciprocal.T / (2 * math.pi)
        index = np.floor((fractions % 1.0) * self.bins).astype(int) % self.bins
        np.add.at(self.counts, (index[..., 0], index[..., 1]), 1)
        self.configurations += len(electrons)

    def density(self) -> np.ndarray:
        """Electrons per a_M^2 in each bin; its integral over the supercell is the electron number."""
        bin_area = self.supercell.area / self.bins**2
        return self.counts / (max(self.configurations, 1) * bin_area)

    def centres(self) -> np.ndarray:
        """Positions of the bins' centres in a_M, (bins, bins, 2)."""
        axis = (np.arange(self.bins) + 0.5) / self.bins
        fractions = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)
        return fractions @ self.supercell.vectors
