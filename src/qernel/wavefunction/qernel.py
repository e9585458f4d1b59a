"""QERNEL: Quantum Expert-Routed Neural Learner (Nazaryan and Fu, arXiv:2604.26018)."""

import dataclasses
import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.random import split
from jaxtyping import Array, Float, PRNGKeyArray

from qernel.hamiltonian.couplings import Couplings
from qernel.wavefunction.attention import GroupedQueryAttention, Rotations, rotations_of
from qernel.wavefunction.base import LogPsi, Wavefunction, sum_of_determinants
from qernel.wavefunction.experts import MixtureOfExperts
from qernel.wavefunction.features import PeriodicFeatures
from qernel.wavefunction.film import ContextEmbedding, ModulatedNorm
from qernel.wavefunction.jastrow import PairJastrow
from qernel.wavefunction.linear import Linear
from qernel.wavefunction.norm import RMSNorm
from qernel.wavefunction.orbitals import BlochSeededOrbitals, FreeOrbitals


class Block(eqx.Module):
    """x += GQA(FiLM(RMSNorm(x))); x += MoE(FiLM(RMSNorm(x)))."""

    attention_norm: ModulatedNorm
    attention: GroupedQueryAttention
    experts_norm: ModulatedNorm
    experts: MixtureOfExperts

    def __call__(
        self,
        x: Float[Array, "electron width"],
        embedding: Float[Array, " embedding"] | None,
        rotations: Rotations | None,
    ) -> Float[Array, "electron width"]:
        x = self._attended(x, embedding, rotations)
        return x + self.experts(self.experts_norm(x, embedding))

    def routing(
        self,
        x: Float[Array, "electron width"],
        embedding: Float[Array, " embedding"] | None,
        rotations: Rotations | None,
    ) -> Float[Array, "electron expert"]:
        """The weight of each expert for each electron of the same stream."""
        x = self._attended(x, embedding, rotations)
        return self.experts.routing(self.experts_norm(x, embedding))

    def _attended(self, x, embedding, rotations) -> Float[Array, "electron width"]:
        return x + self.attention(self.attention_norm(x, embedding), rotations)


class Qernel(Wavefunction):
    """psi(r; c) = e^J sum_k det Phi^k, with Phi from L blocks conditioned on the context c.

    Electrons know their place in the supercell either by their features, or, where these leave it out,
    relative to one another by rotations in the attention. In the second case, and with Bloch-seeded
    orbitals, psi is an eigenstate of every moiré translation: its momentum is the sum of the columns'.
    """

    features: PeriodicFeatures
    embed: Linear
    context: ContextEmbedding | None
    blocks: tuple[Block, ...]
    norm: ModulatedNorm
    orbitals: BlochSeededOrbitals | FreeOrbitals
    jastrow: PairJastrow | None

    def __call__(self, electrons: Float[Array, "electron 2"], couplings: Couplings) -> LogPsi:
        x = self.stream(electrons, couplings)
        log_abs, phase = sum_of_determinants(*self.orbitals.determinants(x, electrons, couplings))
        if self.jastrow is not None:
            log_abs = log_abs + self.jastrow(electrons, couplings)
        return LogPsi(log_abs, phase)

    def stream(
        self, electrons: Float[Array, "electron 2"], couplings: Couplings
    ) -> Float[Array, "electron width"]:
        """The feature stream x_i that the orbitals are made from."""
        x, embedding, rotations = self._inputs(electrons, couplings)
        for block in self.blocks:
            x = block(x, embedding, rotations)
        return self.norm(x, embedding)

    def routing(
        self, electrons: Float[Array, "electron 2"], couplings: Couplings
    ) -> Float[Array, "layer electron expert"]:
        """The weight of each expert in every layer for each electron."""
        x, embedding, rotations = self._inputs(electrons, couplings)
        weights = []
        for block in self.blocks:
            weights.append(block.routing(x, embedding, rotations))
            x = block(x, embedding, rotations)
        return jnp.stack(weights)

    def in_sector(self, number: int) -> "Qernel":
        assert isinstance(self.orbitals, BlochSeededOrbitals)
        sectors, context = self.orbitals.sectors, self.context
        if context is not None:
            context = context.with_last(jnp.eye(sectors)[number])
        return dataclasses.replace(self, context=context, orbitals=self.orbitals.in_sector(number))

    def _inputs(self, electrons, couplings: Couplings):
        """What the first block sees: the stream, the context's embedding, the rotations in the attention."""
        embedding = None if self.context is None else self.context(couplings.coordinates)
        rotations = None if self.features.place else self._rotations(electrons)
        return self.embed(self.features(electrons)), embedding, rotations

    def _rotations(self, electrons: Float[Array, "electron 2"]) -> Rotations:
        first, second = self.features.supercell.reciprocal
        waves = np.array([first, second, -first - second, 0 * first])
        return rotations_of(electrons, waves, self.blocks[0].attention.head_size)


def make_blocks(
    width: int,
    layers: int,
    heads: int,
    groups: int,
    head_size: int,
    experts: int,
    hidden: int,
    embedding: int,
    *,
    key: PRNGKeyArray,
) -> tuple[Block, ...]:
    """The residual blocks; their outputs start at 1/sqrt(2 L) so that the stream keeps its size."""
    gain = 1 / math.sqrt(2 * layers)

    def block(key):
        attention, mixture = split(key)
        return Block(
            ModulatedNorm(RMSNorm(width), embedding),
            GroupedQueryAttention(width, heads, groups, head_size, gain=gain, key=attention),
            ModulatedNorm(RMSNorm(width), embedding),
            MixtureOfExperts(width, experts, hidden, gain=gain, key=mixture),
        )

    return tuple(block(each) for each in split(key, layers))
