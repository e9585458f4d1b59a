"""Figures of a few contexts of a sweep side by side: densities, structure factors, pair correlations.

Call them inside `style.figure_style`. `moire_constants` has a_M in nm for each of the chosen contexts.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import xarray
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import EllipseCollection
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from qernel.lattice import MOIRE_CORNERS, MOIRE_HARMONICS, Supercell
from qernel.report import style
from qernel.report.density import DensityMap, density_map
from qernel.report.drawing import Index, letter_panels, plain_log
from qernel.report.style import for_matplotlib, new_figure, symbol, with_unit
from qernel.report.sweep_data import PAIRS, point_at, swept

_FAINTEST = 0.01  # structure factor, the least that has a colour of its own


def sweep_densities(
    data: xarray.Dataset,
    chosen: Sequence[Index],
    supercell: Supercell,
    moire_constants: Sequence[float],
) -> Figure:
    """Densities at the chosen indices on one colour scale."""
    maps = [density_map(point_at(data, index)["density"].values, supercell) for index in chosen]
    figure, panels = _panels(data, chosen)
    scale = Normalize(0, max(each.image.max() for each in maps))
    for axes, each, length in zip(panels, maps, moire_constants, strict=True):
        _draw_density(axes, each, length, scale)
        axes.label_outer()
    bar = _colour_bar(figure, scale, style.DENSITY_COLOURS, "electrons per moiré cell")
    bar.ax.axhline(data.attrs["electrons"] / data.attrs["moire_cells"], color=style.DIFFERENCE)
    return figure


def sweep_structure(
    data: xarray.Dataset,
    chosen: Sequence[Index],
    supercell: Supercell,
    moire_constants: Sequence[float],
) -> Figure:
    """S(q) at the chosen indices on one logarithmic colour scale, with the Brillouin zone, K and g."""
    fields = [point_at(data, index)["structure_factor"].values for index in chosen]
    waves = np.stack([data["q_x"].values, data["q_y"].values], axis=1)
    diameter = float(np.linalg.norm(supercell.reciprocal, axis=1).min())
    figure, panels = _panels(data, chosen)
    faintest, brightest = max(_FAINTEST, np.min(fields)), max(1.0, np.max(fields))
    scale = LogNorm(faintest, brightest, clip=True)
    for axes, field, length in zip(panels, fields, moire_constants, strict=True):
        _draw_structure(axes, waves / length, field, diameter / length, scale)
        _mark_wavevectors(axes, length)
        axes.label_outer()
    bar = _colour_bar(figure, scale, style.ENERGY_COLOURS, "structure factor S(q)")
    ticks = [1, 1.5, 2, 3, 4, 5, 7] if brightest < 10 * faintest else [1, 2, 5]
    bar.ax.yaxis.set_major_locator(LogLocator(subs=ticks))
    plain_log(bar.ax.yaxis)
    return figure


def sweep_pairs(data: xarray.Dataset, chosen: Sequence[Index], moire_constants: Sequence[float]) -> Figure:
    """g(r) at the chosen indices, one panel for electrons of equal and one for those of opposite spin."""
    names = [name for name in PAIRS if name in data]
    figure = new_figure(3.0)
    panels = list(figure.subplots(1, len(names), sharey=True, squeeze=False)[0])
    colours = style.CONTEXT_COLOURS(np.linspace(0, 1, len(chosen)))
    for axes, name in zip(panels, names, strict=True):
        axes.axhline(1, color=style.EXACT, linewidth=0.8)
        for index, length, colour in zip(chosen, moire_constants, colours, strict=True):
            point = point_at(data, index)
            r, value, error = length * point["distance"], point[name], point[f"{name}_error"]
            axes.plot(r, value, color=colour, label=for_matplotlib(_values(data, index)))
            axes.fill_between(r, value - error, value + error, color=colour, alpha=0.3, linewidth=0)
        axes.set_title(f"{PAIRS[name]} spin")
        axes.set_xlabel("distance (nm)")
    panels[0].set_ylabel("pair correlation g(r)")
    if len(chosen) > 1:
        panels[-1].legend()
    letter_panels(panels)
    return figure


def spread_indices(shape: tuple[int, ...]) -> list[Index]:
    """Up to six indices that cover a sweep: along one dimension, or three by two of the first two.

    Further dimensions stay at their middle. The first index runs fastest.
    """
    wanted = (6,) if len(shape) == 1 else (3, 2, *(1 for _ in shape[2:]))
    picks = [_evenly(size, count) for size, count in zip(shape, wanted, strict=False)]
    return [index[::-1] for index in itertools.product(*reversed(picks))]


def _evenly(size: int, count: int) -> list[int]:
    if count == 1:
        return [size // 2]
    return np.unique(np.linspace(0, size - 1, min(size, count)).round().astype(int)).tolist()


def _panels(data: xarray.Dataset, chosen: Sequence[Index]) -> tuple[Figure, list[Axes]]:
    """A panel for each context, with its values above; over two parameters a column is one of the first."""
    distinct = len({index[:1] for index in chosen})
    columns = 2 if distinct == 4 else min(3, distinct)
    rows = math.ceil(len(chosen) / columns)
    figure = new_figure(0.5 + 2.3 * rows, 1.7 + 2.1 * columns)
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in grid[len(chosen) :]:
        axes.remove()
    for axes, index in zip(grid, chosen, strict=False):
        axes.set_title(for_matplotlib(_values(data, index)))
    return figure, grid[: len(chosen)]


def _values(data: xarray.Dataset, index: Index) -> str:
    """The swept parameters at a context, in words."""
    point = point_at(data, index)
    return ", ".join(f"{symbol(name)} = {with_unit(name, float(point[name]))}" for name in swept(data))


def _colour_bar(figure: Figure, scale: Normalize, colours, label: str):
    mapped = ScalarMappable(scale, colours)
    return figure.colorbar(mapped, ax=figure.axes, label=label, aspect=25, fraction=0.05)


def _draw_density(axes: Axes, density: DensityMap, moire_constant: float, scale: Normalize) -> None:
    """A map in nm with the moiré lattice sites and the supercell's outline; a_M is given in nm."""
    left, right, bottom, top = (moire_constant * edge for edge in density.extent)
    size = 4.0 if len(density.sites) < 50 else 2.5
    axes.imshow(
        density.image,
        extent=(left, right, bottom, top),
        origin="lower",
        norm=scale,
        cmap=style.DENSITY_COLOURS,
        interpolation="nearest",
    )
    sites, outline = moire_constant * density.sites, moire_constant * density.outline
    axes.plot(*sites.T, "+", color=style.DIFFERENCE, markersize=size, markeredgewidth=0.2 * size)
    axes.plot(*outline.T, color=style.EXACT, linewidth=1.0, linestyle=(0, (4, 2)))
    axes.set(xlim=(left, right), ylim=(bottom, top), xlabel="x (nm)", ylabel="y (nm)")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(4, integer=True))
    axes.grid(False)


def _draw_structure(
    axes: Axes,
    waves: Float[np.ndarray, "wave 2"],
    values: Float[np.ndarray, " wave"],
    diameter: float,
    scale: Normalize,
) -> None:
    """A disc at every wavevector and at its opposite; wavevectors and diameter in nm^-1."""
    size = np.full(2 * len(waves), diameter)
    discs = EllipseCollection(
        size, size, 0 * size, units="xy", offsets=np.concatenate([waves, -waves]),
        offset_transform=axes.transData, cmap=style.ENERGY_COLOURS, norm=scale, linewidths=0,
    )  # fmt: skip
    discs.set_array(np.concatenate([values, values]))
    axes.add_collection(discs)
    edge = float(np.abs(waves).max()) + diameter
    axes.set(xlim=(-edge, edge), ylim=(-edge, edge), xlabel="q_x (nm⁻¹)", ylabel="q_y (nm⁻¹)")
    axes.set_aspect("equal")
    axes.grid(False)


def _mark_wavevectors(axes: Axes, moire_constant: float) -> None:
    """Circles at the corners K of the moiré Brillouin zone, which is dashed, squares at the shortest g."""
    corners, harmonics = (
        np.concatenate([half, -half]) / moire_constant for half in (MOIRE_CORNERS, MOIRE_HARMONICS)
    )
    around = corners[np.argsort(np.arctan2(corners[:, 1], corners[:, 0]))]
    axes.plot(*np.concatenate([around, around[:1]]).T, "--", color=style.EXACT, linewidth=1.0)
    axes.plot(*corners.T, "o", fillstyle="none", color=style.DIFFERENCE, markersize=9)
    axes.plot(*harmonics.T, "s", fillstyle="none", color=style.EXACT, markersize=9)
