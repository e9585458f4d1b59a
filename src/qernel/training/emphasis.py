"""More contexts where the local energy varies more, without a change of what is minimized.

The error of a sum over strata is least where samples are shared out in proportion to the standard deviation
in each (Neyman allocation). Here contexts are drawn with a density that follows the spread of the local
energy, measured as training goes on, and each counts with a weight, the inverse of that density, so that the
loss stays the mean over the ranges.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_BINS, _WIDTH = 16, 0.1  # of each parameter's range; the width of the kernel that smooths over contexts
_MEMORY = 300  # steps after which a measurement counts 1/e
_EVEN = 0.5  # share of the draws that stay even, so that no weight exceeds its inverse


class Emphasis(eqx.Module):
    """What the present contexts count, and sums over past steps: of spreads by kernel, and of kernels."""

    weights: Float[Array, " context"]
    sums: Float[Array, "2 parameter bin"]

    @classmethod
    def even(cls, weights: Float[np.ndarray, " context"], parameters: int) -> "Emphasis":
        """Before anything was measured."""
        return cls(jnp.asarray(weights, jnp.float64), jnp.zeros((2, parameters, _BINS), jnp.float64))

    @property
    def density(self) -> Float[np.ndarray, "parameter bin"]:
        """The density of draws along each parameter, in bins of its range; its mean is one."""
        total, kernels = np.asarray(self.sums)
        if not (np.all(kernels > 0) and np.all(total.mean(axis=1) > 0)):
            return np.ones(kernels.shape)
        spread = total / kernels
        return _EVEN + (1 - _EVEN) * spread / spread.mean(axis=1, keepdims=True)

    def measured(
        self, positions: Float[Array, "context parameter"], spread: Float[Array, " context"]
    ) -> "Emphasis":
        """With the spreads of one more step, at contexts given as parts (0 to 1) of the ranges."""
        centres = (jnp.arange(_BINS, dtype=float) + 0.5) / _BINS
        kernels = jnp.exp(-(((positions[..., None] - centres) / _WIDTH) ** 2) / 2)
        new = jnp.stack([jnp.einsum("c,cpb->pb", spread, kernels), kernels.sum(axis=0)])
        return Emphasis(self.weights, (1 - 1 / _MEMORY) * self.sums + new)

    def on_gradient(
        self, residual: Float[Array, "context walker part"]
    ) -> Float[Array, "context walker part"]:
        """Residuals whose product with the scores, averaged over contexts, is the weighted gradient."""
        return _times(residual, self.weights)

    @property
    def factors(self) -> Float[Array, " context"]:
        """sqrt(weight): scores and residuals times it give the weighted gradient and weighted S."""
        return jnp.sqrt(self.weights)

    def on_rows(self, residual: Float[Array, "context walker part"]) -> Float[Array, "context walker part"]:
        """Residuals for rows of scores that are multiplied by `factors`."""
        return _times(residual, self.factors)


def _times(leaf: Float[Array, "context ..."], weights: Float[Array, " context"]):
    return leaf * weights.astype(leaf.dtype).reshape(-1, *(1,) * (leaf.ndim - 1))
