"""Central differences against the forward Laplacian, and what is said where they disagree."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qernel.batching import walker_mesh
from qernel.config import UserError
from qernel.estimators.by_differences import check_local_energies, local_energies_by_differences
from qernel.estimators.local_energy import local_energies
from qernel.hamiltonian.hamiltonian import couplings_of
from qernel.laplacian import interpreter, rules
from qernel.measurement import Effort, Measurement
from qernel.sampling import initial_walkers
from qernel.training.loop import initial_state, train


@pytest.fixture
def suspected(monkeypatch):
    """The CPU is checked as other devices are."""
    for user in ("training.loop", "measurement"):
        monkeypatch.setattr(f"qernel.{user}.is_trusted", lambda: False)


@pytest.fixture
def wrong_rule(monkeypatch):
    """The Laplacian of softmax lacks a part, as where a compiler gets it wrong."""

    def softmax(x):
        return [rules.softmax(x)._replace(laplacian=x.laplacian)]

    monkeypatch.setitem(interpreter._WHOLE, "softmax", softmax)
    jax.clear_caches()
    yield
    jax.clear_caches()


def test_differences_are_the_forward_laplacian(ansatz):
    count = len(ansatz.electrons)
    contexts = jnp.full((1, len(ansatz.hamiltonian.family.names)), 1.2)
    couplings = couplings_of(ansatz.hamiltonian, contexts, jnp.float64)
    expected = local_energies(
        ansatz.model, ansatz.hamiltonian, ansatz.electrons[None], couplings, walker_mesh(count), count
    )
    at_each = jax.tree.map(lambda x: jnp.repeat(x, count, axis=0), couplings)
    found, kinetic = local_energies_by_differences(
        ansatz.model, ansatz.hamiltonian, ansatz.electrons, at_each
    )
    off = np.abs(found - expected.total[0]) / (1 + np.abs(kinetic))
    assert np.median(off) < 1e-6
    np.testing.assert_allclose(kinetic.real, expected.components[0, :, 0], rtol=1e-3)


def test_a_sound_device_passes(suspected, tiny):
    config = tiny()
    steps = list(train(config, initial_state(config)))
    assert len(steps) == config.training.steps


def test_training_says_that_a_device_is_wrong(suspected, wrong_rule, tiny):
    config = tiny()
    with pytest.raises(UserError, match="of the kinetic energy"):
        next(train(config, initial_state(config)))


def test_a_measurement_says_that_a_device_is_wrong(suspected, wrong_rule, generic, tiny):
    model, hamiltonian = generic(tiny())
    effort = Effort(walkers=8, equilibration=2, samples=4, moves=2, observables=())
    walkers = initial_walkers(
        jax.random.key(5), hamiltonian.supercell, hamiltonian.electrons, 2, effort.walkers, jnp.float64
    )
    measurement = Measurement(hamiltonian, effort, jnp.float64, microbatch=8)
    with pytest.raises(UserError, match="off by"):
        measurement(model, walkers, np.array([[1.0], [1.5]]), jax.random.key(0))


def test_energies_that_are_not_numbers_do_not_pass(generic, tiny, scattered):
    model, hamiltonian = generic(tiny())
    electrons = np.asarray(scattered(hamiltonian, 4))[None]
    with pytest.raises(UserError, match="off by nan"):
        check_local_energies(model, hamiltonian, jnp.ones((1, 1)), electrons, np.full((1, 4), np.nan + 0j))


@pytest.mark.parametrize("shape", [(1, 8), (8, 1)])
def test_walkers_and_contexts_from_all_over_are_checked(generic, tiny, scattered, shape):
    model, hamiltonian = generic(tiny())
    electrons, contexts = scattered(hamiltonian, 8), jnp.full((shape[0], 1), 1.2)
    couplings = couplings_of(hamiltonian, jnp.full((8, 1), 1.2), jnp.float64)
    energies, _ = local_energies_by_differences(model, hamiltonian, electrons, couplings)
    right = np.asarray(energies).reshape(shape)
    half_wrong = np.where(np.arange(8).reshape(shape) < 4, right, 3 * right)
    placed = np.asarray(electrons).reshape(*shape, -1, 2)
    check_local_energies(model, hamiltonian, contexts, placed, right)
    with pytest.raises(UserError, match="off by"):
        check_local_energies(model, hamiltonian, contexts, placed, half_wrong)
