"""The search for a jump: finds one that is there, and none in a smooth curve."""

import numpy as np
import pytest

from qernel.verification.controls import largest_jump

X = np.linspace(0.7, 1.5, 9)
ERRORS = np.full(9, 0.02)


def curve(jump, random):
    return -30 - 2 * X + 1.5 * X**2 + jump * (X > 1.04) + ERRORS * random.normal(size=9)


def test_no_jump_in_a_smooth_curve():
    random = np.random.default_rng(0)
    found = [largest_jump(X, curve(0.0, random), ERRORS) for _ in range(300)]
    assert np.mean([abs(jump) > 3 * error for jump, error in found]) < 0.01


def test_jump_is_found_with_its_size():
    random = np.random.default_rng(1)
    found = np.array([largest_jump(X, curve(0.5, random), ERRORS) for _ in range(100)])
    assert np.all(abs(found[:, 0]) > 3 * found[:, 1])
    assert found[:, 0].mean() == pytest.approx(0.5, abs=0.03)
