"""Sweeps: grids, labelled and complete datasets, files that are never overwritten."""

import shutil

import jax
import numpy as np
import pytest
import xarray

from qernel.cli import main
from qernel.config import UserError
from qernel.estimators.observable import Result
from qernel.measurement import Effort, Measured, Measurement, StopMeasuring
from qernel.report.sweep_words import origin, setting
from qernel.sweep import _to_precision, context_grid, sweep
from qernel.sweep_files import write_sweep
from qernel.training.loop import initial_state
from qernel.transition.evidence import may_show_transition

TWO = ("contexts.moire_depth=[0.5,2.0]", "contexts.twist_1=[-0.5,0.5]")


def test_grid_is_the_product_in_the_order_of_the_contexts(tiny):
    grid = context_grid(tiny(*TWO), {"twist_1": [0.0, 0.25], "moire_depth": [1.0, 0.6, 0.8]})
    expected = [[d, t] for d in (0.6, 0.8, 1.0) for t in (0.0, 0.25)]
    np.testing.assert_array_equal(grid, expected)


def test_parameters_left_out_stay_at_the_system_or_in_the_middle(tiny):
    np.testing.assert_array_equal(context_grid(tiny(*TWO), {"moire_depth": [1.5]}), [[1.5, 0.2]])
    outside = tiny("contexts.twist_1=[0.3,0.5]")
    np.testing.assert_array_equal(context_grid(outside, {}), [[1.0, 0.4]])


def test_fixed_parameters_are_one_point_without_coordinates(tiny):
    assert context_grid(tiny("contexts={}", "stages=[{steps=1}]"), {}).shape == (1, 0)


@pytest.mark.parametrize("value", [-1.0, 0.0, float("nan")])
def test_value_that_a_parameter_cannot_have_is_an_error(tiny, value):
    config = tiny("contexts={dielectric_constant=[4,12]}")
    with pytest.raises(UserError, match="cannot sweep over dielectric_constant = "):
        context_grid(config, {"dielectric_constant": [5.0, value]})


def test_untrained_parameter_is_an_error(tiny):
    with pytest.raises(UserError, match="cannot sweep over moire_phase"):
        context_grid(tiny(), {"moire_phase": [10.0]})


@pytest.fixture(scope="module")
def data(tiny):
    """Fresh weights, close to filled bands, swept over depth (given downwards) and twist."""
    config = tiny(*TWO)
    done = []
    made = sweep(
        config,
        initial_state(config),
        {"moire_depth": [1.8, 0.6], "twist_1": [0.1, 0.2, 0.3]},
        Effort(walkers=8, equilibration=4, samples=8),
        progress=done.append,
    )
    assert done == sorted(done)
    assert len(done) >= 12
    assert done[-1] == 1.0
    return made


def test_dimensions_and_coordinates(data):
    assert data["energy"].dims == ("moire_depth", "twist_1")
    np.testing.assert_array_equal(data["moire_depth"], [0.6, 1.8])
    np.testing.assert_array_equal(data["twist_1"], [0.1, 0.2, 0.3])
    assert data["density"].shape == (2, 3, 48, 48)


def test_a_parameter_of_one_value_is_the_systems_beside_another_that_varies(tiny):
    """Such a sweep is over one parameter, and may show a transition along it."""
    config, effort = tiny(*TWO), Effort(walkers=4, equilibration=0, samples=2, start="up")
    over = {"moire_depth": np.linspace(0.6, 1.8, 7).tolist(), "twist_1": [0.1]}
    data = sweep(config, initial_state(config), over, effort)
    assert data["energy"].dims == ("moire_depth",)
    assert data.attrs["system_twist_1"] == 0.1
    assert may_show_transition(data)


def test_values_belong_to_their_coordinates(data):
    # V is proportional to the depth, and the deeper the wells, the fuller: three times as low on average.
    # Single contexts have few walkers, hence the weaker bound for each of them.
    shallow, deep = data["moire"].sel(moire_depth=0.6), data["moire"].sel(moire_depth=1.8)
    assert float(deep.mean()) < 2 * float(shallow.mean())
    assert np.all(deep < shallow)
    assert np.all(shallow < 0)


def test_every_variable_says_its_unit_and_name(data):
    for name, variable in data.variables.items():
        assert variable.attrs["units"], name
        if name not in ("x", "y"):
            assert variable.attrs["long_name"], name
    assert data["energy"].attrs["units"] == "meV"
    assert "standard error" in data["kinetic_error"].attrs["long_name"]
    assert data.attrs["electrons"] == 3
    assert data.attrs["training_step"] == 0
    assert data.attrs["system_dielectric_constant"] == 5.0
    assert "system_moire_depth" not in data.attrs


def test_components_add_up_and_errors_are_positive(data):
    parts = data["kinetic"] + data["moire"] + data["coulomb"]
    np.testing.assert_allclose(parts, data["energy"], rtol=1e-10)
    for name in ("energy", "kinetic", "moire", "coulomb"):
        assert np.all(data[f"{name}_error"] > 0)
    assert np.all(data["spread"] > 0)
    assert np.all((data["acceptance"] > 0) & (data["acceptance"] < 1))
    assert np.all(np.isfinite(data["energy_r_hat"]))


def test_density_integrates_to_the_electrons(data):
    area = 3 * np.sqrt(3) / 2  # of three moiré cells
    np.testing.assert_allclose(data["density"].mean(("cell_1", "cell_2")) * area, 3.0, rtol=1e-12)


def test_survives_the_way_to_netcdf_and_back(data, tmp_path):
    path = write_sweep(data, tmp_path)
    with xarray.open_dataset(path, engine="scipy") as back:
        xarray.testing.assert_equal(back, data)
        assert back["energy"].attrs == data["energy"].attrs


def test_files_are_numbered_and_never_overwritten(data, tmp_path):
    first = write_sweep(data, tmp_path)
    content = first.read_bytes()
    second = write_sweep(data * 2, tmp_path)
    assert [first.name, second.name] == ["sweep-001.nc", "sweep-002.nc"]
    assert first.read_bytes() == content
    first.unlink()
    assert write_sweep(data, tmp_path).name == "sweep-003.nc"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sweep-002.nc", "sweep-003.nc"]


def test_command(trained_run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("qernel.cli.application.console.width", 200)
    path = tmp_path / "run"
    shutil.copytree(trained_run.path, path)
    effort = ["--walkers", "4", "--samples", "4", "--equilibration", "1"]
    main(["sweep", str(path), "--over", "moire_depth=0.4:1.0:2", *effort])
    output = capsys.readouterr().out
    assert "trained for moire_depth in [0.5, 2] only" in output
    assert str(path / "sweeps" / "sweep-001.nc") in output
    main(["show", str(path)])
    assert "sweep-001.nc" in capsys.readouterr().out
    (path / "sweeps" / "sweep-002.nc").write_bytes(b"CDF")
    main(["show", str(path)])
    assert "sweep-002.nc: not a sweep, or damaged" in capsys.readouterr().out
    with xarray.open_dataset(path / "sweeps" / "sweep-001.nc", engine="scipy") as data:
        assert data.attrs["training_step"] == 6
        np.testing.assert_allclose(data["moire_depth"], [0.4, 1.0])


@pytest.fixture(scope="module")
def polarized(tiny):
    config = tiny("electrons=[2,0]", "twist_1=0", "twist_2=0")
    return config, initial_state(config)


@pytest.mark.parametrize("start", ["nearest", "up", "down", "liquid", "crystal"])
def test_wherever_walkers_start_the_energies_agree(polarized, start):
    effort = Effort(walkers=32, equilibration=20, samples=20, observables=("energy",), start=start)
    data = sweep(*polarized, {"moire_depth": [0.7, 1.6]}, effort, exact=False)
    reference = sweep(
        *polarized, {"moire_depth": [0.7, 1.6]}, effort._replace(start="nearest", seed=7), exact=False
    )
    difference = (data["energy"] - reference["energy"]).values
    allowed = 4 * np.hypot(data["energy_error"].values, reference["energy_error"].values)
    assert np.all(np.abs(difference) < allowed)
    assert data.attrs["walkers_from"] == start
    np.testing.assert_array_equal(data["moire_depth"], [0.7, 1.6])


@pytest.mark.parametrize(
    ("start", "over", "message"),
    [
        ("cristal", {"moire_depth": [1.0]}, "did you mean 'crystal'"),
        ("up", {}, "needs a sweep over one parameter"),
        ("crystal", {"moire_depth": [1.0]}, "3 electrons in 3 moiré cells have no honeycomb crystal"),
    ],
)
def test_a_start_that_is_not_possible_is_an_error(tiny, start, over, message):
    config = tiny()
    with pytest.raises(UserError, match=message):
        sweep(config, initial_state(config), over, Effort(start=start))


def test_contexts_are_sampled_to_a_precision(polarized):
    effort = Effort(walkers=32, equilibration=20, samples=20, observables=("energy",))
    rough = sweep(*polarized, {"moire_depth": [0.7, 1.6]}, effort, exact=False)
    target = 0.6 * float(rough["energy_error"].min())
    precise, done = effort._replace(target_error=target), []
    fine = sweep(*polarized, {"moire_depth": [0.7, 1.6]}, precise, exact=False, progress=done.append)
    again = done.index(1.0) + 1  # the first measurements, then those that are longer
    assert done[:again] == sorted(done[:again])
    assert done[again:] == sorted(done[again:])
    assert done[-1] == 1.0
    assert np.all(fine["energy_error"].values <= target)
    assert np.all(fine["samples"] > 20)
    difference = np.abs((fine["energy"] - rough["energy"]).values)
    assert np.all(difference < 4 * np.hypot(fine["energy_error"].values, rough["energy_error"].values))
    np.testing.assert_array_equal(fine["equilibration"], rough["equilibration"])
    met = effort._replace(target_error=1e3)
    np.testing.assert_array_equal(
        sweep(*polarized, {"moire_depth": [0.7, 1.6]}, met, exact=False)["energy"], rough["energy"]
    )


def stop_at(share):
    def progress(now):
        if now >= share:
            raise StopMeasuring

    return progress


def test_a_sweep_that_is_stopped_has_whole_rows_as_without_the_stop(tiny):
    config = tiny(*TWO)
    over = {"moire_depth": [0.6, 0.8, 1.0, 1.2, 1.4], "twist_1": [0.1, 0.2, 0.3]}  # two groups of eight
    effort = Effort(walkers=4, equilibration=4, samples=12, observables=("energy",))
    whole = sweep(config, initial_state(config), over, effort)
    part = sweep(config, initial_state(config), over, effort, progress=stop_at(0.55))
    np.testing.assert_array_equal(part["moire_depth"], [0.6, 0.8])
    for name in ("energy", "energy_error", "samples", "drift"):
        np.testing.assert_array_equal(part[name], whole[name].sel(moire_depth=[0.6, 0.8]))


def test_a_sweep_that_is_stopped_says_so(tiny):
    config, effort = tiny(), Effort(walkers=4, samples=12)
    over = {"moire_depth": np.linspace(0.6, 1.9, 10).tolist()}
    whole = sweep(config, initial_state(config), over, effort)
    part = sweep(config, initial_state(config), over, effort, progress=stop_at(0.6))
    assert "stopped" not in whole.attrs
    assert part.attrs["stopped"] == "stopped early, after 5 of 10 contexts"
    assert origin(part).endswith("; stopped early, after 5 of 10 contexts")
    assert "4 walkers × 12 samples" in setting(part)
    late = sweep(config, initial_state(config), over, effort, progress=stop_at(0.98))
    assert late.attrs["stopped"] == "stopped early, in the last contexts"
    assert "4 walkers × 10 to 12 samples" in setting(late)


def test_a_sweep_that_is_stopped_keeps_samples_if_they_are_enough(polarized):
    effort = Effort(walkers=8, equilibration=0, samples=20, observables=("energy",), start="down")
    over = {"moire_depth": [0.7, 1.2, 1.6]}
    part = sweep(*polarized, over, effort, exact=False, progress=stop_at(1.5 / 3))
    np.testing.assert_array_equal(part["moire_depth"], [1.2, 1.6])
    np.testing.assert_array_equal(part["samples"], [10, 20])
    assert np.all(part["energy_error"] > 0)
    with pytest.raises(StopMeasuring):
        sweep(*polarized, over, effort, exact=False, progress=stop_at(0.4 / 3))


@pytest.mark.parametrize(("further", "samples"), [(1, 12), (11, 12), (20, 20)])
def test_a_stop_on_the_way_to_a_precision_keeps_the_longer_measurement(polarized, further, samples):
    effort = Effort(walkers=8, equilibration=0, samples=12, observables=("energy",))
    over = {"moire_depth": [0.7, 1.6]}
    done = []

    def stop_in_the_second_round(now):
        done.append(now)
        if len(done) >= effort.samples + further:
            raise StopMeasuring

    rough = sweep(*polarized, over, effort, exact=False)
    precise = effort._replace(target_error=0.1 * float(rough["energy_error"].min()))
    part = sweep(*polarized, over, precise, exact=False, progress=stop_in_the_second_round)
    np.testing.assert_array_equal(part["samples"], [samples, 12])
    assert part.attrs["stopped"] == "stopped early, before all contexts were as precise as asked for"
    assert part.attrs["target_error_meV"] == precise.target_error
    same = part["samples"].values == 12
    np.testing.assert_array_equal(part["energy"][same], rough["energy"][same])


def test_a_stop_in_a_later_round_keeps_the_longer_measurement_before(polarized):
    """Rounds of 20 samples whose errors never reach the target; the third is stopped at once."""
    rounds = []

    def measured(samples):
        numbers = {"samples": samples, "drift": 0.0, "equilibration": 8}
        results = {name: Result(np.asarray(value), None, "1", name) for name, value in numbers.items()}
        energy = Result(np.asarray(-1.0), np.asarray(0.1 - 0.01 * len(rounds)), "meV", "energy")
        return Measured(results | {"energy": energy}, np.zeros((2, 1, 2)), 0.1)

    class Rounds(Measurement):
        def __init__(self):
            pass

        def longer(self, samples):
            def measure(*_):
                rounds.append(samples)
                if len(rounds) == 3:
                    raise StopMeasuring
                return [measured(samples)]

            return measure

    effort = Effort(samples=20, target_error=0.05)
    arguments = (polarized[1], np.zeros(1), measured(20), effort, jax.random.key(0))
    found = _to_precision(Rounds(), *arguments, lambda share: None)
    assert len(rounds) == 3
    assert int(found.results["samples"].value) == rounds[1] > rounds[0] > 20


@pytest.mark.parametrize("seed", [-1, 2**31])
def test_a_seed_that_no_file_could_hold_is_an_error_before_anything_is_measured(tiny, seed):
    with pytest.raises(UserError, match="has to be from 0 to 2147483647"):
        sweep(tiny(), initial_state(tiny()), {"moire_depth": [1.0]}, Effort(seed=seed))


@pytest.mark.parametrize("effort", [Effort(walkers=1), Effort(samples=0), Effort(target_error=0.0)])
def test_an_effort_that_measures_nothing_is_an_error(tiny, effort):
    with pytest.raises(UserError, match=r"needs \w+ >= \d, not|above 0 meV"):
        sweep(tiny(), initial_state(tiny()), {"moire_depth": [1.0]}, effort)


def test_no_values_are_an_error(tiny):
    with pytest.raises(UserError, match="moire_depth: no value of it is given"):
        context_grid(tiny(), {"moire_depth": []})
