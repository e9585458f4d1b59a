"""The command line: one function per command."""

from qernel.cli import analysis, catalogue, measuring, training  # noqa: F401  (they add their commands)
from qernel.cli.application import app, main

__all__ = ["app", "main"]
