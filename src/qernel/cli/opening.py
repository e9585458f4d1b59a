"""Runs and sweeps that a command reads, shipped models among them."""

from pathlib import Path

from qernel.cli.application import console
from qernel.config import UserError
from qernel.processes import by_first
from qernel.runs import Run
from qernel.shipped import copy_model, find_run, shipped_model, shipped_models, similar_model


def open_sweeps(path: Path) -> Path:
    """A run's directory or a sweep's file, if there is one; else, for a shipped model's name, runs/NAME.

    Raises UserError where there is nothing, and where a shipped model was not swept.
    """
    if path.exists():
        return path
    if str(path) not in shipped_models():
        raise UserError(f"{path} does not exist{similar_model(path)}")
    run = Run(Path("runs") / path)
    if not run.sweep_files():
        raise UserError(
            f"no sweep of {path} in runs/{path}: `qernel sweep {path} --over NAME=START:STOP:COUNT` makes one"
        )
    return run.path


def open_run(path: Path) -> Run:
    """A run; where `path` is but the name of a shipped model, its copy in runs/NAME.

    Raises UserError where there is nothing, or something else is in runs/NAME.
    """
    if Run(path).exists() or str(path) not in shipped_models():
        return find_run(path)
    run = Run(Path("runs") / path)

    def copy() -> None:
        if not run.exists():
            copy_model(str(path), run)
            console.print(f"copied the shipped model {path} to {run.path}", highlight=False, soft_wrap=True)

    by_first(copy)
    shipped = shipped_model(str(path))
    if (run.config(), run.step()) != (shipped.config(), shipped.step()):
        raise UserError(f"{run.path} is not the shipped model {path}: say {run.path} to mean that run")
    return run
