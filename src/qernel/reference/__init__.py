"""Exact references, independent of Monte Carlo, to grade a wavefunction against.

`two_electrons` diagonalizes the Hamiltonian of two spin-polarized electrons to 1e-4 meV: `exact_pair` gives
the ground state at one context in meV per electron; `ground_state` and `exact_pair_energies` work
from the dimensionless couplings. `few_electrons` does so for up to seven, to about 0.01 meV per electron:
`exact_energies` and `exact_sectors`. Non-interacting electrons of any number are in
`qernel.hamiltonian.bands`.
"""

from qernel.reference.few_electrons import ExactSector, exact_energies, exact_sectors
from qernel.reference.two_electrons import (
    ExactPair,
    exact_pair,
    exact_pair_energies,
    ground_state,
)

__all__ = [
    "ExactPair",
    "ExactSector",
    "exact_energies",
    "exact_pair",
    "exact_pair_energies",
    "exact_sectors",
    "ground_state",
]
