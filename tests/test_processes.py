"""Two processes that share the walkers: the numbers of one, common stops, and what a lost one leaves."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import xarray
from safetensors.numpy import load_file

from qernel.batching import walker_mesh
from qernel.cli import main
from qernel.config import UserError
from qernel.estimators import OBSERVABLES
from qernel.runs import Run
from qernel.training.checkpoint import checkpoints, newest_step

SMALL = ["ansatz=slaternet", "determinants=1", "electrons=[2,0]", "jastrow=false", "moire_features=false"]


def free_port():
    with socket.socket() as listener:
        listener.bind(("", 0))
        return str(listener.getsockname()[1])


def start(arguments):
    """The command on two processes, started by hand."""
    address = ["--coordinator", f"localhost:{free_port()}", "--processes", "2", "--process"]
    return [launch([*arguments, *address, str(index)], {}) for index in range(2)]


def start_as_slurm(arguments, *, second, devices):
    """The command as srun starts it, with options for the second process, on so many devices each."""
    job = {"SLURM_JOB_ID": "7", "SLURM_STEP_NODELIST": "localhost", "SLURM_NTASKS": "2"}
    job |= {"JAX_COORDINATOR_PORT": free_port(), "JAX_NUM_CPU_DEVICES": str(devices)}
    command = [*arguments, "--distributed"]
    return [
        launch([*command, *own], job | {"SLURM_PROCID": rank, "SLURM_LOCALID": rank})
        for rank, own in (("0", []), ("1", second))
    ]


def launch(arguments, environment):
    return subprocess.Popen(
        [sys.executable, "-m", "qernel", *arguments],
        env=os.environ | {"JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(processes, seconds=300):
    """Exit codes, what each printed, and their errors. Both are gone afterwards, whatever happens."""
    try:
        outputs = [process.communicate(timeout=seconds) for process in processes]
    finally:
        for process in processes:
            process.kill()
    # Gloo itself says on standard output that it is connected, in pieces where two threads do so at once.
    gloo = ("[Gloo]", "peer ranks")
    printed = [
        [line for line in out.splitlines() if not any(word in line for word in gloo)] for out, _ in outputs
    ]
    return [process.returncode for process in processes], printed, [error for _, error in outputs]


@pytest.fixture(scope="module")
def command(tiny_file):
    return lambda path, *more: ["train", tiny_file, *SMALL, *more, "--out", str(path)]


@pytest.fixture(scope="module")
def alone(command, tmp_path_factory):
    """The run of one process, stopped after its first step and resumed. Read only."""
    path = tmp_path_factory.mktemp("alone") / "run"
    main([*command(path), "--minutes", "1e-9"])
    main(command(path))
    return Run(path)


def assert_same_steps(run, expected):
    """The first steps were the same up to rounding, as many as there are in `expected`."""
    for row, other in zip(run.metrics(), expected.metrics(), strict=False):
        assert row.keys() == other.keys()
        for name in row.keys() - {"seconds"}:
            np.testing.assert_allclose(row[name], other[name], rtol=1e-8, atol=1e-9, err_msg=name)
    assert run.step() >= expected.step() == 6


def test_from_one_to_two_of_two_devices_each_and_back(alone, command, tmp_path):
    run = Run(tmp_path / "run")
    shutil.copytree(alone.path, run.path)
    checkpoints(run.checkpoint_directory)[-1].unlink()  # what is left is step 1
    # Time is up for the second process only: both stop at the same step.
    processes = start_as_slurm(command(run.path), second=["--minutes", "1e-9"], devices=2)
    codes, printed, errors = finish(processes)
    assert codes == [0, 0], errors
    assert printed[0][-1].endswith("stopped; the same command resumes it")
    assert printed[1] == []
    assert newest_step(run.checkpoint_directory) == 2
    main(command(run.path))
    assert_same_steps(run, alone)
    one, two = (load_file(checkpoints(each.checkpoint_directory)[-1]) for each in (run, alone))
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_allclose(one[name], two[name], rtol=1e-8, atol=1e-9, err_msg=name)


def test_configuration_and_a_checkpoint_are_all_that_goes_on_elsewhere(alone, command, tmp_path):
    run = Run(tmp_path / "run")
    run.checkpoint_directory.mkdir(parents=True)
    for path in (alone.config_file, checkpoints(alone.checkpoint_directory)[0]):  # of step 1
        shutil.copy(path, run.path / path.relative_to(alone.path))
    main(command(run.path))
    assert [row["step"] for row in run.metrics()] == [2, 3, 4, 5, 6]
    one, two = (load_file(checkpoints(each.checkpoint_directory)[-1]) for each in (run, alone))
    for name in two:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(("keep_scores=false",), id="QERNEL"),
        pytest.param(
            ("model.ansatz=psiformer", "optimizer.name=adam", "learning_rate=0.001"),
            id="PsiFormer",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_networks_train_alike(change, tiny_file, tmp_path):
    small = ["electrons=[2,0]", "determinants=1", "stages=[{steps=2,contexts=2}]"]
    train = ["train", tiny_file, *small, *change, "--out"]
    one, two = Run(tmp_path / "one"), Run(tmp_path / "two")
    codes, _, errors = finish(start([*train, str(two.path)]))
    with jax.numpy_dtype_promotion("standard"):  # optax's Adam needs it
        main([*train, str(one.path)])
    assert codes == [0, 0], errors
    for mine, other in zip(two.metrics(), one.metrics(), strict=True):
        for name in mine.keys() - {"seconds"}:
            np.testing.assert_allclose(mine[name], other[name], rtol=1e-7, atol=1e-9, err_msg=name)


@pytest.mark.parametrize(
    "measured", [(), pytest.param(OBSERVABLES, marks=pytest.mark.slow)], ids=["default", "all"]
)
def test_sweeps_agree_in_every_observable(alone, tmp_path, measured):
    effort = ["--walkers", "4", "--samples", "4", "--equilibration", "2", "--over", "moire_depth=0.7,1.2"]
    measure = [word for name in measured for word in ("--measure", name)]
    runs = [Run(tmp_path / name) for name in ("one", "two")]
    for run in runs:
        shutil.copytree(alone.path, run.path)
    one, two = (["sweep", str(run.path), *effort, *measure] for run in runs)
    processes = start(two)
    main(one)
    codes, printed, errors = finish(processes)
    assert codes == [0, 0], errors
    assert printed[1] == []
    data = []
    for run in runs:
        (path,) = run.sweep_directory.iterdir()
        with xarray.open_dataset(path, engine="scipy") as opened:
            data.append(opened.load())
    assert data[0].keys() == data[1].keys()
    for name in data[0].variables:
        np.testing.assert_allclose(data[1][name], data[0][name], rtol=1e-7, atol=1e-9, err_msg=name)


def test_lost_process_stops_the_other_and_the_run_goes_on(alone, command, tmp_path):
    run = Run(tmp_path / "run")
    endless = ("stages=[{steps=100000,contexts=2}]", "checkpoint_seconds=0.2")
    processes = start(command(run.path, *endless))
    try:
        deadline = time.monotonic() + 300
        while newest_step(run.checkpoint_directory) < 6:
            assert time.monotonic() < deadline
            assert [process.poll() for process in processes] == [None, None]
            time.sleep(0.05)
    finally:
        processes[1].kill()
    codes, _, errors = finish(processes, seconds=60)
    assert codes == [2, -signal.SIGKILL]
    saved = newest_step(run.checkpoint_directory)
    assert f"another process was lost; the same command resumes from step {saved}" in errors[0]
    assert_same_steps(run, alone)
    main([*command(run.path, *endless), "--minutes", "1e-9"])
    lines = run.metrics_file.read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(1, saved + 2))


def test_mistake_that_the_first_finds_ends_both(command, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    codes, printed, errors = finish(start(command(tmp_path)))
    assert codes == [2, 2]
    assert "is not empty" in errors[0]
    assert printed[1] == []
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_walkers_that_cannot_be_shared(monkeypatch):
    devices = [SimpleNamespace(process_index=index) for index in (0, 0, 1, 1, 2, 2)]
    monkeypatch.setattr("jax.devices", lambda: devices)
    with pytest.raises(UserError, match="4 walkers per context cannot be shared evenly by 3 processes"):
        walker_mesh(4)
