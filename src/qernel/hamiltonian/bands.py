"""One electron in the moiré potential: plane-wave bands, exact for non-interacting electrons."""

from typing import NamedTuple

import numpy as np

from qernel.lattice import MOIRE_HARMONICS, MOIRE_RECIPROCAL, Supercell, integer_grid


class BlochOrbitals(NamedTuple):
    """One-electron eigenstates psi_b(r) = e^{i (k_b + twist).r} sum_g coefficients[b, g] e^{i g.r}.

    Sorted by energy. `momenta` are integer labels (orbital, 2) in supercell reciprocal vectors, `waves`
    integer labels (wave, 2) in moiré reciprocal vectors, `energies` (orbital,) in E_M.
    """

    energies: np.ndarray
    momenta: np.ndarray
    waves: np.ndarray
    coefficients: np.ndarray


def bloch_orbitals(
    supercell: Supercell, moire: float, phase: float, twist=(0.0, 0.0), shell: float = 5.01
) -> BlochOrbitals:
    """All bands of -1/2 nabla^2 - 2 w sum_j cos(g_j.r + phi) at the supercell's crystal momenta.

    `moire` is w in E_M, `phase` in radians, `twist` in supercell reciprocal vectors; plane waves are
    kept up to `shell` times the shortest moiré reciprocal vector.
    """
    waves = integer_grid(int(2 * shell) + 1)
    lengths = np.linalg.norm(waves @ MOIRE_RECIPROCAL, axis=1)
    waves = waves[lengths <= shell * np.linalg.norm(MOIRE_RECIPROCAL[0])]
    potential = _potential_matrix(waves, moire, phase)
    energies, momenta, coefficients = [], [], []
    for label in supercell.moire_points(twist):
        wavevectors = (label + np.asarray(twist)) @ supercell.reciprocal + waves @ MOIRE_RECIPROCAL
        kinetic = np.diag(0.5 * np.sum(wavevectors**2, axis=1))
        levels, states = np.linalg.eigh(kinetic + potential)
        energies.append(levels)
        momenta.append(np.tile(label, (len(levels), 1)))
        coefficients.append(states.T)
    energies = np.concatenate(energies)
    order = np.argsort(energies.round(9), kind="stable")
    return BlochOrbitals(
        energies[order], np.concatenate(momenta)[order], waves, np.concatenate(coefficients)[order]
    )


def filled_band_energy(
    supercell: Supercell, spins: tuple[int, int], moire: float, phase: float, twist=(0.0, 0.0)
) -> float:
    """Ground-state energy of non-interacting electrons in E_M per supercell."""
    levels = bloch_orbitals(supercell, moire, phase, twist).energies
    return float(sum(levels[:count].sum() for count in spins))


def _potential_matrix(waves: np.ndarray, moire: float, phase: float) -> np.ndarray:
    """<g| -2 w sum_j cos(g_j.r + phi) |g'>: -w e^{i phi} where g - g' = g_j, its conjugate at -g_j."""
    harmonics = np.rint(MOIRE_HARMONICS @ np.linalg.inv(MOIRE_RECIPROCAL)).astype(int)
    difference = waves[:, None] - waves[None, :]
    matrix = np.zeros(difference.shape[:2], complex)
    for harmonic in harmonics:
        matrix[np.all(difference == harmonic, axis=-1)] -= moire * np.exp(1j * phase)
        matrix[np.all(difference == -harmonic, axis=-1)] -= moire * np.exp(-1j * phase)
    return matrix
