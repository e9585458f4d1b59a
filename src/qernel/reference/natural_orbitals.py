"""Natural orbitals of two electrons: a one-electron basis that knows how electrons avoid each other.

The ground state psi_ab of two electrons in a small auxiliary cell of the same density, at the twist that
puts k among its momenta, has the one-electron density matrix psi psi^dagger. Its eigenvectors at k are the
natural orbitals, its eigenvalues their occupations. One representative pair stands for every pair of a
larger system. States of all momentum sectors are averaged, so that the basis favours none.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Complex, Float
from scipy.linalg import eigh

from qernel.lattice import Supercell, supercell_of
from qernel.reference.determinants import make_modes, pairs_by_momentum
from qernel.reference.orbitals import Orbitals, bands
from qernel.reference.pair_matrices import pair_matrices


class NaturalOrbitals(NamedTuple):
    """Natural orbitals, and their mean occupations (point, orbital) in the auxiliary pair."""

    orbitals: Orbitals
    occupations: Float[np.ndarray, "point orbital"]


def natural_orbitals(
    supercell: Supercell, electrons: int, moire: float, phase: float, coulomb: float, twist, count: int
) -> NaturalOrbitals:
    """The natural orbitals, most occupied first, in the space of the lowest `count` bands.

    `moire` is w and `coulomb` u in E_M, `phase` is in radians, `twist` in supercell reciprocal vectors.
    """
    auxiliary = pair_cell(supercell, electrons)
    found: dict[tuple[int, int], tuple] = {}
    for label in supercell.moire_points():
        if supercell.momentum_class(label) in found:
            continue
        momentum = (label + np.asarray(twist)) @ supercell.reciprocal
        basis = bands(auxiliary, moire, phase, momentum @ np.linalg.inv(auxiliary.reciprocal), count)
        densities = pair_states(basis, moire, phase, coulomb).densities
        # The auxiliary momenta label + steps; those that the supercell has, too, are settled at once.
        steps = basis.points @ auxiliary.reciprocal @ np.linalg.inv(supercell.reciprocal)
        for step, density, coefficients in zip(steps, densities, basis.coefficients, strict=True):
            if np.allclose(step, np.rint(step), atol=1e-9):
                point = label + np.rint(step).astype(int)
                occupations, states = eigh(density)
                natural = states[:, ::-1].T @ coefficients
                entry = (point, natural, occupations[::-1])
                found.setdefault(supercell.momentum_class(point), entry)
    points, coefficients, occupations = (np.stack(parts) for parts in zip(*found.values(), strict=True))
    return NaturalOrbitals(
        Orbitals(supercell, np.asarray(twist, float), points, basis.waves, coefficients), occupations
    )


def refined(
    natural: NaturalOrbitals, density: Complex[np.ndarray, "point orbital orbital"], share: float
) -> NaturalOrbitals:
    """Natural orbitals of another density matrix, in which the present one keeps a `share`."""
    present = np.eye(natural.orbitals.count) * natural.occupations[:, None]
    occupations, states = np.linalg.eigh(share * present + (1 - share) * density)
    coefficients = states[:, :, ::-1].swapaxes(1, 2) @ natural.orbitals.coefficients
    orbitals = dataclasses.replace(natural.orbitals, coefficients=coefficients)
    return NaturalOrbitals(orbitals, occupations[:, ::-1])


def pair_cell(supercell: Supercell, electrons: int) -> Supercell:
    """The supercell in which two electrons have the density nearest to that of `electrons` in `supercell`."""
    return supercell_of(max(1, round(2 * supercell.cells / electrons)))


class PairStates(NamedTuple):
    """The lowest state of two electrons in every momentum sector, without the Madelung term.

    `values` holds kinetic, moiré, Coulomb and total energy in E_M, `densities` the one-electron density
    matrix averaged over the sectors.
    """

    values: Float[np.ndarray, "sector 4"]
    densities: Complex[np.ndarray, "point orbital orbital"]


def pair_states(orbitals: Orbitals, moire: float, phase: float, coulomb: float) -> PairStates:
    """Two electrons in the space of all orbitals, by dense diagonalization."""
    points, count = len(orbitals.points), orbitals.count
    modes = make_modes(np.zeros((points, count), int), 0)
    number = modes.point * count + modes.orbital
    values, density = [], np.zeros((points * count,) * 2, complex)
    pairs = pairs_by_momentum(modes, orbitals.sums, 0)
    for (a, b), matrices in zip((p.T for p in pairs), pair_matrices(orbitals, phase, modes, 0), strict=True):
        terms = (matrices.kinetic, moire * matrices.moire, coulomb * matrices.coulomb)
        levels, states = eigh(sum(terms), subset_by_index=(0, 0))
        state = states[:, 0]
        values.append([*(np.vdot(state, term @ state).real for term in terms), levels[0]])
        amplitude = np.zeros_like(density)
        amplitude[number[a], number[b]] = state
        amplitude -= amplitude.T
        density += amplitude @ amplitude.conj().T / points
    blocks = density.reshape(points, count, points, count)
    return PairStates(np.array(values), np.stack([blocks[n, :, n] for n in range(points)]))
