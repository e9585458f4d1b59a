"""Few spin-polarized electrons: the lowest levels of every sector of total momentum, with an uncertainty.

Configuration interaction, that is diagonalization in a space of determinants:

1. The orbitals are natural orbitals of a pair of electrons at the same density (`natural_orbitals`).
   Electrons of a dilute gas keep apart, and few of these orbitals describe how.
2. Determinants are ordered by the product of their orbitals' occupations (`determinants`) and the likeliest
   are kept. The Hamiltonian acts on them as in `sectors`, and Lanczos iteration finds the lowest levels:
   upper bounds to the exact ones.
3. Keeping determinants of ever smaller amplitude, down to e^-B, leaves an error that about halves with each
   unit of B. It is extrapolated from B - 2 and B, as a third of the difference. What the finite number of
   orbitals misses is added once per pair, from the auxiliary pair, whose exact energy is known.

The uncertainty is the full size of both corrections.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Complex, Float, Int
from scipy.sparse.linalg import LinearOperator, eigsh

from qernel.hamiltonian import Coulomb, Hamiltonian
from qernel.lattice import Supercell
from qernel.reference.determinants import GRAIN, MOST_ELECTRONS, count_determinants, make_modes
from qernel.reference.natural_orbitals import natural_orbitals, pair_cell, pair_states
from qernel.reference.pair_matrices import pair_matrices
from qernel.reference.sectors import Sector
from qernel.reference.stars import stars
from qernel.reference.two_electrons import exact_pair_energies

DETERMINANTS = 100_000  # of a sector, unless told otherwise
_MOST_DETERMINANTS = 2_000_000  # some 4 GB
_MOST_CELLS = 12
_ORBITALS = 12  # at each crystal momentum
_STEP = 2.0  # between the two cutoffs B
_REMAINDER = 1 / 3  # 1/4 + 1/16 + ... of the difference between them
_TOLERANCE = 1e-6  # of the residual, relative to the energy; the energy's error is its square


@dataclasses.dataclass(frozen=True)
class ExactSector:
    """The lowest levels at one total crystal momentum, in E_M per supercell.

    `momentum` is the integer label n of K = (n + N twist) . reciprocal, modulo moiré reciprocal vectors.
    `kinetic`, `moire` and `coulomb` are expectation values in the lowest level and add up to energies[0].
    `uncertainty` is that of energies[0], `component_uncertainty` that of each component. `bound` is an
    upper bound to the exact energies[0], found with so many `determinants`.
    """

    momentum: tuple[int, int]
    energies: np.ndarray  # (level,)
    kinetic: float
    moire: float
    coulomb: float
    uncertainty: float
    component_uncertainty: float
    bound: float
    determinants: int


def exact_sectors(
    supercell: Supercell,
    electrons: int,
    moire: float,
    phase: float,
    coulomb: float,
    twist=(0.0, 0.0),
    levels: int = 1,
    determinants: int = DETERMINANTS,
    momenta: Sequence | np.ndarray | None = None,
) -> list[ExactSector]:
    """Polarized electrons at every total crystal momentum, or only at the labels `momenta`, (sector, 2).

    `moire` is w and `coulomb` u in E_M, `phase` is in radians, `twist` in supercell reciprocal vectors;
    `levels` counts the energies wanted at each momentum, `determinants` limits the size of a sector.
    Without a twist, one of each star of equivalent momenta is calculated, unless `momenta` says which.

    Raises ValueError beyond 2 to 7 electrons, 12 moiré cells or 2 million determinants.
    """
    _check(supercell, electrons, determinants)
    problem = _Problem(supercell, electrons, moire, phase, coulomb, twist, determinants)
    if momenta is not None:
        return [problem.sector(np.asarray(label), levels) for label in momenta]
    equivalent = [[label] for label in supercell.moire_points()] if np.any(twist) else stars(supercell)
    sectors = []
    for star in equivalent:
        sector = problem.sector(np.asarray(star[0]), levels)
        sectors += [dataclasses.replace(sector, momentum=(int(n[0]), int(n[1]))) for n in star]
    return sectors


def exact_energies(
    hamiltonian: Hamiltonian, context: Float[Array, " parameter"], determinants: int = DETERMINANTS
) -> dict[str, float | tuple[int, int]]:
    """Exact ground-state energy, its components and uncertainties in meV per electron, and its momentum.

    The keys are energy, kinetic, moire, coulomb, uncertainty, component_uncertainty and momentum. `context`
    holds the laboratory parameters that vary over the Hamiltonian's family.

    Raises ValueError unless all electrons have spin up and the terms are those treated here.
    """
    if hamiltonian.spins[1] != 0:
        raise ValueError(
            f"exact energies are for spin-polarized electrons, spins (n, 0), not {hamiltonian.spins}"
        )
    if hamiltonian.components != ("kinetic", "moire", "coulomb"):
        raise ValueError(f"exact diagonalization does not know all of {hamiltonian.components}")
    couplings = hamiltonian.family.couplings(context)
    sectors = exact_sectors(
        hamiltonian.supercell,
        hamiltonian.electrons,
        float(couplings.moire),
        float(couplings.phase),
        float(couplings.coulomb),
        np.asarray(couplings.twist, dtype=float),
        determinants=determinants,
    )
    ground = min(sectors, key=lambda sector: sector.energies[0])
    return per_electron(ground, hamiltonian.electrons, float(couplings.energy_unit))


def per_electron(sector: ExactSector, electrons: int, energy_unit: float) -> dict:
    """The lowest level of a sector in meV per electron, with `energy_unit` E_M in meV."""
    names = ("kinetic", "moire", "coulomb", "uncertainty", "component_uncertainty")
    scale = energy_unit / electrons
    energies = {"energy": float(sector.energies[0]) * scale}
    return energies | {name: getattr(sector, name) * scale for name in names} | {"momentum": sector.momentum}


def _check(supercell: Supercell, electrons: int, determinants: int) -> None:
    if not 2 <= electrons <= MOST_ELECTRONS:
        raise ValueError(f"exact energies are for 2 to {MOST_ELECTRONS} electrons, not {electrons}")
    if supercell.cells > _MOST_CELLS:
        raise ValueError(f"exact energies are for up to {_MOST_CELLS} moiré cells, not {supercell.cells}")
    if determinants > _MOST_DETERMINANTS:
        raise ValueError(
            f"{determinants} determinants need {determinants * 2e-6:.1f} GB: at most {_MOST_DETERMINANTS}"
        )


class _Problem:
    """One context: its orbitals, its pair Hamiltonian, and how far the determinants go."""

    def __init__(
        self,
        supercell: Supercell,
        electrons: int,
        moire: float,
        phase: float,
        coulomb: float,
        twist,
        largest: int,
    ):
        natural = natural_orbitals(supercell, electrons, moire, phase, coulomb, twist, _ORBITALS)
        self.electrons, self.orbitals = electrons, natural.orbitals
        self.self_image = electrons / 2 * coulomb * Coulomb(supercell).madelung
        self.costs = costs = _costs(natural.occupations, electrons / supercell.cells)
        counts = count_determinants(costs, self.orbitals.sums, electrons, int(electrons * costs.max()))
        self.budget = max(0, int(np.sum(counts.max(axis=0) <= largest)) - 1)
        self.modes = make_modes(costs, self.budget)
        matrices = pair_matrices(self.orbitals, phase, self.modes, self.budget)
        # Each electron has N - 1 pairs to share its one-electron energy among.
        self.kinetic = [pair.kinetic / (electrons - 1) for pair in matrices]
        self.moire = [moire * pair.moire / (electrons - 1) for pair in matrices]
        self.total = [
            kinetic + potential + coulomb * pair.coulomb
            for kinetic, potential, pair in zip(self.kinetic, self.moire, matrices, strict=True)
        ]
        cell = pair_cell(supercell, electrons)
        self.missing = electrons / 2 * _missing_from_orbitals(cell, moire, phase, coulomb)

    def sector(self, label: Int[np.ndarray, "2"], levels: int) -> ExactSector:
        """The extrapolated levels of one total momentum."""
        rough, start = self._diagonalize(label, max(0, self.budget - round(_STEP / GRAIN)), levels, None)
        values, state = self._diagonalize(label, self.budget, levels, start)
        correction = _REMAINDER * (values - rough)
        error = np.abs(correction[:4]) + np.abs(self.missing)
        exact = values + correction
        exact[:3] += self.missing[:3]
        exact[3:] += self.missing[3]
        return ExactSector(
            momentum=(int(label[0]), int(label[1])),
            energies=exact[3:],
            kinetic=float(exact[0]),
            moire=float(exact[1]),
            coulomb=float(exact[2]),
            uncertainty=float(error[3]),
            component_uncertainty=float(error[:3].max()),
            bound=float(values[3]),
            determinants=len(state.keys),
        )

    def _diagonalize(
        self, label: Int[np.ndarray, "2"], budget: int, levels: int, start: "_State | None"
    ) -> tuple[Float[np.ndarray, " quantity"], "_State"]:
        """Kinetic, moiré and Coulomb energy of the lowest level, then the levels, in E_M; and their sum."""
        modes = make_modes(self.costs, budget)
        sector = Sector(self.orbitals, modes, self.electrons, self.orbitals.point_of(label), budget)
        hamiltonian = _Operator(sector, self.total)
        guess = _embed(start, sector.keys)
        energies, states = eigsh(hamiltonian, k=levels, which="SA", tol=_TOLERANCE, v0=guess)  # pyright: ignore[reportArgumentType]
        order = np.argsort(energies)
        energies, ground = energies[order], states[:, order[0]]
        kinetic, moire = (np.vdot(ground, sector.apply(h, ground)).real for h in (self.kinetic, self.moire))
        coulomb = energies[0] - kinetic - moire + self.self_image
        return np.array([kinetic, moire, coulomb, *(energies + self.self_image)]), _State(
            sector.keys, states.sum(axis=1)
        )


class _Operator(LinearOperator):
    """The Hamiltonian of a sector as the Lanczos iteration wants it."""

    def __init__(self, sector: Sector, matrices: list):
        super().__init__(np.dtype(complex), (sector.size, sector.size))
        self._sector, self._matrices = sector, matrices

    def _matvec(self, x):
        return self._sector.apply(self._matrices, x.ravel())


class _State(NamedTuple):
    """A state by its determinants."""

    keys: Int[np.ndarray, " determinant"]
    amplitudes: Complex[np.ndarray, " determinant"]


def _embed(
    state: _State | None, keys: Int[np.ndarray, " determinant"]
) -> Complex[np.ndarray, " determinant"]:
    """A start for the Lanczos iteration: a random vector, with most weight in a state already known.

    Random, because a start of higher symmetry could be orthogonal to the ground state.
    """
    guess = np.random.default_rng(0).normal(size=len(keys)) / np.sqrt(len(keys)) + 0j
    if state is not None:
        guess *= 0.1
        guess[np.searchsorted(keys, state.keys)] += state.amplitudes
    return guess


def _costs(
    occupations: Float[np.ndarray, "point orbital"], filling: float
) -> Int[np.ndarray, "point orbital"]:
    """Costs of the orbitals; the first ones are free, whatever the filling at their momentum."""
    likely = np.maximum(occupations, 1e-12)
    costs = np.rint(np.maximum(0, np.log(filling / likely)) / (2 * GRAIN)).astype(int)
    costs[:, 0] = 0
    return costs


def _missing_from_orbitals(
    cell: Supercell, moire: float, phase: float, coulomb: float
) -> Float[np.ndarray, "4"]:
    """Exact minus truncated energies of the pair whose orbitals are used: components and total, in E_M."""
    truncated = natural_orbitals(cell, 2, moire, phase, coulomb, (0.0, 0.0), _ORBITALS).orbitals
    values = pair_states(truncated, moire, phase, coulomb).values
    values = values[np.argmin(values[:, 3])]
    exact = min(exact_pair_energies(cell, moire, phase, coulomb), key=lambda pair: pair.energies[0])
    values[2:] += coulomb * Coulomb(cell).madelung
    return np.array([exact.kinetic, exact.moire, exact.coulomb, exact.energies[0]]) - values
