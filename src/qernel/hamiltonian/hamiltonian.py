"""The Hamiltonian of a family: kinetic energy plus a list of potential terms."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from qernel.config import Config
from qernel.hamiltonian.coulomb import Coulomb
from qernel.hamiltonian.couplings import Couplings, Family
from qernel.hamiltonian.moire import MoirePotential
from qernel.lattice import Supercell
from qernel.units import CONTEXT_PARAMETERS

_TAKEN = ("energy", "imaginary", "square", "variance", "spread", "v_score")  # about the energy as a whole


class Hamiltonian(eqx.Module):
    """H(c) / E_M of (n_up, n_down) electrons in a supercell, for every context c of a family.

    `terms` are the potential terms: callables (electrons, couplings) -> energy in E_M, each with a `name`.
    A new term is a new file beside this one and an entry in `moire_hamiltonian`. Raises ValueError where two
    have one name, or one that sweeps have for something else.
    """

    supercell: Supercell = eqx.field(static=True)
    spins: tuple[int, int] = eqx.field(static=True)
    family: Family
    terms: tuple[Callable, ...]

    def __check_init__(self):
        taken = {*_TAKEN, *CONTEXT_PARAMETERS}
        for name in self.components:
            if name in taken:
                raise ValueError(f"no term can be called '{name}': sweeps have it for something else")
            taken.add(name)

    @property
    def electrons(self) -> int:
        return sum(self.spins)

    @property
    def components(self) -> tuple[str, ...]:
        """Names of the energy components, kinetic first."""
        return ("kinetic", *(term.name for term in self.terms))

    @property
    def is_moire_coulomb(self) -> bool:
        """Whether there are no other terms than those that the exact energies and Hartree-Fock know."""
        return self.components == ("kinetic", "moire", "coulomb")

    def potential(self, electrons: Float[Array, "electron 2"], couplings: Couplings) -> Float[Array, " term"]:
        """Potential energies of one configuration by term, in E_M per supercell."""
        return jnp.stack([term(electrons, couplings) for term in self.terms])


def make_hamiltonian(config: Config) -> Hamiltonian:
    """The Hamiltonian of a configuration, with its ranges as the family's contexts."""
    system = config.system
    parameters = {name: getattr(system, name) for name in ("moire_potential", *CONTEXT_PARAMETERS)}
    ranges = tuple((name, low, high) for name, (low, high) in config.contexts.items())
    family = Family(**parameters, ranges=ranges, sectors=config.model.sectors)
    return moire_hamiltonian(system.lattice(), system.electrons, family)


def moire_hamiltonian(supercell: Supercell, spins: tuple[int, int], family: Family) -> Hamiltonian:
    """Electrons with Coulomb repulsion in a moiré potential."""
    return Hamiltonian(supercell, spins, family, (MoirePotential(), Coulomb(supercell)))


def couplings_of(hamiltonian: Hamiltonian, contexts: Float[Array, "context entry"], dtype) -> Couplings:
    """Couplings of many contexts, with a leading context axis."""
    couplings = jax.vmap(hamiltonian.family.couplings)(contexts)
    return jax.tree.map(lambda x: x.astype(dtype), couplings)
