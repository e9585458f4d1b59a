"""Verdicts: within what is allowed and three sigma, and nothing else."""

import math

import pytest

from qernel.verification.check import Check, cells


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
