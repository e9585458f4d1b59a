"""Exact references, independent of Monte Carlo, to grade a wavefunction against.

`two_electrons` diagonalizes the Hamiltonian of two spin-polarized electrons: `exact_pair` gives
the ground state at one context in meV per electron; `ground_state` and `exact_pair_energies` work
from the dimensionless couplings. Non-interacting electrons of any number are in
`qernel.hamiltonian.bands`.
"""

from qernel.reference.two_electrons import (
    ExactPair,
    exact_pair,
    exact_pair_energies,
    ground_state,
)

__all__ = ["ExactPair", "exact_pair", "exact_pair_energies", "ground_state"]
