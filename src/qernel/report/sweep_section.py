"""The part of the page that shows one sweep: figures, findings and the table."""

import string
from collections.abc import Iterator, Sequence

import numpy as np
import xarray

from qernel.config import Config
from qernel.dataset import component_names
from qernel.report import figures, html
from qernel.report.checks import flag_sweep
from qernel.report.drawing import Index
from qernel.report.publish import Data, Folder, publish_data, publish_figure
from qernel.report.snapshots_section import snapshots_section
from qernel.report.style import spoken
from qernel.report.sweep_data import (
    columns,
    drop_single,
    momentum_columns,
    slope_columns,
    swept,
)
from qernel.report.sweep_table import html_sweep_table
from qernel.report.sweep_words import extent, findings, leaves_range, origin, setting
from qernel.report.transition_section import transition_figure
from qernel.transition.evidence import may_show_transition, weigh


def sweep_section(data: xarray.Dataset, name: str, config: Config, folder: Folder) -> Iterator[str]:
    """HTML of one sweep; its files go to `folder` under names that begin with `name`."""
    data = drop_single(data)
    flags = flag_sweep(data, config.trained)
    yield html.items(findings(data, flags))
    if len(swept(data)) == 1:
        yield from _curves(data, name, config, folder, list(flags))
    elif len(swept(data)) == 2:
        yield _maps(data, name, config, folder, list(flags))
    elif len(swept(data)) > 2:
        yield html.paragraph(f"{len(swept(data))} parameters vary: energies are in the table alone.")
    yield from snapshots_section(data, name, config, folder)
    yield from html_sweep_table(data, name, folder, flags)
    yield html.paragraph(f"{setting(data)}. {origin(data)}.", "note")


def _curves(
    data: xarray.Dataset, name: str, config: Config, folder: Folder, flagged: Sequence[Index]
) -> Iterator[str]:
    ranges, parameter = config.trained, spoken(swept(data)[0])
    legend = "Error bars: one standard error"
    if flagged:
        legend += "; rings: flagged contexts"
    if leaves_range(data, config):
        legend += "; grey: outside the range of training"
    closing = f"{legend}. {setting(data)}."
    exact = ""
    if "exact_energy" in data:
        exact = "Line: exact diagonalization. (b) Difference from it; grey band: its uncertainty. "
    spread = f"({'c' if exact else 'b'}) Standard deviation of the local energy per electron. "
    yield publish_figure(
        folder,
        f"{name}-energy",
        "Total energy",
        f"(a) Energy per electron against {parameter}. {exact}{spread}{closing}",
        figures.sweep_energy(data, ranges, flagged),
        columns(data, ["energy", "energy_error", "exact_energy", "exact_uncertainty", "spread"]),
    )
    yield publish_figure(
        folder,
        f"{name}-interaction",
        "Interaction energy",
        f"{'(a) ' if exact else ''}Coulomb energy per electron, Madelung term included. {exact}{closing}",
        figures.sweep_interaction(data, ranges, flagged),
        columns(data, ["coulomb", "coulomb_error", "exact_coulomb", "exact_uncertainty"]),
    )
    if may_show_transition(data) and (evidence := weigh(data)).breaks:
        yield transition_figure(data, evidence, f"{name}-transition", folder)
    others = [component for component in component_names(data) if component != "coulomb"]
    variables = [variable for each in others for variable in (each, f"{each}_error", f"exact_{each}")]
    yield publish_figure(
        folder,
        f"{name}-components",
        "Other components of the energy",
        f"{'Line: exact. ' if exact else ''}{closing}",
        figures.sweep_components(data, others, ranges, flagged),
        columns(data, variables),
    )
    if f"force_{swept(data)[0]}" in data:
        yield _forces(data, name, config, folder, closing)
    susceptibility = f"susceptibility_{swept(data)[0]}"
    told = {
        "sector_weight": "weight of each total momentum, by its integer label",
        "bragg_sqrt3": "structure factor at the moiré reciprocal vectors g and at the corners K",
        susceptibility: f"fidelity susceptibility to {parameter}, the variance of the derivative of log ψ",
    }
    words = [
        f"({letter}) {text}"
        for letter, text in zip("abc", [told[n] for n in told if n in data], strict=False)
    ]
    if words:
        weights = ""
        if "sector_weight" in data:
            file = publish_data(folder, f"{name}-momenta", momentum_columns(data))
            weights = f" Weights of all momenta: {file}."
        names = ["bragg_sqrt3", "bragg_moire", susceptibility]
        yield publish_figure(
            folder,
            f"{name}-state",
            "Momentum, Bragg peaks, susceptibility",
            f"{'; '.join(words)}. {closing}{weights}",
            figures.sweep_state(data, ranges),
            columns(data, [each for n in names for each in (n, f"{n}_error")]),
        )
    if "expert_weight" in data:
        yield _routing(data, name, config, folder)
    if others := _drawn_nowhere_else(data):
        names = [data[each].attrs.get("long_name", each) for each in others]
        words = (f"({letter}) {each}" for letter, each in zip(string.ascii_lowercase, names, strict=False))
        yield publish_figure(
            folder,
            f"{name}-others",
            "Also measured",
            f"{'; '.join(words)}. {closing}",
            figures.sweep_others(data, others, ranges),
            columns(data, [variable for each in others for variable in (each, f"{each}_error")]),
        )


def _drawn_nowhere_else(data: xarray.Dataset) -> list[str]:
    """What has one value with an error at each context and is in no other figure.

    The mean imaginary part, the V-score, responses to other parameters than the swept one, new observables.
    """
    (parameter,) = swept(data)
    drawn = {"energy", *component_names(data), "variance"}
    drawn |= {"bragg_sqrt3", "bragg_moire"} if "bragg_sqrt3" in data else set()
    drawn |= {f"{kind}_{parameter}" for kind in ("force", "residual", "susceptibility")}
    return [
        str(name)
        for name in data
        if name not in drawn and f"{name}_error" in data and data[name].dims == (parameter,)
    ]


def _forces(data: xarray.Dataset, name: str, config: Config, folder: Folder, closing: str) -> str:
    (parameter,) = swept(data)
    slopes = [f"{kind}_{parameter}" for kind in ("force", "residual")]
    between = publish_data(folder, f"{name}-slopes", slope_columns(data))
    return publish_figure(
        folder,
        f"{name}-forces",
        "Hellmann-Feynman",
        f"(a) ⟨∂H/∂c⟩ per electron, c = {spoken(parameter)}, and the energy's slope, the same for an "
        "eigenstate. (b) By how much dE/dc is more than ⟨∂H/∂c⟩, per electron, from the covariance of the "
        f"local energy with ∂ log ψ/∂c at each context. {closing} Slopes between contexts: {between}.",
        figures.sweep_forces(data, config.trained),
        columns(data, [each for slope in slopes for each in (slope, f"{slope}_error")]),
    )


def _routing(data: xarray.Dataset, name: str, config: Config, folder: Folder) -> str:
    layers = data.sizes["layer"]
    letters = string.ascii_lowercase[:layers]
    panels = ", ".join(f"({letter}) layer {number}" for number, letter in enumerate(letters, start=1))
    experts = [f"expert_{n + 1}" for n in range(data.sizes["expert"])]
    header = [*swept(data), "layer", *experts, *(f"{each}_error" for each in experts)]
    header += ["experts_used", "experts_used_error"]
    names = ("expert_weight", "expert_weight_error", "experts_used", "experts_used_error")
    (parameter,) = swept(data)
    rows = [
        [
            float(point[parameter]),
            layer + 1,
            *np.concatenate([np.ravel(here[each]) for each in names]).tolist(),
        ]
        for point in (data.isel({parameter: index}) for index in range(data.sizes[parameter]))
        for layer, here in ((layer, point.isel(layer=layer)) for layer in range(layers))
    ]
    return publish_figure(
        folder,
        f"{name}-routing",
        "Experts",
        f"Weight of each routed expert, averaged over electrons: {panels}. Last panel: the number of experts "
        f"that an electron uses, the exponential of its weights' entropy. {setting(data)}.",
        figures.sweep_routing(data, config.trained),
        Data(header, rows),
    )


def _maps(data: xarray.Dataset, name: str, config: Config, folder: Folder, flagged: Sequence[Index]) -> str:
    legend = "Dashes: the range of training" + ("; crosses: flagged contexts" if flagged else "")
    return publish_figure(
        folder,
        f"{name}-maps",
        "Total and interaction energy",
        f"Energies per electron, {extent(data)}. {legend}. {setting(data)}.",
        figures.sweep_maps(data, config.trained, flagged),
        columns(data, ["energy", "energy_error", "coulomb", "coulomb_error"]),
    )
