"""Mixture of experts, dense on purpose."""

import equinox as eqx
import jax.numpy as jnp
from jax.random import split
from jaxtyping import Array, Float, PRNGKeyArray

from qernel.wavefunction.activation import algebraic_gelu
from qernel.wavefunction.linear import Linear, normal
from qernel.wavefunction.operations import linear_map, softmax


class MixtureOfExperts(eqx.Module):
    """S(h) + sum_e softmax(W_r h)_e E_e(h), every map a two-layer perceptron.

    Every expert runs. Choosing the top K would put kinks and jumps into psi; their delta functions in the
    Laplacian are missed by the sampled local energy, which then no longer bounds the ground state.
    """

    router: Linear
    shared_in: Linear
    shared_out: Linear
    experts_in: Float[Array, "expert width hidden"]
    experts_out: Float[Array, "expert hidden width"]

    def __init__(self, width: int, experts: int, hidden: int, *, gain: float, key: PRNGKeyArray):
        keys = split(key, 5)
        self.router = Linear(width, experts, key=keys[0])
        self.shared_in = Linear(width, hidden, key=keys[1])
        self.shared_out = Linear(hidden, width, gain=gain, key=keys[2])
        self.experts_in = normal(keys[3], (experts, width, hidden), width**-0.5)
        self.experts_out = normal(keys[4], (experts, hidden, width), gain * hidden**-0.5)

    def routing(self, h: Float[Array, "electron width"]) -> Float[Array, "electron expert"]:
        """The weight of each expert for each electron; rows sum to one."""
        return softmax(self.router(h))

    def __call__(self, h: Float[Array, "electron width"]) -> Float[Array, "electron width"]:
        # The weighted sum over experts is one matrix product over (expert, hidden). Routing weights are
        # spread over an expert's channels by a product with a 0/1 matrix, not by splitting channels into
        # (expert, hidden): XLA for GPUs (JAX 0.11.2) compiled the Laplacian of that wrongly for hidden = 56.
        experts, width, hidden = self.experts_in.shape
        into = jnp.swapaxes(self.experts_in, 0, 1).reshape(width, experts * hidden)
        active = algebraic_gelu(linear_map(h, into))
        weight = linear_map(self.routing(h), jnp.repeat(jnp.eye(experts, dtype=h.dtype), hidden, axis=1))
        mixed = linear_map(weight * active, self.experts_out.reshape(experts * hidden, width))
        return self.shared_out(algebraic_gelu(self.shared_in(h))) + mixed
