"""Means with honest errors from Markov chains."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

_SHORTEST = 20  # samples from which correlations between walkers can be seen


class Estimate(NamedTuple):
    """A mean and how far to trust it. Arrays share the shape of the estimated quantity.

    `autocorrelation` is the integrated autocorrelation time in samples, times the walkers per independent
    one; `effective` the number of independent samples; `r_hat` the split Gelman-Rubin ratio (near 1 when
    walkers agree, not a number where a sample was none).
    """

    mean: np.ndarray
    error: np.ndarray
    autocorrelation: np.ndarray
    effective: np.ndarray
    r_hat: np.ndarray


class Accumulator:
    """Samples of one quantity, taken in step by step; of each, only the average over walkers is kept.

    The error is the scatter of the walkers' time averages over sqrt(walkers). It needs no model of the
    autocorrelation within a walker. That walkers are independent of each other is checked: the average
    over walkers must fluctuate in time by 1/sqrt(walkers) of what one walker does. Where it fluctuates
    more, beyond what chance allows, the error grows with it (copies of one walker count once).
    """

    def __init__(self, steps: int):
        """`steps` is the number of samples to come, which the two halves of split R-hat are cut from."""
        self._steps, self._taken = steps, 0
        self._sums: np.ndarray | None = None  # (half, walker, ...)
        self._squares = np.zeros(())  # of the sums' shape
        self._first = np.zeros(())  # average over walkers, and of what later ones are beyond it
        self._fluctuations = np.zeros((2, 1))  # the sum and the sum of squares

    def add(self, values: np.ndarray) -> None:
        """One sample (walker, ...) of every walker."""
        values = np.asarray(values, float)
        if self._sums is None:
            self._sums, self._squares = np.zeros((2, 2, *values.shape))
            self._first, self._fluctuations = values.mean(axis=0), np.zeros((2, *values.shape[1:]))
        half = int(self._taken >= self._steps // 2)
        self._sums[half] += values
        self._squares[half] += values**2
        beyond = values.mean(axis=0) - self._first
        self._fluctuations += np.stack([beyond, beyond**2])
        self._taken += 1

    @property
    def walker_means(self) -> np.ndarray:
        """Each walker's time average, (walker, ...)."""
        assert self._sums is not None, "no sample yet"
        return self._sums.sum(axis=0) / self._taken

    def estimate(self) -> Estimate:
        """The mean over time and walkers, and its error."""
        mean, variance, correlated = self._moments()
        sharing = self._sharing(variance, correlated)
        # Copies of a single walker have means without scatter: as if it forgot at once.
        correlated = np.where(sharing > 1, np.maximum(correlated, 1.0), correlated) * sharing
        error = np.sqrt(variance * correlated / self._count)
        autocorrelation = np.maximum(correlated, 1.0 / self._taken)
        results = mean, error, autocorrelation, self._count / autocorrelation, self._split_r_hat()
        return Estimate(*(np.asarray(result) for result in results))

    @property
    def sharing(self) -> np.ndarray:
        """Walkers per independent walker: 1 unless they are correlated beyond four standard deviations."""
        _, variance, correlated = self._moments()
        return self._sharing(variance, correlated)

    def _sharing(self, variance: np.ndarray, correlated: np.ndarray) -> np.ndarray:
        if self._taken < _SHORTEST:
            return np.ones_like(variance)
        first, second = self._fluctuations / self._taken
        unit = np.where(variance == 0, 1.0, variance)
        sharing = (second - first**2) * (self._count / self._taken) / unit
        chance = np.sqrt(2 * np.maximum(correlated, 1.0) / self._taken)
        return np.where((variance != 0) & (sharing > 1 + 4 * chance), sharing, 1.0)

    @property
    def _count(self) -> int:
        assert self._sums is not None, "no sample yet"
        return self._taken * self._sums.shape[1]

    def _moments(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean, variance of a sample, 0 but for rounding, and what correlations in time multiply it with."""
        assert self._sums is not None, "no sample yet"
        means = self.walker_means
        mean, squares = np.asarray(means.mean(axis=0)), self._squares.sum(axis=(0, 1)) / self._count
        variance = np.maximum(squares - mean**2, 0) * self._count / max(self._count - 1, 1)
        variance = np.where(variance <= 1e-14 * squares, 0.0, variance)
        unit = np.where(variance == 0, 1.0, variance)
        correlated = np.where(variance == 0, 1.0, self._taken * means.var(axis=0, ddof=1) / unit)
        return mean, variance, correlated

    def _split_r_hat(self) -> np.ndarray:
        """Gelman-Rubin ratio of half-chains: sqrt of total over within-chain variance."""
        assert self._sums is not None
        first = self._steps // 2
        if self._taken != self._steps or first < 2:
            return np.full(self._sums.shape[2:], np.nan)
        lengths = np.array([first, self._steps - first]).reshape(2, *[1] * (self._sums.ndim - 1))
        averages = self._sums / lengths
        spread = np.maximum(self._squares / lengths - averages**2, 0) * lengths / (lengths - 1)
        within = spread.mean(axis=(0, 1))
        between = averages.reshape(-1, *averages.shape[2:]).var(axis=0, ddof=1)
        total = (first - 1) / first * within + between
        return np.asarray(np.sqrt(np.where(within == 0, 1.0, total / np.where(within == 0, 1.0, within))))


def estimate(samples: np.ndarray) -> Estimate:
    """Estimate from samples (time, walker, ...), as `Accumulator` does."""
    accumulator = Accumulator(len(samples))
    for values in samples:
        accumulator.add(values)
    return accumulator.estimate()


def jackknife(
    function: Callable[..., np.ndarray], *walker_means: np.ndarray, skewed: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """A function of several means, and its error, by leaving out one walker at a time.

    `walker_means` are time averages (walker, ...) of the same walkers; `function` takes their averages.
    The bias of first order in 1/walkers is removed. With `skewed` the error is wider where few walkers
    contribute much (see `skewness_factor`), as they do to a variance.
    """
    walkers = len(walker_means[0])
    totals = [means.sum(axis=0) for means in walker_means]
    whole = function(*(t / walkers for t in totals))
    pseudo = np.stack(
        [
            walkers * whole
            - (walkers - 1)
            * function(*((t - m[w]) / (walkers - 1) for t, m in zip(totals, walker_means, strict=True)))
            for w in range(walkers)
        ]
    )
    error = pseudo.std(axis=0, ddof=1) / math.sqrt(walkers)
    wider = skewness_factor(pseudo) if skewed else 1.0
    return np.asarray(pseudo.mean(axis=0)), np.asarray(wider * error)


def jackknife_samples(
    function: Callable[..., np.ndarray], *samples: Accumulator, skewed: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """`jackknife` of the means of samples; as theirs, the error grows where walkers share what they do.

    Of copies of a single walker it is not a number.
    """
    value, error = jackknife(function, *(each.walker_means for each in samples), skewed=skewed)
    sharing = max(float(np.mean(each.sharing)) for each in samples)
    return value, np.where((error == 0) & (sharing > 1), np.nan, math.sqrt(sharing) * error)


def skewness_factor(values: np.ndarray) -> np.ndarray:
    """How much wider an interval of 1.96 standard errors of a mean over (walker, ...) has to be, at least 1.

    Where no outlier was drawn, a mean of positively skewed values is too low *and* its error too small. To
    first order in 1/walkers, with skewness g and excess kurtosis k, intervals of z errors miss by 2 phi(z)/n
    times (g^2/18)(z^5 + 2z^3 - 3z) - (k/12)(z^3 - 3z) + (z^3 + z)/4 (Hall, The Bootstrap and Edgeworth
    Expansion, Springer 1992, section 2.6).
    """
    z, count = 1.96, len(values)
    centred = values - values.mean(axis=0)
    square = np.mean(centred**2, axis=0)
    unit = np.where(square > 0, square, 1.0)
    skewness = np.mean(centred**3, axis=0) / unit**1.5
    kurtosis = np.mean(centred**4, axis=0) / unit**2 - 3.0
    lacking = skewness**2 / 18 * (z**5 + 2 * z**3 - 3 * z) - kurtosis / 12 * (z**3 - 3 * z)
    return np.asarray(1.0 + np.maximum(lacking + (z**3 + z) / 4, 0.0) / (count * z))


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
