"""Kinetic energy by the forward Laplacian.

The forward Laplacian (Li et al., arXiv:2307.08214) carries value, Jacobian and Laplacian of every
intermediate through the network once, in place of one Hessian-vector product per coordinate.
"""

from collections.abc import Callable

import folx
import jax
import jax.numpy as jnp
from folx.api import FwdJacobian, FwdLaplArray
from jaxtyping import Array, Complex, Float

from qernel.wavefunction.base import LogPsi
from qernel.wavefunction.linear import LINEAR_MAP


def kinetic_energy(
    log_psi: Callable[[Float[Array, "electron 2"]], LogPsi], electrons: Float[Array, "electron 2"]
) -> Complex[Array, ""]:
    """Local kinetic energy -1/2 (nabla^2 psi) / psi, complex, in E_M.

    With log psi = f + i theta it is -1/2 [nabla^2 f + |nabla f|^2 - |nabla theta|^2
    + i (nabla^2 theta + 2 nabla f . nabla theta)].
    """
    # Attention makes every derivative dense after the first layer: folx's sparsity does not pay.
    with jax.numpy_dtype_promotion("standard"):  # which folx relies on
        log_abs, phase = folx.forward_laplacian(log_psi, sparsity_threshold=0)(electrons)
    grad_f, grad_theta = log_abs.jacobian.dense_array, phase.jacobian.dense_array
    real = log_abs.laplacian + jnp.sum(grad_f**2) - jnp.sum(grad_theta**2)
    imaginary = phase.laplacian + 2 * jnp.sum(grad_f * grad_theta)
    return -0.5 * jax.lax.complex(real, imaginary)


def _linear_map_rule(arguments, _, sparsity_threshold: int):
    """Value, Jacobian (coordinate, electron, feature) and Laplacian of x W: three matmuls."""
    x, weight = arguments
    if not isinstance(x, FwdLaplArray):
        return x @ weight
    jacobian = FwdJacobian(x.jacobian.dense_array @ weight)
    return FwdLaplArray(x.x @ weight, jacobian, x.laplacian @ weight)


folx.register_function(LINEAR_MAP, _linear_map_rule)  # pyright: ignore[reportArgumentType]
