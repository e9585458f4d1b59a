"""The Hamiltonian of a pair of electrons, as matrices over products of two orbitals.

Total crystal momentum is conserved, k_a + k_b = k_c + k_d = Q modulo moiré reciprocal vectors: there is
one matrix for every Q. The row (m, i, j), flattened, stands for orbital i at point m and j at point Q - m.

    <ab|v|cd> = sum_{q != 0} (2 pi / A q) rho_ac(q) rho_bd(-q),    rho_ac(q) = <a|e^{i q.r}|c>.

q runs over k_a - k_c + G with G on the moiré reciprocal lattice. Orbitals have finitely many plane waves,
so the sum is finite and exact.
"""

import itertools
import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Complex, Int

from qernel.lattice import MOIRE_RECIPROCAL, integer_grid
from qernel.reference.determinants import Modes, pairs_by_momentum
from qernel.reference.orbitals import Orbitals


class PairMatrices(NamedTuple):
    """Operators of two electrons at one Q between (|ab> - |ba>) / sqrt 2, cheapest pairs first, in E_M.

    `kinetic` and `moire` count both electrons; `moire` is per w and `coulomb` per u.
    """

    kinetic: Complex[np.ndarray, "pair pair"]
    moire: Complex[np.ndarray, "pair pair"]
    coulomb: Complex[np.ndarray, "pair pair"]


def pair_matrices(orbitals: Orbitals, phase: float, modes: Modes, budget: int) -> list[PairMatrices]:
    """The matrices for each Q in the order of `orbitals.points`, with the pairs of `pairs_by_momentum`."""
    coulomb = CoulombProducts(orbitals)
    kinetic, moire = orbitals.kinetic(), orbitals.moire(phase)
    matrices = []
    for momentum, pairs in enumerate(pairs_by_momentum(modes, orbitals.sums, budget)):
        direct = _product(orbitals, modes, pairs)
        exchanged = _product(orbitals, modes, pairs[:, ::-1])
        products = (
            one_electron_products(orbitals, kinetic, momentum),
            one_electron_products(orbitals, moire, momentum),
            coulomb[momentum],
        )
        matrices.append(
            PairMatrices(*(x[np.ix_(direct, direct)] - x[np.ix_(direct, exchanged)] for x in products))
        )
    return matrices


def _product(orbitals: Orbitals, modes: Modes, pairs: Int[np.ndarray, "pair 2"]) -> Int[np.ndarray, " pair"]:
    """The rows of the products ab."""
    a, b = pairs.T
    return (modes.point[a] * orbitals.count + modes.orbital[a]) * orbitals.count + modes.orbital[b]


def one_electron_products(
    orbitals: Orbitals, matrix: Complex[np.ndarray, "point orbital orbital"], momentum: int
) -> Complex[np.ndarray, "product product"]:
    """h x 1 + 1 x h for a one-electron operator h that conserves crystal momentum."""
    block = orbitals.count**2
    products = np.zeros((len(orbitals.points), block, len(orbitals.points), block), complex)
    unit = np.eye(orbitals.count)
    for m, other in enumerate(orbitals.differences[momentum]):
        products[m, :, m] = np.kron(matrix[m], unit) + np.kron(unit, matrix[other])
    return products.reshape(len(orbitals.points) * block, -1)


class CoulombProducts:
    """<ab|v|cd> in 1 / a_M of a basis, by pair momentum: a point, counted as in `orbitals.points`."""

    def __init__(self, orbitals: Orbitals):
        self._orbitals = orbitals
        self._reach = 2 * int(np.abs(orbitals.waves).max())  # of the labels of G
        self._transfers = integer_grid(self._reach)
        self._densities = _pair_densities(orbitals, self._reach)

    def __getitem__(self, momentum: int) -> Complex[np.ndarray, "product product"]:
        points, count = self._orbitals.points, self._orbitals.count
        products = np.empty((len(points), count**2, len(points), count**2), complex)
        partner = self._orbitals.differences[momentum]
        for a, c in itertools.product(range(len(points)), repeat=2):
            products[a, :, c] = self._block(a, int(partner[a]), c, int(partner[c]))
        return products.reshape(len(points) * count**2, -1)

    def _block(self, a: int, b: int, c: int, d: int) -> Complex[np.ndarray, "product product"]:
        """<ab|v|cd> for all orbitals at four points."""
        cell, points, count = self._orbitals.supercell, self._orbitals.points, self._orbitals.count
        step = (points[a] - points[c]) @ cell.reciprocal
        lengths = np.linalg.norm(step + self._transfers @ MOIRE_RECIPROCAL, axis=1)
        # What electron 2 takes up is n_b - n_d - (umklapp + G).
        umklapp = (points[a] + points[b] - points[c] - points[d]) @ cell.reciprocal
        umklapp = np.rint(umklapp @ np.linalg.inv(MOIRE_RECIPROCAL)).astype(int)
        opposite = -(self._transfers + umklapp)
        use = (lengths > 1e-9) & np.all(np.abs(opposite) <= self._reach, axis=1)
        first, second = self._transfers[use], opposite[use]
        weights = 2 * math.pi / (cell.area * lengths[use])
        left = self._densities[a, c][:, first[:, 0], first[:, 1]] * weights
        right = self._densities[b, d][:, second[:, 0], second[:, 1]]
        elements = (left @ right.T).reshape((count,) * 4)  # by a, c, b, d
        return elements.swapaxes(1, 2).reshape(count**2, count**2)


def _pair_densities(orbitals: Orbitals, reach: int) -> Complex[np.ndarray, "point point product grid grid"]:
    """rho_ac(k_a - k_c + G) = sum_g C_a*(g + G) C_c(g) by FFT; G as an index, negative ones from the end."""
    points, count = orbitals.coefficients.shape[:2]
    size = 2 * reach + 1
    fields = np.zeros((points, count, size, size), complex)
    fields[:, :, orbitals.waves[:, 0], orbitals.waves[:, 1]] = orbitals.coefficients
    fields = np.fft.ifft2(fields, norm="forward")
    densities = np.empty((points, points, count**2, size, size), complex)
    for a, c in itertools.product(range(points), repeat=2):
        products = fields[a, :, None].conj() * fields[c, None]
        densities[a, c] = np.fft.ifft2(products).reshape(count**2, size, size)
    return densities
