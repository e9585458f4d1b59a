"""What one sees while a command works: live on a terminal, plain lines elsewhere."""

import time
from collections import deque

import numpy as np
from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from qernel.config import Config
from qernel.estimators.statistics import series_estimate
from qernel.numbers import duration, with_error
from qernel.training.step import StepMetrics

_WINDOW = 50  # steps that the printed means run over
_PLAIN_EVERY_SECONDS = 10.0
_MEASURING_EVERY_SECONDS = 60.0
_LEAST_SHARE = 0.03  # of a measurement, that tells its pace


class MeasuringView:
    """Progress of measurements, which share is done and how long the rest will take."""

    def __init__(self, console: Console):
        columns = (TextColumn("measuring"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=console, transient=True) if console.is_terminal else None
        self._task = self._bar.add_task("", total=1.0) if self._bar else None
        self._console, self._share = console, 0.0
        self._first: tuple[float, float] | None = None  # share and time: sampling is compiled before

    def __enter__(self):
        self._printed_at = time.monotonic()
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_):
        if self._bar:
            self._bar.stop()

    def update(self, share: float) -> None:
        """Show that so much is done, 0 to 1; less than before means that other measurements have begun."""
        now = time.monotonic()
        if share < self._share:  # something else is measured
            self._first = None
            if self._bar and self._task is not None:
                self._bar.reset(self._task)
        self._share, self._first = share, self._first or (share, now)
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=share)
        elif share > 0 and now - self._printed_at > _MEASURING_EVERY_SECONDS:
            self._printed_at = now
            self._console.print(f"measured {share:.0%}{self._left(now)}", highlight=False)

    def _left(self, now: float) -> str:
        """How long the rest takes at the pace since the first share; nothing as long as that is little."""
        begin, began = self._first or (self._share, now)
        if self._share - begin < _LEAST_SHARE:
            return ""
        return f", {duration((now - began) * (1 - self._share) / (self._share - begin))} left"


class TrainingView:
    """Progress of a training run. Energies are means over the last steps at the present contexts."""

    def __init__(self, config: Config, console: Console):
        self._config, self._console = config, console
        self._live = Live(console=console, refresh_per_second=4) if console.is_terminal else None
        self._contexts: np.ndarray | None = None
        self._recent: deque[StepMetrics] = deque(maxlen=_WINDOW)
        self._first: tuple[int, float] | None = None
        self._printed_at = -float("inf")

    def __enter__(self):
        count = self._config.training.steps
        self.note(f"compiling, then burning in and training to step {count} ...")
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_):
        if self._live:
            self._live.stop()

    def note(self, text: str) -> None:
        """Print a line of its own."""
        self._console.print(text, highlight=False, soft_wrap=True)

    def update(self, step: int, contexts, metrics: StepMetrics, refused: int) -> None:
        """Show a step."""
        contexts = np.asarray(contexts)
        if self._contexts is None or not np.array_equal(contexts, self._contexts):
            self._contexts = contexts
            self._recent.clear()
        self._recent.append(metrics)
        now = time.monotonic()
        self._first = self._first or (step, now)
        last = step == self._config.training.steps
        if self._live:
            self._live.update(self._table(step, refused))
        elif now - self._printed_at > _PLAIN_EVERY_SECONDS or last:
            self._printed_at = now
            self.note(self._line(step, refused))

    def _pace(self, step: int) -> str:
        """Steps per second so far, and the time left at that pace; nothing after the first step."""
        begin, began = self._first or (step, time.monotonic())
        if step == begin:
            return "first step done"
        rate = (step - begin) / (time.monotonic() - began)
        return f"{rate:.2f} steps/s  {duration((self._config.training.steps - step) / rate)} left"

    def _energies(self) -> list[tuple[float, float]]:
        series = np.array([metrics.energy for metrics in self._recent])
        return [series_estimate(column) for column in series.T]

    def _line(self, step: int, refused: int) -> str:
        latest = self._recent[-1]
        energies = ", ".join(
            f"{self._label(index)}{with_error(mean, error)}"
            for index, (mean, error) in enumerate(self._energies())
        )
        return (
            f"step {step}/{self._config.training.steps}  E/N (meV) {energies}  "
            f"spread {np.mean(latest.spread):.2f} meV  acceptance {np.mean(latest.acceptance):.2f}  "
            f"{self._pace(step)}" + (f"  {refused} refused" if refused else "")
        )

    def _label(self, index: int) -> str:
        assert self._contexts is not None
        return f"({', '.join(self._entries(index, '.3g'))}) " if self._contexts.size else ""

    def _entries(self, index: int, form: str) -> list[str]:
        """A context in print: its parameters, and the momentum where there are several."""
        assert self._contexts is not None
        momenta, entries = self._config.model.momenta, self._contexts[index].tolist()
        last = [str(momenta[int(entries.pop())])] if momenta else []
        return [*(f"{value:{form}}" for value in entries), *last]

    def _table(self, step: int, refused: int) -> Table:
        title = f"step {step}/{self._config.training.steps}   {self._pace(step)}"
        table = Table(title=title + (f"   {refused} steps refused" if refused else ""))
        momentum = ["momentum"] if self._config.model.momenta else []
        for name in (*self._config.contexts, *momentum, "E/N (meV)", "variance (meV²)", "acceptance"):
            table.add_column(name, justify="right")
        latest, energies = self._recent[-1], self._energies()
        assert self._contexts is not None
        order = np.lexsort(self._contexts.T[::-1]) if self._contexts.size else [0]
        for index in order:
            mean, error = energies[index]
            table.add_row(
                *self._entries(index, ".3f"),
                with_error(mean, error),
                f"{latest.spread[index] ** 2:.3f}",
                f"{latest.acceptance[index]:.2f}",
            )
        return table
