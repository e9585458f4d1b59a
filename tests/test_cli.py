"""The command line: what works, and what it says to mistakes."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray
from safetensors.numpy import save_file

from qernel.cli import main
from qernel.cli.application import app
from qernel.cli.introduction import introduce
from qernel.config import load_config
from qernel.measurement import Effort
from qernel.progress import TrainingView
from qernel.runs import Run
from qernel.shipped import shipped_models
from qernel.training.checkpoint import checkpoints, load_checkpoint
from qernel.training.loop import initial_state, train
from qernel.verification.check import Check
from qernel.verify import verify_run


def contents(directory: Path):
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def fails(capsys, directory, *arguments):
    """Run a command that must fail; return its one line. Nothing may be written."""
    before = contents(directory)
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit:
        main([str(argument) for argument in arguments])
    error = capsys.readouterr().err
    assert exit.value.code == 2
    assert error.count("\n") == 1
    assert error.startswith("qernel: ")
    assert contents(directory) == before
    return error


MISTAKES = {
    "unknown key": (["train", "pair", "training.walker=8"], ["training.walker", "did you mean 'walkers'?"]),
    "misspelt context": (["train", "pair", "contexts.moire_dept=[0,1]"], ["'moire_dept'", "'moire_depth'"]),
    "electrons do not fit": (["train", "pair", "electrons=[3,0]"], ["3 electrons in 3", "not 2/3"]),
    "singular supercell": (["train", "pair", "supercell=[[1,2],[2,4]]"], ["system.supercell", "singular"]),
    "no width": (["train", "pair", "contexts.moire_depth=[1,1]"], ["moire_depth", "low < high"]),
    "walkers": (["train", "pair", "walkers=100"], ["walkers = 100", "contexts"]),
    "value": (["train", "pair", "precision=half"], ["training.precision = 'half'", "'float32' or 'float64'"]),
    "preset": (["train", "piar"], ["'piar'", "did you mean 'pair'?"]),
    "no run to sweep": (["sweep", "nowhere", "--over", "moire_depth=1"], ["nowhere is not a run"]),
    "no run to show": (["show", "nowhere"], ["nowhere is not a run"]),
    "command": (["trian"], ["trian"]),
    "option": (["train", "pair", "--minuets", "3"], ["--minuets"]),
    "minutes": (["train", "pair", "--minutes", "ten"], ["ten"]),
    "no time": (["train", "pair", "--minutes", "nan"], ["--minutes is a number"]),
    "negative time": (["train", "pair", "--minutes", "-3"], ["--minutes is a number", "not -3"]),
    "no option": (["sweep", "pair-over-depth", "moire_depth=1:2:3"], ["moire_depth=1:2:3", "--help"]),
    "misspelt model": (["transition", "six-two-momentas"], ["does not exist", "'six-two-momenta'"]),
    "no sweep": (["transition", "six-two-momenta"], ["qernel sweep six-two-momenta --over"]),
    "no memory": (["plan", "pair", "--memory", "nan"], ["--memory is a number of GiB above 0"]),
    "no steps": (["finetune", "six-K", "--at", "moire_depth=1", "--steps", "0"], ["--steps", "not 0"]),
    "seed": (
        ["train", "pair", "training.seed=99999999999999999999"],
        ["training.seed", "less than or equal"],
    ),
    "model": (
        ["sweep", "six-over-dept"],
        ["not a run, nor a shipped model", "did you mean 'six-over-depth'?"],
    ),
    "no file": (["transition", "nowhere.nc", "--out", "."], ["nowhere.nc does not exist"]),
    "resampling": (["transition", "nowhere.nc", "--out", ".", "--seed", "-1"], ["the resampling", "not -1"]),
    "processes": (["train", "pair", "--processes", "2"], ["cannot join", "--coordinator HOST:PORT"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_one_line_and_writes_nothing(mistake, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments, fragments = MISTAKES[mistake]
    error = fails(capsys, tmp_path, *arguments)
    for fragment in fragments:
        assert fragment in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "fragment"),
    [
        (["--over", "moire_depth"], "name=start:stop:count"),
        (["--over", "moire_depth=0.5:1.5"], "name=start:stop:count"),
        (["--over", "moire_depth=0.5:1.5:0"], "the count, last, has to be 1 or more"),
        (["--refine", "-1"], "--refine is a number of rounds, not -1"),
        (["--over", "moire_depth=1", "--seed", "-1"], "the seed of a sweep has to be from 0 to"),
        (["--over", "moire_depth=deep"], "moire_depth=deep"),
        (["--over", "twist_1=0.1"], "cannot sweep over twist_1: the contexts of this model are moire_depth"),
        (["--over", "moire_depth=1", "--samples", "1"], "samples >= 2"),
        (["--over", "moire_depth=1", "--target-error", "low"], "in meV per electron, e.g. 0.01, not low"),
        (["--over", "moire_depth=1", "--target-error=-2meV"], "above 0 meV per electron, not -2"),
    ],
)
def test_sweep_that_cannot_be(options, fragment, capsys, trained_run):
    assert fragment in fails(capsys, trained_run.path, "sweep", trained_run.path, *options)


@pytest.mark.parametrize("error", ["0.01meV", "0.01 meV", "1e-2"])
def test_an_error_is_asked_for_with_or_without_its_unit(error):
    _, given, _ = app.parse_args(["sweep", "six-K", "--target-error", error])
    assert given.arguments["sampling"].target_error == 0.01


def test_resuming_with_another_architecture(capsys, trained_run, tiny_file):
    error = fails(capsys, trained_run.path, "train", tiny_file, "size=16", "--out", trained_run.path)
    assert "model.size = 8, now asked for 16" in error


def test_directory_that_holds_something_else(capsys, tmp_path, tiny_file):
    (tmp_path / "notes.txt").write_text("mine")
    error = fails(capsys, tmp_path, "train", tiny_file, "--out", tmp_path / "notes.txt")
    assert "notes.txt is a file: choose another --out" in error
    assert "is not empty" in fails(capsys, tmp_path, "train", tiny_file, "--out", tmp_path)


def test_checkpoint_of_another_program(capsys, trained_run, tiny_file, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(trained_run.path, path)
    for checkpoint in checkpoints(Run(path).checkpoint_directory):
        save_file({"weight": np.zeros(3)}, checkpoint)
    error = fails(capsys, path, "train", tiny_file, "--out", path)
    assert "is not a qernel checkpoint" in error


def test_a_directory_that_cannot_be_written_is_said_before_anything_is_measured(
    capsys, copied_run, monkeypatch
):
    monkeypatch.setattr("qernel.workflows.sweep", lambda *_, **__: pytest.fail("measured"))
    (copied_run / "sweeps").write_text("in the way")
    error = fails(capsys, copied_run, "sweep", copied_run, "--over", "moire_depth=1")
    assert f"cannot write to {copied_run}/sweeps" in error
    for command in (
        ["compare", "six-K", "--over", "moire_depth=1"],
        ["hysteresis", "--over", "moire_depth=1"],
    ):
        error = fails(
            capsys, copied_run, command[0], copied_run, *command[1:], "--out", copied_run / "config.toml"
        )
        assert f"cannot write to {copied_run}/config.toml" in error


def test_a_copied_model_is_not_trained_on_as_its_preset(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    main(["show", "six-over-depth"])
    error = fails(capsys, tmp_path, "train", "six-over-depth")
    assert "runs/six-over-depth is a copy of the shipped model six-over-depth: choose another --out" in error


def test_stopped_run_is_finished_by_the_same_command(trained_run, tiny):
    first, second = trained_run.outputs
    assert "stopped; the same command resumes it" in first
    assert "finished" in second
    run = Run(trained_run.path)
    assert [row["step"] for row in run.metrics()] == [1, 2, 3, 4, 5, 6]
    assert all(row["seconds"] > 0 for row in run.metrics())
    assert [path.name for path in checkpoints(run.checkpoint_directory)] == [
        "step-00000001.safetensors",
        "step-00000006.safetensors",
    ]


def test_finished_run_stays_as_it_is(capsys, trained_run, tiny_file):
    before = contents(trained_run.path)
    main(["train", tiny_file, "--out", str(trained_run.path)])
    assert "is finished: 6 steps; raise training.stages" in capsys.readouterr().out
    assert contents(trained_run.path) == before


def test_system_and_parameters_are_said_first(trained_run):
    lines = trained_run.outputs[0].splitlines()
    assert "2 + 1 electrons in 3 moiré cells" in lines[0]
    constants = "phase 45 degrees, eps 5, m* 0.35 m_e, a_M 8.031 nm"
    assert lines[1].startswith(f"contexts: moire_depth 0.5 to 2; at {constants}")
    assert lines[2].startswith("total momentum: (")
    assert "parameters" in lines[3]
    assert "conditioning" in lines[3]


def test_an_open_shell_is_said(capsys, monkeypatch, tmp_path, tiny_file):
    monkeypatch.setattr("qernel.cli.training.train_run", lambda *_: True)
    system = ["electrons=[6,0]", "cells=9", "twist_1=0.0", "twist_2=0.0"]
    for sector, said in (("lowest", False), ("[1,1]", True)):
        main(["train", tiny_file, "--out", str(tmp_path / sector), f"sector={sector}", *system])
        expected = "2 determinants take one each in turn and leave some out (model.determinants=6)"
        assert (expected in capsys.readouterr().out) == said


def test_show(capsys, trained_run):
    main(["show", str(trained_run.path)])
    output = capsys.readouterr().out
    assert "steps: 6 of 6" in output
    assert "step-00000006.safetensors" in output


def test_presets_are_listed_and_printed_as_templates(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("qernel.cli.application.console.width", 200)
    main(["presets"])
    listed = capsys.readouterr().out
    assert "pair" in listed
    main(["presets", "pair"])
    template = tmp_path / "mine.toml"
    template.write_text(capsys.readouterr().out)
    assert load_config(str(template)) == load_config("pair")


def test_the_lowest_momentum_is_named_as_the_configuration_takes_it(capsys):
    introduce(load_config("six-over-depth"))
    assert "total momentum: (-1, 0)\n" in capsys.readouterr().out
    introduce(load_config("six-two-momenta"))
    assert "each of momenta (-1, 0), (1, 1)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("overrides", "warned"),
    [([], False), (["sector=free"], True), (["sector=free", "contexts={}", "stages=[{steps=6}]"], False)],
)
def test_momenta_that_are_free_are_told_over_a_range(capsys, tiny, overrides, warned):
    introduce(tiny(*overrides))
    assert ("momenta are free" in capsys.readouterr().out) == warned


def test_request_to_stop_saves_and_leaves(capsys, tiny_file, tmp_path, monkeypatch):
    update = TrainingView.update

    def interrupted(self, step, *rest):
        update(self, step, *rest)
        if step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(TrainingView, "update", interrupted)
    handler = signal.getsignal(signal.SIGTERM)
    main(["train", tiny_file, "--out", str(tmp_path / "run")])
    assert "stopped; the same command resumes it" in capsys.readouterr().out
    run = Run(tmp_path / "run")
    assert [row["step"] for row in run.metrics()] == [1, 2]
    assert int(run.state().step) == 2
    assert signal.getsignal(signal.SIGTERM) is handler


def wait_for(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.05)


def test_killed_run_loses_only_what_followed_its_last_checkpoint(tiny_file, tmp_path, tiny):
    run = Run(tmp_path / "run")
    changes = ["stages=[{steps=100000,contexts=2}]", "checkpoint_seconds=0.2"]
    command = ["train", tiny_file, *changes, "--out", str(run.path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "qernel", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: len(checkpoints(run.checkpoint_directory)) == 2 or process.poll() is not None, 300)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
    saved = int(checkpoints(run.checkpoint_directory)[-1].stem.removeprefix("step-"))
    recorded = [row["step"] for row in run.metrics()]
    assert recorded == list(range(1, len(recorded) + 1))
    assert saved <= recorded[-1]
    main([*command, "--minutes", "1e-9"])
    lines = run.metrics_file.read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(1, saved + 2))
    # The step made again is the one that an unbroken run makes.
    config = tiny(*changes)
    before = load_checkpoint(
        run.checkpoint_directory / f"step-{saved:08d}.safetensors", initial_state(config)
    )
    _, metrics = next(train(config, before))
    assert json.loads(lines[-1])["energy"] == metrics.energy.tolist()


def test_shipped_model_is_named_like_a_run_and_copied_first(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    main(["show", "six-over-depth"])
    shown = capsys.readouterr().out
    assert "6 + 0 electrons in 9 moiré cells" in shown
    assert (tmp_path / "runs/six-over-depth/config.toml").is_file()
    (tmp_path / "runs/six-over-depth/mine.txt").write_text("kept")
    main(["show", "six-over-depth"])
    assert (tmp_path / "runs/six-over-depth/mine.txt").read_text() == "kept"
    assert "copied" not in capsys.readouterr().out


def test_models_are_listed_and_each_has_a_card(capsys):
    main(["models"])
    listed = capsys.readouterr().out
    assert "0.85-1.1 " in listed  # where 54 electrons were trained last, of a range of 0.5 to 1.6
    for name in shipped_models():
        assert re.search(rf"^{name} ", listed, re.MULTILINE)
        main(["models", name])
        card = capsys.readouterr().out
        assert card.startswith(f"# {name}\n")
        assert "Licence: Apache-2.0" in card


@pytest.fixture
def copied_run(trained_run, tmp_path):
    """A trained run that may be written to."""
    return Path(shutil.copytree(trained_run.path, tmp_path / "copied"))


def test_verify_a_run(capsys, monkeypatch, copied_run):
    monkeypatch.setattr("qernel.verify._EFFORT", Effort(walkers=8, equilibration=2, samples=8))
    path = copied_run
    with contextlib.suppress(SystemExit):  # so few samples may miss R-hat
        main(["verify", str(path)])
    checks = json.loads((path / "verification.json").read_text())["checks"]
    assert {"antisymmetry", "period"} <= {check["quantity"].split(":")[0] for check in checks}
    assert all(check["passed"] for check in checks if "antisymmetry" in check["quantity"])
    assert "Verification" in (path / "report/index.html").read_text()
    assert f"of {len(checks)} comparisons passed" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [False, True])
def test_verify_exits_with_its_verdict(capsys, monkeypatch, copied_run, wrong):
    checks = [Check("g", "fine", "1", 1.0, 1.0), Check("g", "perhaps", "1", 1.0, 1.0 + wrong)]
    monkeypatch.setattr("qernel.verify.check_trained", lambda *_, **__: iter(checks))
    with pytest.raises(SystemExit) if wrong else contextlib.nullcontext() as stop:
        main(["verify", str(copied_run)])
    assert not wrong or stop.value.code == 1
    assert f"{2 - wrong} of 2 comparisons passed" in capsys.readouterr().out
    page = (copied_run / "report/index.html").read_text()
    assert ("1 FAILED" in page) is wrong
    (copied_run / "verification.json").write_text('{"checks": [{"group": "older"}]}')
    main(["report", str(copied_run)])
    page = (copied_run / "report/index.html").read_text()
    assert "verification.json is damaged, or of another version: left out." in page


@pytest.mark.parametrize("quick", [False, True])
def test_the_program_is_verified_in_the_first_model_s_run(monkeypatch, tmp_path, trained_run, quick):
    def checks(families, out, console, *, quick):
        shutil.copytree(trained_run.path, out / families[0].models[0].name)
        yield Check("g", "fine", "1", 1.0, 1.0)

    monkeypatch.setattr("qernel.verify._checks", checks)
    main(["verify", "--out", str(tmp_path), *(["--quick"] if quick else [])])
    (written,) = tmp_path.glob("*/verification.json")
    assert len(json.loads(written.read_text())["checks"]) == 1
    assert (written.parent / "report/index.html").is_file()


def test_verify_of_a_run_takes_no_options_of_the_program(capsys, trained_run):
    for option in (["--quick"], ["--out", "elsewhere"]):
        assert "without" in fails(capsys, trained_run.path, "verify", trained_run.path, *option)


def test_a_run_at_one_context_is_verified_there_once(monkeypatch, tiny, tmp_path):
    config, seen = tiny("training.within.moire_depth=[1.1,1.1]"), []
    run = Run(tmp_path / "run")
    run.begin(config)
    run.save(initial_state(config))
    monkeypatch.setattr("qernel.verify.check_trained", lambda *given, **_: seen.append(given[2]) or iter(()))
    verify_run(run, seen.append)
    np.testing.assert_array_equal(seen[0], [[1.1]])


def test_a_run_at_fixed_parameters_is_swept_and_reported(tiny_file, tmp_path, capsys):
    run = Run(tmp_path / "fixed")
    main(["train", tiny_file, "contexts={}", "stages=[{steps=1}]", "--out", str(run.path)])
    main(["sweep", str(run.path), "--walkers", "4", "--samples", "2", "--equilibration", "2"])
    main(["report", str(run.path)])
    assert "wrote" in capsys.readouterr().out
    with xarray.open_dataset(run.sweep_directory / "sweep-001.nc", engine="scipy") as data:
        assert data["energy"].shape == ()
        assert np.isfinite(float(data["energy"]))
    assert "1 context:" in (run.path / "report/index.html").read_text()
