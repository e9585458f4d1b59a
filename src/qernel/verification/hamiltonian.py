"""The Hamiltonian against closed forms and numbers that this program did not compute."""

import math
from collections.abc import Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qernel.estimators.local_energy import local_energy
from qernel.hamiltonian import Coulomb, Family, MoirePotential, moire_hamiltonian
from qernel.lattice import Supercell, supercell_of
from qernel.measurement import Effort, Measurement
from qernel.sampling import initial_walkers
from qernel.units import density_parameter
from qernel.verification.check import Check
from qernel.wavefunction.slater import BlochDeterminant

_GROUP = "Hamiltonian"
_TRIANGULAR = -3.921031579  # Madelung constant times sqrt(area), triangular lattice
#: Non-interacting electrons at phase 45 degrees: (electrons, cells) to meV per electron by depth.
_BANDS = {
    (6, 9): {0.7: 0.66582, 1.0: -5.92285, 1.5: -19.87805},
    (7, 9): {1.0: -5.74952},
    (18, 27): {1.0: -6.08090},
}
_BANDS_KNOWN_TO = 3e-5  # meV: the constants of nature that went into them were rounded
#: One plane-wave determinant of N polarized electrons: a / rs^2 + b / rs in Ha* per electron, by N.
_GAS = {7: (0.888392, -0.898989), 19: (0.964680, -0.869352)}


def standard_family(**changes) -> Family:
    """The moiré material of the paper at depth 1 and dielectric constant 5, with changes."""
    standard = {
        "moire_potential": 15.0,
        "moire_depth": 1.0,
        "moire_phase": 45.0,
        "dielectric_constant": 5.0,
        "effective_mass": 0.35,
        "moire_constant": 8.031,
    }
    return Family(**(standard | changes))  # pyright: ignore[reportArgumentType]


def check_hamiltonian(*, quick: bool) -> Iterator[Check]:
    """Units, potential, Ewald sum, kinetic energy and the local energy of eigenstates."""
    yield from _units()
    yield _potential_minimum()
    yield from _wigner_lattices()
    for (electrons, cells), energies in list(_BANDS.items())[: 1 if quick else None]:
        yield from _bands(electrons, cells, energies)
    for electrons in [7] if quick else _GAS:
        yield _electron_gas(electrons, rs=5.0)


def _units() -> Iterator[Check]:
    couplings = standard_family().couplings(jnp.zeros(0))
    unit = float(couplings.energy_unit)
    source = "hbar^2 / (m* a_M^2)"
    yield Check(_GROUP, "energy unit E_M", "meV", 3.37556, unit, uncertainty=5e-6, source=source)
    source = "e^2 / (4 pi eps_0 eps a_M E_M)"
    yield Check(
        _GROUP,
        "Coulomb strength u, eps 5",
        "1",
        10.6235,
        float(couplings.coulomb),
        uncertainty=5e-5,
        source=source,
    )


def _potential_minimum() -> Check:
    couplings = standard_family().couplings(jnp.zeros(0))
    value = float(MoirePotential()(jnp.zeros((1, 2)), couplings) * couplings.energy_unit)
    exact = -2 * 15.0 * 3 * math.cos(math.pi / 4)
    return Check(
        _GROUP,
        "moiré potential on a site",
        "meV",
        exact,
        value,
        above=1e-9,
        below=1e-9,
        source="-6 lambda V0 cos(phi)",
    )


def _wigner_lattices() -> Iterator[Check]:
    """Electrons on a triangular lattice: u/2 times its Madelung constant each, in any supercell of it."""
    couplings = standard_family().couplings(jnp.zeros(0))
    for cells, per_electron in [(9, 1), (12, 3), (27, 3)]:
        supercell = supercell_of(cells)
        sites = supercell.translations()
        if per_electron == 3:  # one of the three sublattices of the sqrt3 order
            labels = np.rint(sites @ np.linalg.inv(supercell_of(3).vectors) * 3).astype(int)
            sites = sites[np.all(labels % 3 == 0, axis=1)]
        energy = float(Coulomb(supercell)(jnp.asarray(sites), couplings)) / len(sites)
        exact = float(couplings.coulomb) * _TRIANGULAR / (2 * math.sqrt(supercell.area / len(sites)))
        unit = float(couplings.energy_unit)
        yield Check(
            _GROUP,
            f"triangular lattice of {len(sites)} electrons in {cells} cells",
            "meV",
            unit * exact,
            unit * energy,
            above=1e-5,
            below=1e-5,
            source="Bonsall and Maradudin, PRB 15, 1959 (1977)",
        )


def _bands(electrons: int, cells: int, energies: dict[float, float]) -> Iterator[Check]:
    """The local energy of the filled bands is their energy, at any configuration: zero variance."""
    family = standard_family(dielectric_constant=1e12, ranges=(("moire_depth", 0.0, 2.0),))
    hamiltonian = moire_hamiltonian(supercell_of(cells), (electrons, 0), family)
    walkers = initial_walkers(jax.random.key(0), hamiltonian.supercell, electrons, 1, 8, jnp.float64)

    @eqx.filter_jit
    def local_energies(model, couplings):
        return jax.vmap(lambda r: local_energy(model, hamiltonian, r, couplings).total)(walkers.electrons[0])

    spreads = []
    for depth, energy in energies.items():
        couplings = family.couplings(jnp.array([depth]))
        model = BlochDeterminant(hamiltonian.supercell, hamiltonian.spins, couplings)
        values = np.asarray(local_energies(model, couplings)) * float(couplings.energy_unit) / electrons
        spreads.append(float(np.std(values)))
        yield Check(
            _GROUP,
            f"filled bands, {electrons} electrons in {cells} cells, depth {depth:g}",
            "meV",
            energy,
            float(values.real.mean()),
            above=_BANDS_KNOWN_TO,
            below=_BANDS_KNOWN_TO,
            source="independent plane-wave diagonalization",
        )
    yield Check(
        _GROUP,
        "largest spread of their local energies",
        "meV",
        0.0,
        max(spreads),
        above=1e-6,
        source="eigenstates",
    )


def _electron_gas(electrons: int, rs: float) -> Check:
    """A determinant of plane waves: its energy has a closed form."""
    supercell = Supercell(((1, 0), (0, 1)))
    material = standard_family()
    # One moiré cell holds all electrons; the dielectric constant sets r_s.
    at_one = density_parameter(electrons, 1.0, material.effective_mass, material.moire_constant)
    family = standard_family(moire_depth=0.0, dielectric_constant=at_one / rs)
    hamiltonian = moire_hamiltonian(supercell, (electrons, 0), family)
    couplings = family.couplings(jnp.zeros(0))
    model = BlochDeterminant(supercell, (electrons, 0), couplings, shell=2.01)
    effort = Effort(walkers=512, equilibration=20, samples=60, observables=("energy",))
    walkers = initial_walkers(jax.random.key(1), supercell, electrons, 1, effort.walkers, jnp.float64)
    measured = Measurement(hamiltonian, effort, jnp.float64)(
        model, walkers, np.zeros((1, 0)), jax.random.key(2)
    )
    hartree = float(couplings.coulomb) ** 2 * float(couplings.energy_unit)  # Ha* = u^2 E_M
    energy = measured[0].results["energy"]
    kinetic, exchange = _GAS[electrons]
    return Check(
        _GROUP,
        f"electron gas, {electrons} plane waves, r_s {rs:g}",
        "mHa*",
        1e3 * (kinetic / rs**2 + exchange / rs),
        1e3 * float(energy.value) / hartree,
        1e3 * float(np.asarray(energy.error)) / hartree,
        uncertainty=2e-4,
        source="kinetic and exchange energy of the determinant",
    )
