"""References, independent of Monte Carlo, to grade a wavefunction against.

In meV per electron at one context: `exact_pair`, the exact ground state of two spin-polarized electrons, and
`hartree_fock_energy`, the lowest single determinant of any number. `ground_state`, `exact_pair_energies`
and `lowest_determinant` work from the dimensionless couplings. `plane_wave_energy` and two fits of the
thermodynamic limit serve the electron gas, at zero moiré depth. Non-interacting electrons of any number
are in `qernel.hamiltonian.bands`.
"""

from qernel.reference.electron_gas import (
    PlaneWaveEnergy,
    attaccalite_energy,
    hartree_unit,
    plane_wave_energy,
    tanatar_ceperley_energy,
)
from qernel.reference.hartree_fock import HartreeFock, hartree_fock_energy, lowest_determinant
from qernel.reference.two_electrons import (
    ExactPair,
    exact_pair,
    exact_pair_energies,
    ground_state,
)

__all__ = [
    "ExactPair",
    "HartreeFock",
    "PlaneWaveEnergy",
    "attaccalite_energy",
    "exact_pair",
    "exact_pair_energies",
    "ground_state",
    "hartree_fock_energy",
    "hartree_unit",
    "lowest_determinant",
    "plane_wave_energy",
    "tanatar_ceperley_energy",
]
