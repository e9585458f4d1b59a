"""What a step is predicted to take."""

import jax
import pytest

from qernel import plan
from qernel.batching import walker_mesh
from qernel.cli import main
from qernel.hamiltonian import make_hamiltonian
from qernel.optimize.solve import MOST_ITERATIONS
from qernel.plan import (
    Plan,
    _longest_stage,
    _seconds_of_batches,
    _seconds_of_passes,
    advice,
    device_memory,
    plans,
    preferred,
    step_memory,
)
from qernel.training.loop import initial_state
from qernel.wavefunction import count_parameters, wavefunction_shapes


@pytest.fixture(scope="module")
def scores(tiny):
    """Bytes that one walker's scores take: two float64 numbers for each parameter."""
    config = tiny()
    return 2 * 8 * sum(count_parameters(wavefunction_shapes(config, make_hamiltonian(config))).values())


def test_memory_holds_the_scores_of_all_walkers_at_least_once(tiny, scores):
    few, many = (step_memory(tiny(f"walkers={count}")) for count in (8, 64))
    assert few >= 8 * scores
    assert 56 * scores <= many - few <= 10 * 56 * scores


def test_without_scores_memory_does_not_grow_with_the_walkers(tiny, scores):
    with jax.numpy_dtype_promotion("standard"):  # which optax relies on
        few, many = (step_memory(tiny(f"walkers={count}", "optimizer.name=adam")) for count in (8, 64))
    assert many - few < 0.2 * 56 * scores


def test_scores_computed_anew_take_the_memory_of_their_sketch(tiny):
    wide, many = ["model.size=32", "expert_size=32"], 32
    config = tiny(*wide)
    parameters = sum(count_parameters(wavefunction_shapes(config, make_hamiltonian(config))).values())
    kept, anew = (
        step_memory(tiny(*wide, f"keep_scores={keep}", f"walkers={many}")) for keep in ("true", "false")
    )
    scores = 2 * 8 * many * parameters
    assert scores <= kept < 1.5 * scores
    assert anew < 0.5 * scores


def test_plans_are_for_smaller_and_larger_microbatches(tiny):
    found = list(plans(tiny("microbatch=4"), limit=None))
    assert [plan.microbatch for plan in found] == [1, 4]
    assert all(plan.seconds is not None and plan.seconds > 0 for plan in found)
    assert preferred(found) in found


def test_scores_computed_anew_are_counted_for_every_use(tiny, monkeypatch):
    monkeypatch.setattr(plan, "_fastest", lambda call: float(call() is not None))
    seconds = []
    for keep in ("true", "false"):
        config = tiny(f"keep_scores={keep}", "walkers=8", "stages=[{steps=1,contexts=2}]")
        seconds.append(_seconds_of_passes(config, initial_state(config), walker_mesh(4)))
    assert seconds == [1 + 1, 1 + MOST_ITERATIONS + 2]  # local energies, and the uses of scores


def test_microbatches_are_timed_as_large_as_they_are(tiny, monkeypatch):
    # Twelve walkers of a context in microbatches of at most eight: two of six, of two contexts at once.
    sizes = []
    monkeypatch.setattr(plan, "_fastest", lambda call: 1.0)
    monkeypatch.setattr(plan, "_halves", lambda config: sizes.append(config.training) or (None, None))
    found = _seconds_of_batches(tiny("walkers=48", "microbatch=8", "stages=[{steps=1,contexts=4}]"), 0.1)
    (timed,) = sizes
    assert (timed.microbatch, timed.walkers, timed.stages[0].contexts) == (6, 2 * 2 * 6, 2)
    assert found == pytest.approx(3 * 8 / 4)  # of moves, local energies and scores, without the update


def test_an_update_that_walkers_do_not_lengthen_counts_once(tiny, monkeypatch):
    """As of KFAC, whose inverse is that of parameters: it is in the time of however few walkers."""
    seconds = iter([0.7, 0.9])  # of moves, and of the rest with the update
    monkeypatch.setattr(plan, "_fastest", lambda call: next(seconds))
    config = tiny("optimizer.name=adam", "walkers=256", "microbatch=8", "stages=[{steps=1,contexts=1}]")
    assert _seconds_of_batches(config, 0.5) == pytest.approx((0.7 + 0.9 - 0.5) * 256 / 32)


def test_the_update_of_an_optimizer_that_takes_a_gradient_is_timed(tiny):
    with jax.numpy_dtype_promotion("standard"):  # which optax relies on
        assert plan._seconds_of_update(tiny("optimizer.name=muon")) > 0


def test_what_does_not_fit_is_not_timed(tiny):
    found = list(plans(tiny("microbatch=4"), limit=1000))
    assert [(plan.microbatch, plan.seconds) for plan in found] == [(1, None), (4, None)]
    assert preferred(found) is None


def test_a_larger_microbatch_has_to_be_faster():
    assert preferred([Plan(8, 1, 1.0), Plan(32, 1, 0.99)]) == Plan(8, 1, 1.0)
    assert preferred([Plan(8, 1, 1.0), Plan(32, 1, 0.5), Plan(128, 9, None)]) == Plan(32, 1, 0.5)


def test_advice(tiny):
    config = tiny()
    assert advice(Plan(2, 1, 3.0), config, None) == "6 steps take about 0:18"
    assert advice(Plan(8, 1, 3.0), config, None) == "training.microbatch=8: 6 steps take about 0:18"
    assert advice(None, config, 2**30).startswith("a step does not fit into 1 GiB: fewer training.walkers,")
    assert "keep_scores=false" in advice(None, config, 2**30)
    assert "adam" not in advice(None, tiny("optimizer.name=adam"), 2**30)
    for other in ("optimizer.name=adam", "keep_scores=false"):
        assert "keep_scores" not in advice(None, tiny(other), 2**30)


def test_this_machine_has_memory():
    assert (device_memory() or 0) > 2**28


def test_command(tiny_file, capsys):
    main(["plan", tiny_file, "microbatch=4"])
    printed = capsys.readouterr().out
    assert "microbatch" in printed
    assert "6 steps take about 0:" in printed
    with pytest.raises(SystemExit) as exit:
        main(["plan", tiny_file, "microbatch=4", "--memory", "1e-6"])
    assert exit.value.code == 1
    assert "does not fit into" in capsys.readouterr().out


def test_the_longest_stage_is_what_is_planned(tiny):
    stages = "stages=[{steps=1,contexts=1},{steps=9,contexts=2},{steps=2,contexts=4}]"
    (stage,) = _longest_stage(tiny("walkers=16", stages)).training.stages
    assert (stage.steps, stage.contexts) == (9, 2)
