"""The forward Laplacian by the package folx, which only tests and benchmarks need."""

from collections.abc import Callable
from typing import Any

import folx
import jax
from folx.api import FwdJacobian, FwdLaplArray
from jaxtyping import Array, Float

from qernel.laplacian.jet import Jet
from qernel.wavefunction.operations import name_of


def folx_laplacian(
    function: Callable[[Float[Array, "electron 2"]], Any], electrons: Float[Array, "electron 2"]
) -> list[Jet]:
    """What `forward_laplacian` returns, for functions of real values."""
    # Attention makes every derivative dense after the first layer: folx's sparsity does not pay.
    with jax.numpy_dtype_promotion("standard"):  # which folx relies on
        outputs = folx.forward_laplacian(function, sparsity_threshold=0)(electrons)
    return [Jet(x.x, x.jacobian.dense_array, x.laplacian) for x in outputs]


def _linear_map(arguments, _, sparsity_threshold: int):
    """Value, Jacobian (coordinate, electron, feature) and Laplacian of x W: three matmuls."""
    x, weight = arguments
    if not isinstance(x, FwdLaplArray):
        return x @ weight
    jacobian = FwdJacobian(x.jacobian.dense_array @ weight)
    return FwdLaplArray(x.x @ weight, jacobian, x.laplacian @ weight)


folx.register_function(name_of("linear_map", (2, 2)), _linear_map)  # pyright: ignore[reportArgumentType]
