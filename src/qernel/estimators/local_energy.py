"""The local energy E_L = (H psi) / psi, complex, with its components."""

from typing import NamedTuple

import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Complex, Float

from qernel.batching import over_walkers
from qernel.hamiltonian.couplings import Couplings
from qernel.hamiltonian.hamiltonian import Hamiltonian
from qernel.laplacian import kinetic_energy
from qernel.wavefunction.base import Wavefunction


class LocalEnergy(NamedTuple):
    """Local energies in E_M per supercell: the complex total, and real components, kinetic first."""

    total: Complex[Array, "*batch"]
    components: Float[Array, "*batch component"]


def local_energy(
    model: Wavefunction,
    hamiltonian: Hamiltonian,
    electrons: Float[Array, "electron 2"],
    couplings: Couplings,
) -> LocalEnergy:
    """E_L of one configuration at one context."""
    kinetic = kinetic_energy(lambda r: model(r, couplings), electrons)
    potential = hamiltonian.potential(electrons, couplings)
    components = jnp.concatenate([kinetic.real[None], potential])
    return LocalEnergy(kinetic + jnp.sum(potential).astype(kinetic.dtype), components)


def local_energies(
    model: Wavefunction,
    hamiltonian: Hamiltonian,
    electrons: Float[Array, "context walker electron 2"],
    couplings: Couplings,
    mesh: Mesh,
    microbatch: int,
) -> LocalEnergy:
    """E_L of all walkers; couplings carry a leading context axis."""

    def one(model, configuration, coupling):
        return local_energy(model, hamiltonian, configuration, coupling)

    return over_walkers(one, mesh, microbatch)(model, electrons, couplings)
