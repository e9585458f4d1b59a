"""Overlaps of two states on a few points, where the sum over points is exact."""

import numpy as np
import pytest

from qernel.estimators.overlap import fidelity

RANDOM = np.random.default_rng(5)
PSI = RANDOM.normal(size=6) + 1j * RANDOM.normal(size=6)
PHI = PSI + 0.6 * (RANDOM.normal(size=6) + 1j * RANDOM.normal(size=6))
EXACT = abs(np.vdot(PSI, PHI)) ** 2 / np.vdot(PSI, PSI).real / np.vdot(PHI, PHI).real


def logs(random, steps=20, walkers=32, scale=1.0):
    """log(phi / psi) where |psi|^2 is sampled, and log(psi / phi) where |phi|^2 is."""
    found = []
    for here, there in ((PSI, scale * PHI), (scale * PHI, PSI)):
        weights = abs(here) ** 2 / np.sum(abs(here) ** 2)
        points = random.choice(6, size=(steps, walkers), p=weights)
        found.append(np.log(there[points] / here[points]))
    return found


def test_coverage_of_the_exact_overlap():
    random = np.random.default_rng(0)
    found = [fidelity(*logs(random)) for _ in range(400)]
    values, errors = np.array(found).T
    pulls = (values - EXACT) / errors
    assert 0.2 < EXACT < 0.9
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.12)
    assert 0.62 < np.mean(abs(pulls) < 1) < 0.74  # 400 repetitions: 2.3 percent
    assert abs(np.mean(values) - EXACT) < 4 * np.std(values) / 20


def test_norm_and_phase_of_either_state_do_not_matter():
    plain = fidelity(*logs(np.random.default_rng(1)))
    # e^800 is beyond double precision; log(phi) carries it without harm
    forward, backward = logs(np.random.default_rng(1))
    scaled = fidelity(forward + 800 + 0.3j, backward - 800 - 0.3j)
    np.testing.assert_allclose(scaled, plain, rtol=1e-9)


def test_equal_states_overlap_without_error():
    zero = np.zeros((5, 8), complex)
    value, error = fidelity(zero + 3 - 1j, zero - 3 + 1j)
    assert value == pytest.approx(1, abs=1e-12)
    assert error == pytest.approx(0, abs=1e-12)


def test_copies_of_walkers_count_once():
    forward, backward = logs(np.random.default_rng(2), steps=40)
    _, error = fidelity(forward, backward)
    value, repeated = fidelity(np.repeat(forward, 9, axis=1), np.repeat(backward, 9, axis=1))
    assert value == pytest.approx(fidelity(forward, backward).value, rel=1e-9)
    assert repeated == pytest.approx(error, rel=0.4)
