"""One comparison, and the table of many."""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from rich.table import Table

from qernel.numbers import with_error

_SIGMAS = 3.0
_SMALLEST_ERROR = 1e-10  # below which a number counts as exact


class Check(NamedTuple):
    """Our value against a reference; `above` and `below` bound the difference that errors do not explain.

    A variational energy may lie `above` the exact one by what the ansatz leaves out, never below it.
    """

    group: str
    quantity: str
    units: str
    reference: float
    value: float
    error: float = 0.0  # statistical, of the value
    uncertainty: float = 0.0  # of the reference
    above: float = 0.0
    below: float = 0.0
    source: str = ""  # where the reference comes from

    @property
    def difference(self) -> float:
        return self.value - self.reference

    @property
    def sigma(self) -> float:
        """Both errors together."""
        return math.hypot(self.error, self.uncertainty)

    @property
    def passed(self) -> bool:
        """Within `above` and `below`, widened by three sigma; false for a value that is not a number."""
        slack = _SIGMAS * self.sigma
        return -self.below - slack <= self.difference <= self.above + slack

    def as_dict(self) -> dict[str, Any]:
        """Everything, for a file."""
        sigmas = self.difference / self.sigma if self.sigma else None
        return self._asdict() | {"difference": self.difference, "in_sigma": sigmas, "passed": self.passed}


class Cells(NamedTuple):
    """A comparison in words, as tables show it."""

    quantity: str
    unit: str
    reference: str
    ours: str
    difference: str
    sigma: str
    allowed: str
    verdict: str


def cells(check: Check) -> Cells:
    """The row of a comparison."""
    tolerated = f"-{check.below:.2g} to +{check.above:.2g}" if check.above or check.below else ""
    return Cells(
        quantity=check.quantity,
        unit="" if check.units == "1" else check.units,
        reference=_number(check.reference, check.uncertainty),
        ours=_number(check.value, check.error),
        difference=f"{check.difference:+.2g}",
        sigma=f"{check.difference / check.sigma:+.1f}" if check.sigma else "",
        allowed=" and ".join(filter(None, [tolerated, "3 sigma" if check.sigma else ""])),
        verdict="pass" if check.passed else "FAIL",
    )


def checks_table(checks: Iterable[Check]) -> Table:
    """One row per comparison, in 80 columns: what is allowed is left to the page."""
    table = Table(
        title="errors of the last digits in brackets", box=None, padding=(0, 1, 0, 0), pad_edge=False
    )
    table.add_column("quantity", min_width=24)
    for name in ("reference", "ours", "difference", "sigma"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    group = None
    for check in checks:
        if check.group != group:
            table.add_row()
            table.add_row(f"[bold]{check.group}[/bold]")
            group = check.group
        row = cells(check)
        quantity = f"{row.quantity} ({row.unit})" if row.unit else row.quantity
        style = "" if check.passed else "bold red"
        table.add_row(quantity, row.reference, row.ours, row.difference, row.sigma, row.verdict, style=style)
    return table


def _number(value: float, error: float) -> str:
    if error >= 5e-4:
        return with_error(value, error)
    if error < _SMALLEST_ERROR:
        return f"{value:.6g}"
    return f"{value:.{max(0, 1 - math.floor(math.log10(error)))}f}"
