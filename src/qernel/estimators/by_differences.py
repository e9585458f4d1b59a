"""Local energies in the simplest way: central differences of psi, in float64, on the CPU.

Where training or a measurement starts on another device, a few local energies are checked against these. It
has been needed: on GPUs, JAX 0.11.2 once compiled a Laplacian that was wrong by a tenth, and training went
below the ground state, then astray, with psi itself and its gradient right.
"""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from qernel.config import UserError
from qernel.hamiltonian.couplings import Couplings
from qernel.hamiltonian.hamiltonian import Hamiltonian
from qernel.wavefunction.base import Wavefunction

_STEP = 1e-3  # in a_M
_WALKERS = 4  # checked, in all or one for each context
_ALLOWED = 1e-3  # of the kinetic energy; rounding to float32 makes 1e-6


def is_trusted() -> bool:
    """Whether the device is the one that the tests run on."""
    return jax.default_backend() == "cpu"


def check_local_energies(
    model: Wavefunction,
    hamiltonian: Hamiltonian,
    contexts: Float[Array, "context parameter"],
    electrons: Float[np.ndarray, "context walker electron 2"],
    energies: Complex[np.ndarray, "context walker"],
) -> None:
    """Compare some local energies that a device has computed, in E_M per supercell, with central differences.

    Raises UserError if half of them differ by more than rounding explains.
    """
    count = min(len(contexts), _WALKERS)
    each = min(math.ceil(_WALKERS / count), electrons.shape[1])
    some = jnp.asarray(electrons[:count, :each].reshape(-1, *electrons.shape[2:]))
    couplings = jax.vmap(hamiltonian.family.couplings)(jnp.repeat(contexts[:count], each, axis=0))
    reference, kinetic = local_energies_by_differences(model, hamiltonian, some, couplings)
    found = energies[:count, :each].reshape(-1)
    off = float(np.median(np.abs(found - np.asarray(reference)) / (1 + np.abs(kinetic))))
    if not off <= _ALLOWED:
        raise UserError(
            f"local energies computed on {jax.devices()[0].device_kind} are off by {off:.1g} of the kinetic"
            " energy, by central differences in float64 on the CPU: the compiler for this device has made"
            " something else of them; try another release of JAX, or XLA_FLAGS=--xla_gpu_autotune_level=0"
            " (if you lowered JAX_DEFAULT_MATMUL_PRECISION, that may be why)"
        )


def local_energies_by_differences(
    model: Wavefunction,
    hamiltonian: Hamiltonian,
    electrons: Float[Array, "walker electron 2"],
    couplings: Couplings,
) -> tuple[Complex[Array, " walker"], Complex[Array, " walker"]]:
    """Local energies and their kinetic part, in E_M per supercell; couplings are one per walker."""
    arrays, static = eqx.partition((model, electrons, couplings), eqx.is_inexact_array)
    double = jax.tree.map(lambda x: jax.device_put(np.asarray(x, np.float64), _host()), arrays)
    return _by_differences(eqx.combine(double, static), hamiltonian)


def _host() -> Any:
    """This process's CPU, or its first device where JAX_PLATFORMS leaves no CPU."""
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        return jax.local_devices()[0]


@eqx.filter_jit
def _by_differences(arguments, hamiltonian: Hamiltonian):
    model, electrons, couplings = arguments

    def one(inputs):
        r, at = inputs
        kinetic = _kinetic_energy(lambda x: model(x, at), r)
        potential = jnp.sum(hamiltonian.potential(r, at))
        return kinetic + potential.astype(kinetic.dtype), kinetic

    return jax.lax.map(one, (electrons, couplings))


def _kinetic_energy(log_psi, electrons: Float[Array, "electron 2"]) -> Complex[Array, ""]:
    """-1/2 (nabla^2 psi) / psi of fourth order in the step."""
    here = log_psi(electrons)

    def ratio(moved):
        there = log_psi(moved)
        return jnp.exp(jax.lax.complex(there.log_abs - here.log_abs, there.phase - here.phase))

    def second(direction):
        near = ratio(electrons + _STEP * direction) + ratio(electrons - _STEP * direction)
        far = ratio(electrons + 2 * _STEP * direction) + ratio(electrons - 2 * _STEP * direction)
        return (16 * near - far - 30) / (12 * _STEP**2)

    directions = jnp.eye(electrons.size, dtype=electrons.dtype).reshape(-1, *electrons.shape)
    return -0.5 * jnp.sum(jax.lax.map(second, directions))
