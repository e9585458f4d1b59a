"""Runs the commands of a figure one after another, saying each before it starts."""

import argparse
import shlex
from pathlib import Path

from qernel.cli import main


def qernel(*arguments: str) -> None:
    """One `qernel` command; a failure ends the script with its message."""
    print(f"\n$ qernel {shlex.join(arguments)}", flush=True)
    main(arguments)


def options(description: str | None, figure: str) -> argparse.Namespace:
    """What every script is told: whether to draw the miniature, and where files go."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--miniature", action="store_true", help="the same figure of a few electrons")
    parser.add_argument("--out", type=Path, default=Path("runs/reproduce") / figure)
    return parser.parse_args()
