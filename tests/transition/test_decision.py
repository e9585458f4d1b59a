"""Jumps and kinks are found where they are, and smooth curves are not taken for them."""

import numpy as np
import pytest

from qernel.transition import locate

X = np.linspace(0.5, 1.5, 21)
ERROR = np.full(21, 0.03)


def noisy(y, seed, factor=1.0):
    return y + factor * ERROR * np.random.default_rng(seed).normal(size=len(X))


def jump(at=1.07, size=-0.5):
    return 0.2 * X + (at < X) * (size + 0.1 * (X - at))


SMOOTH_CURVES = {
    "line": 3 * X,
    "parabola": 10 * X**2,
    "crossover": np.tanh((X - 1.02) / 0.15),
    "narrow crossover": 0.4 * np.tanh((X - 1.02) / 0.1),
    "rounded kink": np.hypot(X - 0.95, 0.15),
    "peak": 0.9 / (1 + ((X - 1.02) / 0.15) ** 2),
    "exponential": np.exp(-X / 0.2),
}


def test_a_jump_is_found_between_the_points_where_it_is():
    found = locate(X, noisy(jump(), 0), ERROR)
    assert found.found
    assert found.kind == "jump"
    assert found.within_68[0] <= 1.07 <= found.within_68[1]
    assert found.within_68 == pytest.approx((1.05, 1.1))  # a jump is somewhere in a gap
    assert abs(found.jump.value + 0.5) < 3 * found.jump.error < 0.2
    assert found.slopes[0].value == pytest.approx(0.2, abs=3 * found.slopes[0].error)


def test_a_kink_is_found_where_it_is():
    found = locate(X, noisy(20 * np.maximum(X - 1.03, 0), 0), ERROR)
    assert found.found
    assert found.kind == "kink"
    assert found.within_95[0] <= 1.03 <= found.within_95[1]
    assert found.within_95[1] - found.within_95[0] < 0.05
    assert found.jump.value == found.jump.error == 0


@pytest.mark.parametrize("name", SMOOTH_CURVES)
def test_smooth_curves_have_no_transition(name):
    found = [locate(X, noisy(SMOOTH_CURVES[name], seed), ERROR, samples=120).found for seed in range(12)]
    assert sum(found) <= 1


def test_intervals_hold_the_kink_as_often_as_they_say():
    inside, random = [], np.random.default_rng(5)
    for seed in range(60):
        at = random.uniform(0.7, 1.3)
        found = locate(X, noisy(20 * np.maximum(X - at, 0), seed), ERROR, samples=120)
        if found.found:
            inside.append([low <= at <= high for low, high in (found.within_68, found.within_95)])
    shares = np.mean(inside, axis=0)
    assert len(inside) > 50
    assert 0.5 < shares[0] < 0.86  # three standard deviations of 60 draws at 68%
    assert shares[1] > 0.86


def test_errors_that_are_too_small_are_enlarged():
    wrong = [locate(X, noisy(10 * X**2, seed, factor=3), ERROR, samples=120) for seed in range(10)]
    assert np.mean([each.birge for each in wrong]) == pytest.approx(3, rel=0.2)
    assert sum(each.found for each in wrong) <= 1


def test_branches_may_be_curved():
    found = locate(X, noisy(jump() + 20 * (X - 1) ** 2, 0), ERROR)
    assert found.found
    assert found.within_95[0] <= 1.07 <= found.within_95[1]
    assert found.curvature == pytest.approx(20, rel=0.05)


def test_the_same_seed_gives_the_same():
    y = noisy(jump(), 3)
    assert locate(X, y, ERROR, seed=4) == locate(X, y, ERROR, seed=4)


FINE = np.unique(np.concatenate([np.linspace(0.9, 1.2, 13), np.linspace(1.0, 1.025, 9)]).round(9))  # refined


@pytest.mark.parametrize("width", [0.006, 0.01])
def test_a_crossover_that_a_refined_sweep_resolves_is_none(width):
    error = np.full(len(FINE), 0.01)
    curve = 0.3 * FINE - 0.25 * np.tanh((FINE - 1.0125) / width)
    seeds = (np.random.default_rng(seed).normal(size=len(FINE)) for seed in range(8))
    assert sum(locate(FINE, curve + error * noise, error, samples=120).found for noise in seeds) <= 1


@pytest.mark.parametrize("gap", [(1.009375, 1.0125), (1.075, 1.1)])
def test_a_jump_in_a_refined_sweep_is_found_in_a_small_gap_and_in_a_large_one(gap):
    error = np.full(len(FINE), 0.01)
    noise = error * np.random.default_rng(0).normal(size=len(FINE))
    found = locate(FINE, 0.3 * FINE - 0.5 * (np.mean(gap) < FINE) + noise, error)
    assert found.found
    assert found.within_68 == pytest.approx(gap)


@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_the_error_of_a_jump_is_that_of_two_straight_lines(factor):
    found, at = locate(X, noisy(jump(), 0, factor), ERROR), 1.075  # the middle of the gap
    sides = X[at > X], X[at < X]
    variance = sum(1 / len(x) + (at - x.mean()) ** 2 / np.sum((x - x.mean()) ** 2) for x in sides)
    assert (found.birge > 1.5) == (factor > 1)  # the larger scatter is taken for the error
    assert found.jump.error == pytest.approx(found.birge * ERROR[0] * np.sqrt(variance), rel=0.12)
