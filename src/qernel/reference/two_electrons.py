"""Two spin-polarized electrons in the moiré potential, by exact diagonalization.

With total momentum K = k_1 + k_2, relative momentum q = (k_1 - k_2) / 2 and r = r_1 - r_2,

    H / E_M = K^2 / 4 + h - w sum_j [e^{i phi} (e^{i g_j.r_1} + e^{i g_j.r_2}) + h.c.] + u xi,
    h = q^2 + u v(r),    <q|v|q'> = 2 pi / (A |q - q'|), zero at q = q'.

Coulomb repulsion conserves K, so h splits by the parity of K alone: K / 2 + q must be an allowed
momentum, hence q is a half-integer combination of reciprocal vectors wherever K is an odd one.
The moiré potential moves K by +-g_j. The calculation has two steps:

1. For each of the four parities, diagonalize h in antisymmetrized plane waves |q> - |-q> with
   |q| < Q. The pair wavefunction rises as r (1 + u r / 3), and its kink costs an energy
   proportional to Q^-4, which a Richardson extrapolation between two values of Q removes.
2. Diagonalize H by Lanczos iteration in the products |K>|eigenstate of h> below an energy cutoff.
   They carry the kink already and the moiré potential is smooth: the error falls exponentially.

The total crystal momentum, K modulo moiré reciprocal vectors, labels the sectors.
"""

import dataclasses
import itertools
import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Complex, Float, Int
from scipy import sparse
from scipy.linalg import eigh
from scipy.sparse.linalg import eigsh

from qernel.hamiltonian import Coulomb, Hamiltonian
from qernel.lattice import MOIRE_HARMONICS, MOIRE_RECIPROCAL, Supercell, integer_grid

_LARGEST = 16  # moiré cells
_PARITIES: tuple[tuple[int, int], ...] = ((0, 0), (0, 1), (1, 0), (1, 1))
_MOMENTUM_CUTOFFS = (2.2, 3.3)  # Q in units of the square root of the energy cutoff
_COARSER = 0.8  # energy cutoff of the calculation that measures the truncation error
_LANCZOS_TOLERANCE = 1e-7  # of the eigenvector; the energy's error is its square


@dataclasses.dataclass(frozen=True)
class ExactPair:
    """The lowest levels of two electrons at one total crystal momentum, in E_M per supercell.

    `momentum` is the integer label n of K = (n + 2 twist) . reciprocal, modulo moiré reciprocal
    vectors. `kinetic`, `moire` and `coulomb` are expectation values in the lowest level and add up
    to energies[0]. `uncertainty` bounds the error of each of these four numbers: the full size of
    the extrapolation in Q plus the change when the energy cutoff shrinks by a fifth.
    """

    momentum: tuple[int, int]
    energies: np.ndarray  # (level,)
    kinetic: float
    moire: float
    coulomb: float
    uncertainty: float


def exact_pair_energies(
    supercell: Supercell,
    moire: float,
    phase: float,
    coulomb: float,
    twist=(0.0, 0.0),
    levels: int = 1,
) -> list[ExactPair]:
    """Two polarized electrons at every total crystal momentum, one entry per moiré cell.

    `moire` is w and `coulomb` u in E_M, `phase` is in radians, `twist` in supercell reciprocal
    vectors; `levels` counts the energies wanted at each momentum. Takes a second or two for three
    cells, half a minute for twelve. Raises ValueError above 16 cells.
    """
    if supercell.cells > _LARGEST:
        raise ValueError(
            f"exact diagonalization of two electrons takes minutes and gigabytes above {_LARGEST} "
            f"moiré cells; this supercell has {supercell.cells}"
        )
    problem = _Problem(supercell, moire, phase, coulomb, np.asarray(twist, dtype=float))
    cutoff = _energy_cutoff(moire)
    low, high = (factor * math.sqrt(cutoff) for factor in _MOMENTUM_CUTOFFS)
    low_basis = _relative_basis(supercell, coulomb, low, cutoff)
    high_basis = _relative_basis(supercell, coulomb, high, cutoff)
    pairs = []
    for momentum in supercell.moire_points():
        coarse = _diagonalize(problem, low_basis, momentum, _COARSER * cutoff, levels)
        fine = _diagonalize(problem, low_basis, momentum, cutoff, levels)
        finest = _diagonalize(problem, high_basis, momentum, cutoff, levels)
        correction = (finest - fine) / ((high / low) ** 4 - 1)
        error = np.abs(correction) + np.abs(fine - coarse)
        exact = finest + correction
        pairs.append(
            ExactPair(
                momentum=(int(momentum[0]), int(momentum[1])),
                energies=exact[3:],
                kinetic=float(exact[0]),
                moire=float(exact[1]),
                coulomb=float(exact[2]),
                uncertainty=float(error[:4].max()),
            )
        )
    return pairs


def ground_state(
    supercell: Supercell, moire: float, phase: float, coulomb: float, twist=(0.0, 0.0)
) -> ExactPair:
    """The lowest of all momentum sectors; arguments as in `exact_pair_energies`."""
    pairs = exact_pair_energies(supercell, moire, phase, coulomb, twist)
    return min(pairs, key=lambda pair: pair.energies[0])


def has_exact_pair(hamiltonian: Hamiltonian) -> bool:
    """Whether `exact_pair` treats this Hamiltonian."""
    small = hamiltonian.supercell.cells <= _LARGEST
    return small and hamiltonian.spins == (2, 0) and hamiltonian.is_moire_coulomb


def exact_pair(hamiltonian: Hamiltonian, context: Float[Array, " parameter"]) -> dict[str, float]:
    """Exact ground-state energy, its components and their uncertainty in meV per electron.

    The keys are energy, kinetic, moire, coulomb and uncertainty. `context` holds the laboratory
    parameters that vary over the Hamiltonian's family.

    Raises ValueError unless the Hamiltonian has two spin-up electrons, the terms treated here and a small
    supercell.
    """
    if hamiltonian.spins != (2, 0):
        raise ValueError(
            "exact diagonalization treats two spin-polarized electrons, spins (2, 0); "
            f"the Hamiltonian has spins {hamiltonian.spins}"
        )
    if not hamiltonian.is_moire_coulomb:
        raise ValueError(f"exact diagonalization does not know all of {hamiltonian.components}")
    couplings = hamiltonian.family.couplings(context)
    pair = ground_state(
        hamiltonian.supercell,
        float(couplings.moire),
        float(couplings.phase),
        float(couplings.coulomb),
        np.asarray(couplings.twist, dtype=float),
    )
    per_electron = float(couplings.energy_unit) / 2
    return {
        "energy": float(pair.energies[0]) * per_electron,
        "kinetic": pair.kinetic * per_electron,
        "moire": pair.moire * per_electron,
        "coulomb": pair.coulomb * per_electron,
        "uncertainty": pair.uncertainty * per_electron,
    }


class _Problem(NamedTuple):
    supercell: Supercell
    moire: float  # w
    phase: float
    coulomb: float  # u
    twist: np.ndarray


class _Relative(NamedTuple):
    """Eigenstates of h at one parity, as amplitudes of the plane waves q = d . reciprocal / 2."""

    labels: Int[np.ndarray, "wave 2"]  # d, and in the second half -d
    states: Float[np.ndarray, "wave state"]
    energies: Float[np.ndarray, " state"]
    kinetic: Float[np.ndarray, "state state"]  # matrix of q^2


class _RelativeBasis(NamedTuple):
    relative: dict[tuple[int, int], _Relative]  # by parity of K
    # By harmonic j and parity of K: matrix of e^{i g_j.r/2} + e^{-i g_j.r/2} to that of K + g_j
    transfers: dict[tuple[int, tuple[int, int]], Float[np.ndarray, "target source"]]


class _Block(NamedTuple):
    """The basis states of one total momentum K within a sector."""

    parity: tuple[int, int]
    center: float  # K^2 / 4
    count: int
    where: slice  # in the sector's state vector


def _energy_cutoff(moire: float) -> float:
    """Energy cutoff in E_M: a few shells of g, and the tail e^{-E/omega} of an electron in a well.

    omega = |g| sqrt(3 |w|) is the oscillator frequency of the well at phase zero, the steepest.
    """
    harmonic = float(np.linalg.norm(MOIRE_HARMONICS[0]))
    return 2 * harmonic**2 + 10 * harmonic * math.sqrt(3 * abs(moire))


def _relative_basis(
    supercell: Supercell, coulomb: float, momentum_cutoff: float, energy_cutoff: float
) -> _RelativeBasis:
    relative = {
        parity: _relative_motion(supercell, coulomb, parity, momentum_cutoff, energy_cutoff)
        for parity in _PARITIES
    }
    transfers = {}
    for (j, harmonic), parity in itertools.product(enumerate(_harmonics(supercell)), _PARITIES):
        target = relative[_parity(parity + harmonic)]
        transfers[j, parity] = _transfer(relative[parity], target, harmonic)
    return _RelativeBasis(relative, transfers)


def _relative_motion(
    supercell: Supercell,
    coulomb: float,
    parity: tuple[int, int],
    momentum_cutoff: float,
    energy_cutoff: float,
) -> _Relative:
    """Diagonalize h = q^2 + u v(r) in antisymmetrized plane waves of one parity."""
    longest = np.linalg.norm(supercell.vectors, axis=1).max()
    labels = integer_grid(math.ceil(momentum_cutoff * longest / math.pi))  # as d_i = q.A_i / pi
    labels = labels[np.all(labels % 2 == parity, axis=1)]
    labels = labels[(labels[:, 0] > 0) | ((labels[:, 0] == 0) & (labels[:, 1] > 0))]
    labels = labels[np.linalg.norm(labels @ supercell.reciprocal / 2, axis=1) < momentum_cutoff]
    waves = labels @ supercell.reciprocal / 2

    def repulsion(momentum):
        length = np.linalg.norm(momentum, axis=-1)
        scale = 2 * math.pi * coulomb / supercell.area
        return np.divide(scale, length, out=np.zeros_like(length), where=length > 1e-9)

    squares = np.sum(waves**2, axis=1)
    direct, exchange = repulsion(waves[:, None] - waves), repulsion(waves[:, None] + waves)
    matrix = np.diag(squares) + direct - exchange
    energies, states = eigh(matrix, subset_by_value=(-np.inf, energy_cutoff))
    return _Relative(
        labels=np.concatenate([labels, -labels]),
        states=np.concatenate([states, -states]) / math.sqrt(2),
        energies=energies,
        kinetic=states.T @ (squares[:, None] * states),
    )


def _transfer(
    source: _Relative, target: _Relative, harmonic: Int[np.ndarray, "2"]
) -> Float[np.ndarray, "target source"]:
    """<target| e^{i g.r/2} + e^{-i g.r/2} |source>: moves d by +-g, in integer labels."""
    row_of = {tuple(label): row for row, label in enumerate(source.labels.tolist())}
    rows = np.array([row_of.get(tuple(d), -1) for d in (target.labels - harmonic).tolist()])
    inside = rows >= 0
    # Both states are odd under d -> -d, so both shifts contribute equally.
    return 2 * target.states[inside].T @ source.states[rows[inside]]


def _diagonalize(
    problem: _Problem,
    basis: _RelativeBasis,
    momentum: Int[np.ndarray, "2"],
    energy_cutoff: float,
    levels: int,
) -> Float[np.ndarray, " quantity"]:
    """Kinetic, moiré and Coulomb energy of the lowest level, then the levels, in E_M."""
    blocks = _blocks(problem, basis, momentum, energy_cutoff)
    matrix = _matrix(problem, basis, blocks)
    diagonal = matrix.diagonal().real
    # A random start, because a symmetric one could be orthogonal to the ground state
    start = np.random.default_rng(0).normal(size=diagonal.shape).astype(complex)
    start /= diagonal - diagonal.min() + 1
    energies, states = eigsh(matrix, k=levels, which="SA", tol=_LANCZOS_TOLERANCE, v0=start)  # pyright: ignore[reportArgumentType]
    order = np.argsort(energies)
    energies, ground = energies[order], states[:, order[0]]
    self_image = problem.coulomb * Coulomb(problem.supercell).madelung
    without_moire = diagonal @ np.abs(ground) ** 2
    kinetic = sum(_kinetic(ground[block.where], block, basis) for block in blocks.values())
    coulomb = without_moire - kinetic + self_image
    return np.array([kinetic, energies[0] - without_moire, coulomb, *(energies + self_image)])


def _blocks(
    problem: _Problem,
    basis: _RelativeBasis,
    momentum: Int[np.ndarray, "2"],
    energy_cutoff: float,
) -> dict[tuple[int, int], _Block]:
    """The total momenta of a sector, by integer label, that have states below the cutoff."""
    offset = (momentum + 2 * problem.twist) @ problem.supercell.reciprocal
    lowest = min(relative.energies[0] for relative in basis.relative.values())
    longest = 2 * math.sqrt(energy_cutoff - lowest) + np.linalg.norm(offset)
    waves = integer_grid(math.ceil(longest / (2 * math.pi)))  # as g.a_i = 2 pi n_i and |a_i| = 1
    waves = waves @ MOIRE_RECIPROCAL
    labels = momentum + problem.supercell.labels(waves)
    centers = np.sum((offset + waves) ** 2, axis=1) / 4
    blocks, start = {}, 0
    for label, center in zip(labels, centers.tolist(), strict=True):
        parity = _parity(label)
        count = int(np.sum(center + basis.relative[parity].energies < energy_cutoff))
        if count:
            where = slice(start, start + count)
            blocks[tuple(label.tolist())] = _Block(parity, center, count, where)
            start += count
    return blocks


def _matrix(
    problem: _Problem, basis: _RelativeBasis, blocks: dict[tuple[int, int], _Block]
) -> sparse.csr_array:
    """H - u xi: K^2 / 4 + h is diagonal, and the moiré potential joins K and K + g_j."""
    grid: list[list[Any]] = [[None] * len(blocks) for _ in blocks]
    position = {label: i for i, label in enumerate(blocks)}
    amplitude = -problem.moire * np.exp(1j * problem.phase)
    for label, block in blocks.items():
        i = position[label]
        relative_energies = basis.relative[block.parity].energies[: block.count]
        grid[i][i] = sparse.diags_array(block.center + relative_energies)
        for j, harmonic in enumerate(_harmonics(problem.supercell)):
            raised = tuple((label + harmonic).tolist())
            if raised in blocks:
                transfer = basis.transfers[j, block.parity][: blocks[raised].count, : block.count]
                grid[position[raised]][i] = amplitude * transfer
                grid[i][position[raised]] = np.conj(amplitude) * transfer.T
    return sparse.csr_array(sparse.block_array(grid, format="csr"))


def _kinetic(state: Complex[np.ndarray, " state"], block: _Block, basis: _RelativeBasis) -> float:
    relative = basis.relative[block.parity].kinetic[: block.count, : block.count]
    return float(block.center * np.linalg.norm(state) ** 2 + np.vdot(state, relative @ state).real)


def _harmonics(supercell: Supercell) -> Int[np.ndarray, "3 2"]:
    return supercell.labels(MOIRE_HARMONICS)


def _parity(label) -> tuple[int, int]:
    return int(label[0]) % 2, int(label[1]) % 2
