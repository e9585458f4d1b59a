"""Trained models that come with the package."""

import difflib
import os
import shutil
from importlib.resources import files
from pathlib import Path

from qernel.config import UserError
from qernel.runs import Run


def shipped_models() -> list[str]:
    """Their names."""
    return sorted(entry.name for entry in files("qernel").joinpath("models").iterdir() if entry.is_dir())


def shipped_model(name: str) -> Run:
    """A shipped model as a run, to read from. Raises UserError if there is none of this name."""
    if name not in shipped_models():
        raise UserError(f"no shipped model '{name}'; there are {', '.join(shipped_models()) or 'none'}")
    return Run(str(files("qernel").joinpath("models", name)))


def similar_model(name: str | Path) -> str:
    """The end of an error message: the shipped model that is meant; empty where none is."""
    similar = difflib.get_close_matches(str(name), shipped_models(), n=1)
    return f"; did you mean '{similar[0]}'?" if similar else ""


def find_run(path: str | Path) -> Run:
    """The run at `path`, or the shipped model of this name, to read from.

    Raises UserError where there is nothing at all.
    """
    run = Run(path)
    if not run.path.exists() and str(path) not in shipped_models():
        hint = similar_model(path) or ": `qernel models` lists these"
        raise UserError(f"{path} is not a run, nor a shipped model{hint}")
    return shipped_model(str(path)) if not run.exists() and str(path) in shipped_models() else run


def copy_model(name: str, run: Run) -> None:
    """Put a shipped model, whole, into a run's directory, unless a run is there already.

    Raises UserError if something else is there.
    """
    if run.exists():
        return
    partial = run.path.with_name(f"{run.path.name}.{os.getpid()}.partial")
    try:
        shutil.copytree(shipped_model(name).path, partial)
        partial.rename(run.path)
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)
        if not run.path.exists():
            raise
        if not run.exists():  # by another process, meanwhile
            raise UserError(f"{run.path} is in the way of a copy of the shipped model {name}") from None
