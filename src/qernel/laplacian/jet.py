"""Values that carry their derivatives along."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float


class Jet(NamedTuple):
    """A quantity x(r) with its Jacobian and Laplacian in the electrons' coordinates.

    A dense Jacobian leads with the axis of all coordinates, (2 N, *shape). Where each entry of x depends on
    the one electron that its index along the axis `electron` names, it leads with that electron's two
    coordinates only, (2, *shape): so it is until the first attention.
    """

    value: Array
    jacobian: Array
    laplacian: Array
    electron: int | None = None

    @property
    def squares(self) -> Array:
        """sum_k (d_k x)^2, entry by entry."""
        return jnp.sum(self.jacobian**2, axis=0)

    def own(self, axis: int) -> Array:
        """Of a dense Jacobian, derivatives in the coordinates of the electron `axis` names, (2, *shape)."""
        count = self.value.shape[axis]
        shape = [1] * (self.value.ndim + 2)
        shape[axis + 2] = count
        pairs = self.jacobian.reshape(count, 2, *self.value.shape)
        return jnp.take_along_axis(pairs, jnp.arange(count).reshape(shape), axis=0)[0]

    def dense(self) -> "Jet":
        """The same with the derivatives in all coordinates, most of them zero."""
        if self.electron is None:
            return self
        count = self.value.shape[self.electron]
        shape = [1] * self.value.ndim
        shape[self.electron] = count
        own = jnp.eye(count, dtype=self.jacobian.dtype).reshape(count, 1, *shape)
        jacobian = (own * self.jacobian[None]).reshape(2 * count, *self.value.shape)
        return Jet(self.value, jacobian, self.laplacian)


Operand = Any  # a jet or an array


def constant(x: Array, rows: int) -> Jet:
    """What does not depend on the coordinates, as a jet whose Jacobian has so many rows of zeros."""
    return Jet(x, jnp.zeros((rows, *x.shape), x.dtype), jnp.zeros_like(x))


def coordinates(electrons: Float[Array, "electron 2"]) -> Jet:
    """The electrons' coordinates as functions of themselves."""
    unit = jnp.broadcast_to(jnp.eye(2, dtype=electrons.dtype)[:, None, :], (2, *electrons.shape))
    return Jet(electrons, unit, jnp.zeros_like(electrons), electron=0)
