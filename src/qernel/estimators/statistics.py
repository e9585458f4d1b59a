"""Means with honest errors from Markov chains."""

import math
from typing import NamedTuple

import numpy as np


class Estimate(NamedTuple):
    """A mean and how far to trust it. Arrays share the shape of the estimated quantity.

    `autocorrelation` is the integrated autocorrelation time in samples, `effective` the number of
    independent samples, `r_hat` the split Gelman-Rubin ratio (near 1 when walkers agree).
    """

    mean: np.ndarray
    error: np.ndarray
    autocorrelation: np.ndarray
    effective: np.ndarray
    r_hat: np.ndarray


def estimate(samples: np.ndarray) -> Estimate:
    """Estimate from samples (time, walker, ...) of independent walkers.

    The error is the scatter of the walkers' time averages over sqrt(walkers): it needs no model of the
    autocorrelation within a walker, only that walkers are independent of each other. The autocorrelation
    time then follows from comparing it with the naive error.
    """
    samples = np.asarray(samples, float)
    steps, walkers = samples.shape[:2]
    averages = samples.mean(axis=0)
    variance = samples.var(axis=(0, 1), ddof=1)
    error = averages.std(axis=0, ddof=1) / math.sqrt(walkers)
    naive = variance / (steps * walkers)
    correlated = np.where(naive > 0, error**2 / np.where(naive > 0, naive, 1.0), 1.0)
    autocorrelation = np.maximum(correlated, 1.0 / steps)
    effective = steps * walkers / autocorrelation
    return Estimate(averages.mean(axis=0), error, autocorrelation, effective, split_r_hat(samples))


def split_r_hat(samples: np.ndarray) -> np.ndarray:
    """Gelman-Rubin ratio of half-chains: sqrt of total over within-chain variance, (time, walker, ...)."""
    half = samples.shape[0] // 2
    if half < 2:
        return np.full(samples.shape[2:], np.nan)
    chains = np.concatenate([samples[:half], samples[half : 2 * half]], axis=1)
    within = chains.var(axis=0, ddof=1).mean(axis=0)
    between = chains.mean(axis=0).var(axis=0, ddof=1)
    total = (half - 1) / half * within + between
    return np.asarray(np.sqrt(np.where(within > 0, total / np.where(within > 0, within, 1.0), 1.0)))


def series_estimate(series: np.ndarray) -> tuple[float, float]:
    """Mean and error of one correlated series, e.g. of step averages during training.

    The integrated autocorrelation time tau sums the autocorrelation up to the first lag beyond 5 tau
    (Sokal's window); the error is sqrt(2 tau var / n) with tau = 1/2 for uncorrelated values.
    """
    series = np.asarray(series, float)
    count = len(series)
    if count < 2:
        return float(series.mean()), math.nan
    centred = series - series.mean()
    variance = float(np.mean(centred**2))
    if variance == 0:
        return float(series.mean()), 0.0
    tau = 0.5
    for lag in range(1, count // 2):
        tau += float(np.mean(centred[lag:] * centred[:-lag])) / variance
        if lag >= 5 * tau:
            break
    return float(series.mean()), math.sqrt(2 * max(tau, 0.5) * variance / (count - 1))
