"""Candidate curves are fitted as linear least squares fits them, for every choice of position and width."""

import numpy as np
import pytest
from scipy.optimize import curve_fit

from qernel.transition.curves import SHARP, SMOOTH, Curves

X = np.linspace(0.5, 1.5, 17)
ERROR = 0.02 + 0.01 * np.cos(7 * X)


def samples(count=3, seed=0):
    random = np.random.default_rng(seed)
    return np.sin(4 * X) + ERROR * random.normal(size=(count, len(X)))


def chi2(curves, kind, y):
    fits, index = curves.fit(y), list(curves.parameters).index(kind)
    return fits.chi2[:, index], fits.choice[:, index]


@pytest.mark.parametrize(("kind", "degree"), [("straight line", 1), ("parabola", 2), ("quartic", 4)])
def test_polynomials_are_those_of_numpy(kind, degree):
    y = samples()
    found, choice = chi2(curves := Curves(X, ERROR), kind, y)
    for each, value, fitted in zip(y, found, curves.values(kind, choice, y), strict=True):
        expected = np.polyval(np.polyfit(X, each, degree, w=1 / ERROR), X)
        np.testing.assert_allclose(fitted, expected, atol=1e-10)
        assert value == pytest.approx(np.sum(((each - expected) / ERROR) ** 2), rel=1e-9)


def test_the_best_jump_is_the_best_of_two_straight_lines_over_all_gaps():
    y = samples()
    found, choice = chi2(curves := Curves(X, ERROR), "jump", y)
    branches = curves.branches("jump", choice, y)
    for s, each in enumerate(y):
        costs = {}
        for split in range(3, len(X) - 2):
            sides = slice(split), slice(split, None)
            lines = [np.polyfit(X[i], each[i], 1, w=1 / ERROR[i]) for i in sides]
            rest = [(each[i] - np.polyval(p, X[i])) / ERROR[i] for i, p in zip(sides, lines, strict=True)]
            costs[split] = np.sum(np.concatenate(rest) ** 2), lines
        best = min(costs, key=lambda k: costs[k][0])
        at = (X[best - 1] + X[best]) / 2
        assert found[s] == pytest.approx(costs[best][0], rel=1e-9)
        assert branches.position[s] == pytest.approx(at)
        for side, line in enumerate(costs[best][1]):
            assert branches.slopes[s, side] == pytest.approx(line[0])
            assert branches.levels[s, side] == pytest.approx(np.polyval(line, at))


def test_the_best_kink_is_that_of_a_nonlinear_fit():
    def kinked(x, level, slope, change, position):
        return level + slope * x + change * np.maximum(x - position, 0)

    y = (np.maximum(X - 0.97, 0) * 3 - X)[None] + ERROR * np.random.default_rng(2).normal(size=(1, len(X)))
    found, choice = chi2(curves := Curves(X, ERROR), "kink", y)
    best, _ = curve_fit(kinked, X, y[0], p0=(0, -1, 3, 1.0), sigma=ERROR)
    branches = curves.branches("kink", choice, y)
    assert branches.position[0] == pytest.approx(best[3], abs=0.02 * (X[1] - X[0]))
    assert branches.slopes[0] == pytest.approx([best[1], best[1] + best[2]], abs=0.01)
    assert found[0] == pytest.approx(np.sum(((y[0] - kinked(X, *best)) / ERROR) ** 2), abs=0.01)


def test_branches_with_a_common_curvature():
    away = X - 1.03
    y = (0.5 + 0.3 * away + 1.7 * away**2 + (away > 0) * (0.4 - 0.9 * away))[None]
    _, choice = chi2(curves := Curves(X, ERROR, degree=2), "jump", y)
    branches, at = curves.branches("jump", choice, y), 1.03125 - 1.03
    assert branches.curvature[0] == pytest.approx(1.7)
    assert np.diff(branches.levels[0]) == pytest.approx(0.4 - 0.9 * at, abs=1e-9)
    assert np.diff(branches.slopes[0]) == pytest.approx(-0.9, abs=1e-9)


def test_kinds_without_a_degree_of_freedom_are_left_out():
    few = Curves(X[:5], ERROR[:5])
    assert set(few.parameters) == {"straight line", "parabola", "cubic", "kink"}
    assert set(Curves(X, ERROR).parameters) == {*SMOOTH, *SHARP}
