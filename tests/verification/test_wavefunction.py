"""Broken ansätze are caught: no antisymmetry, wrong period."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qernel.lattice import Supercell
from qernel.verification.wavefunction import check_wavefunction
from qernel.wavefunction.base import LogPsi, Wavefunction


class Broken(Wavefunction):
    """psi times a smooth function of the first electron alone."""

    inner: Wavefunction

    def __call__(self, electrons, couplings):
        log_abs, phase = self.inner(electrons, couplings)
        first = electrons[0] @ jnp.asarray(Supercell(((1, 0), (0, 1))).reciprocal[0], electrons.dtype)
        return LogPsi(log_abs + 0.1 * jnp.cos(first), phase)


class Symmetrized(Wavefunction):
    """|psi|: bosons."""

    inner: Wavefunction

    def __call__(self, electrons, couplings):
        log_abs, phase = self.inner(electrons, couplings)
        return LogPsi(log_abs, jnp.zeros_like(phase))


def verdicts(model, hamiltonian):
    couplings = hamiltonian.family.couplings(jnp.array([1.2]))
    electrons = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3, 2)))
    checks = check_wavefunction("group", model, hamiltonian, couplings, electrons, 1e-8)
    return [check.passed for check in checks]


@pytest.fixture(scope="module")
def model(tiny, generic):
    return generic(tiny())


def test_right_wavefunction_passes(model):
    assert verdicts(*model) == [True, True]


def test_missing_antisymmetry_is_caught(model):
    wavefunction, hamiltonian = model
    assert verdicts(Broken(wavefunction), hamiltonian)[0] is False
    assert verdicts(Symmetrized(wavefunction), hamiltonian)[0] is False


def test_wrong_period_is_caught(model):
    wavefunction, hamiltonian = model
    # Made for a supercell of twice the length, told that it lives in the smaller one
    (a, b), (c, d) = hamiltonian.supercell.matrix
    larger = Supercell(((2 * a, 2 * b), (c, d)))
    features = type(wavefunction.features)(
        larger, wavefunction.features.spins, wavefunction.features.moire_harmonics, True
    )
    wrong = eqx.tree_at(
        lambda m: (m.features, m.embed.weight),
        wavefunction,
        (features, jax.random.normal(jax.random.key(0), (features.size, 8), jnp.float64)),
    )
    assert verdicts(wrong, hamiltonian)[1] is False
