"""One determinant of Bloch states: exact without interaction, and a trial state to compare with."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from qernel.hamiltonian.couplings import Couplings
from qernel.lattice import Supercell
from qernel.wavefunction.base import LogPsi, Wavefunction, sum_of_determinants
from qernel.wavefunction.orbitals import BlochSeededOrbitals, bloch_seeds


class BlochDeterminant(Wavefunction):
    """psi = det of the lowest Bloch states at one set of couplings, in plane waves up to `shell`."""

    orbitals: BlochSeededOrbitals

    def __init__(
        self,
        supercell: Supercell,
        spins: tuple[int, int],
        couplings: Couplings,
        momentum: tuple[int, int] | None = None,
        *,
        shell: float = 7.01,
        dtype=jnp.float64,
    ):
        # A network of width zero: its part of the orbitals is not there.
        seeds = bloch_seeds(supercell, spins, couplings, (momentum,), shell)
        made = BlochSeededOrbitals.from_seeds(supercell, spins, 0, 1, seeds, key=jax.random.key(0))
        self.orbitals = jax.tree.map(lambda x: x.astype(dtype), made)

    def __call__(self, electrons: Float[Array, "electron 2"], couplings: Couplings) -> LogPsi:
        nothing = jnp.zeros((electrons.shape[0], 0), electrons.dtype)
        return sum_of_determinants(*self.orbitals.determinants(nothing, electrons, couplings))
