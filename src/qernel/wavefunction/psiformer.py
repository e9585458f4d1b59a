"""The baselines: PsiFormer, and SlaterNet (unrestricted Hartree-Fock), as in Geier et al.

Source: PRB 112, 045119 (arXiv:2502.05383). Conditioning, which the originals lack, is FiLM after each
layer norm.
"""

import equinox as eqx
from jax.random import split
from jaxtyping import Array, Float, PRNGKeyArray

from qernel.hamiltonian.couplings import Couplings
from qernel.wavefunction.activation import gelu
from qernel.wavefunction.attention import GroupedQueryAttention
from qernel.wavefunction.base import LogPsi, Wavefunction, sum_of_determinants
from qernel.wavefunction.features import PeriodicFeatures
from qernel.wavefunction.film import ContextEmbedding, ModulatedNorm
from qernel.wavefunction.jastrow import PairJastrow
from qernel.wavefunction.linear import Linear
from qernel.wavefunction.norm import LayerNorm
from qernel.wavefunction.orbitals import BlochSeededOrbitals, FreeOrbitals


class Layer(eqx.Module):
    """x = LN(x + attention(x)); x = LN(x + MLP(x)). SlaterNet leaves the attention out."""

    attention: GroupedQueryAttention | None
    attention_norm: ModulatedNorm | None
    hidden: Linear
    output: Linear
    norm: ModulatedNorm

    def __init__(
        self, width: int, heads: int, head_size: int, embedding: int, *, attend: bool, key: PRNGKeyArray
    ):
        keys = split(key, 3)
        self.attention = self.attention_norm = None
        if attend:
            self.attention = GroupedQueryAttention(width, heads, heads, head_size, gain=1.0, key=keys[0])
            self.attention_norm = ModulatedNorm(LayerNorm(width), embedding)
        self.hidden = Linear(width, width, bias=True, key=keys[1])
        self.output = Linear(width, width, bias=True, key=keys[2])
        self.norm = ModulatedNorm(LayerNorm(width), embedding)

    def __call__(
        self, x: Float[Array, "electron width"], embedding: Float[Array, " embedding"] | None
    ) -> Float[Array, "electron width"]:
        if self.attention is not None and self.attention_norm is not None:
            x = self.attention_norm(x + self.attention(x), embedding)
        hidden = gelu(self.output(gelu(self.hidden(x))))
        return self.norm(x + hidden, embedding)


class PsiFormer(Wavefunction):
    """psi = sum_k det Phi^k from layers of attention and perceptrons; SlaterNet without attention.

    Without attention each orbital is a function of one electron alone, and one determinant of such
    orbitals, fully optimized, is the unrestricted Hartree-Fock state.
    """

    features: PeriodicFeatures
    embed: Linear
    context: ContextEmbedding | None
    layers: tuple[Layer, ...]
    orbitals: BlochSeededOrbitals | FreeOrbitals
    jastrow: PairJastrow | None

    def __call__(self, electrons: Float[Array, "electron 2"], couplings: Couplings) -> LogPsi:
        embedding = None if self.context is None else self.context(couplings.coordinates)
        x = self.embed(self.features(electrons))
        for layer in self.layers:
            x = layer(x, embedding)
        log_abs, phase = sum_of_determinants(*self.orbitals.determinants(x, electrons, couplings))
        if self.jastrow is not None:
            log_abs = log_abs + self.jastrow(electrons, couplings)
        return LogPsi(log_abs, phase)
