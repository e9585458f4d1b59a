"""The Coulomb energy of a periodic supercell: a 2D Ewald sum with neutralizing background.

With splitting alpha, area A, and rho_G = sum_i exp(-i G.r_i),

    E_C / u = sum_{i<j} sum_R erfc(alpha |r_ij + R|) / |r_ij + R|
            + (pi / A) sum_{G != 0} erfc(G / 2 alpha) / G (|rho_G|^2 - N)
            - N (N - 1) sqrt(pi) / (alpha A)  +  N xi / 2,

where xi, the Madelung constant, is the potential of an electron's own images and background:

    xi = sum_{R != 0} erfc(alpha R) / R + (2 pi / A) sum_{G != 0} erfc(G / 2 alpha) / G
       - 2 alpha / sqrt(pi) - 2 sqrt(pi) / (alpha A).

The pair potential averages to zero over the cell. alpha is chosen so that four images per pair suffice
and the second sum, over some fifty structure factors, costs O(N) each.
"""

import functools
import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import erfc

from qernel.hamiltonian.couplings import Couplings
from qernel.lattice import Supercell, integer_grid

_CUTOFF = 4.2  # erfc(4.2) = 3e-9: relative size of the first neglected term of both sums


class Coulomb(eqx.Module):
    """u (sum_{i<j} v(r_ij) + N xi / 2) for the periodic pair potential v, in E_M."""

    name = "coulomb"

    supercell: Supercell = eqx.field(static=True)

    @property
    def madelung(self) -> float:
        """Madelung constant xi in 1 / a_M."""
        return _ewald(self.supercell).madelung

    def __call__(self, electrons: Float[Array, "electron 2"], couplings: Couplings) -> Float[Array, ""]:
        count, ewald = electrons.shape[0], _ewald(self.supercell)
        pairs = _near(electrons, self.supercell) + _far(electrons, self.supercell)
        constant = 0.5 * count * (ewald.madelung - (count - 1) * ewald.background)
        return couplings.coulomb * (pairs + constant)


def _near(electrons: Float[Array, "electron 2"], supercell: Supercell) -> Float[Array, ""]:
    """Short-range part: erfc(alpha r) / r over pairs and the four nearest images."""
    dtype = electrons.dtype
    first, second = np.triu_indices(electrons.shape[0], 1)
    displacement = electrons[first] - electrons[second]
    fraction = displacement @ jnp.asarray(supercell.reciprocal.T / (2 * math.pi), dtype)
    fraction = fraction - jnp.round(fraction)
    toward = jnp.where(fraction < 0, -1.0, 1.0).astype(dtype)
    corners = jnp.asarray([[0, 0], [1, 0], [0, 1], [1, 1]], dtype)
    images = (fraction[:, None] - corners * toward[:, None]) @ jnp.asarray(supercell.vectors, dtype)
    distance = jnp.sqrt(jnp.sum(images**2, axis=-1))
    return jnp.sum(jax.scipy.special.erfc(_ewald(supercell).splitting * distance) / distance)


def _far(electrons: Float[Array, "electron 2"], supercell: Supercell) -> Float[Array, ""]:
    """Long-range part: structure factors; `weights` counts G and -G together."""
    ewald = _ewald(supercell)
    angles = electrons @ jnp.asarray(ewald.waves.T, electrons.dtype)
    structure = jnp.sum(jnp.cos(angles), axis=0) ** 2 + jnp.sum(jnp.sin(angles), axis=0) ** 2
    return jnp.sum(jnp.asarray(ewald.weights, electrons.dtype) * (structure - electrons.shape[0]))


class _Ewald(NamedTuple):
    splitting: float  # alpha in 1 / a_M
    waves: np.ndarray  # one G of every pair +-G, (wave, 2)
    weights: np.ndarray  # (2 pi / A) erfc(G / 2 alpha) / G, (wave,)
    background: float  # 2 sqrt(pi) / (alpha A)
    madelung: float  # xi


@functools.cache
def _ewald(supercell: Supercell) -> _Ewald:
    # With displacements wrapped to the primitive parallelogram, every image but the four at its corners
    # lies at least one height A / |A_2| away.
    splitting = float(_CUTOFF * np.linalg.norm(supercell.vectors, axis=1).max() / supercell.area)
    waves = _half_of_waves(supercell.reciprocal, 2 * _CUTOFF * splitting)
    lengths = np.linalg.norm(waves, axis=1)
    weights = 2 * math.pi / supercell.area * erfc(lengths / (2 * splitting)) / lengths
    background = 2 * math.sqrt(math.pi) / (splitting * supercell.area)
    images = np.linalg.norm(integer_grid(6) @ supercell.vectors, axis=1)
    images = images[images > 0]
    near, far = np.sum(erfc(splitting * images) / images), 2 * np.sum(weights)
    madelung = near + far - 2 * splitting / math.sqrt(math.pi) - background
    return _Ewald(splitting, waves, weights, background, float(madelung))


def _half_of_waves(reciprocal: np.ndarray, cutoff: float) -> np.ndarray:
    """One member of every pair +-G with 0 < |G| < cutoff, (wave, 2)."""
    heights = abs(np.linalg.det(reciprocal)) / np.linalg.norm(reciprocal, axis=1)
    labels = integer_grid(math.ceil(cutoff / heights.min()))
    positive = (labels[:, 0] > 0) | ((labels[:, 0] == 0) & (labels[:, 1] > 0))
    waves = labels[positive] @ reciprocal
    return waves[np.linalg.norm(waves, axis=1) < cutoff]
