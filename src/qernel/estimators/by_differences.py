"""Local energies in the simplest way: central differences of psi, in float64, on the CPU.

A few local energies of every function compiled for another device are checked against these. It has been
needed: for an H100, JAX 0.11.2 compiled a Laplacian that was wrong by a tenth, and training went below the
ground state, then astray, with psi itself and its gradient right.
"""

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
_WALKERS = 4  # checked, at most, from as many contexts as there are
_ALLOWED = 1e-3  # of the kinetic energy and 1 E_M; rounding to float32 makes 1e-6


def is_trusted() -> bool:
    """Whether the device is the one that the tests run on."""
    return jax.default_backend() == "cpu"


def check_local_energies(
    model: Wavefunction,
    hamiltonian: Hamiltonian,
    contexts: Float[Array, "context entry"],
    electrons: Float[np.ndarray, "context walker electron 2"],
    energies: Complex[np.ndarray, "context walker"],
) -> None:
    """Compare some local energies that a device has computed, in E_M per supercell, with central differences.

    Raises UserError if the median difference is above a thousandth of the kinetic energy, or not a number.
    The median, as differences are less exact close to a node or where two electrons meet.
    """
    context, walker = _spread_out(*energies.shape)
    couplings = jax.vmap(hamiltonian.family.couplings)(contexts[context])
    some = jnp.asarray(electrons[context, walker])
    reference, kinetic = local_energies_by_differences(model, hamiltonian, some, couplings)
    off = np.abs(energies[context, walker] - np.asarray(reference)) / (1 + np.abs(kinetic))
    if not np.median(off) <= _ALLOWED:
        device = jax.devices()[0].device_kind
        raise UserError(
            f"local energies computed on {device} are off by {np.median(off):.1g} of the kinetic energy, by"
            " central differences in float64: XLA has compiled the Laplacian wrongly for this device; try"
            " another release of JAX (if you lowered JAX_DEFAULT_MATMUL_PRECISION, that may be why)"
        )


def _spread_out(contexts: int, walkers: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of a few walkers from all over, so that no device's or microbatch's share is left to itself."""
    count = min(contexts, _WALKERS)
    each = min(_WALKERS // count, walkers)
    context = np.repeat(np.linspace(0, contexts - 1, count).astype(int), each)
    return context, np.linspace(0, walkers - 1, len(context)).astype(int)


def local_energies_by_differences(
    model: Wavefunction,
    hamiltonian: Hamiltonian,
    electrons: Float[Array, "walker electron 2"],
    couplings: Couplings,
) -> tuple[Complex[Array, " walker"], Complex[Array, " walker"]]:
    """Local energies and their kinetic part, in E_M per supercell; couplings are one per walker."""
    arrays, static = eqx.partition((model, electrons, couplings), eqx.is_array)
    return _by_differences(eqx.combine(jax.tree.map(_on_host, arrays), static), hamiltonian)


def _on_host(array: Array) -> Array:
    """In double precision."""
    values = np.asarray(array)
    double = {"f": np.float64, "c": np.complex128}.get(values.dtype.kind, values.dtype)
    return jax.device_put(values.astype(double), _host())


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
