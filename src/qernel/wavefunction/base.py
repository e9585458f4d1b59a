"""What every ansatz is: a callable log psi(electrons; couplings)."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact

from qernel.hamiltonian.couplings import Couplings


class LogPsi(NamedTuple):
    """log psi = log_abs + i phase."""

    log_abs: Float[Array, "*batch"]
    phase: Float[Array, "*batch"]


class Wavefunction(eqx.Module):
    """A wavefunction psi(r; c) of one configuration: electrons (electron, 2) in a_M, spin-up first.

    Batches are made with `jax.vmap`. The module is a pytree whose floating-point arrays are the
    variational parameters; everything else is static.
    """

    def __call__(self, electrons: Float[Array, "electron 2"], couplings: Couplings) -> LogPsi:
        """log psi of one configuration at one context."""
        raise NotImplementedError

    def routing(
        self, electrons: Float[Array, "electron 2"], couplings: Couplings
    ) -> Float[Array, "layer electron expert"] | None:
        """The weight of each expert in every layer for each electron; None of an ansatz without experts."""
        return None

    def in_sector(self, number: int) -> "Wavefunction":
        """Of a network in several momentum sectors the wavefunction of one, which is not told its number.

        Only of ansätze that keep a momentum (`KEEP_MOMENTUM`).
        """
        raise NotImplementedError


def sum_of_determinants(signs: Inexact[Array, " determinant"], logs: Float[Array, " determinant"]) -> LogPsi:
    """log of psi = sum_k signs[k] e^logs[k], as `slogdet` returns them, by a complex log-sum-exp."""
    largest = jnp.max(logs)
    total = jnp.sum(signs * jnp.exp(logs - largest).astype(signs.dtype))
    # Not jnp.abs: the forward Laplacian of a complex one goes through a cast that JAX is about to forbid.
    real, imaginary = jnp.real(total), jnp.imag(total)
    return LogPsi(largest + 0.5 * jnp.log(real**2 + imaginary**2), jnp.arctan2(imaginary, real))


def spin_labels(spins: tuple[int, int]) -> list[float]:
    """s_i = +1 for the n_up first electrons, -1 for the others."""
    return [1.0] * spins[0] + [-1.0] * spins[1]
