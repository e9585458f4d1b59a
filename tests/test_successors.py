"""Runs that go on from another one: at one context, or with more electrons."""

import numpy as np
import pytest

from qernel.cli import main
from qernel.config import UserError, load_config
from qernel.runs import Run
from qernel.successors import enlarged, finetuned


def test_fine_tuning_stays_at_the_context_of_the_same_network(tiny):
    new = finetuned(tiny(), "runs/tiny", {"moire_depth": (1.1, 1.1)}, 40, ["training.seed=3"])
    assert new.contexts == tiny().contexts
    assert new.trained == {"moire_depth": (1.1, 1.1)}
    assert new.model == tiny().model
    assert new.training.start == "runs/tiny"
    assert [stage.contexts for stage in new.training.stages] == [1]
    assert (new.training.steps, new.training.seed) == (40, 3)
    assert new.optimizer.learning_rate < tiny().optimizer.learning_rate
    assert new.optimizer.first_norm_bound == new.optimizer.norm_bound


@pytest.mark.parametrize("optimizer", ["spring", "adam"])
def test_fine_tuning_never_raises_the_rate(tiny, optimizer):
    slow = tiny(f"optimizer.name={optimizer}", "learning_rate=0.001")
    new = finetuned(slow, "runs/tiny", {"moire_depth": (1.1, 1.1)}, 40)
    assert new.optimizer.learning_rate == 0.001


def test_fine_tuning_in_a_part_of_the_range_keeps_several_contexts(tiny):
    new = finetuned(tiny(), "runs/tiny", {"moire_depth": (0.9, 1.1)}, 40)
    assert [stage.contexts for stage in new.training.stages] == [2]


def test_parameters_that_are_not_named_keep_what_they_had(tiny):
    both = tiny("contexts={moire_depth=[0.5,2.0],moire_phase=[20,50]}")
    once = finetuned(both, "runs/tiny", {"moire_depth": (1.1, 1.1)}, 40)
    assert [stage.contexts for stage in once.training.stages] == [2]
    twice = finetuned(once, "runs/once", {"moire_phase": (30.0, 30.0)}, 40)
    assert twice.trained == {"moire_depth": (1.1, 1.1), "moire_phase": (30.0, 30.0)}
    assert [stage.contexts for stage in twice.training.stages] == [1]


@pytest.mark.parametrize(
    ("at", "message"),
    [
        (
            {"moire_phase": (30.0, 30.0)},
            "cannot train at moire_phase=30: the model's contexts are moire_depth in",
        ),
        (
            {"moire_depth": (2.5, 2.5)},
            r"at moire_depth=2.5: the model's contexts are moire_depth in \[0.5, 2\]",
        ),
        ({"moire_depth": (1.2, 1.1)}, "at moire_depth=1.2:1.1"),
    ],
)
def test_what_is_not_in_the_family_is_refused(tiny, at, message):
    with pytest.raises(UserError, match=message):
        finetuned(tiny(), "runs/tiny", at, 40)


def test_a_range_may_grow_with_where_it_is_trained(tiny):
    new = finetuned(tiny(), "runs/tiny", {"moire_depth": (2.5, 2.5)}, 40, ["contexts.moire_depth=[0.5,3.0]"])
    assert new.trained == {"moire_depth": (2.5, 2.5)}


def test_a_larger_system_keeps_polarization_and_ansatz():
    six = load_config("six-over-depth", ["system.electrons=[4,2]"])
    new = enlarged(six, "runs/six", 18, 27, 300, ["training.walkers=64"])
    assert new.system.electrons == (12, 6)
    assert new.system.cells == 27
    assert (new.model, new.contexts) == (six.model, six.contexts)
    assert new.training.start == "runs/six"
    assert (new.training.steps, new.training.walkers) == (300, 64)
    assert new.optimizer.first_norm_bound == new.optimizer.norm_bound < six.optimizer.first_norm_bound


def test_a_larger_system_takes_longer_first_steps_than_a_fine_tuned_one():
    small = load_config("six-over-depth", ["optimizer.norm_bound=1e-5"])
    new = enlarged(small, "runs/six", 18, 27, 300)
    assert new.optimizer.norm_bound == 1e-5
    assert new.optimizer.first_norm_bound == 1e-3
    assert finetuned(small, "runs/six", {"moire_depth": (1.1, 1.1)}, 40).optimizer.first_norm_bound == 1e-5


def test_the_supercell_is_the_new_one():
    six = load_config("six-over-depth")
    tree = six.system.model_dump(exclude={"cells"}) | {"supercell": ((3, 0), (0, 3))}
    new = enlarged(six.model_copy(update={"system": type(six.system)(**tree)}), "runs/six", 18, 27, 300)
    assert new.system.lattice().cells == 27


@pytest.mark.parametrize(
    ("overrides", "size", "message"),
    [
        (["system.electrons=[4,2]"], (20, 30), "cannot have the spin polarization of 4 of 6 up"),
        ([], (18, 18), "a filling of 1, not 2/3"),
        (["model.sector=[1,1]"], (18, 27), "names a momentum of 9 cells"),
    ],
)
def test_what_cannot_be_enlarged_is_refused(overrides, size, message):
    with pytest.raises(UserError, match=message):
        enlarged(load_config("six-over-depth", overrides), "runs/six", *size, 300)


@pytest.fixture(scope="module")
def run(tiny_file, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "tiny"
    main(["train", tiny_file, "--out", str(path), "training.stages=[{steps=1,contexts=2}]"])
    return path


def test_the_command_finetunes_in_a_run_of_its_own(run, tmp_path, capsys):
    before = sorted(run.rglob("*"))
    command = ["finetune", str(run), "--at", "moire_depth=1.1", "--out", str(tmp_path / "at"), "--steps"]
    main([*command, "2"])
    assert "copied: embed (1), context (4)" in capsys.readouterr().out
    main([*command, "3"])  # goes on
    state = Run(tmp_path / "at").state()
    assert int(state.step) == 3
    np.testing.assert_array_equal(state.contexts, [[1.1]])
    assert sorted(run.rglob("*")) == before


def test_the_command_climbs_a_ladder_of_sizes(run, tmp_path, capsys):
    command = [
        "transfer",
        str(run),
        "6/6",
        "9/9",
        "training.walkers=8",
        "--out",
        str(tmp_path),
        "--steps",
        "1",
    ]
    main(command)
    assert capsys.readouterr().out.count("adapted: orbitals (2)") == 2
    assert Run(tmp_path / "tiny-9-9").config().training.start == str(tmp_path / "tiny-6-6")
    assert int(Run(tmp_path / "tiny-9-9").state().step) == 1
    main(command)
    assert capsys.readouterr().out.count(": finished") == 2
    one_size = ["--electrons", "6", "--cells", "6"]
    main([*command[:2], *one_size, *command[4:]])  # the first of them, by another name
    assert "tiny-6-6: finished" in capsys.readouterr().out.replace("\n", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["transfer", "six-over-depth"], "transfer needs sizes"),
        (["transfer", "six-over-depth", "18"], "18 is not a size"),
        (["transfer", "six-over-depth", "--electrons", "18"], "or one as --electrons 18 --cells 27"),
        (["transfer", "six-over-depth", "18/27", "--cells", "81"], "or one as --electrons 18 --cells 27"),
        (["finetune", "six-over-depth", "--at", "moire_depth"], "write name=value or name=low:high"),
        (["finetune", "six-K", "--at", "moire_depth=1", "--at", "moire_depth=2"], "a name is given twice"),
        (["finetune", "nowhere", "--at", "moire_depth=1"], "nowhere is not a run"),
    ],
)
def test_a_wrong_command_says_what_is_wrong(tmp_path, capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--out", str(tmp_path / "out")])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("name", "rate"), [("adam", 0.003), ("muon", 0.01), ("spring", 0.02)])
def test_another_optimizer_comes_with_its_own_rate(name, rate):
    config = load_config("six-over-depth")
    here = finetuned(config, "runs/six", {"moire_depth": (1.1, 1.1)}, 40, [f"optimizer.name={name}"])
    assert here.optimizer.learning_rate == rate
    larger = enlarged(config, "runs/six", 18, 27, 300, [f"optimizer.name={name}", "learning_rate=0.004"])
    assert larger.optimizer.learning_rate == 0.004
