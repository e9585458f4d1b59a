"""Exact energies of a Hamiltonian's few electrons, by sector, where there are some."""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from qernel.hamiltonian import Hamiltonian
from qernel.reference.few_electrons import exact_sectors, has_exact_sectors
from qernel.reference.two_electrons import exact_pair_energies, has_exact_pair


class Exact(NamedTuple):
    """Exact energies of one context in meV per electron, by sector label."""

    energies: Mapping[tuple[int, int], float]
    uncertainties: Mapping[tuple[int, int], float]
    moire: float  # of the ground state
    moire_uncertainty: float
    source: str

    @property
    def ground(self) -> float:
        return min(self.energies.values())

    @property
    def uncertainty(self) -> float:
        """Of the ground state's energy."""
        return self.uncertainties[min(self.energies, key=lambda label: self.energies[label])]

    @property
    def ground_sectors(self) -> list[tuple[int, int]]:
        """Sectors whose lowest energy cannot be told from the ground state's."""
        close = 1e-3 + 2 * self.uncertainty
        return [label for label, energy in self.energies.items() if energy < self.ground + close]


def exact_energies_at(
    hamiltonian: Hamiltonian, contexts: np.ndarray, determinants: int
) -> list[Exact | None]:
    """Exact diagonalization of few polarized electrons at each context; None where it does not apply.

    Two electrons take a second, four or six a minute or two for each context, with so many `determinants`.
    """
    if has_exact_pair(hamiltonian):
        return [_exact_pair(hamiltonian, context) for context in contexts]
    if has_exact_sectors(hamiltonian):
        return [_exact_sectors(hamiltonian, context, determinants) for context in contexts]
    return [None] * len(contexts)


def _exact_sectors(hamiltonian: Hamiltonian, context: np.ndarray, determinants: int) -> Exact:
    couplings = hamiltonian.family.couplings(jnp.asarray(context))
    sectors = exact_sectors(
        hamiltonian.supercell,
        hamiltonian.electrons,
        float(couplings.moire),
        float(couplings.phase),
        float(couplings.coulomb),
        np.asarray(couplings.twist),
        determinants=determinants,
    )
    unit = float(couplings.energy_unit) / hamiltonian.electrons
    lowest = min(sectors, key=lambda sector: sector.energies[0])
    return Exact(
        energies={sector.momentum: unit * float(sector.energies[0]) for sector in sectors},
        uncertainties={sector.momentum: unit * sector.uncertainty for sector in sectors},
        moire=unit * lowest.moire,
        moire_uncertainty=unit * lowest.component_uncertainty,
        source=f"exact diagonalization, {lowest.determinants} determinants, extrapolated",
    )


def _exact_pair(hamiltonian: Hamiltonian, context: np.ndarray) -> Exact:
    couplings = hamiltonian.family.couplings(jnp.asarray(context))
    pairs = exact_pair_energies(
        hamiltonian.supercell,
        float(couplings.moire),
        float(couplings.phase),
        float(couplings.coulomb),
        np.asarray(couplings.twist),
    )
    unit = float(couplings.energy_unit) / 2
    lowest = min(pairs, key=lambda pair: pair.energies[0])
    return Exact(
        energies={pair.momentum: unit * float(pair.energies[0]) for pair in pairs},
        uncertainties={pair.momentum: unit * pair.uncertainty for pair in pairs},
        moire=unit * lowest.moire,
        moire_uncertainty=unit * lowest.uncertainty,
        source="exact diagonalization",
    )
