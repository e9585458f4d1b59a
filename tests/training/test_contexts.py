"""Which contexts are drawn, and which walkers serve them."""

import itertools

import numpy as np
import pytest

from qernel.config import Stage
from qernel.training.contexts import draw_contexts, is_redraw, reassign, stage_at

DEPTH = ((0.5, 2.0),)
PLANE = ((0.5, 2.0), (-0.5, 0.5))


@pytest.mark.parametrize("count", [1, 4, 16])
def test_every_stratum_is_used_once_in_each_parameter(count):
    draw, weights = draw_contexts(PLANE, count, seed=3, step=500)
    np.testing.assert_allclose(weights, 1)
    assert draw.shape == (count, 2)
    for column, (low, high) in zip(draw.T, PLANE, strict=True):
        strata = np.floor((column - low) / (high - low) * count).astype(int)
        assert sorted(strata) == list(range(count))


def test_second_parameter_is_shuffled_against_the_first():
    draw, _ = draw_contexts(PLANE, 64, seed=0, step=0)
    assert abs(np.corrcoef(draw.T)[0, 1]) < 0.4  # three standard deviations


def test_draws_fill_the_range_evenly():
    draws = np.concatenate([draw_contexts(DEPTH, 2, 0, step)[0] for step in range(4000)])
    counts, _ = np.histogram(draws, bins=10, range=(0.5, 2.0))
    # Stratified: at most binomial fluctuations about 800
    assert np.all(abs(counts - 800) < 5 * np.sqrt(800))


def test_a_value_is_drawn_as_it_is():
    draw, _ = draw_contexts(((1.05, 1.05), (0.0, 1.0)), 3, 0, 0)
    np.testing.assert_array_equal(draw[:, 0], [1.05] * 3)


def test_draws_depend_on_seed_and_step_alone():
    draw, again, otherwise, later = (
        draw_contexts(DEPTH, 4, seed, step)[0] for seed, step in ((7, 100), (7, 100), (8, 100), (7, 101))
    )
    np.testing.assert_array_equal(draw, again)
    assert np.all(draw != otherwise)
    assert np.all(draw != later)


def test_no_parameters_give_one_empty_context():
    draw, weights = draw_contexts((), 1, 0, 0)
    assert draw.shape == (1, 0)
    np.testing.assert_array_equal(weights, 1)


UNEVEN = np.array([[0.5, 0.5, 3.0, 0.5, 0.5], [2.0, 0.5, 0.5, 0.5, 1.5]])


def test_more_contexts_are_drawn_where_the_density_is_higher():
    draw, _ = draw_contexts(DEPTH, 20, 0, 0, UNEVEN[:1])
    counts, _ = np.histogram(draw, bins=5, range=DEPTH[0])
    np.testing.assert_array_equal(counts, [2, 2, 12, 2, 2])


@pytest.mark.parametrize("ranges", [DEPTH, PLANE])
def test_weighted_means_are_those_over_the_ranges(ranges):
    def function(draw):
        return np.prod([np.exp(column) + column**2 for column in draw.T], axis=0)

    means = []
    for step in range(4000):
        draw, weights = draw_contexts(ranges, 4, 1, step, UNEVEN[: len(ranges)])
        means.append(np.mean(weights * function(draw)))
        if len(ranges) == 1:
            assert np.mean(weights) == pytest.approx(1)
    exact = np.prod(
        [(np.exp(high) - np.exp(low) + (high**3 - low**3) / 3) / (high - low) for low, high in ranges]
    )
    assert np.mean(means) == pytest.approx(exact, abs=4 * np.std(means) / np.sqrt(len(means)))


STAGES = (Stage(steps=5, contexts=4), Stage(steps=4, contexts=16))


def test_stages_follow_one_another():
    found = [(STAGES.index(stage), begin) for stage, begin in (stage_at(STAGES, step) for step in range(9))]
    assert found == [(0, 0)] * 5 + [(1, 5)] * 4
    with pytest.raises(IndexError):
        stage_at(STAGES, 9)


def test_contexts_are_redrawn_when_a_stage_begins_and_every_so_often_in_it():
    assert [step for step in range(9) if is_redraw(STAGES, step, 2)] == [0, 2, 4, 5, 7]


def labelled(contexts, walkers):
    """Walkers that carry their own number as position, (context, walker, 1, 2)."""
    numbers = np.arange(contexts * walkers, dtype=float).reshape(contexts, walkers, 1, 1)
    return np.broadcast_to(numbers, (contexts, walkers, 1, 2)).copy()


def test_more_contexts_and_back_use_all_walkers_once():
    old, new = (draw_contexts(DEPTH, count, 0, 0)[0] for count in (4, 16))
    scale = np.array([1.5])
    walkers = labelled(4, 16)
    finer, served = reassign(walkers, old, new, scale)
    assert finer.shape == (16, 4, 1, 2)
    # Strata are nested: each new context lies in the stratum of its nearest old one.
    np.testing.assert_array_equal(served, np.repeat(np.arange(4), 4))
    np.testing.assert_array_equal(np.sort(finer[..., 0].ravel()), np.arange(64))
    coarser, served = reassign(finer, new, old, scale)
    assert coarser.shape == walkers.shape
    np.testing.assert_array_equal(np.sort(coarser[..., 0], axis=1), np.sort(walkers[..., 0], axis=1))


def test_walkers_go_to_the_nearest_contexts():
    # Brute force over all assignments of three to three
    random = np.random.default_rng(1)
    scale = np.array([1.5, 1.0])
    old, new = random.uniform(size=(2, 3, 2)) * scale
    moved, served = reassign(labelled(3, 2), old, new, scale)
    cost = (((old[:, None] - new[None]) / scale) ** 2).sum(axis=-1)
    best = min(itertools.permutations(range(3)), key=lambda p: sum(cost[p[i], i] for i in range(3)))
    np.testing.assert_array_equal(served, best)
    np.testing.assert_array_equal(moved[:, :, 0, 0] // 2, np.array(best)[:, None] * [1, 1])


def test_counts_that_do_not_divide_each_other():
    old, new = (draw_contexts(DEPTH, count, 0, 0)[0] for count in (2, 3))
    moved, _ = reassign(labelled(2, 6), old, new, np.array([1.5]))
    assert moved.shape == (3, 4, 1, 2)
    np.testing.assert_array_equal(np.sort(moved[..., 0].ravel()), np.arange(12))
    # The middle context is served by both sides.
    assert {value // 6 for value in moved[1, :, 0, 0]} == {0.0, 1.0}


def test_sectors_share_the_contexts_and_the_range_evenly():
    draw, weights = draw_contexts(PLANE, 12, seed=3, step=500, sectors=3)
    assert draw.shape == (12, 3)
    np.testing.assert_allclose(weights, 1)
    order = np.argsort(draw[:, 0])
    for begin in range(0, 12, 3):
        assert sorted(draw[order[begin : begin + 3], 2]) == [0, 1, 2]
    one, _ = draw_contexts(PLANE, 1, seed=3, step=500, sectors=3)  # as `qernel plan` times one
    assert one.shape == (1, 3)
    without, _ = draw_contexts(PLANE, 12, seed=3, step=500)
    np.testing.assert_array_equal(draw[:, :2], without)
