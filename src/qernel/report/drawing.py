"""The strokes that figures share."""

import itertools
import string
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import xarray
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.cm import ScalarMappable
from matplotlib.collections import QuadMesh
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from qernel.crossing import Crossing
from qernel.diagram import Diagram
from qernel.report import style
from qernel.report.history import Curve
from qernel.report.style import axis_label, new_figure
from qernel.transition import Break

Ranges = Mapping[str, tuple[float, float]]
Index = tuple[int, ...]

_VISIBLE_WEIGHT = 0.05
_SECTOR_COLOURS = (style.MEASURED, style.DIFFERENCE, style.SPREAD, style.EXACT)
_LABELS = _MEASURED, _EXACT, _FLAGGED = ("this wavefunction", "exact", "flagged, see table")
_EARLY = 0.1  # share of the training whose energies may lie outside the panel


def stack(ratios: Sequence[float]) -> tuple[Figure, list[Axes]]:
    """A figure of panels above each other that share x; ratios are their heights in inches."""
    figure = new_figure(sum(ratios) + 0.3 * len(ratios) + 0.3)
    panels = figure.subplots(len(ratios), 1, sharex=True, height_ratios=list(ratios), squeeze=False)
    return figure, list(panels[:, 0])


def letter_panels(panels: Sequence[Axes]) -> None:
    """Put (a), (b), ... at the upper left of each panel where there are several."""
    if len(panels) > 1:
        for letter, axes in zip(string.ascii_lowercase, panels, strict=False):
            axes.set_title(f"({letter})", loc="left", fontweight="bold")


def draw_blocks(axes: Axes, steps: np.ndarray, values: np.ndarray, colour: object, **line) -> None:
    """A line through block means; a dot where contexts were redrawn after a single block."""
    axes.plot(steps, values, color=colour, marker="." if len(steps) == 1 else "", **line)


def draw_band(axes: Axes, steps: np.ndarray, values: np.ndarray, error: np.ndarray, colour: object) -> None:
    """Plus or minus one standard error of the block means."""
    if len(steps) == 1:
        axes.errorbar(steps, values, error, color=colour, elinewidth=0.8, capsize=0)
    else:
        axes.fill_between(steps, values - error, values + error, color=colour, alpha=0.3, linewidth=0)


def context_colours(ranges: Ranges) -> Callable[[np.ndarray], object]:
    """Colours by the first context parameter; one colour where there is none."""
    scale = _context_scale(ranges)
    return lambda context: scale.to_rgba(context[0]) if scale else style.MEASURED


def context_bar(figure: Figure, panels: Sequence[Axes], ranges: Ranges) -> None:
    """The key to `context_colours`."""
    scale = _context_scale(ranges)
    if scale:
        label = axis_label(next(iter(ranges)))
        figure.colorbar(scale, ax=list(panels), label=label, fraction=0.04, pad=0.02, aspect=32)


def limits_without_start(curves: Sequence[Curve]) -> tuple[float, float]:
    """Limits of the energy axis that hold everything after the first tenth of the steps."""
    begin = _EARLY * curves[-1].step[-1]
    late = np.concatenate([curve.energy[curve.step >= begin] for curve in curves])
    late = late[np.isfinite(late)]
    if len(late) == 0:
        return 0.0, 1.0
    margin = 0.06 * float(np.ptp(late)) or 1.0
    return float(late.min()) - margin, float(late.max()) + margin


def draw_measured(axes: Axes, data: xarray.Dataset, name: str, flagged: Sequence[Index]) -> None:
    """Points with error bars of one energy, the exact values where known, rings around flagged ones."""
    (dim,) = data["energy"].dims
    x = data[dim].values
    if f"exact_{name}" in data:
        axes.plot(x, data[f"exact_{name}"].values, color=style.EXACT, linewidth=1.0, label=_EXACT, zorder=2)
    errors = data[f"{name}_error"].values
    axes.errorbar(x, data[name].values, errors, fmt="o", color=style.MEASURED, label=_MEASURED, zorder=3)
    _ring(axes, x, data[name].values, flagged)


def draw_residual(axes: Axes, data: xarray.Dataset, name: str, flagged: Sequence[Index]) -> None:
    """Measured minus exact, with the statistical error and the exact value's uncertainty as a band."""
    (dim,) = data["energy"].dims
    x = data[dim].values
    difference = (data[name] - data[f"exact_{name}"]).values
    if "exact_uncertainty" in data:
        doubt = data["exact_uncertainty"].values
        axes.fill_between(x, -doubt, doubt, color=style.MUTED, alpha=0.35, linewidth=0)
    axes.axhline(0, color=style.EXACT, linewidth=1.0)
    axes.errorbar(x, difference, data[f"{name}_error"].values, fmt="o", color=style.MEASURED)
    _ring(axes, x, difference, flagged)
    axes.set_ylabel("difference from\nexact (meV)")


def draw_spread(axes: Axes, data: xarray.Dataset) -> None:
    """Standard deviation of the local energy, from zero."""
    (dim,) = data["energy"].dims
    axes.plot(data[dim].values, data["spread"].values, "o-", color=style.SPREAD, linewidth=1.0)
    axes.set_ylim(0, 1.15 * float(np.nanmax(data["spread"].values, initial=1e-3)))
    axes.set_ylabel("local-energy\nspread (meV)")


def draw_sectors(axes: Axes, data: xarray.Dataset) -> None:
    """Weight of each total momentum that matters anywhere, and of all others together."""
    (dim,) = (str(name) for name in data["energy"].dims)
    x = data[dim].values
    weights, errors = (
        data[name].transpose("sector", dim).values for name in ("sector_weight", "sector_weight_error")
    )
    seen = np.argsort(-weights.max(axis=1), kind="stable")[: len(_SECTOR_COLOURS)]
    seen = seen[weights[seen].max(axis=1) > _VISIBLE_WEIGHT]
    for index, colour in zip(seen, _SECTOR_COLOURS, strict=False):
        label = f"({int(data['sector_1'][index])}, {int(data['sector_2'][index])})"
        axes.errorbar(x, weights[index], errors[index], fmt="o-", color=colour, label=label)
    others = np.delete(weights, seen, axis=0).sum(axis=0)
    if others.max(initial=0) > _VISIBLE_WEIGHT:
        axes.plot(x, others, "--", color=style.MUTED, label="others")
    axes.set_ylabel("weight of\nmomentum")
    axes.set_ylim(-0.05, 1.1)
    axes.legend(ncols=3)


def draw_branches(axes: Axes, x: np.ndarray, found: Break) -> None:
    """The two branches of a jump or kink."""
    sides = (np.linspace(x[0], found.value, 50), np.linspace(found.value, x[-1], 50))
    for side, level, slope in zip(sides, found.levels, found.slopes, strict=True):
        away = side - found.value
        axes.plot(side, level + slope.value * away + found.curvature * away**2, color=style.DIFFERENCE)


def shade_interval(axes: Axes, interval: tuple[float, float]) -> None:
    """An interval of the swept parameter that holds a jump, a kink or a peak."""
    axes.axvspan(*interval, color=style.DIFFERENCE, alpha=0.15, linewidth=0)


def draw_crossings(panels: Sequence[Axes], crossings: Sequence[Crossing]) -> None:
    """Where energies of two models cross, and its error, in every panel."""
    for axes, crossing in itertools.product(panels, crossings):
        ends = crossing.value - crossing.error, crossing.value + crossing.error
        axes.axvspan(*ends, color=style.EXACT, alpha=0.15, linewidth=0)
        axes.axvline(crossing.value, color=style.EXACT, linestyle="--", linewidth=1.0)


def draw_transition_line(axes: Axes, found: Diagram) -> None:
    """Where the transition is along x at every y, with its 68% interval; broken where there is none."""
    places = [cut.evidence.place for cut in found.cuts]
    y, x = [cut.at for cut in found.cuts], [place.value if place else np.nan for place in places]
    axes.plot(x, y, color="white", linewidth=3.5)
    for at, place in zip(y, places, strict=True):
        if place:
            value, (low, high) = place
            axes.errorbar(value, at, xerr=[[value - low], [high - value]], fmt="o", color=style.DIFFERENCE)
    axes.plot(x, y, color=style.DIFFERENCE)


def key(axes: Axes) -> None:
    """A legend where there is more than one thing to tell apart."""
    handles, labels = axes.get_legend_handles_labels()
    found = dict(zip(labels, handles, strict=True))
    order = [label for label in _LABELS if label in found]
    if len(order) > 1:
        axes.legend([found[label] for label in order], order)


def plain_log(axis: Axis) -> None:
    """Label a logarithmic axis with plain numbers: 0.1, 1, 10."""
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def shade_outside(panels: Sequence[Axes], data: xarray.Dataset, ranges: Ranges) -> None:
    """Grey out the values that the model was not trained for, where the sweep goes there."""
    (dim,) = (str(name) for name in data["energy"].dims)
    if dim not in ranges:
        return
    low, high = ranges[dim]
    for axes in panels:
        left, right = axes.get_xlim()
        if data[dim].min() < low:
            axes.axvspan(left, low, color=style.OUTSIDE, zorder=0, linewidth=0)
        if data[dim].max() > high:
            axes.axvspan(high, right, color=style.OUTSIDE, zorder=0, linewidth=0)
        axes.set_xlim(left, right)


def draw_map(
    axes: Axes, data: xarray.Dataset, name: str, flagged: Sequence[Index], ranges: Ranges
) -> QuadMesh:
    """One quantity over two parameters, the first one along x; crosses on flagged contexts."""
    across, up = data["energy"].dims
    x, y = data[across].values, data[up].values
    image = axes.pcolormesh(
        cell_edges(x), cell_edges(y), data[name].values.T, cmap=style.ENERGY_COLOURS, rasterized=True
    )
    for i, j in flagged:
        axes.plot(x[i], y[j], "x", color="white", markersize=7, markeredgewidth=3.2)  # seen on any colour
        axes.plot(x[i], y[j], "x", color=style.DIFFERENCE, markersize=6, markeredgewidth=1.6)
    limits = axes.get_xlim(), axes.get_ylim()
    if ranges:
        _frame_trained(
            axes, [ranges.get(str(dim), edges) for dim, edges in zip((across, up), limits, strict=True)]
        )
    axes.set_xlim(limits[0])
    axes.set_ylim(limits[1])
    axes.grid(False)
    return image


def cell_edges(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " edge"]:
    """Edges between sorted values, at their midpoints."""
    middle = (values[1:] + values[:-1]) / 2
    return np.concatenate([[2 * values[0] - middle[0]], middle, [2 * values[-1] - middle[-1]]])


def _frame_trained(axes: Axes, sides: Sequence[tuple[float, float]]) -> None:
    """A dashed frame around the contexts that the model was trained for."""
    (left, right), (bottom, top) = sides
    for colour, line, width in ((style.EXACT, "-", 2.4), ("white", "--", 1.2)):  # seen on any colour
        frame = Rectangle((left, bottom), right - left, top - bottom, fill=False, linewidth=width)
        frame.set(edgecolor=colour, linestyle=line)
        axes.add_patch(frame)


def _ring(axes: Axes, x: np.ndarray, y: np.ndarray, flagged: Sequence[Index]) -> None:
    chosen = [index[0] for index in flagged]
    if chosen:
        axes.plot(
            x[chosen], y[chosen], "o", fillstyle="none", color=style.DIFFERENCE, markersize=10,
            markeredgewidth=1.4, label=_FLAGGED, zorder=4,
        )  # fmt: skip


def _context_scale(ranges: Ranges) -> ScalarMappable | None:
    if not ranges:
        return None
    low, high = next(iter(ranges.values()))
    return ScalarMappable(Normalize(low, high), style.CONTEXT_COLOURS)
