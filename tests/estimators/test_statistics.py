"""Error bars calibrated on chains whose autocorrelation is known."""

import math

import numpy as np
import pytest

from qernel.estimators.statistics import (
    Accumulator,
    estimate,
    jackknife,
    jackknife_samples,
    series_estimate,
    skewness_factor,
)


def autoregressive(correlation: float, steps: int, *shape: int, seed: int = 0) -> np.ndarray:
    """x_t = rho x_{t-1} + sqrt(1 - rho^2) noise: mean 0, variance 1, tau = (1 + rho) / (1 - rho)."""
    noise = np.random.default_rng(seed).normal(size=(steps, *shape))
    chain = noise.copy()
    for t in range(1, steps):
        chain[t] = correlation * chain[t - 1] + math.sqrt(1 - correlation**2) * noise[t]
    return chain


@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_intervals_of_one_error_cover_68_percent(correlation):
    # 2000 repetitions determine the coverage to 1 percent; 31 degrees of freedom make it 67.5.
    result = estimate(autoregressive(correlation, 60, 32, 2000))
    covered = np.mean(abs(result.mean) < result.error)
    assert 0.645 < covered < 0.705


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.8])
def test_autocorrelation_and_effective_samples(correlation):
    result = estimate(autoregressive(correlation, 400, 64, 50))
    tau = (1 + correlation) / (1 - correlation)
    # Each of the 50 variances of 64 walkers is known to 18%; the mean of 50 to 2.5%.
    assert np.mean(result.autocorrelation) == pytest.approx(tau, rel=0.1)
    assert np.mean(1 / result.effective) * 400 * 64 == pytest.approx(tau, rel=0.1)


def test_estimates_keep_the_shape_of_the_quantity():
    samples = np.random.default_rng(0).normal(size=(10, 8, 2, 3)) + np.arange(3)
    result = estimate(samples)
    assert all(field.shape == (2, 3) for field in result)
    np.testing.assert_allclose(result.mean, samples.mean(axis=(0, 1)), rtol=1e-12)


def test_constant_quantity_has_no_error():
    result = estimate(np.full((10, 8), 3.0))
    assert result.mean == 3.0
    assert result.error == 0.0
    assert result.r_hat == 1.0


@pytest.mark.parametrize("copies", [4, 16])
def test_copies_of_a_walker_count_once(copies):
    distinct = autoregressive(0.5, 200, 8, 300)
    result = estimate(np.repeat(distinct, copies, axis=1))
    # Eight distinct walkers: Student's t with 7 degrees of freedom covers 65%; 300 repetitions, 3% each.
    assert 0.56 < np.mean(abs(result.mean) < result.error) < 0.74
    assert np.median(result.effective) == pytest.approx(200 * 8 / 3, rel=0.25)


def test_copies_of_a_single_walker_have_the_error_of_one():
    result = estimate(np.repeat(autoregressive(0.0, 200, 1, 300), 16, axis=1))
    assert np.median(result.error) == pytest.approx(1 / math.sqrt(200), rel=0.05)
    assert np.median(result.effective) == pytest.approx(200, rel=0.05)


def test_jackknife_of_copies_counts_them_once():
    # <x^2> of eight distinct walkers: tau of x^2 is (1 + rho^2) / (1 - rho^2), its variance 2
    distinct, errors = autoregressive(0.5, 200, 8, 100), []
    for index in range(100):
        samples = Accumulator(200)
        for values in np.repeat(distinct[..., index], 8, axis=1):
            samples.add(values**2)
        errors.append(jackknife_samples(lambda square: square, samples)[1])
    assert np.median(errors) == pytest.approx(math.sqrt(2 * (1.25 / 0.75) / 1600), rel=0.15)


def test_jackknife_of_a_single_walker_has_no_error():
    samples = Accumulator(200)
    for values in np.repeat(autoregressive(0.5, 200, 1), 8, axis=1):
        samples.add(values)
    assert np.isnan(jackknife_samples(lambda mean: mean**2, samples)[1])


def test_r_hat_of_what_is_not_a_number_is_none():
    samples = autoregressive(0.5, 40, 6)
    samples[7, 2] = np.nan
    assert np.isnan(estimate(samples).r_hat)


def test_independent_walkers_are_not_taken_for_correlated_ones():
    samples = autoregressive(0.8, 60, 32, 2000)
    scatter = samples.mean(axis=0).std(axis=0, ddof=1) / math.sqrt(32)
    assert np.mean(estimate(samples).error > 1.01 * scatter) < 0.01


def test_r_hat_is_near_one_for_walkers_that_mix():
    assert abs(estimate(autoregressive(0.5, 500, 16)).r_hat - 1) < 0.02


def test_r_hat_by_its_definition():
    samples = autoregressive(0.7, 40, 6)
    chains = np.concatenate([samples[:20], samples[20:]], axis=1)
    within, between = chains.var(axis=0, ddof=1).mean(), chains.mean(axis=0).var(ddof=1)
    assert estimate(samples).r_hat == pytest.approx(
        math.sqrt((19 / 20 * within + between) / within), rel=1e-12
    )


@pytest.mark.parametrize("correlation", [0.3, 0.8])
def test_r_hat_of_short_chains_says_how_slow_they_are(correlation):
    # sqrt((n - 1) / (n - tau)), n tau being the variance of a sum of n, in units of one's: docs/sweeps.md
    n, lags = 10, np.arange(1, 10)
    tau = 1 + 2 * np.sum((1 - lags / n) * correlation**lags)
    found = estimate(autoregressive(correlation, 2 * n, 4000)).r_hat
    assert found == pytest.approx(math.sqrt((n - 1) / (n - tau)), rel=0.01)


def test_r_hat_sees_a_stuck_walker():
    samples = autoregressive(0.5, 500, 16)
    samples[:, 3] = 4.0
    assert estimate(samples).r_hat > 1.1


def test_r_hat_sees_a_drift_common_to_all_walkers():
    samples = autoregressive(0.5, 500, 16) + np.linspace(0, 3, 500)[:, None]
    assert estimate(samples).r_hat > 1.1


def test_r_hat_of_too_few_samples_is_unknown():
    assert np.isnan(estimate(np.zeros((3, 4))).r_hat)


def test_jackknife_of_a_ratio():
    # <x> / <y> with independent x, y of means 2 and 4, variances 1, 64 walkers of 10 samples:
    # error sqrt(1/16 + 4/256) / sqrt(640); without the jackknife the bias is 0.5 / 16 / 640.
    random = np.random.default_rng(3)
    values, errors = [], []
    for _ in range(400):
        x, y = 2 + random.normal(size=(10, 64)), 4 + random.normal(size=(10, 64))
        value, error = jackknife(np.divide, x.mean(axis=0), y.mean(axis=0))
        values.append(value)
        errors.append(error)
    exact = math.sqrt((1 / 16 + 4 / 256) / 640)
    assert np.mean(errors) == pytest.approx(exact, rel=0.05)
    assert np.std(values) == pytest.approx(exact, rel=0.12)
    assert abs(np.mean(values) - 0.5) < 4 * exact / 20


def test_jackknife_of_a_mean_is_its_scatter():
    means = np.random.default_rng(0).normal(size=(16, 3))
    value, error = jackknife(lambda m: m, means)
    np.testing.assert_allclose(value, means.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(error, means.std(axis=0, ddof=1) / 4, rtol=1e-12)


def test_intervals_of_skewed_values_are_wide_enough():
    # Sums of four exponential numbers: skewness 1. 3000 repetitions determine 95% to 0.4 percent.
    random, exact = np.random.default_rng(1), 4.0
    values = random.exponential(size=(4, 24, 3000)).sum(axis=0)
    covered = {}
    for skewed in (False, True):
        mean, error = jackknife(lambda m: m, values, skewed=skewed)
        covered[skewed] = [np.mean(abs(mean - exact) < z * error) for z in (0.9945, 1.96)]
    assert covered[False][1] < 0.935
    assert covered[True][1] == pytest.approx(0.95, abs=0.012)
    assert covered[True][0] == pytest.approx(0.68, abs=0.035)


def test_symmetric_values_need_no_more_than_students_t():
    values = np.random.default_rng(2).normal(size=(200, 500))
    z = 1.96
    assert np.mean(skewness_factor(values)) == pytest.approx(1 + (z**2 + 1) / 4 / 200, abs=5e-4)


@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_errors_of_one_series_are_calibrated(correlation):
    chains = autoregressive(correlation, 3000, 400)
    results = np.array([series_estimate(chain) for chain in chains.T])
    covered = np.mean(abs(results[:, 0]) < results[:, 1])
    # 400 repetitions determine the coverage to 2.3 percent.
    assert 0.62 < covered < 0.74
    tau = (1 + correlation) / (1 - correlation)
    assert np.median(results[:, 1]) == pytest.approx(math.sqrt(tau / 3000), rel=0.1)


def test_series_too_short_or_constant():
    mean, error = series_estimate(np.array([2.0]))
    assert mean == 2.0
    assert math.isnan(error)
    assert series_estimate(np.full(10, 2.0)) == (2.0, 0.0)


def test_the_error_is_the_scatter_of_walkers_means():
    samples = np.random.default_rng(0).normal(size=(10, 4))
    error = samples.mean(axis=0).std(ddof=1) / 2
    assert estimate(samples).error == pytest.approx(error, rel=1e-12)


def test_of_several_quantities_the_most_dependent_walkers_count():
    random = np.random.default_rng(0)
    copies, free = np.repeat(random.normal(size=(200, 4)), 8, axis=1), random.normal(size=(200, 32))
    accumulators = []
    for samples in (copies, free):
        accumulators.append(Accumulator(200))
        for each in samples:
            accumulators[-1].add(each)
    _, error = jackknife_samples(lambda a: a, accumulators[0])
    for first, second in (accumulators, accumulators[::-1]):
        _, together = jackknife_samples(lambda a, b: a + 1e-9 * b, first, second)
        if first is accumulators[0]:
            assert together == pytest.approx(error, rel=1e-3)
        else:
            _, alone = jackknife_samples(lambda a: a, first)
            assert together > 1.5 * alone
