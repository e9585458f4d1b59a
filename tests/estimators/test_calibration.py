"""Error bars of short runs on a density whose mean is known."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import i0, i1

from qernel.batching import walker_mesh
from qernel.estimators.statistics import Accumulator, jackknife
from qernel.hamiltonian.hamiltonian import couplings_of
from qernel.lattice import supercell_of
from qernel.sampling import Walkers, initial_walkers, langevin
from qernel.wavefunction.base import LogPsi, Wavefunction

RUNS, WALKERS, SAMPLES = 400, 128, 40
STRENGTH = 0.8


class VonMises(Wavefunction):
    """log|psi| = (a / 2) cos B1.r: <cos B1.r> = I1(a) / I0(a)."""

    def __call__(self, electrons, couplings):
        angle = electrons[0] @ jnp.asarray(supercell_of(1).reciprocal[0])
        return LogPsi(STRENGTH / 2 * jnp.cos(angle), jnp.zeros(()))


@pytest.fixture(scope="module")
def runs(system):
    """cos B1.r of 400 independent runs as so many contexts: (sample, run, walker)."""
    cell = supercell_of(1)
    hamiltonian = system(cell, (1, 0))
    couplings = couplings_of(hamiltonian, jnp.zeros((RUNS, 0)), jnp.float64)
    start = initial_walkers(jax.random.key(0), cell, 1, RUNS, WALKERS, jnp.float64)
    walkers, mesh = Walkers(start.electrons, jnp.full(RUNS, 0.2)), walker_mesh(WALKERS)

    @eqx.filter_jit
    def sample(walkers, key):
        walkers, _, acceptance = langevin(VonMises(), walkers, couplings, key, 1, cell, mesh, 32)
        return walkers, jnp.cos(walkers.electrons[:, :, 0] @ jnp.asarray(cell.reciprocal[0])), acceptance

    values = []
    for step in range(40 + SAMPLES):
        walkers, cosines, _ = sample(walkers, jax.random.key(step))
        if step >= 40:
            values.append(np.asarray(cosines))
    return np.array(values)


def coverage(pulls):
    return np.mean(abs(pulls) < 0.9945), np.mean(abs(pulls) < 1.96)


def test_intervals_cover_what_they_say(runs):
    accumulators = [Accumulator(SAMPLES) for _ in range(RUNS)]
    for values in runs:
        for accumulator, each in zip(accumulators, values, strict=True):
            accumulator.add(each)
    found = [accumulator.estimate() for accumulator in accumulators]
    autocorrelation = np.mean([each.autocorrelation for each in found])
    assert autocorrelation > 2  # else this would test nothing but the scatter of independent numbers
    exact = i1(STRENGTH) / i0(STRENGTH)
    pulls = np.array([(each.mean - exact) / each.error for each in found])
    # 400 runs determine the two to 2.3 and 1.1 percent.
    two_thirds, most = coverage(pulls)
    assert 0.63 <= two_thirds <= 0.73
    assert 0.93 <= most <= 0.97
    assert abs(np.mean(pulls)) < 4 / math.sqrt(RUNS)


def test_intervals_of_a_variance_cover_what_they_say(runs):
    """Nonlinear in the means, by the jackknife: <cos^2> = 1 - I1(a) / (a I0(a))."""
    exact = 1 - i1(STRENGTH) / i0(STRENGTH) / STRENGTH - (i1(STRENGTH) / i0(STRENGTH)) ** 2
    means, squares = runs.mean(axis=0), (runs**2).mean(axis=0)
    found = [jackknife(lambda m, s: s - m**2, m, s) for m, s in zip(means, squares, strict=True)]
    pulls = np.array([(value - exact) / error for value, error in found])
    two_thirds, most = coverage(pulls)
    assert 0.63 <= two_thirds <= 0.73
    assert 0.93 <= most <= 0.97


def test_without_the_autocorrelation_intervals_would_cover_too_little(runs):
    exact = i1(STRENGTH) / i0(STRENGTH)
    flat = runs.transpose(1, 0, 2).reshape(RUNS, -1)
    naive = (flat.mean(axis=1) - exact) / (flat.std(axis=1) / math.sqrt(flat.shape[1]))
    assert coverage(naive)[0] < 0.6
