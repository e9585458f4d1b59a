"""The training loop: resuming, refusing, stopping, and arriving at an exact energy."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qernel.batching import walker_mesh
from qernel.config import UserError
from qernel.hamiltonian import make_hamiltonian
from qernel.hamiltonian.bands import filled_band_energy
from qernel.optimize import make_optimizer
from qernel.training import loop
from qernel.training.checkpoint import load_checkpoint, save_checkpoint
from qernel.training.contexts import draw_contexts
from qernel.training.loop import TrainingStopped, initial_state, train
from qernel.training.step import StepMetrics, make_optimization


@pytest.fixture(scope="module")
def straight(tiny):
    """Six steps of the tiny run without a break; contexts are redrawn before steps 0, 2 and 4."""
    config = tiny()
    return list(train(config, initial_state(config)))


def leaves(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_array))]


def assert_equal(first, second):
    for a, b in zip(leaves(first), leaves(second), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def test_steps_change_everything_and_report_it(straight):
    states, metrics = zip(*straight, strict=True)
    assert [int(state.step) for state in states] == [1, 2, 3, 4, 5, 6]
    assert all(np.any(a != b) for a, b in zip(leaves(states[4].model), leaves(states[5].model), strict=True))
    assert int(states[-1].refused) == 0
    for each in metrics:
        assert each.energy.shape == each.spread.shape == each.acceptance.shape == (2,)
        np.testing.assert_allclose(each.components.sum(axis=1), each.energy, rtol=1e-10)
        assert np.all((each.acceptance >= 0) & (each.acceptance <= 1))
        assert not each.refused
    assert 0.1 < np.mean([each.acceptance for each in metrics]) < 0.95


def test_spread_is_that_of_complex_local_energies(tiny, generic):
    """It vanishes for eigenstates alone: the real part may be constant where psi has a wrong phase."""
    config = tiny()
    model, hamiltonian = generic(config)
    state = eqx.tree_at(lambda s: s.model, initial_state(config), model)
    mesh, optimizer = walker_mesh(config.training.walkers // 2), make_optimizer(config.optimizer, hamiltonian)
    _, metrics, energies = make_optimization(config, hamiltonian, optimizer, mesh)(state, jnp.ones(2))
    unit = float(hamiltonian.family.couplings(state.contexts[0]).energy_unit) / hamiltonian.electrons
    squares = np.mean(np.abs(energies) ** 2, axis=1) - np.abs(np.mean(energies, axis=1)) ** 2
    np.testing.assert_allclose(metrics.spread, unit * np.sqrt(squares), rtol=1e-4)
    assert np.all(np.std(energies.imag, axis=1) > 0.1 * np.std(energies.real, axis=1))


def test_contexts_are_frozen_between_redraws(straight, tiny):
    ranges = list(tiny().contexts.values())
    for (state, _), drawn_at in zip(straight, [0, 0, 2, 2, 4, 4], strict=True):
        np.testing.assert_array_equal(state.contexts, draw_contexts(ranges, 2, 0, drawn_at)[0])


@pytest.mark.parametrize("stop", [3, 4])
def test_resumed_run_equals_the_unbroken_one_bit_for_bit(straight, tiny, tmp_path, stop):
    # After three steps the next redraw lies ahead; after four it is the next thing to happen.
    config = tiny()
    path = save_checkpoint(tmp_path, jax.device_get(straight[stop - 1][0]))
    resumed = list(train(config, load_checkpoint(path, initial_state(config))))
    assert len(resumed) == 6 - stop
    for (state, metrics), (expected, expected_metrics) in zip(resumed, straight[stop:], strict=True):
        assert_equal(state, expected)
        assert_equal(metrics, expected_metrics)


def poisoned(state):
    """The state with one walker lost: its position is not a number."""
    electrons = state.walkers.electrons
    return eqx.tree_at(lambda s: s.walkers.electrons, state, electrons.at[1, 2, 0].set(jnp.nan))


def test_step_that_is_not_finite_is_refused_and_counted(straight, tiny):
    before = poisoned(straight[2][0])
    after, metrics = next(train(tiny(), before))
    assert bool(metrics.refused)
    assert int(after.step) == int(before.step) + 1
    assert (int(after.refused), int(after.refused_in_a_row)) == (1, 1)
    assert_equal(after.model, before.model)
    assert_equal(after.optimizer, before.optimizer)


def test_good_step_ends_the_row_of_refusals(straight, tiny):
    before = eqx.tree_at(
        lambda s: (s.refused, s.refused_in_a_row),
        straight[2][0],
        (jnp.array(7, jnp.int64), jnp.array(3, jnp.int64)),
    )
    after, _ = next(train(tiny(), before))
    assert (int(after.refused), int(after.refused_in_a_row)) == (7, 0)


def test_training_stops_when_steps_keep_being_refused(straight, tiny):
    config = tiny("stages=[{steps=40,contexts=2}]", "refresh_every=100")
    yielded = []
    with pytest.raises(TrainingStopped, match="20 steps in a row") as error:
        yielded.extend(state for state, _ in train(config, poisoned(straight[2][0])))
    assert isinstance(error.value, UserError)
    assert "\n" not in str(error.value)
    assert len(yielded) == 20
    assert_equal(yielded[-1].model, straight[2][0].model)


def test_one_electron_reaches_its_band_energy(tiny):
    """From random free orbitals, with SPRING: the exact ground state of one electron, whose local
    energy has no variance."""
    config = tiny(
        "electrons=[1,0]", "cells=1", "contexts={}", "orbitals=free", "size=16", "walkers=64", "moves=5",
        "burn_in=50", "decay_steps=40", "norm_bound=0.01", "stages=[{steps=150}]",
    )  # fmt: skip
    hamiltonian = make_hamiltonian(config)
    couplings = hamiltonian.family.couplings(jnp.zeros(0))
    exact = filled_band_energy(
        hamiltonian.supercell, (1, 0), float(couplings.moire), math.pi / 4, (0.2, -0.1)
    )
    # One electron still meets its own images: half the Madelung energy.
    exact += 0.5 * float(couplings.coulomb) * hamiltonian.terms[1].madelung
    exact *= float(couplings.energy_unit)
    history = [metrics for _, metrics in train(config, initial_state(config))]
    first, last = history[0], history[-20:]
    assert first.energy[0] > exact + 3.0  # meV
    error = np.mean([m.spread[0] for m in last]) / math.sqrt(64)
    assert np.mean([m.energy[0] for m in last]) == pytest.approx(exact, abs=0.1 + 2 * error)
    assert np.mean([m.spread[0] for m in last]) < 0.2 * first.spread[0]


def test_nothing_is_compiled_after_the_first_redraw(tiny):
    compiled = []
    config = tiny("stages=[{steps=8,contexts=2}]", "refresh_every=2")

    def listen(name, *_, **__):
        compiled.append(name)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        counts = [
            sum("backend_compile" in name for name in compiled) for _ in train(config, initial_state(config))
        ]
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert counts[0] > 0
    assert counts[3:] == [counts[2]] * 5


@pytest.mark.parametrize("optimizer", ["spring", "adam"])
def test_microbatches_change_the_update_by_rounding_alone(tiny, optimizer):
    schedule = ("walkers=16", "stages=[{steps=2,contexts=2}]", f"optimizer.name={optimizer}")
    models = []
    for microbatch in (8, 3):  # three leave two walkers over
        config = tiny(*schedule, f"microbatch={microbatch}")
        with jax.numpy_dtype_promotion("standard"):  # which optax relies on
            *_, (state, _) = train(config, initial_state(config))
        models.append(state.model)
    for a, b in zip(*map(leaves, models), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9)


def test_more_contexts_in_a_later_stage(tiny):
    config = tiny("walkers=16", "stages=[{steps=2,contexts=2},{steps=2,contexts=4}]")
    states = [state for state, _ in train(config, initial_state(config))]
    assert [state.walkers.electrons.shape[:2] for state in states] == [(2, 8), (2, 8), (4, 4), (4, 4)]
    assert [len(state.contexts) for state in states] == [2, 2, 4, 4]
    assert int(states[-1].refused) == 0


@pytest.mark.slow
def test_stages_that_changed_under_way_get_their_contexts(tiny):
    begun = tiny("walkers=16", "stages=[{steps=2,contexts=2}]")
    *_, (state, _) = train(begun, initial_state(begun))
    changed = tiny("walkers=16", "stages=[{steps=1,contexts=2},{steps=2,contexts=4}]", "refresh_every=100")
    ((state, metrics),) = train(changed, state)
    assert state.walkers.electrons.shape[:2] == (4, 4)
    assert metrics.energy.shape == (4,)


def test_walkers_burn_in_once_and_settle_after_every_redraw(tiny, monkeypatch):
    calls, rounds = [], []
    count = np.zeros(2)
    metrics = StepMetrics(count, count, count, count, count, count, refused=np.array(False))

    def sample(model, walkers, contexts, key):
        calls.append(key)
        return walkers, jnp.ones(2)

    def optimize(state, acceptance):
        return eqx.tree_at(lambda s: s.step, state, state.step + 1), metrics, None

    monkeypatch.setattr(loop, "training_sampling", lambda *_: sample)
    monkeypatch.setattr(loop, "make_optimization", lambda *_: optimize)
    config = tiny()
    for _ in train(config, initial_state(config)):
        rounds.append(len(calls))
        calls.clear()
    # Four and two moves of burn-in, two in a round; contexts are redrawn every second step.
    assert rounds == [3, 1, 2, 1, 2, 1]


def test_widths_of_moves_go_with_their_walkers_to_new_contexts(tiny):
    config = tiny()
    hamiltonian, state = make_hamiltonian(config), initial_state(config)
    backwards = (jnp.array([[2.0], [0.5]]), jnp.array([0.1, 0.4]))
    state = eqx.tree_at(lambda s: (s.contexts, s.walkers.width), state, backwards)
    after = loop._redraw(config, hamiltonian, state, 2, 2)
    assert after.contexts[0, 0] < after.contexts[1, 0]
    np.testing.assert_array_equal(after.walkers.width, [0.4, 0.1])
    np.testing.assert_array_equal(after.walkers.electrons, state.walkers.electrons[::-1])
