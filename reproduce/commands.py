"""Runs the commands of a figure one after another, saying each before it starts."""

import argparse
import shlex
from pathlib import Path

from qernel.cli import main
from qernel.runs import Run
from qernel.shipped import copy_model


def qernel(*arguments: str) -> None:
    """One `qernel` command; a failure ends the script with its message."""
    print(f"\n$ qernel {shlex.join(arguments)}", flush=True)
    main(arguments)


def climb(model: str, ladder: list[str], sector: str, arguments: argparse.Namespace) -> str:
    """The last run of a ladder from a shipped model; for the miniature a copy of the model itself."""
    if arguments.miniature:
        copy_model(model, Run(arguments.out / model))
        return str(arguments.out / model)
    overrides = ["training.walkers=1024", sector, "--steps", "5000"]
    qernel("transfer", model, *ladder, *overrides, "--out", str(arguments.out))
    largest = [size for size in ladder if "=" not in size][-1]
    return str(arguments.out / f"{model}-{largest.replace('/', '-')}")


def options(description: str | None, figure: str) -> argparse.Namespace:
    """What every script is told: whether to draw the miniature, and where files go."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--miniature", action="store_true", help="the same figure of a few electrons")
    parser.add_argument("--out", type=Path, default=Path("runs/reproduce") / figure)
    return parser.parse_args()
