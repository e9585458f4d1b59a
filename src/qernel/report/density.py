"""Densities measured on the supercell's own grid, as maps of a rectangle of the plane."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.ndimage import map_coordinates

from qernel.lattice import CELL_AREA, MOIRE_VECTORS, Supercell, integer_grid

BLUR = 0.05  # a_M: a third of the width of an electron localized at depth 1
_PERIODS = 4.0  # least side of a map in a_M
_PIXELS = 400


class DensityMap(NamedTuple):
    """A square of the plane. Lengths are in a_M, densities in electrons per moiré cell."""

    image: Float[np.ndarray, "y x"]  # rows from bottom to top
    extent: tuple[float, float, float, float]  # left, right, bottom, top
    sites: Float[np.ndarray, "site 2"]  # moiré lattice sites inside
    outline: Float[np.ndarray, "5 2"]  # the supercell, closed


def density_map(density: Float[np.ndarray, "cell_1 cell_2"], supercell: Supercell) -> DensityMap:
    """Repeat a density periodically over a square of two supercells' length or four moiré periods.

    `density` holds electrons per a_M^2 in bins along the supercell vectors, as `estimators.density.Density`
    makes it. It is blurred by `BLUR` to quieten counting noise, and interpolated linearly.
    """
    first, second = supercell.vectors
    side = max(_PERIODS, 2 * float(np.linalg.norm(supercell.vectors, axis=1).max()))
    centre = (first + second) / 2
    left, bottom = centre - side / 2
    axis = (np.arange(_PIXELS) + 0.5) / _PIXELS * side
    points = np.stack(np.meshgrid(left + axis, bottom + axis, indexing="xy"), axis=-1)
    return DensityMap(
        image=_sample(blurred(density, supercell), supercell, points) * CELL_AREA,
        extent=(float(left), float(left + side), float(bottom), float(bottom + side)),
        sites=_sites_inside(centre, side),
        outline=np.array([0 * first, first, first + second, second, 0 * first]),
    )


def blurred(
    density: Float[np.ndarray, "cell_1 cell_2"], supercell: Supercell, width: float = BLUR
) -> Float[np.ndarray, "cell_1 cell_2"]:
    """Convolve with a periodic Gaussian of standard deviation `width` in a_M; keeps the integral."""
    labels = [np.fft.fftfreq(count, 1 / count) for count in density.shape]
    waves = np.stack(np.meshgrid(*labels, indexing="ij"), axis=-1) @ supercell.reciprocal
    damping = np.exp(-(width**2) / 2 * np.sum(waves**2, axis=-1))
    return np.fft.ifft2(np.fft.fft2(density) * damping).real


def _sample(
    density: Float[np.ndarray, "cell_1 cell_2"],
    supercell: Supercell,
    points: Float[np.ndarray, "y x 2"],
) -> Float[np.ndarray, "y x"]:
    """Periodic linear interpolation between bins, whose centres lie at half-integers."""
    fractions = points @ supercell.reciprocal.T / (2 * math.pi)
    bins = fractions * np.array(density.shape) - 0.5
    return map_coordinates(density, np.moveaxis(bins, -1, 0), order=1, mode="grid-wrap")


def _sites_inside(centre: Float[np.ndarray, "2"], side: float) -> Float[np.ndarray, "site 2"]:
    # |n| <= |r| 2 / sqrt(3) for r = n . a, because the reciprocal vectors are that long over 2 pi
    reach = math.ceil(2 / math.sqrt(3) * (np.linalg.norm(centre) + side))
    sites = integer_grid(reach) @ MOIRE_VECTORS
    return sites[np.all(np.abs(sites - centre) < side / 2, axis=1)]
