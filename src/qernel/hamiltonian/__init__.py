"""The moiré Hamiltonian, one file per term."""

from qernel.hamiltonian.coulomb import Coulomb
from qernel.hamiltonian.couplings import Couplings, Family
from qernel.hamiltonian.hamiltonian import Hamiltonian, make_hamiltonian, moire_hamiltonian
from qernel.hamiltonian.moire import MoirePotential

__all__ = [
    "Coulomb",
    "Couplings",
    "Family",
    "Hamiltonian",
    "MoirePotential",
    "make_hamiltonian",
    "moire_hamiltonian",
]
