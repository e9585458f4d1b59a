"""The moiré lattice and the supercells cut from it; lengths in a_M.

Moiré lattice: a1 = (1, 0), a2 = (-1/2, sqrt(3)/2). Its reciprocal vectors are the rows of
`MOIRE_RECIPROCAL`, and `MOIRE_HARMONICS` are the three g_j of the moiré potential, |g_j| = 4 pi / sqrt(3)
and 120 degrees apart, at 30, 150 and 270 degrees: the paper's g_j turned by 30 degrees, so that they are
dual to this lattice.
"""

import dataclasses
import math

import numpy as np

MOIRE_VECTORS = np.array([[1.0, 0.0], [-0.5, math.sqrt(3) / 2]])
MOIRE_RECIPROCAL = 2 * math.pi * np.linalg.inv(MOIRE_VECTORS).T
MOIRE_HARMONICS = np.array([[1, 0], [-1, 1], [0, -1]]) @ MOIRE_RECIPROCAL
#: Corners of the moiré Brillouin zone, one of each pair +-K: wavevectors of the sqrt3 x sqrt3 crystal.
MOIRE_CORNERS = np.array([[1, 1], [-1, 2], [-2, 1]]) @ MOIRE_RECIPROCAL / 3
CELL_AREA = math.sqrt(3) / 2
#: Rotations by 0, 120 and 240 degrees, (3, 2, 2): symmetries of the moiré potential about a lattice site.
THREEFOLD = np.array(
    [[[math.cos(t), -math.sin(t)], [math.sin(t), math.cos(t)]] for t in 2 * math.pi * np.arange(3) / 3]
)


@dataclasses.dataclass(frozen=True)
class Supercell:
    """Periodic supercell with vectors A_i = sum_j matrix[i][j] a_j.

    The vectors are stored Lagrange-reduced (shortest, angle between 90 and 120 degrees), which leaves
    the lattice as it is and makes nearest images easy to find.

    Raises ValueError if the matrix is singular.
    """

    matrix: tuple[tuple[int, int], tuple[int, int]]

    def __post_init__(self):
        rows = tuple(tuple(int(entry) for entry in row) for row in self.matrix)
        (a, b), (c, d) = rows
        if a * d - b * c == 0:
            raise ValueError(f"the supercell {rows} is singular: its two vectors are parallel")
        object.__setattr__(self, "matrix", _reduce(rows))

    @property
    def cells(self) -> int:
        """Number of moiré cells in the supercell."""
        (a, b), (c, d) = self.matrix
        return abs(a * d - b * c)

    @property
    def vectors(self) -> np.ndarray:
        """Supercell vectors as rows, (2, 2), in a_M."""
        return np.array(self.matrix) @ MOIRE_VECTORS

    @property
    def reciprocal(self) -> np.ndarray:
        """Reciprocal vectors B_i as rows, (2, 2), with B_i . A_j = 2 pi delta_ij."""
        return 2 * math.pi * np.linalg.inv(self.vectors).T

    @property
    def area(self) -> float:
        return self.cells * CELL_AREA

    @property
    def fits_sqrt3_order(self) -> bool:
        """Whether the sqrt3 x sqrt3 generalized Wigner crystal fits: K is a reciprocal vector."""
        return all((row[0] + row[1]) % 3 == 0 for row in self.matrix)

    def fits_crystal(self, electrons: int) -> bool:
        """Whether the honeycomb crystal fits: filling 2/3 and the sqrt3 x sqrt3 order."""
        return self.fits_sqrt3_order and 3 * electrons == 2 * self.cells

    @property
    def is_threefold(self) -> bool:
        """Whether rotations by 120 degrees map the supercell's lattice to itself."""
        labels = self.vectors @ THREEFOLD[1].T @ self.reciprocal.T / (2 * math.pi)
        return bool(np.allclose(labels, np.rint(labels), atol=1e-9))

    def sites(self) -> np.ndarray:
        """Integer labels n of the lattice sites n . MOIRE_VECTORS, one for every moiré cell, (cells, 2)."""
        reach = max(abs(entry) for row in self.matrix for entry in row)
        labels = integer_grid(2 * reach)
        fractions = labels @ np.linalg.inv(np.array(self.matrix))
        return labels[np.all((fractions > -1e-9) & (fractions < 1 - 1e-9), axis=1)]

    def translations(self) -> np.ndarray:
        """The moiré translations that differ modulo the supercell, (cells, 2), in a_M."""
        return self.sites() @ MOIRE_VECTORS

    def labels(self, waves: np.ndarray) -> np.ndarray:
        """Integer labels n of reciprocal vectors of the supercell, n . reciprocal, (wave, 2)."""
        return np.rint(waves @ self.vectors.T / (2 * math.pi)).astype(int)

    def moire_points(self, twist=(0.0, 0.0)) -> np.ndarray:
        """One crystal momentum per moiré cell: integer labels n, (cells, 2), of k = (n + twist) . reciprocal.

        The k are the shortest representatives modulo the moiré reciprocal lattice.
        """
        labels = self._labels_around() - np.rint(twist).astype(int)
        lengths = np.linalg.norm((labels + twist) @ self.reciprocal, axis=1)
        return self._first_of_each_class(labels[np.argsort(lengths.round(9), kind="stable")])

    def total_momenta(self) -> np.ndarray:
        """What total momenta modulo the moiré reciprocal lattice are called: integer labels, (cells, 2).

        The shortest; of several equally short ones that whose largest entry is least. `moire_points` may hold
        another one of these, and is in another order.
        """
        labels = self._labels_around()
        lengths = np.linalg.norm(labels @ self.reciprocal, axis=1)
        return self._first_of_each_class(labels[np.lexsort((abs(labels).max(axis=1), lengths.round(9)))])

    def _labels_around(self) -> np.ndarray:
        """All labels of reciprocal vectors out to where those of every class are."""
        return integer_grid(2 * max(abs(entry) for row in self.matrix for entry in row))

    def _first_of_each_class(self, labels: np.ndarray) -> np.ndarray:
        first: dict[tuple[int, int], np.ndarray] = {}
        for label in labels:
            first.setdefault(self.momentum_class(label), label)
        return np.array(list(first.values()))

    def momentum_class(self, label) -> tuple[int, int]:
        """Canonical name of a momentum label modulo the moiré reciprocal lattice."""
        # n and n' are equal modulo the moiré reciprocal lattice when e^{i k.a_j} agree for both a_j:
        # k.a_j / (2 pi) = (inv(matrix) n)_j, kept as an exact fraction of `cells`.
        (a, b), (c, d) = self.matrix
        sign = 1 if a * d - b * c > 0 else -1
        n1, n2 = int(label[0]), int(label[1])
        return (sign * (d * n1 - b * n2) % self.cells, sign * (a * n2 - c * n1) % self.cells)

    def selling_weights(self) -> tuple[np.ndarray, np.ndarray]:
        """Three reciprocal vectors G_i (3, 2) and weights w_i >= 0 (3,) with sum_i w_i G_i G_i^T = 1.

        Then 2 sum_i w_i (1 - cos G_i.r) is a smooth periodic |r|^2 that vanishes on lattice points only.
        """
        b1, b2 = self.reciprocal
        if b1 @ b2 > 0:
            b2 = -b2
        vectors = np.array([b1, b2, b1 + b2])
        system = np.array([vectors[:, 0] ** 2, vectors[:, 1] ** 2, vectors[:, 0] * vectors[:, 1]])
        weights = np.linalg.solve(system, np.array([1.0, 1.0, 0.0]))
        return vectors, np.clip(weights, 0.0, None)


def supercell_of(cells: int) -> Supercell:
    """The roundest supercell of `cells` moiré cells: the one whose shortest vector is longest.

    Among equals, one that fits the sqrt3 x sqrt3 order.

    Raises ValueError if `cells` is not positive.
    """
    if cells < 1:
        raise ValueError(f"a supercell needs at least one moiré cell, got {cells}")
    candidates = []
    for a in range(1, cells + 1):  # Hermite normal forms list every sublattice of this index once
        if cells % a == 0:
            candidates += [Supercell(((a, b), (0, cells // a))) for b in range(cells // a)]
    return max(candidates, key=lambda cell: (round(_shortest(cell), 9), cell.fits_sqrt3_order, cell.matrix))


def integer_grid(reach: int) -> np.ndarray:
    """All integer pairs with entries in [-reach, reach], ((2 reach + 1)^2, 2)."""
    axis = np.arange(-reach, reach + 1)
    return np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)


def _shortest(cell: Supercell) -> float:
    return float(np.linalg.norm(cell.vectors, axis=1).min())


def _reduce(rows: tuple) -> tuple[tuple[int, int], tuple[int, int]]:
    """Lagrange-Gauss reduction to |A1| <= |A2| and -1/2 |A1|^2 <= A1.A2 <= 0."""
    gram = MOIRE_VECTORS @ MOIRE_VECTORS.T
    first, second = np.array(rows[0]), np.array(rows[1])
    while True:
        if second @ gram @ second < first @ gram @ first - 1e-9:
            first, second = second, first
        multiple = round(float((first @ gram @ second) / (first @ gram @ first)) + 1e-9)
        if multiple == 0:
            break
        second = second - multiple * first
    if first @ gram @ second > 1e-9:
        second = -second
    return (int(first[0]), int(first[1])), (int(second[0]), int(second[1]))
