"""A run's directory."""

import json
import shutil

import numpy as np
import pytest
from rich.console import Console

from qernel.cli import main
from qernel.config import UserError
from qernel.progress import TrainingView
from qernel.report.training_section import progress
from qernel.runs import Run
from qernel.shipped import copy_model
from qernel.training.step import StepMetrics
from qernel.workflows import train_run


@pytest.fixture
def run(tmp_path, tiny):
    made = Run(tmp_path / "run")
    made.begin(tiny())
    return made


def metrics(energy=1.0):
    two = np.array([energy, energy])
    return StepMetrics(two, two[:, None], two, two, two, two / energy, np.array(False))


def test_configuration_is_kept_resolved(run, tiny):
    assert run.config() == tiny()
    assert "moire_potential = 15.0" in run.config_file.read_text()  # a default, written out


def test_metrics_come_back(run):
    for step in (1, 2, 3):
        run.record(step, 0.5, np.array([[0.5], [1.5]]), metrics(-step / 3))
    rows = list(run.metrics())
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert rows[2]["energy"] == [-1.0, -1.0]
    assert rows[2]["seconds"] == 0.5
    assert rows[0]["contexts"] == [[0.5], [1.5]]


def test_line_cut_short_by_a_crash_is_left_out_and_repaired(run):
    for step in (1, 2):
        run.record(step, 0.5, np.zeros((2, 1)), metrics())
    with open(run.metrics_file, "a") as file:
        file.write('{"step": 3, "ener')
    assert [row["step"] for row in run.metrics()] == [1, 2]
    run.forget_after(1)
    run.record(2, 0.5, np.zeros((2, 1)), metrics())
    assert [json.loads(line)["step"] for line in run.metrics_file.read_text().splitlines()] == [1, 2]


@pytest.mark.parametrize(
    "change", ["stages=[{steps=9,contexts=2}]", "microbatch=8", "checkpoint_seconds=5", "description=other"]
)
def test_what_may_change_on_resuming(run, tiny, change):
    run.begin(tiny(change))
    assert run.config() == tiny(change)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("size=16", "model.size = 8, now asked for 16"),
        ("seed=1", "training.seed = 0, now asked for 1"),
        ("dielectric_constant=10", "system.dielectric_constant = 5.0"),
        ("contexts.moire_depth=[0.5,1.5]", "contexts.moire_depth"),
        ("contexts.twist_1=[0.0,0.5]", "contexts.twist_1"),
        ("precision=float32", "training.precision"),
        ("learning_rate=0.1", "optimizer.learning_rate"),
    ],
)
def test_what_may_not(run, tiny, change, named):
    before = run.config_file.read_bytes()
    with pytest.raises(UserError, match="another --out") as error:
        run.begin(tiny(change))
    assert named in str(error.value)
    assert run.config_file.read_bytes() == before


@pytest.mark.parametrize(("kind", "what"), [("directory", "not empty and not a run"), ("file", "a file")])
def test_place_that_is_taken(tmp_path, tiny, kind, what):
    place = tmp_path / "thesis"
    if kind == "directory":
        place.mkdir()
        (place / "chapter.tex").write_text("")
    else:
        place.write_text("")
    with pytest.raises(UserError, match=f"thesis is {what}: choose"):
        Run(place).begin(tiny())
    assert len(list(tmp_path.rglob("*"))) == (2 if kind == "directory" else 1)


def test_empty_directory_is_welcome(tmp_path, tiny):
    Run(tmp_path).begin(tiny())
    assert Run(tmp_path).exists()


def test_one_command_trains_a_run_at_a_time(tmp_path, tiny):
    run = Run(tmp_path / "run")
    run.begin(tiny())
    with run.locked(), pytest.raises(UserError, match="another command is training"), run.locked():
        pass
    with run.locked():
        pass


def test_a_directory_that_another_machine_does_not_see_is_refused(tmp_path, tiny, monkeypatch):
    monkeypatch.setattr("qernel.runs.by_first", lambda _: None)  # elsewhere
    monkeypatch.setattr("qernel.runs._PATIENCE", 0.3)
    with pytest.raises(UserError, match=r"config\.toml.* not there: --out has to be a directory that all"):
        Run(tmp_path / "run").begin(tiny())


def test_what_was_never_trained_has_no_state(tmp_path, tiny, capsys):
    run = Run(tmp_path / "run")
    run.begin(tiny())
    with pytest.raises(UserError, match="has no checkpoint yet"):
        run.state()
    with pytest.raises(SystemExit):
        main(["sweep", str(run.path), "--over", "moire_depth=1.0"])
    assert "has no checkpoint yet: train it first" in capsys.readouterr().err


def test_what_is_interrupted_before_its_first_step_leaves_no_state(tmp_path, tiny, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("qernel.workflows.train", interrupted)
    run = Run(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        train_run(tiny(), run, TrainingView(tiny(), Console(quiet=True)))
    assert not list(run.path.rglob("*.safetensors"))
    with pytest.raises(UserError, match="has no checkpoint yet"):
        run.state()


def test_a_damaged_checkpoint_is_named_where_the_one_before_serves(tmp_path, trained_run):
    shutil.copytree(trained_run.path, tmp_path / "run")
    run = Run(tmp_path / "run")
    *_, newest = sorted(run.checkpoint_directory.glob("*.safetensors"))
    newest.write_bytes(newest.read_bytes()[:1000])
    with pytest.warns(UserWarning, match=f"{newest.name} is damaged"):
        assert int(run.state().step) == 1


def test_a_run_of_a_shipped_models_name_is_not_taken_for_it(tmp_path, tiny, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Run("runs/six-over-depth").begin(tiny())
    with pytest.raises(SystemExit):
        main(["show", "six-over-depth"])
    assert "runs/six-over-depth is not the shipped model" in capsys.readouterr().err
    main(["show", "runs/six-over-depth"])


def test_directory_without_a_run(tmp_path):
    with pytest.raises(UserError, match="is not a run"):
        Run(tmp_path).config()
    assert not Run(tmp_path).exists()


def test_a_model_without_its_history_says_how_far_it_came(tmp_path, capsys):
    run = Run(tmp_path / "six")
    copy_model("six-over-depth", run)
    assert run.step() == 1500
    main(["show", str(run.path)])
    assert "steps: 1500 of 1500" in capsys.readouterr().out
    words = progress([], run.config(), run.step())
    assert words == "Step 1,500 of 1,500: finished"


@pytest.mark.parametrize(
    ("stages", "fits"),
    [
        ("{steps=4,contexts=2},{steps=9,contexts=1}", True),  # appended
        ("{steps=7,contexts=2}", True),  # lengthened
        ("{steps=3,contexts=2},{steps=1,contexts=1}", True),  # shortened to what was done
        ("{steps=2,contexts=2},{steps=2,contexts=2}", False),  # redraws at another step
        ("{steps=4,contexts=1}", False),
        ("{steps=2,contexts=2}", False),
    ],
)
def test_stages_behind_a_run_stay_what_they_were(tmp_path, tiny, stages, fits):
    run = Run(tmp_path / "run")
    run.begin(tiny("stages=[{steps=4,contexts=2}]"))
    run.checkpoint_directory.mkdir()
    (run.checkpoint_directory / "step-00000003.safetensors").write_bytes(b"")
    before = run.config_file.read_bytes()
    change = tiny(f"stages=[{stages}]")
    if fits:
        run.begin(change)
        assert run.config() == change
    else:
        with pytest.raises(UserError, match="3 steps behind it, by other training"):
            run.begin(change)
        assert run.config_file.read_bytes() == before


def test_steps_without_a_checkpoint_are_not_behind_a_run(tmp_path, tiny):
    run = Run(tmp_path / "run")
    run.begin(tiny("stages=[{steps=4,contexts=2}]"))
    run.record(1, 0.5, np.zeros((2, 1)), metrics())
    run.begin(tiny("stages=[{steps=4,contexts=1}]"))
    assert run.config() == tiny("stages=[{steps=4,contexts=1}]")


def test_a_run_that_is_trained_keeps_its_configuration(tmp_path, tiny):
    run = Run(tmp_path / "run")
    run.begin(tiny())
    other = tiny("microbatch=1")
    with run.locked(), pytest.raises(UserError, match="another command is training"):
        train_run(other, run, TrainingView(other, Console(quiet=True)))
    assert run.config() == tiny()


def test_what_cannot_be_trained_leaves_nothing(tmp_path, tiny, monkeypatch):
    def fail():
        raise UserError("kfac is not here")

    monkeypatch.setattr("qernel.optimize._import_kfac", fail)
    config = tiny("optimizer.name=kfac")
    with pytest.raises(UserError, match="not here"):
        train_run(config, Run(tmp_path / "run"), TrainingView(config, Console(quiet=True)))
    assert not (tmp_path / "run").exists()


def test_a_copy_of_a_shipped_model_overwrites_nothing(tmp_path):
    place = tmp_path / "gas-7"
    place.mkdir()
    (place / "chapter.tex").write_text("")
    with pytest.raises(UserError, match="in the way of a copy of the shipped model gas-7"):
        copy_model("gas-7", Run(place))
    assert [entry.name for entry in tmp_path.rglob("*")] == ["gas-7", "chapter.tex"]
