"""Where the energies of two models cross, and how sure that is."""

import numpy as np
import pytest
import xarray

from qernel.crossing import crossings

DEPTH = np.linspace(0.85, 1.15, 7)


def crossed(x, energies, errors):
    """Crossings of models by name, each given by energies and standard errors."""
    names, energy = np.array(list(energies)), np.stack(list(energies.values()))
    error = np.stack([np.broadcast_to(each, x.shape) for each in errors])
    values = [xarray.DataArray(each, {"model": names, "x": x}, ("model", "x")) for each in (energy, error)]
    return crossings(*values)


def test_straight_lines_cross_where_they_do():
    (found,) = crossed(DEPTH, {"flat": 0 * DEPTH, "falling": 3 * (1.06 - DEPTH)}, (0.01, 0.02))
    assert (found.before, found.after) == ("flat", "falling")
    assert found.value == pytest.approx(1.06, abs=1e-12)


def test_two_contexts_have_a_straight_line_through_them():
    # x = g0 / (g0 - g1) and by propagation of errors sigma = hypot(g1 s0, g0 s1) / (g0 - g1)^2
    (found,) = crossed(np.array([0.0, 1.0]), {"a": np.zeros(2), "b": np.array([0.3, -0.5])}, (0.03, 0.04))
    assert found.value == pytest.approx(0.3 / 0.8)
    assert found.error == pytest.approx(np.hypot(0.5, 0.3) * 0.05 / 0.8**2)


@pytest.mark.parametrize("curvature", [0.0, 4.0])
@pytest.mark.parametrize("place", [1.0, 0.92])
def test_the_error_of_a_crossing_is_its_scatter(curvature, place):
    random, found = np.random.default_rng(0), []
    gap = (place - DEPTH) * (2.2 + curvature * (place - DEPTH))
    for _ in range(300):
        one, other = 0.01 * random.normal(size=7), gap + 0.02 * random.normal(size=7)
        found += crossed(DEPTH, {"a": one, "b": other}, (0.01, 0.02))
    assert len(found) == 300
    pulls = np.array([(each.value - place) / each.error for each in found])
    assert abs(pulls.mean()) < 0.25
    assert pulls.std() == pytest.approx(1.0, abs=0.12)  # of 300, to 0.04, and errors grow now and then
    middle_of_two = np.hypot(0.01, 0.02) / 2.2 / np.sqrt(2)  # the best that two contexts tell
    assert np.median([each.error for each in found]) < 0.85 * middle_of_two


@pytest.mark.parametrize("noise", [0.02, 0.06])
def test_contexts_crowded_around_a_crossing(noise):
    # As `--refine` leaves them: the nearest seven are too close to say which way the gap goes.
    x = np.sort(np.concatenate([np.linspace(0.7, 1.3, 13), 1.0 + np.linspace(-0.02, 0.02, 9)[1::2]]))
    random, pulls = np.random.default_rng(1), []
    for _ in range(200):
        gap = (1.003 - x) * (2.2 + 0.5 * (x - 1)) + noise * random.normal(size=len(x))
        (found,) = crossed(x, {"a": 0 * x, "b": gap}, (0.6 * noise, 0.8 * noise))
        pulls.append((found.value - 1.003) / found.error)
    assert np.std(pulls) == pytest.approx(1.0, abs=0.15)
    assert np.max(np.abs(pulls)) < 4.5


def test_what_noise_repeats_is_one_crossing():
    noise = 0.04 * np.array([0, 0, 0, -1, 1, 0, 0])
    gap = 1.0 - DEPTH + noise  # a, a, a, b, a, b, b
    (found,) = crossed(DEPTH, {"a": 0 * gap, "b": gap}, (0.03, 0.03))
    assert (found.before, found.after) == ("a", "b")
    assert abs(found.value - 1.0) < 2 * found.error


def test_a_model_that_noise_makes_lowest_once_does_not_cross():
    gap = np.array([0.5, 0.3, 0.1, -0.01, 0.1, 0.3, 0.5])
    assert crossed(DEPTH, {"a": 0 * DEPTH, "b": gap}, (0.03, 0.03)) == []


@pytest.mark.parametrize(
    "gap",
    [
        20 * (DEPTH - 0.93) * (DEPTH - 1.07),
        np.array([0.04, -0.3, 0.15, 0.3, 0.5, 0.7, 0.9]),
        np.array([1.0, 1.0, 1.0, -1.0, 1.0, 1.0, 1.0]),
    ],
    ids=["smooth", "at the edge", "a dip"],
)
def test_there_and_back_again(gap):
    one, two = crossed(DEPTH, {"a": 0 * gap, "b": gap}, (0.006, 0.008))
    assert (one.before, one.after, two.before, two.after) == ("a", "b", "b", "a")
    for found, i in zip((one, two), np.flatnonzero(np.diff(np.sign(gap))), strict=True):
        assert DEPTH[i] <= found.value <= DEPTH[i + 1]


@pytest.mark.parametrize("gap", [[1, 1, 1, 1, 0.05, -3, -6], [0.3, 0.25, 0.2, 0.15, -0.8, -2, -3]])
def test_a_kink_does_not_carry_the_crossing_past_contexts_that_are_sure(gap):
    (found,) = crossed(DEPTH, {"a": 0 * DEPTH, "b": np.array(gap)}, (0.002, 0.002))
    last = int(np.flatnonzero(np.array(gap) > 0)[-1])
    assert DEPTH[last] <= found.value <= DEPTH[last + 1]


@pytest.mark.parametrize("at", [1, -2])
def test_energies_that_are_equal_at_a_context(at):
    (found,) = crossed(DEPTH, {"a": 0 * DEPTH, "b": DEPTH[at] - DEPTH}, (0.01, 0.01))
    assert found.value == pytest.approx(DEPTH[at], abs=1e-9)


def test_models_that_noise_cannot_tell_apart_do_not_cross():
    random, found = np.random.default_rng(2), 0
    for _ in range(200):
        one, other = 0.01 * random.normal(size=(2, 7))
        found += len(crossed(DEPTH, {"a": one, "b": other}, (0.01, 0.01)))
    assert found < 4  # two differences of 3 standard errors each take chance


@pytest.mark.parametrize(
    "gap", [[0.02, 0.01, -0.01, -0.3, -0.5, -0.7, -0.9], [0, -0.1, -0.2, -0.3, -1, -2, -3]]
)
def test_a_model_that_is_lower_on_one_side_alone_does_not_cross(gap):
    for order in (gap, [-each for each in gap[::-1]]):
        assert crossed(DEPTH, {"a": 0 * DEPTH, "b": np.array(order, float)}, (0.01, 0.01)) == []


def test_order_of_contexts_does_not_matter():
    gap = 1.03 - DEPTH
    assert crossed(DEPTH[::-1], {"a": 0 * gap, "b": gap[::-1]}, (0.01, 0.01)) == crossed(
        DEPTH, {"a": 0 * gap, "b": gap}, (0.01, 0.01)
    )


def test_three_models_cross_one_after_the_other():
    x = np.linspace(0.0, 1.0, 11)
    found = crossed(x, {"a": 0 * x, "b": 0.33 - x, "c": 1.06 - 2 * x}, (0.01, 0.01, 0.01))
    assert [(each.before, each.after) for each in found] == [("a", "b"), ("b", "c")]
    np.testing.assert_allclose([each.value for each in found], [0.33, 0.73], rtol=0, atol=1e-12)


def test_a_third_model_that_noise_makes_lowest_in_between_hides_no_crossing():
    x = np.linspace(0.85, 1.39, 19)
    a, c = 0 * x, 2 * (1.12 - x)
    b = np.minimum(a, c) + np.where(np.isclose(x, 1.12), -0.01, 0.05)
    (found,) = crossed(x, {"a": a, "b": b, "c": c}, (0.02, 0.02, 0.02))
    assert (found.before, found.after) == ("a", "c")
    assert found.value == pytest.approx(1.12, abs=0.01)


def test_a_model_that_noise_makes_lowest_at_first_hides_no_crossing():
    x = np.linspace(0.0, 1.0, 11)
    b, c = 0 * x, 1.06 - 2 * x
    a = np.where(x == 0, -0.01, 3.0)
    (found,) = crossed(x, {"a": a, "b": b, "c": c}, (0.01, 0.01, 0.01))
    assert (found.before, found.after) == ("b", "c")


def test_a_model_that_noise_makes_lowest_at_first_may_take_over_again():
    gap = np.array([0.005, -0.1, -0.2, -0.1, 0.1, 0.2, 0.3])
    (found,) = crossed(DEPTH, {"a": 0 * gap, "b": gap}, (0.01, 0.01))
    assert (found.before, found.after) == ("b", "a")
    assert DEPTH[3] <= found.value <= DEPTH[4]


def test_points_that_scatter_more_than_their_errors_say():
    scatter = 0.02 * np.array([1, -1, -1, 1, 1, -1, 1])
    (calm,) = crossed(DEPTH, {"a": 0 * DEPTH, "b": 2 * (1.01 - DEPTH)}, (0.003, 0.004))
    (found,) = crossed(DEPTH, {"a": 0 * DEPTH, "b": 2 * (1.01 - DEPTH) + scatter}, (0.003, 0.004))
    design = np.vander(DEPTH, 3)
    residual = scatter - design @ np.linalg.lstsq(design, scatter)[0]
    enlarged = np.sqrt(np.sum((residual / 0.005) ** 2) / 4)
    assert found.error / calm.error == pytest.approx(enlarged, rel=0.1)  # the slope differs a little


def test_contexts_without_error_bars_do_not_count():
    error = np.where(DEPTH == 1.0, np.nan, 0.01)
    gap = np.where(DEPTH == 1.0, -5.0, 1.07 - DEPTH)
    (found,) = crossed(DEPTH, {"a": 0 * gap, "b": gap}, (0.01, error))
    assert found.value == pytest.approx(1.07, abs=1e-12)


def test_models_that_do_not_cross():
    assert crossed(DEPTH, {"a": 0 * DEPTH, "b": 1 + DEPTH}, (0.1, 0.1)) == []
