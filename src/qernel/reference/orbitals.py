"""A basis of Bloch orbitals for the electrons of a supercell, and its one-electron matrices.

    phi_{n i}(r) = e^{i (k_n + twist).r} sum_g C[n, i, g] e^{i g.r} / sqrt(A),

with k_n the supercell's crystal momenta and g moiré reciprocal vectors. Any orthonormal set of them
is a basis of a variational calculation: bands, or the natural orbitals of `natural_orbitals`.
"""

import dataclasses
import functools

import numpy as np
from jaxtyping import Complex, Float, Int

from qernel.hamiltonian.bands import bloch_orbitals
from qernel.lattice import MOIRE_HARMONICS, MOIRE_RECIPROCAL, Supercell


@dataclasses.dataclass(frozen=True)
class Orbitals:
    """The same number of orthonormal orbitals at every crystal momentum.

    `points` are integer labels n of k_n in supercell reciprocal vectors, `waves` integer labels of g
    in moiré reciprocal vectors.
    """

    supercell: Supercell
    twist: Float[np.ndarray, "2"]
    points: Int[np.ndarray, "point 2"]
    waves: Int[np.ndarray, "wave 2"]
    coefficients: Complex[np.ndarray, "point orbital wave"]

    @property
    def count(self) -> int:
        """Orbitals at each crystal momentum."""
        return self.coefficients.shape[1]

    @functools.cached_property
    def sums(self) -> Int[np.ndarray, "point point"]:
        """The point of k_m + k_n, modulo moiré reciprocal vectors."""
        return self._points_of(self.points[:, None] + self.points)

    @functools.cached_property
    def differences(self) -> Int[np.ndarray, "point point"]:
        """The point of k_m - k_n, modulo moiré reciprocal vectors."""
        return self._points_of(self.points[:, None] - self.points)

    def point_of(self, label: Int[np.ndarray, "2"]) -> int:
        """The point that a momentum label equals, modulo moiré reciprocal vectors."""
        return self._names[self.supercell.momentum_class(label)]

    @functools.cached_property
    def _names(self) -> dict[tuple[int, int], int]:
        return {self.supercell.momentum_class(label): n for n, label in enumerate(self.points)}

    def _points_of(self, labels: Int[np.ndarray, "point point 2"]) -> Int[np.ndarray, "point point"]:
        return np.array([[self.point_of(label) for label in row] for row in labels])

    def kinetic(self) -> Complex[np.ndarray, "point orbital orbital"]:
        """Matrix of -1/2 nabla^2 in E_M."""
        momenta = (self.points + self.twist) @ self.supercell.reciprocal
        energies = 0.5 * np.sum((momenta[:, None] + self.waves @ MOIRE_RECIPROCAL) ** 2, axis=-1)
        return (self.coefficients.conj() * energies[:, None]) @ self.coefficients.swapaxes(1, 2)

    def moire(self, phase: float) -> Complex[np.ndarray, "point orbital orbital"]:
        """Matrix of -2 sum_j cos(g_j.r + phase): the moiré potential at w = 1."""
        row_of = {tuple(wave): row for row, wave in enumerate(self.waves.tolist())}
        harmonics = np.rint(MOIRE_HARMONICS @ np.linalg.inv(MOIRE_RECIPROCAL)).astype(int)
        raised = np.zeros_like(self.coefficients)
        for harmonic in harmonics:
            targets = [row_of.get(tuple(wave), -1) for wave in (self.waves + harmonic).tolist()]
            inside = np.array(targets) >= 0
            raised[:, :, np.array(targets)[inside]] += self.coefficients[:, :, inside]
        raising = -np.exp(1j * phase) * self.coefficients.conj() @ raised.swapaxes(1, 2)
        return raising + raising.conj().swapaxes(1, 2)


def bands(
    supercell: Supercell, moire: float, phase: float, twist, count: int, shell: float = 4.01
) -> Orbitals:
    """The lowest `count` bands; other arguments as in `bloch_orbitals`."""
    states = bloch_orbitals(supercell, moire, phase, twist, shell)
    points = supercell.moire_points(twist)
    coefficients = [states.coefficients[np.all(states.momenta == n, axis=1)][:count] for n in points]
    return Orbitals(supercell, np.asarray(twist, float), points, states.waves, np.stack(coefficients))
