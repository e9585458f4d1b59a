"""References, independent of Monte Carlo, to grade a wavefunction against.

In meV per electron at one context: `exact_pair`, the exact ground state of two spin-polarized electrons to
1e-4 meV; `exact_energies`, of up to seven to about 0.01; and `hartree_fock_energy`, the lowest single
determinant of any number. `exact_pair_energies`, `exact_sectors` and `lowest_determinant` work from the
dimensionless couplings. `plane_wave_energy` and two fits of the thermodynamic limit serve the electron gas,
at zero moiré depth. Non-interacting electrons of any number are in `qernel.hamiltonian.bands`.
"""

from qernel.reference.electron_gas import (
    PlaneWaveEnergy,
    attaccalite_correlation,
    attaccalite_energy,
    hartree_unit,
    plane_wave_energy,
    tanatar_ceperley_energy,
)
from qernel.reference.few_electrons import ExactSector, exact_energies, exact_sectors
from qernel.reference.hartree_fock import (
    HartreeFock,
    hartree_fock_energy,
    has_hartree_fock,
    lowest_determinant,
)
from qernel.reference.two_electrons import (
    ExactPair,
    exact_pair,
    exact_pair_energies,
    ground_state,
)

__all__ = [
    "ExactPair",
    "ExactSector",
    "HartreeFock",
    "PlaneWaveEnergy",
    "attaccalite_correlation",
    "attaccalite_energy",
    "exact_energies",
    "exact_pair",
    "exact_pair_energies",
    "exact_sectors",
    "ground_state",
    "hartree_fock_energy",
    "hartree_unit",
    "has_hartree_fock",
    "lowest_determinant",
    "plane_wave_energy",
    "tanatar_ceperley_energy",
]
