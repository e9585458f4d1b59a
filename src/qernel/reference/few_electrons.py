"""Few spin-polarized electrons: the lowest levels of every sector of total momentum, with an uncertainty.

Configuration interaction, that is diagonalization in a space of determinants:

1. The orbitals span twelve moiré bands: few are enough, because strong repulsion keeps electrons apart. They
   are turned into natural orbitals, first those of a pair of electrons at the same density
   (`natural_orbitals`), then those of a small calculation of the electrons themselves.
2. Determinants are ordered by the product of their orbitals' occupations (`determinants`) and the likeliest
   are kept. The Hamiltonian acts on them as in `sectors`, and Lanczos iteration finds the lowest levels:
   upper bounds to the exact ones.
3. Keeping determinants of ever smaller amplitude, down to e^-B, leaves an error that about halves with each
   unit of B. It is extrapolated from B - 2 and B, as a third of the difference. What the finite number of
   bands misses is added once per pair, from the auxiliary pair, whose exact energy is known.

The uncertainty is the full size of both corrections; for components, which are not stationary as the energy
is, the full difference between B - 2 and B in place of a third.
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
from qernel.reference.natural_orbitals import (
    NaturalOrbitals,
    natural_orbitals,
    pair_cell,
    pair_states,
    refined,
)
from qernel.reference.orbitals import bands
from qernel.reference.pair_matrices import pair_matrices
from qernel.reference.sectors import Sector
from qernel.reference.stars import stars
from qernel.reference.two_electrons import ground_state

DETERMINANTS = 100_000  # of a sector, unless told otherwise
_MOST_DETERMINANTS = 2_000_000  # some 4 GB
_MOST_CELLS = 12
_ORBITALS = 12  # at each crystal momentum
_FIRST = 10_000  # determinants of the calculation that the orbitals are refined with
_SHARE_OF_PAIR = 0.2  # in the refined density matrix, for orbitals that a small calculation cannot see
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
    missing = _missing_from_orbitals(pair_cell(supercell, electrons), moire, phase, coulomb)
    problem = _Problem(
        electrons=electrons,
        filling=electrons / supercell.cells,
        moire=moire,
        phase=phase,
        coulomb=coulomb,
        self_image=electrons / 2 * coulomb * Coulomb(supercell).madelung,
        determinants=determinants,
        natural=natural_orbitals(supercell, electrons, moire, phase, coulomb, twist, _ORBITALS),
        missing=electrons / 2 * missing,
    )
    if momenta is not None:
        return [_sector(problem, np.asarray(label), levels) for label in momenta]
    equivalent = [[label] for label in supercell.moire_points()] if np.any(twist) else stars(supercell)
    sectors = []
    for star in equivalent:
        sector = _sector(problem, np.asarray(star[0]), levels)
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
    if not hamiltonian.is_moire_coulomb:
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


def has_exact_sectors(hamiltonian: Hamiltonian) -> bool:
    """Whether `exact_energies` treats this Hamiltonian."""
    few = 2 <= hamiltonian.electrons <= MOST_ELECTRONS and hamiltonian.spins[1] == 0
    return few and hamiltonian.supercell.cells <= _MOST_CELLS and hamiltonian.is_moire_coulomb


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


class _Problem(NamedTuple):
    """One context: the electrons, their couplings, and what all sectors have in common."""

    electrons: int
    filling: float
    moire: float
    phase: float
    coulomb: float
    self_image: float  # Madelung energy in E_M
    determinants: int
    natural: NaturalOrbitals  # of the auxiliary pair
    missing: Float[np.ndarray, "4"]  # what their finite number costs: components and total, in E_M


def _sector(problem: _Problem, label: Int[np.ndarray, "2"], levels: int) -> ExactSector:
    """The extrapolated levels of one total momentum."""
    space = _Space(problem, problem.natural, min(_FIRST, problem.determinants))
    _, state = space.diagonalize(label, space.budget, 1, None)
    density = space.sector(label, space.budget).one_electron_density(state.amplitudes)
    space = _Space(problem, refined(problem.natural, density, _SHARE_OF_PAIR), problem.determinants)
    rough, start = space.diagonalize(label, max(0, space.budget - round(_STEP / GRAIN)), levels, None)
    values, state = space.diagonalize(label, space.budget, levels, start)
    correction = _REMAINDER * (values - rough)
    error = np.abs(correction[:4]) + np.abs(problem.missing)
    component_error = np.abs(values - rough)[:3] + np.abs(problem.missing[:3])
    exact = values + correction
    exact[:3] += problem.missing[:3]
    exact[3:] += problem.missing[3]
    return ExactSector(
        momentum=(int(label[0]), int(label[1])),
        energies=exact[3:],
        kinetic=float(exact[0]),
        moire=float(exact[1]),
        coulomb=float(exact[2]),
        uncertainty=float(error[3]),
        component_uncertainty=float(component_error.max()),
        bound=float(values[3]),
        determinants=len(state.keys),
    )


class _Space:
    """Determinants of given orbitals, at most so many in a sector, and their pair Hamiltonian."""

    def __init__(self, problem: _Problem, natural: NaturalOrbitals, determinants: int):
        self._problem, self._orbitals = problem, natural.orbitals
        self._costs = _costs(natural.occupations, problem.filling)
        electrons, highest = problem.electrons, int(problem.electrons * self._costs.max())
        counts = count_determinants(self._costs, self._orbitals.sums, electrons, highest).max(axis=0)
        self.budget = max(0, int(np.sum(counts <= determinants)) - 1)
        modes = make_modes(self._costs, self.budget)
        matrices = pair_matrices(self._orbitals, problem.phase, modes, self.budget)
        # Each electron has N - 1 pairs to share its one-electron energy among.
        self._kinetic = [pair.kinetic / (electrons - 1) for pair in matrices]
        self._moire = [problem.moire * pair.moire / (electrons - 1) for pair in matrices]
        self._total = [
            kinetic + moire + problem.coulomb * pair.coulomb
            for kinetic, moire, pair in zip(self._kinetic, self._moire, matrices, strict=True)
        ]

    def sector(self, label: Int[np.ndarray, "2"], budget: int) -> Sector:
        point = self._orbitals.point_of(label)
        return Sector(self._orbitals, make_modes(self._costs, budget), self._problem.electrons, point, budget)

    def diagonalize(
        self, label: Int[np.ndarray, "2"], budget: int, levels: int, start: "_State | None"
    ) -> tuple[Float[np.ndarray, " quantity"], "_State"]:
        """Kinetic, moiré and Coulomb energy of the lowest level, then the levels, in E_M; and their sum."""
        sector = self.sector(label, budget)
        hamiltonian = _Operator(sector, self._total)
        guess = _embed(start, sector.keys)
        energies, states = eigsh(hamiltonian, k=levels, which="SA", tol=_TOLERANCE, v0=guess)  # pyright: ignore[reportArgumentType]
        order = np.argsort(energies)
        energies, ground = energies[order], states[:, order[0]]
        kinetic, moire = (np.vdot(ground, sector.apply(h, ground)).real for h in (self._kinetic, self._moire))
        coulomb = energies[0] - kinetic - moire
        self_image = self._problem.self_image
        values = np.array([kinetic, moire, coulomb + self_image, *(energies + self_image)])
        return values, _State(sector.keys, states.sum(axis=1))


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
    """Exact minus truncated energies of the auxiliary pair: components and total, in E_M."""
    basis = bands(cell, moire, phase, (0.0, 0.0), _ORBITALS)
    values = pair_states(basis, moire, phase, coulomb).values
    values = values[np.argmin(values[:, 3])]
    values[2:] += coulomb * Coulomb(cell).madelung
    exact = ground_state(cell, moire, phase, coulomb)
    return np.array([exact.kinetic, exact.moire, exact.coulomb, exact.energies[0]]) - values
