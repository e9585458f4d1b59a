"""A phase diagram over two parameters."""

import csv
import json

import numpy as np
import pytest
import xarray

from qernel.cli import main
from qernel.config import UserError, load_config
from qernel.dataset import sweep_dataset
from qernel.diagram import phase_diagram
from qernel.measurement import Effort
from qernel.report import figures
from qernel.report.style import figure_style

DEPTH, EPS = np.linspace(0.9, 1.5, 13), np.array([5.0, 7.0, 9.0])
LINE = 0.9 + 0.04 * EPS  # where the two states cross: 1.1, 1.18, 1.26


def make_sweep(crystal, *, seed=0, depth=DEPTH, jump=0.8):
    """A fabricated sweep of the liquid or the crystal, of measurements with errors of 0.01 meV."""
    random = np.random.default_rng(seed)
    lower = 3.0 * (depth[:, None] - LINE)
    columns = {
        "energy": -10 * depth[:, None] + 0 * EPS - (lower if crystal else 0),
        "coulomb": -55 + 0.5 * depth[:, None] - 2 * EPS - (jump if crystal else 0),
        "bragg_sqrt3": (1.0 if crystal else 0.5) + 0 * lower,
    }
    data = xarray.Dataset(coords={"moire_depth": depth, "dielectric_constant": EPS})
    dims = ("moire_depth", "dielectric_constant")
    for name, values in columns.items():
        data[name] = (dims, values + 0.01 * random.normal(size=values.shape))
        data[f"{name}_error"] = (dims, np.full(values.shape, 0.01))
    weights = np.zeros((*lower.shape, 2))
    weights[..., int(crystal)] = 1.0
    data["sector_weight"] = ((*dims, "sector"), weights)
    data = data.assign_coords(sector_1=("sector", [-1, 1]), sector_2=("sector", [0, 1]))
    swept = {"moire_depth": [], "dielectric_constant": []}
    config = load_config("six-over-depth", ["contexts.dielectric_constant=[4,12]"])
    data.attrs = sweep_dataset(config, swept, np.ones((1, 2)), [{}], {}, Effort(), 100).attrs
    return data


def make_sweeps(**how):
    return {"liquid": make_sweep(False, **how), "crystal": make_sweep(True, seed=1, **how)}


def test_the_line_is_where_energies_cross():
    found = phase_diagram(make_sweeps())
    assert (found.along, found.across) == ("moire_depth", "dielectric_constant")
    assert [cut.at for cut in found.cuts] == EPS.tolist()
    for cut, exact in zip(found.cuts, LINE, strict=True):
        low, high = cut.evidence.place.within_68
        assert abs(cut.evidence.place.value - exact) < 3 * (high - low) / 2 < 0.02
        assert cut.evidence.transition.jump.value == pytest.approx(-0.8, abs=0.06)
        assert [sector.label for sector in cut.evidence.sectors] == [(-1, 0), (1, 1)]
    assert found.data["model"].sel(moire_depth=1.15).values.tolist() == ["crystal", "liquid", "liquid"]
    json.dumps(found.as_dict())


def test_of_one_sweep_the_line_is_where_the_interaction_energy_jumps():
    whole = phase_diagram(make_sweeps()).data.drop_vars("model")
    for cut, exact in zip(phase_diagram({"free": whole}).cuts, LINE, strict=True):
        assert cut.evidence.crossings == []
        assert cut.evidence.place.within_68[0] <= exact <= cut.evidence.place.within_68[1]


def test_without_a_transition_there_is_no_line():
    found = phase_diagram({"liquid": make_sweep(False)})
    assert [cut.evidence.place for cut in found.cuts] == [None] * 3


def test_the_line_is_broken_where_there_is_no_transition(monkeypatch):
    sweeps = make_sweeps()
    lower = sweeps["liquid"]["energy"].sel(dielectric_constant=7.0)
    sweeps["crystal"]["energy"].loc[{"dielectric_constant": 7.0}] = lower + 1.0
    found = phase_diagram(sweeps)
    with figure_style():
        left = figures.diagram(found).axes[0]
    line = next(each for each in left.lines if each.get_linewidth() == 3.5)
    np.testing.assert_array_equal(line.get_ydata(), EPS)
    assert np.isnan(line.get_xdata()).tolist() == [False, True, False]


def test_cuts_run_along_the_parameter_that_is_asked_for():
    with pytest.raises(UserError, match="7 values of dielectric_constant or more"):
        phase_diagram(make_sweeps(), "dielectric_constant")
    with pytest.raises(UserError, match="two parameters, moire_phase among them"):
        phase_diagram(make_sweeps(), "moire_phase")


def write(directory, sweeps):
    for name, data in sweeps.items():
        data.to_netcdf(directory / f"{name}.nc", engine="scipy")
    return [str(directory / f"{name}.nc") for name in sweeps]


@pytest.mark.parametrize("jump", [0.8, 0.0])
def test_command_draws_it(tmp_path, capsys, jump):
    sources = write(tmp_path, make_sweeps(jump=jump))
    main(["diagram", *sources, "--out", str(tmp_path / "out")])
    printed = capsys.readouterr().out
    assert printed.count("(-1, 0) to (1, 1)") == 3
    assert printed.count("no jump or kink") == (0 if jump else 3)
    content = json.loads((tmp_path / "out/diagram-001.json").read_text())
    assert [cut["dielectric_constant"] for cut in content["cuts"]] == EPS.tolist()
    assert [(each["file"], each["training_step"]) for each in content["sweeps"]] == [
        (s, 100) for s in sources
    ]
    assert content["seed"] == 0
    with open(tmp_path / "out/diagram-001.csv") as file:
        rows = list(csv.reader(file))
    np.testing.assert_allclose([float(row[1]) for row in rows[1:]], LINE, atol=0.01)
    assert (rows[1][4] == "") == (jump == 0.0)
    with open(tmp_path / "out/diagram-001-map.csv") as file:
        rows = list(csv.DictReader(file))
    sweeps = [
        sweep["energy"].transpose("dielectric_constant", ...) for sweep in make_sweeps(jump=jump).values()
    ]
    lowest = np.minimum(*(each.values for each in sweeps)).ravel()
    np.testing.assert_array_equal([float(row["energy"]) for row in rows], lowest)
    assert [float(row["dielectric_constant"]) for row in rows] == np.repeat(EPS, len(rows) // 3).tolist()
    for suffix in ("png", "pdf"):
        assert (tmp_path / f"out/diagram-001.{suffix}").stat().st_size > 5000


def test_command_says_what_is_wrong(tmp_path, capsys):
    one = make_sweep(False).isel(dielectric_constant=0)
    (line, other) = write(tmp_path, {"line": one, "other": make_sweep(False)})
    for arguments, words in (
        ([], "needs a run or a sweep's file"),
        ([line], "is no sweep over two parameters with 7 contexts or more"),
        ([other, "--along", "twist_1"], "twist_1 among them"),
        ([str(tmp_path)], "is not a run"),
    ):
        with pytest.raises(SystemExit) as exit:
            main(["diagram", *arguments, "--out", str(tmp_path / "out")])
        assert exit.value.code == 2
        assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
