"""The report's page: everything about one or more runs in one file that needs no network."""

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import xarray

from qernel.config import Config, UserError
from qernel.dataset import load_sweep
from qernel.hysteresis import started_differently
from qernel.report import html
from qernel.report.checks import flag_sweep
from qernel.report.header import facts, versions
from qernel.report.hysteresis_section import hysteresis_section
from qernel.report.publish import Folder
from qernel.report.style import figure_style
from qernel.report.sweep_data import drop_single
from qernel.report.sweep_section import sweep_section
from qernel.report.sweep_words import extent, verdict
from qernel.report.training_section import progress, training_section
from qernel.report.verification_section import verification_section
from qernel.runs import VERIFICATION, Run


def write_report(run: Run, *others: Run) -> Path:
    """Write report/index.html in the first run's directory, and every figure beside it.

    Returns the page's path. Files of an earlier report are written anew; all others stay as they are.
    Raises UserError if a directory is not a run, or the report cannot be written.
    """
    runs = [run, *others]
    configs = [each.config() for each in runs]
    directory = run.path / "report"
    try:
        directory.mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {directory}: {error.strerror}") from None
    body = [html.heading(1, "QERNEL report" if others else f"QERNEL: {_name(run)}")]
    with figure_style():
        for number, (each, config) in enumerate(zip(runs, configs, strict=True), start=1):
            prefix = f"{number}-{_name(each)}-" if others else ""
            if others:
                body.append(html.heading(2, _name(each)))
            body += _run_section(each, config, Folder(directory, prefix), level=3 if others else 2)
    page = directory / "index.html"
    partial = page.with_suffix(".partial")
    partial.write_text(html.page(f"QERNEL: {', '.join(map(_name, runs))}", body), encoding="utf-8")
    os.replace(partial, page)
    return page


def _run_section(run: Run, config: Config, folder: Folder, level: int) -> Iterator[str]:
    """Everything about one run; its headings begin at `level`."""
    if config.description:
        yield html.paragraph(config.description, "lead")
    sweeps = dict(_read_sweeps(run))
    rows = list(run.metrics())
    glance = [(name, _at_a_glance(data, config)) for name, data in sweeps.items()]
    yield html.definitions(
        [*facts(config), ("Progress", progress(rows, config, run.step())), *glance, ("Versions", versions())]
    )
    yield html.details("Resolved configuration (config.toml)", run.config_file.read_text(encoding="utf-8"))
    if (run.path / VERIFICATION).is_file():
        yield html.heading(level, "Verification")
        yield from verification_section(run, folder, level + 1)
    yield html.heading(level, "Training")
    yield from training_section(rows, config, run.step(), folder)
    yield html.heading(level, "Sweeps")
    if not sweeps:
        yield html.paragraph("There are no sweeps yet. This makes one:")
        yield html.command(_sweep_command(run, config))
    for name, data in sweeps.items():
        if data is None:
            yield html.heading(level + 1, name)
            yield html.paragraph(_at_a_glance(data, config))
        else:
            yield html.heading(level + 1, f"{name}: {extent(drop_single(data))}")
            yield from sweep_section(data, name, config, folder)
    readable = [data for data in sweeps.values() if data is not None]
    for number, data in enumerate(started_differently(readable), start=1):
        yield html.heading(level + 1, "Do walkers remember where they came from?")
        yield from hysteresis_section(data, f"starts-{number:03d}", folder)


def _read_sweeps(run: Run) -> Iterator[tuple[str, xarray.Dataset | None]]:
    """Names and datasets in the run's sweeps directory; None where a file is something else."""
    for file in run.sweep_files():
        yield file.stem, load_sweep(file)


def _at_a_glance(data: xarray.Dataset | None, config: Config) -> str:
    if data is None:
        return "damaged, or not a sweep of this program: left out"
    return f"{extent(drop_single(data))}. {verdict(data['energy'].size, flag_sweep(data, config.trained))}"


def _sweep_command(run: Run, config: Config) -> str:
    """The command for the first context parameter over its whole range."""
    over = [f" --over {name}={low:g}:{high:g}:16" for name, (low, high) in config.trained.items()][:1]
    return f"qernel sweep {shlex.quote(str(run.path))}{''.join(over)}"


def _name(run: Run) -> str:
    return run.path.resolve().name
