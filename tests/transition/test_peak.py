"""Peaks inside a range are found; slopes, plateaus and maxima at the ends are not peaks."""

import numpy as np
import pytest

from qernel.transition import locate_peak
from qernel.transition.peak import _monotonic

X = np.linspace(0.5, 1.5, 21)
ERROR = np.full(21, 0.05)


def noisy(y, seed):
    return y + ERROR * np.random.default_rng(seed).normal(size=len(X))


def test_a_peak_is_found_with_its_neighbours():
    peak = locate_peak(X, noisy(1 / (1 + ((X - 1.03) / 0.05) ** 2), 0), ERROR)
    assert peak.found
    assert peak.within_95[0] <= 1.03 <= peak.within_95[1]
    assert peak.within_68[1] - peak.within_68[0] < 0.21
    assert peak.height == pytest.approx(1, abs=0.4)


@pytest.mark.parametrize("curve", [0 * X, X, -X, np.tanh((X - 1) / 0.1), (X - 1) ** 2 * 4])
def test_what_is_no_peak_is_not_found(curve):
    assert sum(locate_peak(X, noisy(curve, seed), ERROR, samples=120).found for seed in range(20)) <= 1


def test_a_peak_next_to_the_end_is_an_inner_one():
    curve = np.where(np.arange(21) == 19, 1.0, 0.0)
    peak = locate_peak(X, noisy(curve, 0), ERROR)
    assert peak.found
    assert peak.within_95 == (X[18], X[20])


def test_neighbours_that_fall_are_averaged_by_their_precision():
    # Rising curves through 0, 1 and 0 with errors 1, 1, 2: the last two share (1 + 0/4) / (1 + 1/4).
    fit, chi2 = _monotonic(np.array([0.0, 1.0, 0.0]), np.array([1.0, 1.0, 2.0]))
    np.testing.assert_allclose(fit, [0, 0.8, 0.8])
    assert chi2 == pytest.approx(0.2**2 + (0.8 / 2) ** 2)
