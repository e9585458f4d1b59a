"""From laboratory parameters to the dimensionless Hamiltonian, and families of Hamiltonians.

H(c) / E_M = sum_i [-1/2 nabla_i^2 - 2 w sum_j cos(g_j.r_i + phi)] + u sum_{i<j} 1/r_ij

with w = lambda V0 / E_M, u as in `qernel.units`, and Bloch boundary conditions of twist k. The context c
holds those laboratory parameters that vary over a family.
"""

import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Real

from qernel.units import coulomb_strength, moire_energy


class Couplings(eqx.Module):
    """Everything that H(c) / E_M and psi(r; c) need to know of one context (or a batch of them)."""

    moire: Float[Array, "*batch"]  # w = lambda V0 / E_M
    phase: Float[Array, "*batch"]  # phi in radians
    coulomb: Float[Array, "*batch"]  # u
    twist: Float[Array, "*batch 2"]  # Bloch vector in units of the supercell's reciprocal vectors
    sector: Float[Array, "*batch"]  # number of the momentum sector, of a wavefunction in several
    coordinates: Float[Array, "*batch coordinate"]  # the context as the network sees it, within [-1, 1]
    energy_unit: Float[Array, "*batch"]  # E_M in meV


class Family(eqx.Module):
    """A family of moiré Hamiltonians: fixed laboratory parameters, and ranges for those that vary.

    `ranges` lists (name, low, high) for each context parameter, in the order of the context's entries.
    The parameters carry units as listed in `CONTEXT_PARAMETERS`; `moire_potential` is V0 in meV. Where one
    network is trained in several momentum `sectors`, a last entry of the context says in which, from 0.
    """

    moire_potential: float = eqx.field(static=True)
    moire_depth: float = eqx.field(static=True)
    moire_phase: float = eqx.field(static=True)
    dielectric_constant: float = eqx.field(static=True)
    effective_mass: float = eqx.field(static=True)
    moire_constant: float = eqx.field(static=True)
    twist_1: float = eqx.field(static=True, default=0.0)
    twist_2: float = eqx.field(static=True, default=0.0)
    ranges: tuple[tuple[str, float, float], ...] = eqx.field(static=True, default=())
    sectors: int = eqx.field(static=True, default=1)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the context's parameters."""
        return tuple(name for name, _, _ in self.ranges)

    @property
    def widths(self) -> Float[np.ndarray, " entry"]:
        """What distances between contexts are measured in: the ranges' widths; 1 for the sector."""
        return np.array([*(high - low for _, low, high in self.ranges), *self._last(1.0)])

    def middle(self) -> Float[Array, " entry"]:
        """The context in the middle of every range, in the first sector."""
        middle = [*((low + high) / 2 for _, low, high in self.ranges), *self._last(0.0)]
        return jnp.array(middle, dtype=jnp.float64)

    def _last(self, entry: float) -> list[float]:
        return [entry] if self.sectors > 1 else []

    def couplings(self, context: Real[Array, " entry"]) -> Couplings:
        """Dimensionless couplings at one context, in laboratory units; differentiable in it."""
        context = jnp.asarray(context)
        if not jnp.issubdtype(context.dtype, jnp.inexact):
            context = context.astype(jnp.float64)  # integers would truncate all other parameters
        varying = {name: context[i] for i, name in enumerate(self.names)}

        def value(name):
            return varying.get(name, jnp.asarray(getattr(self, name), dtype=context.dtype))

        scaled = [2 * (varying[name] - low) / (high - low) - 1 for name, low, high in self.ranges]
        sector = context[-1] if self.sectors > 1 else jnp.zeros((), context.dtype)
        if self.sectors > 1:
            scaled += [(sector == number).astype(context.dtype) for number in range(self.sectors)]
        energy = moire_energy(value("effective_mass"), value("moire_constant"))
        return Couplings(
            moire=value("moire_depth") * self.moire_potential / energy,
            phase=value("moire_phase") * (math.pi / 180),
            coulomb=coulomb_strength(
                value("dielectric_constant"), value("effective_mass"), value("moire_constant")
            ),
            twist=jnp.stack([value("twist_1"), value("twist_2")]),
            sector=sector,
            coordinates=jnp.stack(scaled) if scaled else jnp.zeros((0,), context.dtype),
            energy_unit=energy,
        )
