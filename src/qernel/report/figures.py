"""One function per figure: data in, matplotlib Figure out. Call them inside `style.figure_style`."""

from collections.abc import Sequence

import numpy as np
import xarray
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from qernel.crossing import Crossing
from qernel.diagram import Diagram
from qernel.hysteresis import swept_parameter
from qernel.report import style
from qernel.report.drawing import (
    Index,
    Ranges,
    context_bar,
    context_colours,
    draw_band,
    draw_blocks,
    draw_branches,
    draw_crossings,
    draw_map,
    draw_measured,
    draw_residual,
    draw_sectors,
    draw_spread,
    draw_transition_line,
    key,
    letter_panels,
    limits_without_start,
    plain_log,
    shade_interval,
    shade_outside,
    stack,
)
from qernel.report.history import Curve, LateFit, mean_excess
from qernel.report.style import axis_label, new_figure
from qernel.report.sweep_data import slopes_between
from qernel.transition import Evidence, Extrapolation, Place

_ENERGY = "energy per electron (meV)"
LINES = (("solid", "-"), ("dashed", "--"), ("dotted", ":"), ("dash-dotted", "-."))  # of several momenta
_MARKERS = "o^sDv"  # beside colours, of which there are four
_SIGNS = {"coulomb": "interaction energy\nper electron (meV)", "bragg_sqrt3": "S(K)"}


def training_energy(curves: Sequence[Curve], fit: LateFit, ranges: Ranges) -> Figure:
    """(a) Energy of every context against step, (b) its excess over the late fit, and the mean of that."""
    figure, panels = stack([2.5, 2.2])
    colour = context_colours(ranges)
    for curve, excess in zip(curves, fit.excess, strict=True):
        line = _line_of(curve)
        draw_blocks(panels[0], curve.step, curve.energy, colour(curve.context), linestyle=line)
        draw_band(panels[0], curve.step, curve.energy, curve.error, colour(curve.context))
        thin = {"linestyle": line, "linewidth": 0.8, "alpha": 0.55}
        draw_blocks(panels[1], curve.step, excess, colour(curve.context), **thin)
    for mean in mean_excess(curves, fit):
        draw_blocks(panels[1], mean.step, mean.excess, style.EXACT, linewidth=1.6)
        draw_band(panels[1], mean.step, mean.excess, mean.error, style.EXACT)
    panels[0].set_ylabel(_ENERGY)
    panels[0].set_ylim(limits_without_start(curves))
    panels[1].axhline(0, color=style.EXACT, linewidth=0.8)
    panels[1].set_ylabel("excess over late fit (meV)")
    panels[1].set_yscale("symlog", linthresh=0.1, linscale=0.5)
    plain_log(panels[1].yaxis)
    panels[1].set_xlabel("optimization step")
    letter_panels(panels)
    context_bar(figure, panels, ranges)
    return figure


def training_quality(curves: Sequence[Curve], ranges: Ranges) -> Figure:
    """(a) Spread of the local energy and (b) acceptance of every context against step."""
    figure, panels = stack([2.4, 1.4])
    colour = context_colours(ranges)
    for curve in curves:
        line = _line_of(curve)
        draw_blocks(panels[0], curve.step, curve.spread, colour(curve.context), linestyle=line)
        draw_blocks(panels[1], curve.step, curve.acceptance, colour(curve.context), linestyle=line)
    panels[0].set_yscale("log")
    panels[0].yaxis.set_major_locator(LogLocator(subs=[1, 2, 5]))
    plain_log(panels[0].yaxis)
    panels[0].set_ylabel("local-energy spread\nper electron (meV)")
    panels[1].set_ylabel("acceptance")
    panels[1].set_ylim(0, 1)
    panels[1].set_xlabel("optimization step")
    letter_panels(panels)
    context_bar(figure, panels, ranges)
    return figure


def _line_of(curve: Curve) -> str:
    """The line style of a curve's momentum."""
    _, line = LINES[curve.sector % len(LINES)]
    return line


def sweep_energy(data: xarray.Dataset, ranges: Ranges, flagged: Sequence[Index] = ()) -> Figure:
    """Total energy, its distance from the exact one where known, and the local-energy spread."""
    exact = "exact_energy" in data
    figure, panels = stack([2.6, 1.3, 1.1] if exact else [2.6, 1.1])
    draw_measured(panels[0], data, "energy", flagged)
    panels[0].set_ylabel(_ENERGY)
    key(panels[0])
    if exact:
        draw_residual(panels[1], data, "energy", flagged)
    (dim,) = data["energy"].dims
    draw_spread(panels[-1], data)
    panels[-1].set_xlabel(axis_label(str(dim)))
    letter_panels(panels)
    shade_outside(panels, data, ranges)
    return figure


def models(data: xarray.Dataset, crossings: Sequence[Crossing]) -> Figure:
    """(a) Energies of models, as made by `compare`, and (b) their differences from the first one's."""
    figure, panels = stack([2.2, 2.0])
    (parameter,) = (str(dim) for dim in data["energy"].dims if dim != "model")
    x, names = data[parameter].values, data["model"].values.tolist()
    energies, errors = (data[name].transpose("model", ...).values for name in ("energy", "energy_error"))
    for number, (name, energy, error) in enumerate(zip(names, energies, errors, strict=True)):
        colour, marker = style.SERIES[number % len(style.SERIES)], f"{_MARKERS[number % len(_MARKERS)]}-"
        panels[0].errorbar(x, energy, error, label=name, color=colour, fmt=marker)
        if number > 0:
            both = np.hypot(error, errors[0])
            panels[1].errorbar(x, energy - energies[0], both, color=colour, fmt=marker)
    panels[1].axhline(0, color=style.SERIES[0])
    draw_crossings(panels, crossings)
    panels[0].set_ylabel(_ENERGY)
    panels[1].set_ylabel(f"above {names[0]}\nper electron (meV)")
    panels[1].set_xlabel(axis_label(parameter))
    panels[0].legend()
    letter_panels(panels)
    return figure


def sweep_interaction(data: xarray.Dataset, ranges: Ranges, flagged: Sequence[Index] = ()) -> Figure:
    """Coulomb energy against the swept parameter, and its distance from the exact one where known."""
    exact = "exact_coulomb" in data
    figure, panels = stack([2.6, 1.2] if exact else [2.6])
    draw_measured(panels[0], data, "coulomb", flagged)
    panels[0].set_ylabel("interaction energy\nper electron (meV)")
    key(panels[0])
    if exact:
        draw_residual(panels[1], data, "coulomb", flagged)
    (dim,) = data["energy"].dims
    panels[-1].set_xlabel(axis_label(str(dim)))
    letter_panels(panels)
    shade_outside(panels, data, ranges)
    return figure


def sweep_components(
    data: xarray.Dataset, components: Sequence[str], ranges: Ranges, flagged: Sequence[Index] = ()
) -> Figure:
    """Components of the energy side by side."""
    figure = new_figure(3.0)
    panels = list(figure.subplots(1, len(components), squeeze=False)[0])
    (dim,) = data["energy"].dims
    for axes, name in zip(panels, components, strict=True):
        draw_measured(axes, data, name, flagged)
        words = data[name].attrs.get("long_name", name).removesuffix(" per electron")
        axes.set_ylabel(f"{words}\nper electron (meV)")
        axes.set_xlabel(axis_label(str(dim)))
    key(panels[0])
    letter_panels(panels)
    shade_outside(panels, data, ranges)
    return figure


def sweep_forces(data: xarray.Dataset, ranges: Ranges) -> Figure:
    """(a) <dH/dc> and the slope of the energies between contexts, (b) the Hellmann-Feynman residual."""
    (dim,) = (str(name) for name in data["energy"].dims)
    x, force, residual = data[dim].values, data[f"force_{dim}"], data[f"residual_{dim}"]
    figure, panels = stack([2.2, 1.4])
    panels[0].errorbar(
        *slopes_between(data),
        fmt="s",
        fillstyle="none",
        color=style.DIFFERENCE,
        label="slope of the energy between contexts",
    )
    errors = data[f"force_{dim}_error"].values
    panels[0].errorbar(x, force.values, errors, fmt="o", color=style.MEASURED, label="⟨∂H/∂c⟩")
    panels[0].legend()
    panels[0].set_ylabel(f"force per\nelectron{_in_units(force)}")
    errors = data[f"residual_{dim}_error"].values
    panels[1].axhline(0, color=style.EXACT, linewidth=1.0)
    panels[1].errorbar(x, residual.values, errors, fmt="o", color=style.MEASURED)
    panels[1].set_ylabel(f"residual per\nelectron{_in_units(residual)}")
    panels[-1].set_xlabel(axis_label(dim))
    letter_panels(panels)
    shade_outside(panels, data, ranges)
    return figure


def sweep_others(data: xarray.Dataset, names: Sequence[str], ranges: Ranges) -> Figure:
    """Quantities with error bars under each other, by their names."""
    (dim,) = (str(name) for name in data["energy"].dims)
    figure, panels = stack([1.2] * len(names))
    for axes, name in zip(panels, names, strict=True):
        errors = data[f"{name}_error"].values
        axes.errorbar(data[dim].values, data[name].values, errors, fmt="o-", color=style.MEASURED)
        axes.set_ylabel(f"{name.replace('_', ' ')}{_in_units(data[name])}")
    panels[-1].set_xlabel(axis_label(dim))
    letter_panels(panels)
    shade_outside(panels, data, ranges)
    return figure


def sweep_state(data: xarray.Dataset, ranges: Ranges) -> Figure:
    """What kind of state it is: momentum sectors, Bragg peaks, fidelity susceptibility; as measured."""
    (dim,) = (str(name) for name in data["energy"].dims)
    wanted = {"sector_weight": 1.3, "bragg_sqrt3": 1.3, f"susceptibility_{dim}": 1.3}
    figure, panels = stack([height for name, height in wanted.items() if name in data])
    rest = iter(panels)
    if "sector_weight" in data:
        draw_sectors(next(rest), data)
    if "bragg_sqrt3" in data:
        axes = next(rest)
        labels = {"bragg_sqrt3": "K, of the √3 × √3 crystal", "bragg_moire": "g, of the moiré lattice"}
        for (name, label), colour in zip(labels.items(), (style.DIFFERENCE, style.MEASURED), strict=True):
            axes.errorbar(
                data[dim].values,
                data[name].values,
                data[f"{name}_error"].values,
                fmt="o-",
                color=colour,
                label=label,
            )
        axes.set_ylabel("structure factor")
        axes.set_ylim(bottom=0)
        axes.legend()
    if f"susceptibility_{dim}" in data:
        axes, name = next(rest), f"susceptibility_{dim}"
        axes.errorbar(
            data[dim].values, data[name].values, data[f"{name}_error"].values, fmt="o-", color=style.SPREAD
        )
        axes.set_ylabel(f"fidelity\nsusceptibility{_in_units(data[name])}")
        axes.set_ylim(bottom=0)
    panels[-1].set_xlabel(axis_label(dim))
    letter_panels(panels)
    shade_outside(panels, data, ranges)
    return figure


def transition(data: xarray.Dataset, evidence: Evidence) -> Figure:
    """Whatever may jump, bend or peak at a transition, with the branches and places of those that do.

    The place of the interaction energy's is left out where it does not count, see `Evidence.discounted`.
    """
    x, parameter = data[evidence.parameter].values, evidence.parameter
    figure, panels = stack([2.4] + [1.4] * (len(evidence.breaks) - 1 + (evidence.peak is not None)))
    for axes, (name, found) in zip(panels, evidence.breaks.items(), strict=False):
        axes.errorbar(x, data[name].values, data[f"{name}_error"].values, fmt="o", color=style.MEASURED)
        if found.found:
            draw_branches(axes, x, found)
            if name != "coulomb" or not evidence.discounted:
                shade_interval(axes, found.within_68)
        if name.startswith("force_"):
            axes.set_ylabel(f"slope of the\nenergy{_in_units(data[name])}")
        else:
            axes.set_ylabel(_SIGNS.get(name, f"{name.replace('_', ' ')}{_in_units(data[name])}"))
    if evidence.peak:
        name = f"susceptibility_{parameter}"
        errors = data[f"{name}_error"].values
        panels[-1].errorbar(x, data[name].values, errors, fmt="o-", color=style.SPREAD)
        panels[-1].set_ylabel(f"fidelity\nsusceptibility{_in_units(data[name])}")
        if evidence.peak.found:
            shade_interval(panels[-1], evidence.peak.within_68)
    draw_crossings(panels, evidence.crossings)
    panels[-1].set_xlabel(axis_label(parameter))
    letter_panels(panels)
    return figure


def diagram(found: Diagram) -> Figure:
    """(a) S(K), or the interaction energy, with the transition line, and (b) the jump along the line."""
    figure = new_figure(3.6)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1.4, 1.0), gridspec_kw={"wspace": 0.12})
    name = "bragg_sqrt3" if "bragg_sqrt3" in found.data else "coulomb"
    image = draw_map(left, found.data.transpose(found.along, found.across, ...), name, (), {})
    figure.colorbar(image, ax=left, label=_SIGNS[name].replace("\n", " "))
    draw_transition_line(left, found)
    jumps = [(cut.at, cut.evidence.transition.jump) for cut in found.cuts if cut.evidence.transition]
    for at, jump in jumps:
        right.errorbar(jump.value, at, xerr=jump.error, fmt="o", color=style.MEASURED)
    right.axvline(0, color=style.EXACT, linewidth=1.0)
    right.set_xlabel("jump of the interaction\nenergy per electron (meV)")
    left.set_xlabel(axis_label(found.along))
    left.set_ylabel(axis_label(found.across))
    letter_panels([left, right])
    return figure


def sizes(parameter: str, places: Sequence[tuple[int, Place]], limit: Extrapolation) -> Figure:
    """Where the transition is against 1/N, and the straight line to infinite size, with the error there."""
    figure = new_figure(2.6)
    axes = figure.subplots()
    for electrons, place in places:
        low, high = place.within_68
        error = [[place.value - low], [high - place.value]]
        axes.errorbar(1 / electrons, place.value, error, fmt="o", color=style.MEASURED)
        axes.annotate(f"{electrons}", (1 / electrons, place.value), (5, 5), textcoords="offset points")
    ends = np.array([0.0, max(1 / electrons for electrons, _ in places)])
    axes.plot(ends, limit.value + limit.slope * ends, color=style.EXACT, linewidth=1.0)
    axes.errorbar(0, limit.value, limit.error, fmt="s", color=style.EXACT)
    axes.set_xlabel("1 / number of electrons")
    axes.set_ylabel(f"transition, {axis_label(parameter)}")
    return figure


def hysteresis(data: xarray.Dataset) -> Figure:
    """(a) Interaction energy and (b) S(K) of sweeps whose walkers started differently."""
    parameter = swept_parameter(data)
    names = [name for name in ("coulomb", "bragg_sqrt3") if name in data]
    figure, panels = stack([2.4, 1.6][: len(names)])
    x = data[parameter].values
    beside = 0.08 * np.ptp(x) / max(len(x) - 1, 1)  # markers of one context stand beside each other
    offsets = beside * (np.arange(data.sizes["start"]) - (data.sizes["start"] - 1) / 2)
    for axes, name in zip(panels, names, strict=True):
        for start, offset, colour, marker in zip(
            data["start"].values, offsets, style.SERIES, "^vos", strict=False
        ):
            here = data.sel(start=start)
            axes.errorbar(
                x + offset,
                here[name].values,
                here[f"{name}_error"].values,
                fmt=marker,
                color=colour,
                label=str(start),
            )
        axes.set_ylabel(_SIGNS[name])
    panels[0].legend(ncols=data.sizes["start"])
    panels[-1].set_xlabel(axis_label(parameter))
    letter_panels(panels)
    return figure


def sweep_routing(data: xarray.Dataset, ranges: Ranges) -> Figure:
    """Weight of each expert in every layer, and how many an electron uses."""
    layers = data.sizes["layer"]
    figure = new_figure(2.6)
    panels = list(figure.subplots(1, layers + 1, width_ratios=[1.0] * layers + [1.2]))
    (dim,) = (str(name) for name in data["energy"].dims)
    for layer, axes in enumerate(panels[:-1]):
        here = data.isel(layer=layer)
        for expert in range(data.sizes["expert"]):
            values, errors = (
                here[name].isel(expert=expert).values for name in ("expert_weight", "expert_weight_error")
            )
            colour = style.SERIES[expert % len(style.SERIES)]
            marker = _MARKERS[expert % len(_MARKERS)]
            axes.errorbar(
                data[dim].values,
                values,
                errors,
                fmt=f"{marker}-",
                color=colour,
                markersize=4,
                label=f"{expert + 1}",
            )
        axes.set_ylim(0, 1)
        used, errors = here["experts_used"].values, here["experts_used_error"].values
        colour = style.SERIES[layer % len(style.SERIES)]
        panels[-1].errorbar(
            data[dim].values, used, errors, fmt="o-", color=colour, label=f"layer {layer + 1}"
        )
    panels[0].set_ylabel("weight of experts")
    panels[0].legend(ncols=2, columnspacing=1.0, handlelength=1.2)
    panels[-1].set_ylabel("experts used")
    panels[-1].set_ylim(1, data.sizes["expert"])
    panels[-1].legend()
    for axes in panels:
        axes.set_xlabel(axis_label(dim))
    letter_panels(panels)
    shade_outside(panels, data, ranges)
    return figure


def sweep_maps(data: xarray.Dataset, ranges: Ranges, flagged: Sequence[Index] = ()) -> Figure:
    """(a) Total and (b) interaction energy over two swept parameters."""
    figure = new_figure(3.3)
    panels = list(figure.subplots(1, 2, sharex=True, sharey=True))
    across, up = (str(dim) for dim in data["energy"].dims)
    names = {"energy": "total energy", "coulomb": "interaction energy"}
    for axes, (name, words) in zip(panels, names.items(), strict=True):
        image = draw_map(axes, data, name, flagged, ranges)
        figure.colorbar(image, ax=axes, label=f"{words} per electron (meV)")
        axes.set_xlabel(axis_label(across))
    panels[0].set_ylabel(axis_label(up))
    letter_panels(panels)
    return figure


def _in_units(variable: xarray.DataArray) -> str:
    """The unit in brackets, powers written as such: " (meV nm⁻¹)"; nothing for a number."""
    units = variable.attrs.get("units", "1").replace("^-1", "⁻¹").replace("^-2", "⁻²")
    return "" if units == "1" else f" ({units})"
