"""One electron in the moiré potential: plane-wave bands, exact for non-interacting electrons."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from qernel.lattice import MOIRE_CORNERS, MOIRE_HARMONICS, MOIRE_RECIPROCAL, Supercell, integer_grid

_EQUAL = 1e-8  # E_M: levels closer than this are degenerate


class BlochOrbitals(NamedTuple):
    """One-electron eigenstates psi_b(r) = e^{i (k_b + twist).r} sum_g coefficients[b, g] e^{i g.r}.

    Sorted by energy. `momenta` are integer labels (orbital, 2) in supercell reciprocal vectors, `waves`
    labels (wave, 2) in moiré reciprocal vectors, `energies` (orbital,) in E_M.
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
    labels = supercell.moire_points(twist)
    return _states(supercell, labels, _waves(np.eye(2, dtype=int), shell), moire, phase, 0.0, twist)


def crystal_orbitals(
    supercell: Supercell,
    moire: float,
    phase: float,
    order: float,
    twist=(0.0, 0.0),
    shell: float = 5.01,
) -> BlochOrbitals:
    """The bands with a potential of sqrt3 x sqrt3 order besides, + 2 `order` sum_j cos(K_j.r), in E_M.

    It raises one of three moiré sites by 9 `order` against the other two, as a honeycomb crystal's mean field
    does. The zone is a third of the moiré zone, and `waves` are multiples of the corners K: thirds.

    Raises ValueError unless the supercell fits this order.
    """
    if not supercell.fits_sqrt3_order:
        raise ValueError(f"the sqrt3 x sqrt3 order does not fit the supercell {supercell.matrix}")
    corner = np.rint(MOIRE_CORNERS[0] @ np.linalg.inv(supercell.reciprocal)).astype(int)
    chosen: dict[tuple[int, int], np.ndarray] = {}
    for label in supercell.moire_points(twist):
        names = [supercell.momentum_class(label + n * corner) for n in range(3)]
        chosen.setdefault(min(names), label)
    waves = _waves(np.array([[1, 1], [-1, 2]]) / 3, shell)
    return _states(supercell, np.array(list(chosen.values())), waves, moire, phase, order, twist)


def lowest_fillings(
    bloch: BlochOrbitals,
    supercell: Supercell,
    spins: tuple[int, int],
    momentum: tuple[int, int] | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The orbitals that non-interacting electrons fill: indices for spin up and for spin down.

    With `momentum`, an integer label, these are the lowest fillings whose labels add up to it modulo moiré
    reciprocal vectors: several where shells are open. Without it, the lowest levels are filled, and the
    other fillings of the same energy and total momentum follow.
    """
    if momentum is None:
        first = np.arange(spins[0]), np.arange(spins[1])
        yield first
        label = bloch.momenta[np.concatenate(first)].sum(axis=0)
        for filling in lowest_fillings(bloch, supercell, spins, (int(label[0]), int(label[1]))):
            if not all(map(np.array_equal, filling, first)):
                yield filling
        return
    points = [supercell.momentum_class(label) for label in supercell.moire_points()]
    minus = np.array(
        [[points.index(_difference(first, second, supercell.cells)) for second in points] for first in points]
    )
    momenta = np.array([points.index(supercell.momentum_class(label)) for label in bloch.momenta])
    target = points.index(supercell.momentum_class(momentum))
    ups, downs = (_Fillings(bloch.energies, momenta, minus, count) for count in spins)
    energies = np.array([ups.energies[k] + downs.energies[minus[target, k]] for k in range(len(points))])
    for split in np.flatnonzero(energies <= energies.min() + _EQUAL):
        for up in ups.orbitals(int(split)):
            for down in downs.orbitals(int(minus[target, split])):
                yield up, down


class _Fillings:
    """The lowest fillings at every total momentum, by dynamic programming over the orbitals.

    Momenta are indices into the list of crystal momenta; `minus[a, b]` is the index of k_a - k_b.
    """

    def __init__(self, energies: np.ndarray, momenta: np.ndarray, minus: np.ndarray, count: int):
        points = len(minus)
        # A crystal momentum may have a gap where the others have levels: the orbitals that are tried hold
        # two more at every momentum than the lowest filling of all takes there.
        filled = np.bincount(momenta[:count], minlength=points)
        tried = 1 + max(int(np.flatnonzero(momenta == k)[: filled[k] + 2][-1]) for k in range(points))
        self._levels, self._momenta, self._minus, self._count = energies, momenta, minus, count
        # Entry [o, n, k]: the lowest energy of n of the first o orbitals at total momentum k.
        self._lowest = np.full((tried + 1, count + 1, points), np.inf)
        self._lowest[0, 0, minus[0, 0]] = 0.0
        for orbital in range(tried):
            before, after = self._lowest[orbital : orbital + 2]
            with_it = before[:-1, minus[:, momenta[orbital]]] + energies[orbital]
            after[:] = before
            after[1:] = np.minimum(before[1:], with_it)
        self.energies = self._lowest[-1, count]

    def orbitals(self, momentum: int) -> Iterator[np.ndarray]:
        """The orbitals of each lowest filling at one total momentum, ascending; the first orbitals first."""
        left: list[tuple[int, int, int, tuple[int, ...]]] = [
            (len(self._lowest) - 1, self._count, momentum, ())
        ]
        while left:
            orbitals, count, total, chosen = left.pop()
            if not count:
                yield np.array(chosen, int)
                continue
            last, lowest = orbitals - 1, self._lowest[orbitals, count, total] + _EQUAL
            rest = int(self._minus[total, self._momenta[last]])
            if self._lowest[last, count - 1, rest] + self._levels[last] <= lowest:
                left.append((last, count - 1, rest, (last, *chosen)))
            if self._lowest[last, count, total] <= lowest:
                left.append((last, count, total, chosen))


def _difference(first: tuple[int, int], second: tuple[int, int], cells: int) -> tuple[int, int]:
    return (first[0] - second[0]) % cells, (first[1] - second[1]) % cells


def filled_band_energy(
    supercell: Supercell, spins: tuple[int, int], moire: float, phase: float, twist=(0.0, 0.0)
) -> float:
    """Ground-state energy of non-interacting electrons in E_M per supercell."""
    levels = bloch_orbitals(supercell, moire, phase, twist).energies
    return float(sum(levels[:count].sum() for count in spins))


def _waves(basis: np.ndarray, shell: float) -> np.ndarray:
    """Labels, in moiré reciprocal vectors, of the vectors of a reciprocal lattice up to `shell` times |g|."""
    waves = integer_grid(4 * int(shell) + 2) @ basis
    lengths = np.linalg.norm(waves @ MOIRE_RECIPROCAL, axis=1)
    return waves[lengths <= shell * np.linalg.norm(MOIRE_RECIPROCAL[0])]


def _states(
    supercell: Supercell,
    labels: np.ndarray,
    waves: np.ndarray,
    moire: float,
    phase: float,
    order: float,
    twist,
) -> BlochOrbitals:
    """The states at crystal momenta with these labels, by energy."""
    potential = _potential_matrix(waves, moire, phase, order)
    energies, momenta, coefficients = [], [], []
    for label in labels:
        wavevectors = (label + np.asarray(twist)) @ supercell.reciprocal + waves @ MOIRE_RECIPROCAL
        kinetic = np.diag(0.5 * np.sum(wavevectors**2, axis=1))
        levels, states = np.linalg.eigh(kinetic + potential)
        energies.append(levels)
        momenta.append(np.tile(label, (len(levels), 1)))
        coefficients.append(states.T)
    energies = np.concatenate(energies)
    by_energy = np.argsort(energies.round(9), kind="stable")
    momenta, coefficients = np.concatenate(momenta)[by_energy], np.concatenate(coefficients)[by_energy]
    return BlochOrbitals(energies[by_energy], momenta, waves, coefficients)


def _potential_matrix(waves: np.ndarray, moire: float, phase: float, order: float) -> np.ndarray:
    """<g| -2 w sum_j cos(g_j.r + phi) + 2 s sum_j cos(K_j.r) |g'>, by g - g'."""
    difference = (waves[:, None] - waves[None, :]) @ MOIRE_RECIPROCAL
    matrix = np.zeros(difference.shape[:2], complex)
    for vectors, entry in ((MOIRE_HARMONICS, -moire * np.exp(1j * phase)), (MOIRE_CORNERS, order)):
        for vector in vectors:
            matrix[np.all(np.abs(difference - vector) < 1e-6, axis=-1)] += entry
            matrix[np.all(np.abs(difference + vector) < 1e-6, axis=-1)] += np.conj(entry)
    return matrix
