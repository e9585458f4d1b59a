"""SPRING and MinSR: the natural gradient solved in the space of walkers.

With O the (rows, parameters) matrix of centred scores / sqrt(walkers), real and imaginary parts as
separate rows, and eps the centred local energies / sqrt(walkers) in the same order, the energy gradient
is 2 O^T eps and the natural-gradient matrix is S = O^T O. SPRING (Goldshlager et al., arXiv:2401.10190)
keeps the part of the last direction phi that the present walkers say nothing about:

    phi_t = mu phi_{t-1} + O^T (O O^T + damping)^{-1} (eps - mu O phi_{t-1}).

mu = 0 is MinSR (Chen and Heyl, arXiv:2302.01941). Scores are centred per context, so S is the mean of
the contexts' covariances. The step -lr phi is shortened where its squared Fisher length
lr^2 phi^T S phi would exceed a bound: without it the first step from random weights can be fatal.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from qernel.optimize.rows import Rows
from qernel.optimize.solve import solve_damped
from qernel.optimize.step_length import bounded_rate


class SpringState(NamedTuple):
    """Number of updates made, and the last direction phi, a pytree like the parameters."""

    count: Float[Array, ""]
    direction: PyTree


def spring(
    learning_rate: optax.Schedule, *, momentum: float, damping: float, norm_bound: optax.Schedule
) -> optax.GradientTransformationExtraArgs:
    """The update as an optax transformation.

    Its `update` takes, besides optax's arguments, the scores as `rows` and the clipped residual energies as
    `residual` (context, walker, part); the gradient it is given is not used, as 2 O^T eps is the same.
    """

    def init(parameters):
        return SpringState(jnp.zeros((), jnp.float64), jax.tree.map(jnp.zeros_like, parameters))

    def update(gradient, state, parameters=None, *, rows: Rows, residual):
        dtype = residual.dtype
        scale = 1 / jnp.sqrt(jnp.asarray(residual.size // 2, dtype))
        carried = jax.tree.map(lambda d: jnp.asarray(momentum, d.dtype) * d, state.direction)
        target = scale * (residual.reshape(-1) - rows.along(carried))
        correction = rows.combine(scale * solve_damped(rows, target, damping))
        direction = jax.tree.map(jnp.add, carried, correction)
        squared = jnp.sum((scale * rows.along(direction)) ** 2)
        rate = bounded_rate(learning_rate(state.count), squared, norm_bound(state.count))
        step = jax.tree.map(lambda d: (-rate).astype(d.dtype) * d, direction)
        return step, SpringState(state.count + 1, direction)

    return optax.GradientTransformationExtraArgs(init, update)  # pyright: ignore[reportArgumentType]
