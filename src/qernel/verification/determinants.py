"""A measured energy against single Slater determinants, which anything with correlation has to beat."""

import math
from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np

from qernel.config import ModelConfig
from qernel.estimators.observable import Result
from qernel.hamiltonian import Hamiltonian
from qernel.reference import (
    attaccalite_correlation,
    hartree_fock_energy,
    hartree_unit,
    has_hartree_fock,
    plane_wave_energy,
)
from qernel.verification.check import Check

_MOST_ELECTRONS = 20  # seconds of Hartree-Fock for each context
_FREE_ORBITALS = 0.05  # meV per electron that a network's determinant may lie off the lowest one found
_FITS = 0.05  # of the correlation energy: as much do published fits for the infinite gas differ


def is_determinant(model: ModelConfig) -> bool:
    """Whether an ansatz is one determinant of neural orbitals and nothing else: no correlation."""
    return model.ansatz == "slaternet" and model.determinants == 1 and not model.jastrow


def check_determinants(
    group: str, place: str, hamiltonian: Hamiltonian, context: np.ndarray, model: ModelConfig, energy: Result
) -> Iterator[Check]:
    """Hartree-Fock for few electrons; without a moiré potential, also what is known of the electron gas.

    A determinant of neural orbitals, without Jastrow factor, is compared with the lowest determinant;
    every other ansatz has to lie below it.
    """
    if hamiltonian.electrons > _MOST_ELECTRONS or not has_hartree_fock(hamiltonian):
        return
    found = hartree_fock_energy(hamiltonian, jnp.asarray(context))
    yield Check(
        group,
        f"{place}: energy, from the lowest single determinant",
        "meV",
        found["energy"],
        float(energy.value),
        float(np.asarray(energy.error)),
        found["uncertainty"],
        above=_FREE_ORBITALS if is_determinant(model) else 0.0,
        below=_FREE_ORBITALS if is_determinant(model) else abs(found["energy"]),
        source="plane-wave unrestricted Hartree-Fock",
    )
    if hamiltonian.family.couplings(jnp.asarray(context)).moire == 0 and not hamiltonian.spins[1]:
        yield from _check_gas(group, place, hamiltonian, context, energy)


def _check_gas(
    group: str, place: str, hamiltonian: Hamiltonian, context: np.ndarray, energy: Result
) -> Iterator[Check]:
    """Correlation energy, beyond plane waves: negative, and weaker than that of the infinite polarized gas.

    Few electrons in a closed shell have fewer excitations to correlate by.
    """
    couplings = hamiltonian.family.couplings(jnp.asarray(context))
    twist = np.asarray(couplings.twist)
    try:
        waves = plane_wave_energy(hamiltonian.supercell, hamiltonian.spins, float(couplings.coulomb), twist)
    except ValueError:  # an open shell
        return
    unit = float(couplings.energy_unit) / hamiltonian.electrons
    beyond, error = float(energy.value) - unit * waves.energy, float(np.asarray(energy.error))
    yield Check(
        group,
        f"{place}: correlation energy, beyond plane waves",
        "meV",
        0.0,
        beyond,
        error,
        below=abs(unit * waves.energy),
        source="closed form of the determinant of plane waves",
    )
    area = hamiltonian.supercell.area / hamiltonian.electrons
    rs = float(couplings.coulomb) * math.sqrt(area / math.pi)
    hartree = hartree_unit(float(couplings.coulomb)) * float(couplings.energy_unit)
    infinite = attaccalite_correlation(rs, 1.0)
    yield Check(
        group,
        f"{place}: correlation energy at r_s {rs:.3g}",
        "mHa*",
        1e3 * infinite,
        1e3 * beyond / hartree,
        1e3 * error / hartree,
        above=1e3 * abs(infinite),
        below=_FITS * 1e3 * abs(infinite),
        source="infinite polarized gas, Attaccalite et al., PRL 88, 256601 (2002)",
    )
