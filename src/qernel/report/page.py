"""The report's page: everything about one or more runs in one file that needs no network."""

import itertools
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import xarray

from qernel.branches import branch_names
from qernel.config import Config, UserError
from qernel.dataset import load_sweep
from qernel.hysteresis import started_differently
from qernel.report import html
from qernel.report.checks import flag_sweep
from qernel.report.comparison_section import comparison_section
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


def write_report(*runs: Run, directory: Path | None = None) -> Path:
    """Write index.html and every figure beside it; returns the page's path.

    They go to `directory`, by default report/ of the first run. Several models of one system are also
    compared. Files of an earlier report are written anew; all others stay as they are. Raises UserError if a
    directory is not a run, or the report cannot be written.
    """
    configs = [each.config() for each in runs]
    directory = directory or runs[0].path / "report"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        return _write(directory, dict(zip(_names(runs), zip(runs, configs, strict=True), strict=True)))
    except OSError as error:
        raise UserError(
            f"cannot write the report: {error.filename or directory}: {error.strerror or error}"
        ) from None


def _write(directory: Path, runs: Mapping[str, tuple[Run, Config]]) -> Path:
    several, title = len(runs) > 1, f"QERNEL: {', '.join(runs)}"
    body = [html.heading(1, title)]
    with figure_style():
        numbers = itertools.count(1)
        for names in _of_one_system(runs):
            compared = (each for name in names for each in branch_names(name, runs[name][1]))
            body.append(html.heading(2, f"The lowest of {', '.join(compared)}"))
            body += comparison_section({name: runs[name][0] for name in names}, numbers, Folder(directory))
        for number, (name, (run, config)) in enumerate(runs.items(), start=1):
            prefix = f"{number}-{name}-" if several else ""
            if several:
                body.append(html.heading(2, name))
            body += _run_section(run, config, Folder(directory, prefix), level=3 if several else 2)
    page = directory / "index.html"
    partial = page.with_suffix(".partial")
    partial.write_text(html.page(title, body), encoding="utf-8")
    os.replace(partial, page)
    return page


def _names(runs: Sequence[Run]) -> list[str]:
    """Of directories, with numbers before them where two have the same."""
    names = [run.path.resolve().name for run in runs]
    unique = len(set(names)) == len(names)
    return names if unique else [f"{number}-{name}" for number, name in enumerate(names, start=1)]


def _of_one_system(runs: Mapping[str, tuple[Run, Config]]) -> list[list[str]]:
    """Names of runs over the same parameters whose systems else agree; together they have several models."""
    systems: dict[str, list[str]] = {}
    for name, (_, config) in runs.items():
        if varying := list(config.contexts):
            fixed = {key: each for key, each in config.system.physical().items() if key not in varying}
            systems.setdefault(repr((varying, sorted(fixed.items()))), []).append(name)
    return [names for names in systems.values() if len(names) > 1 or runs[names[0]][1].model.momenta]


def _run_section(run: Run, config: Config, folder: Folder, level: int) -> Iterator[str]:
    """Everything about one run; its headings begin at `level`."""
    if config.description:
        yield html.paragraph(config.description, "lead")
    sweeps = dict(_read_sweeps(run))
    rows = list(run.metrics())
    glance = [
        (f"{name}{_of_momentum(data, config)}", _at_a_glance(data, config)) for name, data in sweeps.items()
    ]
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
            yield html.heading(level + 1, f"{name}{_of_momentum(data, config)}: {extent(drop_single(data))}")
            yield from sweep_section(data, name, config, folder)
    readable = [data for data in sweeps.values() if data is not None]
    for number, data in enumerate(started_differently(readable), start=1):
        walkers = f"walkers{_of_momentum(data, config)}"
        yield html.heading(level + 1, f"Do {walkers} remember where they came from?")
        yield from hysteresis_section(data, f"starts-{number:03d}", folder)


def _read_sweeps(run: Run) -> Iterator[tuple[str, xarray.Dataset | None]]:
    """Names and datasets in the run's sweeps directory; None where a file is something else."""
    for file in run.sweep_files():
        yield file.stem, load_sweep(file)


def _of_momentum(data: xarray.Dataset | None, config: Config) -> str:
    """Which of several momenta a sweep is of; empty where there is one, or it is not known."""
    sector = "" if data is None else data.attrs.get("model_sector", "")
    return f" of momentum {sector}" if config.model.momenta and sector else ""


def _at_a_glance(data: xarray.Dataset | None, config: Config) -> str:
    if data is None:
        return "damaged, or not a sweep of this program: left out"
    return f"{extent(drop_single(data))}. {verdict(data['energy'].size, flag_sweep(data, config.trained))}"


def _sweep_command(run: Run, config: Config) -> str:
    """The command for the first context parameter over its whole range."""
    over = [
        f" --over {name}={low:g}" + (f":{high:g}:16" if low < high else "")
        for name, (low, high) in config.trained.items()
    ][:1]
    return f"qernel sweep {shlex.quote(str(run.path))}{''.join(over)}"
