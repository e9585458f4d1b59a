"""TensorBoard scalars, when tensorboardX is installed (pip install qernel[tensorboard])."""

import importlib.util
from pathlib import Path

import numpy as np

from qernel.processes import is_first
from qernel.training.step import StepMetrics


class ScalarLog:
    """Writes each context's energy, spread and acceptance under the run; silent without tensorboardX, and
    on all processes but the first.
    """

    def __init__(self, directory: Path):
        self._writer = None
        if is_first() and importlib.util.find_spec("tensorboardX") is not None:
            from tensorboardX import SummaryWriter  # pyright: ignore[reportMissingImports]

            self._writer = SummaryWriter(str(directory / "tensorboard"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._writer is not None:
            self._writer.close()

    def record(self, step: int, metrics: StepMetrics) -> None:
        """One point per context and quantity."""
        if self._writer is None:
            return
        for name in ("energy", "spread", "acceptance"):
            for index, value in enumerate(np.asarray(getattr(metrics, name))):
                self._writer.add_scalar(f"{name}/context-{index:02d}", float(value), step)
