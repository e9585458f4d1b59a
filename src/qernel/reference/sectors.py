"""The Hamiltonian of many electrons in one sector of total crystal momentum, applied without storing it.

A pair Hamiltonian carries everything: an electron shares its one-electron part among its N - 1 pairs.

    H = sum_Q sum_{p, p'} H^Q_{pp'} A_p^dagger A_p',    A_p = c_b c_a for the pair p = (a < b) of momentum Q.

For each Q the amplitudes x are laid out as D[p, s] = <s|A_p|x>, where s lists determinants of the other
N - 2 electrons: every determinant appears once for each of its pairs, with a sign. Then

    H x = sum_Q sum_p A_p^dagger (H^Q D)[p]

is a matrix product with a gathering on either side. Pairs and s are sorted by cost, and what joins an s is
within the rest of its budget: D is a staircase, stored in chunks of columns.
"""

import itertools

import numpy as np
from jaxtyping import Complex, Int
from scipy import sparse

from qernel.reference.determinants import Determinants, Modes, key, list_determinants, occupied_modes, ranks
from qernel.reference.orbitals import Orbitals

_CHUNK = 256  # columns of D that are treated together


# D of one pair momentum, in chunks of columns: where the entries are in the state vector, +-(1 + position)
# with the sign of the amplitude, or 0 where there is no determinant.
_Layout = list[Int[np.ndarray, "_ _"]]


class Sector:
    """All determinants of N electrons within the budget that have one total momentum.

    `momentum` is a point of `orbitals.points`; with a twist each electron adds it once more.
    """

    def __init__(self, orbitals: Orbitals, modes: Modes, electrons: int, momentum: int, budget: int):
        everything = list_determinants(modes, orbitals.sums, electrons, budget)
        self.keys = everything.keys[everything.points == momentum]
        self._orbitals, self._modes, self._electrons = orbitals, modes, electrons
        self._layouts = self._make_layouts(momentum, budget)

    @property
    def size(self) -> int:
        return len(self.keys)

    def apply(
        self, matrices: list[Complex[np.ndarray, "_ _"]], state: Complex[np.ndarray, " determinant"]
    ) -> Complex[np.ndarray, " determinant"]:
        """H |state> for the pair matrices H^Q of all pair momenta."""
        signed = np.concatenate([np.zeros(1, complex), state, -state[::-1]])  # indices +-(1 + position)
        result = np.zeros_like(signed)
        for layout, matrix in zip(self._layouts, matrices, strict=True):
            for chunk in layout:
                amplitudes = matrix[: len(chunk), : len(chunk)] @ signed[chunk]
                for row, places in zip(amplitudes, chunk, strict=True):
                    result[places] += row  # within a row, no determinant occurs twice
        return result[1 : self.size + 1] - result[: self.size : -1]

    def one_electron_density(
        self, state: Complex[np.ndarray, " determinant"]
    ) -> Complex[np.ndarray, "point orbital orbital"]:
        """<c_j^dagger c_i> between orbitals i (row) and j (column) of one momentum."""
        occupied, count = occupied_modes(self.keys, self._electrons), len(self._modes.cost)
        rests = [key(np.delete(occupied, i, axis=1)) for i in range(self._electrons)]
        columns = np.unique(np.stack(rests, axis=1), return_inverse=True)[1].reshape(occupied.shape)
        # <rest|c_i|state>: bringing the i-th occupied mode to the front passes i others.
        amplitudes = state[:, None] * (-1) ** np.arange(self._electrons)
        entries = (amplitudes.ravel(), (occupied.ravel(), columns.ravel()))
        removed = sparse.csr_array(entries, shape=(count, columns.max() + 1))
        between_modes = (removed @ removed.conj().T).toarray()
        orbitals, points = self._orbitals.count, len(self._orbitals.points)
        density = np.zeros((points * orbitals,) * 2, complex)
        number = self._modes.point * orbitals + self._modes.orbital
        density[np.ix_(number, number)] = between_modes
        blocks = density.reshape(points, orbitals, points, orbitals)
        return np.stack([blocks[n, :, n] for n in range(points)])

    def _make_layouts(self, momentum: int, budget: int) -> list[_Layout]:
        sums, differences, modes = self._orbitals.sums, self._orbitals.differences, self._modes
        pairs = list_determinants(modes, sums, 2, budget)
        rests = list_determinants(modes, sums, self._electrons - 2, budget)
        pair_rows, rest_columns = ranks(pairs), ranks(rests)
        layouts = []
        for q in range(len(sums)):
            pair_costs = np.sort(pairs.costs[pairs.points == q])
            rest_costs = np.sort(rests.costs[rests.points == differences[momentum, q]])
            heights = np.searchsorted(pair_costs, budget - rest_costs, side="right")
            starts = range(0, len(heights), _CHUNK)
            layouts.append([np.zeros((heights[i], len(heights[i : i + _CHUNK])), np.int32) for i in starts])
        self._fill(layouts, (pairs, pair_rows), (rests, rest_columns))
        return layouts

    def _fill(self, layouts: list[_Layout], pairs, rests) -> None:
        """Enter every determinant at each of its pairs."""
        occupied = occupied_modes(self.keys, self._electrons)
        positions = np.arange(1, self.size + 1, dtype=np.int32)
        for i, j in itertools.combinations(range(self._electrons), 2):
            pair = _find(pairs[0], occupied[:, [i, j]])
            rest = _find(rests[0], np.delete(occupied, [i, j], axis=1))
            row, column, q = pairs[1][pair], rests[1][rest], pairs[0].points[pair]
            # Bringing modes i and j to the front passes i and j - 1 others.
            signed = positions if (i + j) % 2 else -positions
            order = np.lexsort((column // _CHUNK, q))
            places = np.stack([q, column // _CHUNK])[:, order]
            edges = np.flatnonzero(np.any(np.diff(places), axis=0)) + 1
            for group in np.split(order, edges):
                chunk = layouts[q[group[0]]][column[group[0]] // _CHUNK]
                chunk[row[group], column[group] % _CHUNK] = signed[group]


def _find(determinants: Determinants, modes) -> Int[np.ndarray, " determinant"]:
    return np.searchsorted(determinants.keys, key(modes))
