"""Ctrl-C and SIGTERM: an orderly stop."""

import signal
import sys

from qernel.measurement import StopMeasuring
from qernel.processes import anywhere


class StopSignals:
    """SIGINT and SIGTERM ask for an orderly stop; a second one stops at once."""

    def __init__(self):
        self.requested = False
        self._previous = {}

    def __enter__(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_):
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raises StopMeasuring if any process was asked. All of them have to call this."""
        if any(anywhere(self.requested)):
            raise StopMeasuring

    def _ask(self, number, _frame):
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        print("qernel: stopping; a second signal stops at once", file=sys.stderr)
