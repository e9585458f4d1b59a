"""Generalized orbitals: from the electrons' features to the matrices whose determinants make psi."""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Inexact, Int, PRNGKeyArray

from qernel.hamiltonian.bands import BlochOrbitals, bloch_orbitals, crystal_orbitals, lowest_fillings
from qernel.hamiltonian.couplings import Couplings
from qernel.lattice import MOIRE_RECIPROCAL, Supercell
from qernel.wavefunction.linear import normal
from qernel.wavefunction.operations import network_orbitals, orbital_determinants

_SHELL = 2.01  # plane waves of the seeds, in units of the shortest moiré reciprocal vector

Fillings = Iterator[tuple[np.ndarray, np.ndarray]]  # which states, spin up and spin down

#: States that columns start from, and for each sector the fillings that its determinants take in turn.
Seeds = tuple[BlochOrbitals, list[Fillings]]


class Orbitals(eqx.Module):
    """Phi^k_ij = factor^k_ij (seed^k_ij + w^k_j . x_i), with a factor and a seed of each electron by itself.

    The weights' first axis holds real and imaginary parts (one entry: real orbitals).
    """

    weight: eqx.AbstractVar[Float[Array, "part width determinant orbital"]]

    def seed_and_factor(
        self, electrons: Float[Array, "electron 2"], couplings: Couplings
    ) -> tuple[
        Inexact[Array, "#determinant #electron #orbital"], Inexact[Array, "#determinant #electron #orbital"]
    ]:
        """What the network's part is added to, and what the sum is multiplied with."""
        raise NotImplementedError

    def __call__(
        self, x: Float[Array, "electron width"], electrons: Float[Array, "electron 2"], couplings: Couplings
    ) -> Inexact[Array, "determinant electron orbital"]:
        """The matrices Phi^k."""
        seed, factor = self.seed_and_factor(electrons, couplings)
        return factor * (seed + self.network(x, couplings))

    def network(
        self, x: Float[Array, "electron width"], couplings: Couplings
    ) -> Inexact[Array, "determinant electron orbital"]:
        """w^k_j . x_i."""
        return network_orbitals(x, self.weight_at(couplings))

    def weight_at(self, couplings: Couplings) -> Float[Array, "part width determinant orbital"]:
        """The weights w at a context."""
        return self.weight

    def determinants(
        self, x: Float[Array, "electron width"], electrons: Float[Array, "electron 2"], couplings: Couplings
    ) -> tuple[Inexact[Array, " determinant"], Float[Array, " determinant"]]:
        """Signs (phases) and logarithms of the matrices' determinants."""
        seed, factor = self.seed_and_factor(electrons, couplings)
        return orbital_determinants(x, self.weight_at(couplings), seed, factor)


class FreeOrbitals(Orbitals):
    """Phi^k_ij = w^k_j . x_i, times the twist's Bloch factor where the weights are complex."""

    weight: Float[Array, "part width determinant orbital"]
    supercell: Supercell = eqx.field(static=True)

    def __init__(
        self,
        supercell: Supercell,
        electrons: int,
        width: int,
        determinants: int,
        *,
        real: bool = False,
        key: PRNGKeyArray,
    ):
        parts = 1 if real else 2
        shape = (parts, width, determinants, electrons)
        self.weight = normal(key, shape, 1 / math.sqrt(parts * width))
        self.supercell = supercell

    def seed_and_factor(self, electrons: Float[Array, "electron 2"], couplings: Couplings):
        if self.weight.shape[0] == 1:
            return jnp.zeros((1, 1, 1), electrons.dtype), jnp.ones((1, 1, 1), electrons.dtype)
        factor = _bloch_factor(electrons, self.supercell, couplings)[None, :, None]
        return jnp.zeros((1, 1, 1), factor.dtype), factor


class BlochSeededOrbitals(Orbitals):
    """Phi^k_ij = e^{i (p^k_j + twist).r_i} [sum_g c^k_jg e^{i g.r_i} + w^k_j . x_i].

    Column j carries the crystal momentum p^k_j of a filled Bloch state of non-interacting electrons, and
    the coefficients c start as that state's, so that training starts at sensible Slater determinants.
    Where the last shell is open, so that several fillings of one total momentum are equally low, the
    determinants take them in turn: the interaction mixes these fillings from the first order on, and a
    network on top of a single one is slow to find the others. The network's part starts at
    half the size of the Bloch states': much smaller, it learns slowly.
    The first n_up columns start filled by spin-up electrons, the others by spin-down.

    Of a network in several momentum sectors each has determinants of its own, one sector's after the other's;
    those of the context's sector make psi.
    """

    coefficients: Float[Array, "part determinant orbital wave"]
    weight: Float[Array, "part width determinant orbital"]
    momenta: tuple = eqx.field(static=True)  # integer labels [1 or determinant][orbital][2]
    waves: tuple = eqx.field(static=True)  # labels [wave][2] in moiré reciprocal vectors
    spins: tuple[int, int] = eqx.field(static=True)
    supercell: Supercell = eqx.field(static=True)
    sectors: int = eqx.field(static=True)

    @classmethod
    def from_seeds(
        cls,
        supercell: Supercell,
        spins: tuple[int, int],
        width: int,
        determinants: int,
        seeds: Seeds,
        *,
        gain: float = 0.5,
        key: PRNGKeyArray,
    ) -> "BlochSeededOrbitals":
        """Columns that start in the seeds' states, and a small random part of the network."""
        bloch, sectors = seeds
        fillings = [_first(each, determinants) for each in sectors]
        filled = fillings[0]  # a single one serves all determinants
        if len(filled) > 1 or len(sectors) > 1:
            # A row for each determinant, so that a sector's are a part of all.
            filled = np.concatenate([np.resize(each, (determinants, sum(spins))) for each in fillings])
        shape = (len(sectors) * determinants, sum(spins), len(bloch.waves))
        coefficients = np.broadcast_to(bloch.coefficients[filled], shape)
        parts = jnp.asarray(np.stack([np.real(coefficients), np.imag(coefficients)]), jnp.float64)
        weight = normal(key, (2, width, *shape[:2]), gain / math.sqrt(2 * max(width, 1)))
        momenta, waves = _as_tuple(bloch.momenta[filled]), _as_tuple(bloch.waves)
        return cls(parts, weight, momenta, waves, spins, supercell, len(sectors))

    def seed_and_factor(self, electrons: Float[Array, "electron 2"], couplings: Couplings):
        dtype = electrons.dtype
        waves = jnp.asarray(np.array(self.waves) @ MOIRE_RECIPROCAL, dtype)
        angles = electrons @ waves.T
        cos, sin = jnp.cos(angles), jnp.sin(angles)
        real, imaginary = self._in_sector(self.coefficients, 1, couplings)
        seed = jax.lax.complex(
            jnp.einsum("ig,kjg->kij", cos, real) - jnp.einsum("ig,kjg->kij", sin, imaginary),
            jnp.einsum("ig,kjg->kij", cos, imaginary) + jnp.einsum("ig,kjg->kij", sin, real),
        )
        if self.spins[1]:
            seed = seed * self._same_spin(seed.dtype)
        labels = self._in_sector(np.array(self.momenta), 0, couplings)
        phases = _bloch_factor(electrons, self.supercell, couplings, labels.reshape(-1, 2))
        phases = jnp.moveaxis(phases.reshape(len(electrons), *labels.shape[:2]), 1, 0)
        return seed, phases

    def weight_at(self, couplings: Couplings):
        return self._in_sector(self.weight, 2, couplings)

    @property
    def sector_momenta(self) -> list[tuple[int, int]]:
        """The total momentum of each sector, without the twist, modulo moiré reciprocal vectors."""
        rows = len(self.momenta) // self.sectors
        totals = [np.sum(filling, axis=0) for filling in self.momenta[::rows]]
        return [self.supercell.momentum_class(total) for total in totals]

    def in_sector(self, number: int) -> "BlochSeededOrbitals":
        """Of several sectors the orbitals of one by themselves."""
        count = self.weight.shape[2] // self.sectors
        own = slice(number * count, (number + 1) * count)
        return dataclasses.replace(
            self,
            coefficients=self.coefficients[:, own],
            weight=self.weight[:, :, own],
            momenta=self.momenta[own],
            sectors=1,
        )

    def _in_sector(self, stacked, axis: int, couplings: Couplings):
        """Of an array with an axis of determinants those of the context's sector."""
        if self.sectors == 1:
            return stacked
        count = stacked.shape[axis] // self.sectors
        first = couplings.sector.astype(jnp.int32) * count
        return jax.lax.dynamic_slice_in_dim(jnp.asarray(stacked), first, count, axis)

    def _same_spin(self, dtype) -> Complex[Array, "electron orbital"]:
        up = np.arange(sum(self.spins)) < self.spins[0]
        return jnp.asarray(up[:, None] == up[None, :], dtype)


def bloch_seeds(
    supercell: Supercell,
    spins: tuple[int, int],
    couplings: Couplings,
    momenta: Sequence[tuple[int, int] | None] = (None,),
    shell: float = _SHELL,
) -> Seeds:
    """States of non-interacting electrons, in the lowest fillings of each total momentum (None: of all)."""
    twist = np.asarray(couplings.twist)
    bloch = bloch_orbitals(supercell, float(couplings.moire), float(couplings.phase), twist, shell)
    return bloch, [lowest_fillings(bloch, supercell, spins, momentum) for momentum in momenta]


def crystal_seeds(
    supercell: Supercell, spins: tuple[int, int], couplings: Couplings, shell: float = _SHELL
) -> Seeds:
    """States in a honeycomb crystal's mean field, the lowest filled: at filling 2/3 two bands of three.

    Its strength, nine quarters of the moiré potential between sites, is a guess: 42 meV at depth 1.25,
    close to e^2 / (4 pi eps_0 eps a_M) = 36 meV at eps 5. The coefficients are free to change it.
    """
    moire, twist = float(couplings.moire), np.asarray(couplings.twist)
    crystal = crystal_orbitals(supercell, moire, float(couplings.phase), moire / 4, twist, shell)
    return crystal, [iter([(np.arange(spins[0]), np.arange(spins[1]))])]


def _first(fillings: Fillings, count: int) -> Int[np.ndarray, "filling orbital"]:
    """The first fillings, at most so many, spin-up electrons' orbitals first."""
    return np.array([np.concatenate(each) for each in itertools.islice(fillings, count)])


def _bloch_factor(electrons, supercell: Supercell, couplings: Couplings, labels=None):
    """e^{i (k + twist).r}: (electron,) for k = 0, or (electron, label) for integer labels of k."""
    dtype = electrons.dtype
    fractions = electrons @ jnp.asarray(supercell.reciprocal.T, dtype)
    angles = fractions @ couplings.twist.astype(dtype)
    if labels is not None:
        angles = angles[:, None] + fractions @ jnp.asarray(labels.T, dtype)
    return jax.lax.complex(jnp.cos(angles), jnp.sin(angles))


def _as_tuple(labels: np.ndarray) -> tuple:
    """Labels as nested tuples, which can be static fields."""

    def freeze(nested):
        return tuple(map(freeze, nested)) if isinstance(nested, list) else nested

    return freeze(labels.tolist())
