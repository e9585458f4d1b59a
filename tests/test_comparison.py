"""The lower envelope of several models, and where they cross."""

import json
import os
import signal

import numpy as np
import pytest
import xarray

from qernel.cli import main
from qernel.comparison import compare, envelope, momentum
from qernel.config import UserError, parse_config
from qernel.dataset import load_sweep
from qernel.measurement import Effort
from qernel.runs import Run
from qernel.sweep import sweep
from qernel.sweep_files import system_but_size, system_of
from qernel.training.loop import initial_state
from qernel.workflows import compare_runs, sweep_from_all_starts


def sweep_of(energy, error, weight=None):
    depth = np.linspace(0.8, 1.4, len(energy))
    data = xarray.Dataset(
        {
            "energy": ("moire_depth", energy),
            "energy_error": ("moire_depth", np.broadcast_to(error, np.shape(energy))),
        },
        coords={"moire_depth": depth},
        attrs={"electrons": 6, "system_dielectric_constant": 5.0, "training_step": 3},
    )
    if weight is not None:
        data["sector_weight"] = (("moire_depth", "sector"), weight)
        data = data.assign_coords(sector_1=("sector", [0, -1]), sector_2=("sector", [0, 1]))
    return data


def test_the_lowest_is_taken_at_every_context_with_its_error():
    data = compare({"a": sweep_of([0.0, 1.0, 2.0], 0.1), "b": sweep_of([0.5, 0.9, 1.5], 0.2)})
    assert data["lowest"].values.tolist() == ["a", "b", "b"]
    np.testing.assert_array_equal(data["lowest_energy"], [0.0, 0.9, 1.5])
    np.testing.assert_array_equal(data["lowest_energy_error"], [0.1, 0.2, 0.2])
    assert data.attrs["system_dielectric_constant"] == 5.0
    assert "training_step" not in data.attrs


def test_sweeps_of_other_contexts_are_refused():
    with pytest.raises(ValueError, match=r"align|join"):
        compare({"a": sweep_of([0.0, 1.0], 0.1), "b": sweep_of([0.0, 1.0, 2.0], 0.1)})


def test_a_context_that_no_model_has_an_energy_at_is_nobodys():
    nothing = [0.0, np.nan, 2.0]
    data = envelope({"a": sweep_of(nothing, 0.1), "b": sweep_of([0.5, np.nan, 1.5], 0.2)})
    np.testing.assert_array_equal(data["energy"], [0.0, np.nan, 1.5])
    with pytest.raises(UserError, match="not at the same contexts"):
        envelope({"a": sweep_of([0.0, 1.0], 0.1), "b": sweep_of([0.0, 1.0, 2.0], 0.1)})


def test_models_with_other_numbers_of_experts_have_an_envelope():
    one, two = sweep_of([0.0, 1.0, 2.0], 0.1), sweep_of([0.5, 0.9, 1.5], 0.2)
    one["expert_weight"] = (("moire_depth", "expert"), np.ones((3, 4)))
    two["expert_weight"] = (("moire_depth", "expert"), np.ones((3, 2)))
    data = envelope({"a": one, "b": two})
    np.testing.assert_array_equal(data["energy"], [0.0, 0.9, 1.5])
    assert "expert_weight" not in data


def test_a_model_has_a_momentum_where_one_sector_holds_it_everywhere():
    assert momentum(sweep_of([0.0, 1.0], 0.1, [[0.0, 1.0], [0.02, 0.98]])) == (-1, 1)
    assert momentum(sweep_of([0.0, 1.0], 0.1, [[0.0, 1.0], [1.0, 0.0]])) is None
    assert momentum(sweep_of([0.0, 1.0], 0.1)) is None


@pytest.fixture(scope="module")
def runs(tiny_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name, overrides in {"one": [], "two": ["training.seed=1"], "eps": ["dielectric_constant=7"]}.items():
        stages = "training.stages=[{steps=1,contexts=2}]"
        main(["train", tiny_file, "--out", str(folder / name), stages, *overrides])
    return folder


def test_the_command_prints_writes_and_keeps(runs, capsys):
    for number in (1, 2):
        options = ["--over", "moire_depth=0.7,1.5", "--walkers", "4", "--samples", "4"]
        main(["compare", str(runs / "one"), str(runs / "two"), *options, "--out", str(runs / "out")])
        printed = capsys.readouterr().out
        assert "one: total momentum (-1, 0)" in printed
        assert "note: one: too few samples for R-hat" in printed or "note: one: R-hat" in printed
        with xarray.open_dataset(runs / "out" / f"comparison-00{number}.nc") as data:
            assert data["energy"].sizes == {"model": 2, "moire_depth": 2}
            assert data["energy"].attrs["units"] == "meV"
            assert set(data["lowest"].values) <= {"one", "two"}
        assert len(list(Run(runs / "two").sweep_directory.glob("*.nc"))) == number


def test_what_is_complete_is_kept_when_interrupted(runs, monkeypatch):
    ran, files = [], {name: len(list(Run(runs / name).sweep_directory.glob("*"))) for name in ("one", "two")}

    def interrupted(*arguments, **options):
        ran.append(1)
        if len(ran) == 2:
            raise KeyboardInterrupt
        return sweep(*arguments, **options)

    monkeypatch.setattr("qernel.workflows.sweep", interrupted)
    over, effort = {"moire_depth": [0.7]}, Effort(walkers=4, samples=4)
    with pytest.raises(KeyboardInterrupt):
        compare_runs([Run(runs / "one"), Run(runs / "two")], over, effort, lambda share: None)
    left = {name: len(list(Run(runs / name).sweep_directory.glob("*"))) for name in files}
    assert left == {"one": files["one"] + 1, "two": files["two"]}


@pytest.mark.parametrize(
    ("refine", "share", "kept"),
    [(0, 0.02, []), (0, 0.8, ["one"]), (1, 0.8, ["one"]), (0, 0.985, ["one", "two"])],
)
def test_a_request_to_stop_keeps_what_was_measured(runs, refine, share, kept):
    """Of two models; the request comes while the first or the second is equilibrated, or at its end."""
    asked = []

    def stop_at(now):
        if now > share and not asked:
            asked.append(now)
            os.kill(os.getpid(), signal.SIGTERM)

    before = {name: set(Run(runs / name).sweep_files()) for name in ("one", "two")}
    over, effort = {"moire_depth": np.linspace(0.6, 1.3, 8).tolist()}, Effort(walkers=4, samples=12)
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(UserError, match="stopped; measured until then: ") as error:
        compare_runs([Run(runs / "one"), Run(runs / "two")], over, effort, stop_at, refine=refine)
    assert signal.getsignal(signal.SIGTERM) is handler
    new = {name: set(Run(runs / name).sweep_files()) - files for name, files in before.items()}
    assert [name for name in new if new[name]] == kept
    for name in kept:
        (file,) = new[name]
        assert str(file) in str(error.value)
        assert load_sweep(file)["energy"].sizes == {"moire_depth": 8}


def test_models_of_different_parts_of_a_range_need_a_common_place(tiny, tmp_path):
    """One would be measured at eps 5, the other at 10: two Hamiltonians."""
    whole, part = Run(tmp_path / "whole"), Run(tmp_path / "part")
    family = "contexts={moire_depth=[0.5,2.0],dielectric_constant=[4,12]}"
    whole.begin(tiny(family))
    part.begin(tiny(family, "training.within.dielectric_constant=[10,10]"))
    over, effort = {"moire_depth": [0.7]}, Effort(walkers=4, samples=4)
    with pytest.raises(UserError, match=r"dielectric_constant = 10, .*whole at 5"):
        compare_runs([whole, part], over, effort, lambda share: None)


def test_a_system_may_be_written_in_two_ways(tiny, tmp_path):
    effort, over = Effort(walkers=4, samples=4), {"moire_depth": [0.7]}
    named = [Run(tmp_path / "cells"), Run(tmp_path / "matrix"), Run(tmp_path / "other")]
    matrix = str(tiny().system.lattice().matrix).replace("(", "[").replace(")", "]")
    for run, supercell in zip(named, (None, matrix, "[[3,0],[0,1]]"), strict=True):
        config = tiny() if supercell is None else parse_config(with_supercell(tiny(), supercell))
        run.begin(config)
        run.save(initial_state(config))
    assert named[0].config().system != named[1].config().system
    sweeps = compare_runs(named[:2], over, effort, lambda share: None)
    assert len({system_of(data) for data in sweeps.values()}) == 1
    older, *_ = (data.copy() for data in sweeps.values())
    del older.attrs["system_moire_phase"]  # as of before there was such a parameter
    assert len({system_of(data) for data in (older, *sweeps.values())}) == 1
    assert system_of(older) != system_of(older.assign_attrs(system_moire_phase=30.0))
    assert len({system_but_size(data) for data in sweeps.values()}) == 1
    with pytest.raises(UserError, match=r"system\.supercell"):
        compare_runs([named[0], named[2]], over, effort, lambda share: None)


def with_supercell(config, matrix):
    """Its tree with a supercell in place of the number of cells, and the filling spelled out."""
    tree = config.model_dump(exclude_none=True)
    system = {name: value for name, value in tree["system"].items() if name not in ("cells", "filling")}
    return tree | {"system": system | {"supercell": json.loads(matrix)}}


def test_models_are_read_once_though_training_goes_on(runs, monkeypatch):
    read = []

    def state(run):
        read.append(run.path.name)
        return resume(run)[0]

    resume = Run.resume
    monkeypatch.setattr(Run, "state", state)
    over, effort = {"moire_depth": np.linspace(0.6, 1.3, 8).tolist()}, Effort(walkers=4, samples=4)
    compare_runs([Run(runs / "one"), Run(runs / "two")], over, effort, lambda share: None, refine=1)
    assert read == ["one", "two"]
    read.clear()
    sweep_from_all_starts(Run(runs / "one"), over, effort, lambda share: None)
    assert read == ["one"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["one"], "compare needs two runs or more"),
        (["one", "eps"], "system.dielectric_constant = 7.0"),
        (["one", "none"], "is not a run"),
        (["one", "eps/../one"], "one of them is given twice"),
    ],
)
def test_what_cannot_be_compared_is_refused(runs, capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        main(["compare", *(str(runs / name) for name in arguments), "--over", "moire_depth=1.0"])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_a_momentum_is_kept_at_every_context_or_not():
    assert momentum(sweep_of([0.0, 0.0], 0.1, [[0.0, 1.0], [0.04, 0.96]])) == (-1, 1)
    assert momentum(sweep_of([0.0, 0.0], 0.1, [[0.0, 1.0], [0.08, 0.92]])) is None
