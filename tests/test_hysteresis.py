"""Starts that disagree are noticed; starts that agree within errors are not."""

import numpy as np
import pytest
import xarray

from qernel.cli import main
from qernel.hysteresis import by_start, memory, started_differently
from qernel.report import figures

DEPTH = np.linspace(0.8, 1.4, 7)


def sweep_of(shift, seed, error=0.02):
    random, data = np.random.default_rng(seed), xarray.Dataset(coords={"moire_depth": DEPTH})
    for name in ("energy", "coulomb"):
        data[name] = ("moire_depth", -10 * DEPTH + shift + error * random.normal(size=7))
        data[f"{name}_error"] = ("moire_depth", np.full(7, error))
    return data


def sweeps(shift=0.0, seed=0):
    stuck = shift * (np.abs(DEPTH - 1.1) < 0.06)
    return by_start(
        {
            "up": sweep_of(stuck, 3 * seed),
            "down": sweep_of(0, 3 * seed + 1),
            "liquid": sweep_of(0, 3 * seed + 2),
        }
    )


def test_walkers_that_are_stuck_are_found_where_they_are():
    found = memory(sweeps(0.2))
    assert len(found) == 2
    for each in found:
        assert each.found
        assert each.where == pytest.approx(1.1)
        assert each.largest == pytest.approx(0.2, abs=0.08)


def test_chance_is_as_likely_as_it_says():
    chances = np.array([each.p_value for seed in range(300) for each in memory(sweeps(seed=seed))])
    assert np.mean(chances < 0.1) == pytest.approx(0.1, abs=0.05)
    assert np.mean(chances < 0.01) < 0.03


def test_what_has_no_error_bar_does_not_count():
    data = sweeps()
    data["coulomb_error"] = 0 * data["coulomb_error"]
    assert not memory(data)[1].found


def test_a_point_that_is_not_a_number_hides_nothing():
    data = sweeps(0.3)
    data["energy"][0, 1] = np.nan
    (energy, _) = memory(data)
    assert energy.found
    assert energy.where == pytest.approx(1.1)


def test_the_figure_tells_the_starts_apart():
    starts = {start: sweep_of(0, seed) for seed, start in enumerate(("up", "down", "liquid"))}
    figure = figures.hysteresis(by_start(starts))
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["up", "down", "liquid"]


def measured(start, seed=0, step=100, **attrs):
    return sweep_of(0, seed).assign_attrs(walkers_from=start, training_step=step, **attrs)


def test_sweeps_that_differ_in_their_start_alone_are_put_side_by_side():
    other = measured("down", 4).isel(moire_depth=slice(3))
    plane = measured("liquid").expand_dims(dielectric_constant=[5.0, 6.0])
    old, new = measured("up", 1), measured("up", 2)
    sweeps = [old, measured("nearest"), other, plane, measured("down", 3), new, measured("crystal", step=50)]
    (found,) = started_differently(sweeps)
    assert found["start"].values.tolist() == ["up", "down"]
    np.testing.assert_array_equal(found["energy"].sel(start="up"), new["energy"])
    assert started_differently([old, new]) == []


@pytest.mark.parametrize("option", ["--walkers", "--samples"])
def test_too_little_effort_is_refused(tiny_file, tmp_path, capsys, option):
    with pytest.raises(SystemExit):
        main(["hysteresis", "six-over-depth", "--over", "moire_depth=1", option, "1"])
    assert f"needs {option[2:]} >= 2, not 1" in capsys.readouterr().err


def test_the_command_compares_all_starts(tiny_file, tmp_path, capsys):
    run = str(tmp_path / "run")
    train = ["train", tiny_file, "electrons=[2,0]", "twist_1=0", "twist_2=0", "--out", run]
    main([*train, "training.stages=[{steps=1,contexts=2}]"])
    command = ["hysteresis", run, "--over", "moire_depth=0.7,1.0,1.3", "--walkers", "8", "--samples", "8"]
    for number in (1, 2):
        main([*command, "--equilibration", "4", "--out", str(tmp_path / "out")])
        printed = capsys.readouterr().out
        for start in ("up", "down", "liquid", "crystal"):
            assert start in printed
        assert "walkers " in printed
        for suffix in ("nc", "png", "pdf", "csv"):
            assert (tmp_path / "out" / f"hysteresis-{number:03d}.{suffix}").is_file()
    assert len(list((tmp_path / "run" / "sweeps").glob("*.nc"))) == 8
    with pytest.raises(SystemExit):
        main(["hysteresis", run, "--over", "moire_phase=1:2:3", "--out", str(tmp_path / "out")])
    assert "cannot sweep over moire_phase" in capsys.readouterr().err
