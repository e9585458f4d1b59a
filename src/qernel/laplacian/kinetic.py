"""Kinetic energy by the forward Laplacian.

The forward Laplacian (Li et al., arXiv:2307.08214) carries value, Jacobian and Laplacian of every
intermediate through the network once, in place of one Hessian-vector product per coordinate.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from qernel.laplacian.interpreter import forward_laplacian
from qernel.wavefunction.base import LogPsi


def kinetic_energy(
    log_psi: Callable[[Float[Array, "electron 2"]], LogPsi], electrons: Float[Array, "electron 2"]
) -> Complex[Array, ""]:
    """Local kinetic energy -1/2 (nabla^2 psi) / psi, complex, in E_M.

    With log psi = f + i theta it is -1/2 [nabla^2 f + |nabla f|^2 - |nabla theta|^2
    + i (nabla^2 theta + 2 nabla f . nabla theta)].
    """
    log_abs, phase = forward_laplacian(log_psi, electrons)
    grad_f, grad_theta = log_abs.jacobian, phase.jacobian
    real = log_abs.laplacian + jnp.sum(grad_f**2) - jnp.sum(grad_theta**2)
    imaginary = phase.laplacian + 2 * jnp.sum(grad_f * grad_theta)
    return -0.5 * jax.lax.complex(real, imaginary)
