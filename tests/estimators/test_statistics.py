"""Error bars calibrated on chains whose autocorrelation is known."""

import math

import numpy as np
import pytest

from qernel.estimators.statistics import estimate, series_estimate, split_r_hat


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


def test_r_hat_is_near_one_for_walkers_that_mix():
    assert abs(split_r_hat(autoregressive(0.5, 500, 16)) - 1) < 0.02


def test_r_hat_sees_a_stuck_walker():
    samples = autoregressive(0.5, 500, 16)
    samples[:, 3] = 4.0
    assert split_r_hat(samples) > 1.1


def test_r_hat_sees_a_drift_common_to_all_walkers():
    samples = autoregressive(0.5, 500, 16) + np.linspace(0, 3, 500)[:, None]
    assert split_r_hat(samples) > 1.1


def test_r_hat_of_too_few_samples_is_unknown():
    assert np.isnan(split_r_hat(np.zeros((3, 4))))


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
