"""Verdicts: within what is allowed and three sigma, and nothing else."""

import io
import math

import pytest
from rich.console import Console

from qernel.verification.check import Check, cells, checks_table


def check(value, **changes):
    return Check("group", "quantity", "meV", 1.0, value, **changes)


@pytest.mark.parametrize(
    ("value", "changes", "passed"),
    [
        (1.0, {}, True),
        (1.0 + 1e-12, {}, False),
        (1.29, {"error": 0.1}, True),
        (1.31, {"error": 0.1}, False),
        (0.69, {"error": 0.1}, False),
        (1.49, {"error": 0.09, "uncertainty": 0.12}, False),
        (1.44, {"error": 0.09, "uncertainty": 0.12}, True),
        (1.39, {"error": 0.1, "above": 0.1}, True),
        (0.69, {"error": 0.1, "above": 0.1}, False),  # below a variational bound
        (0.95, {"below": 0.1}, True),
        (math.nan, {"error": 0.1, "above": 1.0, "below": 1.0}, False),
        (math.inf, {"error": 0.1}, False),
    ],
)
def test_verdict(value, changes, passed):
    made = check(value, **changes)
    assert made.passed is passed
    assert cells(made).verdict == ("pass" if passed else "FAIL")
    assert made.as_dict()["passed"] is passed


def test_sigma_joins_both_errors():
    made = check(1.5, error=0.3, uncertainty=0.4)
    assert made.sigma == pytest.approx(0.5)
    assert cells(made).sigma == "+1.0"
    assert cells(check(1.5)).sigma == ""


def test_the_table_fits_a_narrow_terminal_without_cutting_numbers():
    rows = [
        Check("trained", "depth 1.5: energy", "meV", -76.53731, -76.5361, 0.0071, 1e-5, source="exact"),
        Check("trained", "depth 1.5: weight in the ground state's sector", "1", 1.0, 0.5, 0.01, below=0.05),
    ]
    out = io.StringIO()
    Console(file=out, width=80).print(checks_table(rows))
    printed = out.getvalue()
    assert max(map(len, printed.splitlines())) <= 80
    for text in ("depth 1.5: energy (meV)", "-76.537310", "-76.536(7)", "pass", "FAIL"):
        assert text in printed
    assert "\u2026" not in printed
