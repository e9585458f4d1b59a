"""The part of the page that shows how training went."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from qernel.config import Config
from qernel.report import figures, html
from qernel.report.header import parameters
from qernel.report.history import Curve, Last, LateFit, last_means, late_fit, training_curves
from qernel.report.numbers import decimals_for, fixed, html_with_error
from qernel.report.publish import Data, Folder, publish_figure
from qernel.report.style import symbol, unit


def training_section(
    rows: Sequence[dict[str, Any]], config: Config, step: int, folder: Folder
) -> Iterator[str]:
    """HTML of the training history up to `step`; rows are those of `Run.metrics`."""
    if not rows:
        yield html.paragraph(
            f"The history of its {step:,} steps is not in this run."
            if step
            else "No optimization step has been recorded yet: qernel train begins or resumes."
        )
        return
    curves = training_curves(rows, sectors=bool(config.model.momenta))
    fit = late_fit(curves)
    black = "; black: mean over the contexts" if config.context_names else ""
    yield publish_figure(
        folder,
        "training-energy",
        "Energy during training",
        f"(a) Energy per electron at each context; the start may lie above the panel. (b) The same, minus "
        f"{_polynomial(fit, config)}, linear within ±0.1 meV and logarithmic beyond{black}. "
        f"Bands: one standard error, autocorrelation included. {_how(curves, rows, config)}",
        figures.training_energy(curves, fit, config.contexts),
        _energy_data(curves, fit, config),
    )
    yield publish_figure(
        folder,
        "training-quality",
        "Local-energy spread and acceptance during training",
        f"(a) Standard deviation of the local energy per electron, zero for an exact eigenstate. "
        f"(b) Share of moves accepted. {_how(curves, rows, config)}",
        figures.training_quality(curves, config.contexts),
        _quality_data(curves, config),
    )
    last = last_means(rows)
    yield html.table(_last_header(config), [html.Row(_last_cells(each, last, config)) for each in last])
    yield html.paragraph(
        f"Means over the last {last[0].steps} steps at the present contexts, while the wavefunction still "
        "moves: for measurements, sweep.",
        "note",
    )


def system_words(config: Config) -> str:
    """The system in a caption."""
    system = config.system
    return f"{sum(system.electrons)} electrons in {system.lattice().cells} moiré cells, {parameters(config)}"


def progress(rows: Sequence[dict[str, Any]], config: Config, step: int) -> str:
    """How far training came: to `step`."""
    if not step:
        return "not begun"
    refused = sum(row["refused"] for row in rows)
    done = f"Step {step:,} of {config.training.steps:,}"
    state = "finished" if step >= config.training.steps else "not finished"
    if not rows:
        return f"{done}: {state}"
    bad = f"steps refused for numbers that were not finite: {refused:,}" if refused else "no step refused"
    return f"{done}: {state}; {bad}"


def _how(curves: Sequence[Curve], rows: Sequence[dict[str, Any]], config: Config) -> str:
    steps = math.ceil(len(rows) / max(1, len({step for curve in curves for step in curve.step.tolist()})))
    training, counts = config.training, sorted({len(row["contexts"]) for row in rows})
    contexts = " or ".join(str(count) for count in counts)
    shared = (
        f"{training.walkers} walkers, shared by {contexts} contexts"
        if counts[-1] > 1
        else (f"{training.walkers} walkers")
    )
    redraws = f", redrawn every {training.refresh_every:,} steps" if config.contexts else ""
    momenta = zip(figures.LINES, config.model.momenta, strict=False)
    lines = "".join(f" {name.capitalize()}: momentum {label}." for (name, _), label in momenta)
    return f"Means over blocks of about {steps} steps.{lines} {system_words(config)}; {shared}{redraws}."


def _polynomial(fit: LateFit, config: Config) -> str:
    each = ", for each momentum by itself" if config.model.momenta else ""
    if fit.degree == 0:
        return f"the mean of the last quarter{each}"
    return (
        f"a polynomial of degree {fit.degree} in the context, fitted to the {fit.contexts} contexts of the "
        f"last quarter{each} (root mean square residual {fit.scatter:.2g} meV)"
    )


def _energy_data(curves: Sequence[Curve], fit: LateFit, config: Config) -> Data:
    header = [*config.context_names, "step", "energy_meV", "error_meV", "excess_meV"]
    rows = [
        [*_entries(curve, config), *block]
        for curve, excess in zip(curves, fit.excess, strict=True)
        for block in zip(
            curve.step.tolist(), curve.energy.tolist(), curve.error.tolist(), excess.tolist(), strict=True
        )
    ]
    return Data(header, rows)


def _quality_data(curves: Sequence[Curve], config: Config) -> Data:
    rows = [
        [*_entries(curve, config), *block]
        for curve in curves
        for block in zip(curve.step.tolist(), curve.spread.tolist(), curve.acceptance.tolist(), strict=True)
    ]
    return Data([*config.context_names, "step", "spread_meV", "acceptance"], rows)


def _entries(curve: Curve, config: Config) -> list[float]:
    """The context of a curve, as `Config.context_names` has it."""
    return [*curve.context.tolist(), *([curve.sector] if config.model.momenta else [])]


def _last_header(config: Config) -> list[tuple[str, str]]:
    parameters = [(symbol(name), unit(name)) for name in config.contexts]
    return [
        *parameters,
        *([("momentum", "")] if config.model.momenta else []),
        ("energy", "meV"),
        ("spread", "meV"),
        ("accept.", ""),
    ]


def _last_cells(each: Last, every: Sequence[Last], config: Config) -> list[str]:
    digits, momenta, context = decimals_for(last.error for last in every), config.model.momenta, each.context
    return [
        *(fixed(value, 4) for value in context[: len(config.contexts)].tolist()),
        *([str(momenta[int(context[-1])])] if momenta else []),
        html_with_error(each.energy, each.error, digits),
        fixed(each.spread, 2),
        fixed(each.acceptance, 2),
    ]
