"""What a sweep says about a transition, and the command that says it."""

import json

import numpy as np
import pytest
import xarray

from qernel.cli import main
from qernel.comparison import lowest_of, while_undecided
from qernel.config import load_config
from qernel.crossing import Crossing
from qernel.dataset import sweep_dataset
from qernel.findings import conclusion
from qernel.measurement import Effort
from qernel.numbers import with_error
from qernel.report import figures
from qernel.report.publish import Folder
from qernel.report.style import figure_style
from qernel.report.transition_section import transition_figure
from qernel.transition import Place, extrapolate, weigh

DEPTH = np.linspace(0.7, 1.5, 17)
SCATTER = 0.02


def make_sweep(at=1.07, size=0.6, *, electrons=6, peak=True, scale=1.0, shift=0.0, seed=0, depth=DEPTH):
    """A fabricated sweep whose interaction energy jumps (where `at` is not None), as does dE/d(depth)."""
    random, after = np.random.default_rng(seed), (depth > at) if at else 0 * depth

    def measured(values, error):
        return values + error * random.normal(size=len(values)), np.full(len(values), error)

    columns = {
        "energy": measured(shift - 10 * depth - 3 * depth**2, 0.01),
        "coulomb": measured(scale * (-55 + 0.5 * depth - size * after), scale * SCATTER),
        "force_moire_depth": measured(-10 - 6 * depth - 3 * size * after, 0.1),
        "bragg_sqrt3": measured(0.3 + 0.1 * depth + 2 * size * after, 0.05),
    }
    if peak:
        columns["susceptibility_moire_depth"] = measured(2 / (1 + ((depth - (at or 0)) / 0.08) ** 2), 0.1)
    data = xarray.Dataset(coords={"moire_depth": depth})
    for name, (values, error) in columns.items():
        data[name] = ("moire_depth", values, {"units": "meV", "long_name": name})
        data[f"{name}_error"] = ("moire_depth", error)
    weights = np.stack([1.0 * (depth <= (at or 9)), 1.0 * (depth > (at or 9))], axis=1)
    data["sector_weight"] = (("moire_depth", "sector"), weights)
    data = data.assign_coords(sector_1=("sector", [-1, 1]), sector_2=("sector", [0, 1]))
    config = load_config("six-over-depth", [f"electrons=[{electrons},0]", f"cells={electrons * 3 // 2}"])
    data.attrs = sweep_dataset(config, {"moire_depth": []}, np.ones((1, 1)), [{}], {}, Effort(), 100).attrs
    return data


def test_all_signs_of_a_transition_agree():
    evidence = weigh(make_sweep())
    assert evidence.transition is not None
    for found in evidence.breaks.values():
        assert found.found
        assert found.within_68[0] <= 1.07 <= found.within_68[1]
    assert evidence.peak.found
    assert evidence.peak.within_95[0] <= 1.07 <= evidence.peak.within_95[1]
    assert [each.label for each in evidence.sectors] == [(-1, 0), (1, 1)]
    said = conclusion(evidence)
    assert said.startswith("transition found: the interaction energy has a jump (-0.6")
    assert said.endswith("; with it dE/d(moire_depth), S(K), susceptibility")
    json.dumps(evidence.as_dict())


@pytest.mark.parametrize("scale", [1.0, 1e-9])  # as it is, and of electrons that hardly interact
def test_without_a_jump_there_is_no_transition(scale):
    evidence = weigh(make_sweep(None, peak=False, scale=scale))
    assert evidence.transition is None
    assert evidence.peak is None
    assert not any(found.found for found in evidence.breaks.values())
    assert conclusion(evidence) == "no transition found in the interaction energy: straight line fits"


def test_a_jump_of_the_interaction_energy_alone_is_none(tmp_path):
    data, smooth = make_sweep(), make_sweep(None, peak=False)
    data = data.drop_vars([name for name in data if str(name).startswith("susceptibility")])
    for name in ("force_moire_depth", "bragg_sqrt3"):
        data[name] = smooth[name]
    evidence = weigh(data)
    assert evidence.breaks["coulomb"].found
    assert not evidence.others
    assert evidence.transition is None
    assert evidence.place is None
    assert conclusion(evidence).startswith(
        "no transition found: the interaction energy alone has a jump (-0.6"
    )
    # A sign elsewhere does not count, one at the same place does; if nothing else was measured, none has to.
    elsewhere, same = make_sweep(1.32), make_sweep()
    evidence = weigh(data.assign(bragg_sqrt3=elsewhere["bragg_sqrt3"]))
    assert [name for name, _ in evidence.others] == ["bragg_sqrt3"]
    assert conclusion(evidence).endswith("%); elsewhere S(K)")
    assert evidence.as_dict()["transition"] is False
    assert evidence.transition is None
    agreed = weigh(data.assign(bragg_sqrt3=same["bragg_sqrt3"]))
    assert agreed.transition is not None
    assert weigh(data.drop_vars(["force_moire_depth", "bragg_sqrt3"])).transition is not None
    # Its place is shaded where it counts.
    shaded = [len(figures.transition(data, each).axes[0].patches) for each in (evidence, agreed)]
    assert shaded == [0, 1]
    with figure_style():
        captions = [transition_figure(data, each, "figure", Folder(tmp_path)) for each in (evidence, agreed)]
    assert ["which does not count" in caption for caption in captions] == [True, False]


def test_each_of_several_crossings_counts():
    data, smooth = make_sweep(1.07, peak=False), make_sweep(None, peak=False)
    data = data.assign({name: smooth[name] for name in ("force_moire_depth", "bragg_sqrt3")})
    crossed = [Crossing("a", "b", 1.07, 0.01), Crossing("b", "c", 1.4, 0.01)]
    assert weigh(data, crossed).agreeing == ["energies"]
    assert weigh(data, crossed[1:]).transition is None


def test_signs_that_the_interaction_energy_does_not_share_are_named():
    data, smooth = make_sweep(peak=False), make_sweep(None, peak=False)
    evidence = weigh(data.assign(coulomb=smooth["coulomb"]))
    assert evidence.transition is None
    ends = "straight line fits; signs of one in dE/d(moire_depth), S(K)"
    assert conclusion(evidence).endswith(ends)


def liquid_and_crystal(slope=2.0, seeds=(0, 1)):
    """Two smooth sweeps of other momenta that cross at 1.12, with other interaction energies."""
    sweeps = {
        name: make_sweep(None, seed=seed) for name, seed in zip(("liquid", "crystal"), seeds, strict=True)
    }
    sweeps["crystal"]["energy"] = sweeps["crystal"]["energy"] + slope * (1.12 - DEPTH)
    sweeps["crystal"]["coulomb"] = sweeps["crystal"]["coulomb"] - 1.0
    sweeps["crystal"]["sector_weight"] = 1 - sweeps["crystal"]["sector_weight"]
    return sweeps


@pytest.mark.parametrize("shared", [0.0, 0.4, 0.6, 1.0])
def test_models_of_one_momentum_that_give_way_to_each_other_are_no_transition(shared):
    sweeps = liquid_and_crystal()
    first = np.full(len(DEPTH), shared)
    sweeps["crystal"]["sector_weight"][:] = np.stack([first, 1 - first], axis=1)
    lowest, crossed = lowest_of(sweeps)
    evidence, gap = weigh(lowest, crossed), [(DEPTH[8], DEPTH[9])]
    assert evidence.breaks["coulomb"].found
    if shared < 0.5:
        assert len(crossed) == 1
        assert (evidence.switches, evidence.turns) == ([], gap)
        assert evidence.transition is not None
    else:
        assert crossed == []
        assert (evidence.switches, evidence.turns) == (gap, [])
        assert evidence.transition is None
        assert evidence.place is None
        assert conclusion(evidence).endswith("same momentum, as two approximations of one state do")


def test_two_models_of_one_phase_hide_no_transition():
    sweeps = liquid_and_crystal()
    noise = 0.01 * np.random.default_rng(5).normal(size=len(DEPTH))
    sweeps["liquid2"] = sweeps["liquid"].assign(energy=sweeps["liquid"]["energy"] + noise)
    lowest, crossed = lowest_of(sweeps)
    evidence = weigh(lowest, crossed)
    assert len(evidence.switches) > 2
    assert [each.after for each in crossed] == ["crystal"]
    assert evidence.transition is not None
    assert evidence.place.value == pytest.approx(1.12, abs=0.02)


def test_the_envelope_of_two_models_holds_all_that_was_measured_of_the_lowest():
    sweeps = liquid_and_crystal()
    lowest, crossed = lowest_of(sweeps)
    assert lowest["model"].values.tolist() == ["liquid"] * 9 + ["crystal"] * 8
    np.testing.assert_array_equal(lowest["coulomb"][9:], sweeps["crystal"]["coulomb"][9:])
    evidence = weigh(lowest, crossed)
    assert evidence.transition.within_68[0] <= 1.12 <= evidence.transition.within_68[1]
    assert evidence.crossings[0].value == pytest.approx(1.12, abs=0.02)
    assert evidence.peak is None  # the models do not say how one turns into the other
    for axes in figures.transition(lowest, evidence).axes:
        dashed = [line for line in axes.lines if line.get_linestyle() == "--"]
        assert [line.get_xdata()[0] for line in dashed] == [evidence.crossings[0].value]


def test_intervals_do_not_take_for_granted_which_model_is_the_lowest():
    """Where the difference of the energies is noise, the gap in which the lower one changes is chance."""
    held, bare, wider = {0.68: 0, 0.95: 0}, 0, 0
    for seed in range(100):
        sweeps = liquid_and_crystal(0.3, seeds=(2 * seed, 2 * seed + 1))
        lowest, _ = lowest_of(sweeps)
        gap = max(changes(lowest))
        bare += gap[0] <= 1.12 <= gap[1]
        within = {share: while_undecided(gap, share, lowest, changes(lowest)) for share in held}
        for share, (low, high) in within.items():
            held[share] += low <= 1.12 <= high
        assert within[0.95][0] <= within[0.68][0] <= gap[0]
        assert gap[1] <= within[0.68][1] <= within[0.95][1]
        wider += np.ptp(within[0.95])
    assert bare < 60
    assert held[0.68] >= 68
    assert held[0.95] >= 95
    assert wider < 100 * 0.3  # and no more than it takes: the difference is three errors 0.14 away


@pytest.mark.parametrize(
    ("share", "lead", "undecided"),
    [(0.68, 0.9, True), (0.68, 1.1, False), (0.95, 1.9, True), (0.95, 2.0, False)],
)
def test_states_are_decided_beyond_the_central_share_of_a_gaussian(share, lead, undecided):
    leads = xarray.Dataset(
        {
            "energy": ("moire_depth", np.zeros(4)),
            "lead": ("moire_depth", [9.0, 0.2 * lead, 9.0, 9.0]),
            "lead_error": ("moire_depth", np.full(4, 0.2)),
        },
        coords={"moire_depth": [1.0, 2.0, 3.0, 4.0]},
    )
    assert while_undecided((2.0, 3.0), share, leads, [(2.0, 3.0)]) == (1.0 if undecided else 2.0, 3.0)


def test_the_error_of_a_lead_is_of_both_models():
    liquid, crystal = liquid_and_crystal(0.3).values()
    liquid["energy_error"][:], crystal["energy_error"][:] = 0.3, 0.4
    lowest, _ = lowest_of({"liquid": liquid, "crystal": crystal})
    np.testing.assert_allclose(lowest["lead_error"], 0.5)


def test_a_crossing_agrees_within_two_errors_of_it():
    data = make_sweep(peak=False)
    low, _ = weigh(data).interaction.within_95
    for distance, agrees in ((1.9, True), (2.1, False)):
        crossing = Crossing("a", "b", low - distance * 0.01, 0.01)
        assert (weigh(data, [crossing]).agreeing_crossings == [crossing]) == agrees


def test_the_intervals_of_a_break_are_those_of_the_change():
    lowest, crossed = lowest_of(liquid_and_crystal(0.3))
    ((low, high),) = changes(lowest)
    evidence = weigh(lowest, crossed)
    for found in (each for each in evidence.breaks.values() if each.found):
        for share, within in ((0.68, found.within_68), (0.95, found.within_95)):
            assert within == while_undecided((low, high), share, lowest, [(low, high)])
    assert np.ptp(evidence.breaks["coulomb"].within_95) > 3 * (high - low)
    said = conclusion(evidence)
    assert f"crossing energies at {with_error(*crossed[0][2:])}" in said


def changes(lowest):
    at = np.flatnonzero(lowest["model"].values[1:] != lowest["model"].values[:-1])
    return [(DEPTH[i], DEPTH[i + 1]) for i in at]


def test_doubt_about_another_state_makes_no_transition_of_a_switch():
    """Two approximations of one state change places where a third, of another momentum, is as low in part."""
    sweeps = {name: make_sweep(None, seed=seed) for seed, name in enumerate(("one", "same", "other"))}
    sweeps["same"]["energy"] = sweeps["same"]["energy"] + 2 * (0.975 - DEPTH)
    sweeps["same"]["coulomb"] = sweeps["same"]["coulomb"] - 1.0
    both = sweeps["same"]["energy"] + np.where(DEPTH < 1.3, 0.002, -2.0 * (DEPTH - 1.3))
    sweeps["other"] = sweeps["other"].assign(energy=both, coulomb=sweeps["other"]["coulomb"] - 1.0)
    sweeps["other"]["sector_weight"] = 1 - sweeps["other"]["sector_weight"]
    evidence = weigh(*lowest_of(sweeps))
    assert evidence.breaks["coulomb"].found
    assert evidence.switches
    assert evidence.turns
    assert evidence.switching
    assert evidence.transition is None


def test_contexts_without_errors_leave_the_change_in_doubt():
    lowest, _ = lowest_of(liquid_and_crystal())
    ((low, high),) = changes(lowest)
    lowest["lead_error"][9:11] = np.nan
    assert while_undecided((low, high), 0.68, lowest, [(low, high)]) == (low, DEPTH[11])


def test_a_crystal_that_mixes_momenta_is_not_the_liquid_of_one_of_its_momenta():
    sweeps = liquid_and_crystal()
    for name, weight in (("liquid", [0.0, 1.0, 0.0]), ("crystal", [1 / 3, 1 / 3, 1 / 3])):
        plain = sweeps[name].drop_vars(["sector_weight", "sector_1", "sector_2"])
        weights = ("moire_depth", "sector"), np.tile(weight, (len(DEPTH), 1))
        labels = {"sector_1": ("sector", [0, 1, -1]), "sector_2": ("sector", [0, 1, -1])}
        sweeps[name] = plain.assign(sector_weight=weights).assign_coords(labels)
    _, crossed = lowest_of(sweeps)
    assert len(crossed) == 1


def test_a_model_of_the_same_state_leaves_no_doubt_about_the_transition():
    sweeps = liquid_and_crystal()
    sweeps["liquid2"] = sweeps["liquid"].assign(energy=sweeps["liquid"]["energy"] + 1e-3)
    two, three = (
        lowest_of({name: sweeps[name] for name in names})[0] for names in (["liquid", "crystal"], sweeps)
    )
    np.testing.assert_allclose(three["lead"], two["lead"])
    assert np.all(three["lead"] > 0)


@pytest.mark.parametrize(("twist", "one_state"), [(0.0, True), (0.25, False)])
def test_momenta_that_a_symmetry_relates_are_one_state_unless_twisted(twist, one_state):
    sweeps = liquid_and_crystal()
    for name, weight in (("liquid", [1.0, 0.0]), ("crystal", [0.0, 1.0])):
        there = sweeps[name].assign_coords(sector_1=("sector", [-1, 1]), sector_2=("sector", [0, 0]))
        there["sector_weight"][:] = weight
        sweeps[name] = there.assign_attrs(system_twist_1=twist)
    lowest, crossed = lowest_of(sweeps)
    assert (len(crossed) == 0) == one_state
    assert np.isinf(lowest["lead"]).all() == one_state


def test_sizes_are_extrapolated_as_a_weighted_straight_line_in_1_over_n():
    sizes, widths = (6, 18, 54), np.array([0.02, 0.01, 0.03])
    exact = np.array([1.05 + 0.3 / size for size in sizes])

    def limit_of(positions):
        places = (Place(x, (x - w, x + w)) for x, w in zip(positions, widths, strict=True))
        return extrapolate(list(zip(sizes, places, strict=True)))

    limit, random = limit_of(exact), np.random.default_rng(0)
    assert limit.value == pytest.approx(1.05)
    assert limit.slope == pytest.approx(0.3)
    assert limit.chance == pytest.approx(1.0)
    again = [limit_of(exact + widths * random.normal(size=3)) for _ in range(2000)]
    assert np.std([each.value for each in again]) == pytest.approx(limit.error, rel=0.06)
    assert np.mean([each.chance < 0.1 for each in again]) == pytest.approx(0.1, abs=0.02)  # to 0.007
    # Not on a line: the error is enlarged by how far they scatter about it.
    bent, inverse = exact + np.array([0, 0.1, 0]), 1 / np.array(sizes)
    line = np.polyfit(inverse, bent, 1, w=1 / widths)
    chi2 = np.sum(((np.polyval(line, inverse) - bent) / widths) ** 2)
    assert limit_of(bent).error == pytest.approx(limit.error * np.sqrt(chi2))


def test_points_without_error_bars_do_not_count():
    data = make_sweep()
    data["coulomb"][3] = np.nan
    data["force_moire_depth_error"][:] = 0.0  # constant, or of one electron
    evidence = weigh(data)
    assert evidence.transition.within_68[0] <= 1.07 <= evidence.transition.within_68[1]
    assert set(evidence.breaks) == {"coulomb", "bragg_sqrt3"}
    data["coulomb_error"][:11] = 0.0
    evidence = weigh(data)
    assert evidence.transition is None
    assert conclusion(evidence) == "no transition found: the interaction energy has no error bars"


@pytest.mark.parametrize("amplitude", [1.0, 10.0])
def test_a_crossover_that_fits_is_said_to_fit(amplitude):
    data = make_sweep(None, peak=False)
    data["coulomb"] = data["coulomb"] + amplitude * np.tanh((data["moire_depth"] - 1.1) / 0.2)
    assert conclusion(weigh(data)) == "no transition found in the interaction energy: rounded jump fits"


def write(data, path):
    data.to_netcdf(path, engine="scipy")
    return str(path)


def test_the_command_says_where_draws_it_and_overwrites_nothing(tmp_path, capsys):
    small = write(make_sweep(1.12), tmp_path / "six.nc")
    large = write(make_sweep(1.07, electrons=18), tmp_path / "eighteen.nc")
    for number in (1, 3):
        main(["transition", small, large, "--out", str(tmp_path / "out")])
        printed = capsys.readouterr().out
        assert printed.count("transition found: the interaction energy has a jump") == 2
        assert "momentum (-1, 0) at 0.7, (1, 1) at 1.5" in printed
        assert "straight line in 1/N through 2 sizes, to infinitely many electrons: 1.0" in printed
        for suffix in ("json", "png", "pdf", "csv"):
            assert (tmp_path / "out" / f"transition-{number + 1:03d}.{suffix}").is_file()
            assert (tmp_path / "out" / f"sizes-{(number + 1) // 2:03d}.{suffix}").is_file()
    content = json.loads((tmp_path / "out" / "transition-002.json").read_text())
    assert content["electrons"] == 18
    assert content["breaks"]["coulomb"]["kind"] == "jump"
    assert [(each["file"], each["training_step"]) for each in content["sweeps"]] == [(large, 100)]
    assert content["seed"] == 0
    sizes = json.loads((tmp_path / "out" / "sizes-001.json").read_text())
    assert [each["electrons"] for each in sizes["places"]] == [6, 18]
    (x6, x18) = (each["moire_depth"] for each in sizes["places"])
    assert sizes["limit"]["value"] == pytest.approx(x18 + (x18 - x6) / 2)  # 1/N: 1/6, 1/18, 0
    assert [each["file"] for each in sizes["sweeps"]] == [small, large]


def test_one_size_is_not_extrapolated():
    place = Place(1.0, (0.9, 1.1))
    with pytest.raises(ValueError, match="two sizes"):
        extrapolate([(6, place), (6, place)])


def test_only_sizes_of_one_system_are_extrapolated(tmp_path, capsys):
    other = make_sweep(1.07, electrons=18)
    other.attrs["system_dielectric_constant"] = 10.0
    files = [write(make_sweep(1.12), tmp_path / "six.nc"), write(other, tmp_path / "eighteen.nc")]
    main(["transition", *files, "--out", str(tmp_path / "out")])
    printed = capsys.readouterr().out
    assert printed.count("transition found") == 2
    assert "1/N" not in printed


@pytest.mark.filterwarnings("default:.*newer ones")
def test_of_a_run_the_newest_sweep_from_trained_walkers_counts(tmp_path, capsys):
    folder = tmp_path / "run" / "sweeps"
    folder.mkdir(parents=True)
    (tmp_path / "run" / "config.toml").write_text(load_config("six-over-depth").to_toml())
    older = make_sweep(1.07)
    del older.attrs["walkers_from"]
    write(older, folder / "sweep-001.nc")
    write(make_sweep(None).assign_attrs(walkers_from="crystal"), folder / "sweep-002.nc")
    (folder / "sweep-003.nc").write_text("damaged")
    main(["transition", str(tmp_path / "run"), "--out", str(tmp_path / "out")])
    printed = capsys.readouterr()
    assert "transition found: the interaction energy has a jump" in printed.out
    assert f"17 contexts, {folder}/sweep-001.nc, training step 100" in printed.out
    words = "sweep-001.nc counts; newer ones are no sweep over one parameter with 7 contexts or more"
    assert f"{words}: sweep-003.nc (damaged)" in printed.err
    (folder / "sweep-001.nc").unlink()
    with pytest.raises(SystemExit):
        main(["transition", str(tmp_path / "run"), "--out", str(tmp_path / "out")])
    assert "has no sweep over one parameter" in capsys.readouterr().err


def test_two_sweeps_of_one_run_are_no_two_models(tmp_path, capsys):
    folder = tmp_path / "run" / "sweeps"
    folder.mkdir(parents=True)
    (tmp_path / "run" / "config.toml").write_text(load_config("six-over-depth").to_toml())
    files = [write(make_sweep(seed=n), folder / f"sweep-00{n}.nc") for n in (1, 2)]
    for pair in (files, [files[0], str(tmp_path / "run")]):
        with pytest.raises(SystemExit):
            main(["transition", *pair, "--out", str(tmp_path / "out")])
        assert "are of one run: the lower one would be so by chance" in capsys.readouterr().err


def test_a_crossover_is_no_transition(tmp_path, capsys):
    data = make_sweep(None, peak=False)
    data["coulomb"] = data["coulomb"] + 0.5 * np.tanh((data["moire_depth"] - 1.1) / 0.2)
    main(["transition", write(data, tmp_path / "crossover.nc"), "--out", str(tmp_path / "out")])
    assert "no transition found in the interaction energy: rounded" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: write(make_sweep(depth=DEPTH[:5]), path), "with 7 contexts or more"),
        (lambda path: write(xarray.Dataset(attrs={"title": "another"}), path), "is no sweep"),
        (lambda path: path.write_text("text") and str(path), "is damaged, or neither a run nor a sweep"),
        (lambda path: str(path), "does not exist"),
        (lambda path: str(path.parent), "is not a run"),
    ],
)
def test_what_is_no_sweep_is_refused(tmp_path, capsys, make, message):
    with pytest.raises(SystemExit) as stop:
        main(["transition", make(tmp_path / "file.nc"), "--out", str(tmp_path / "out")])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_models_at_other_contexts_are_refused(tmp_path, capsys):
    files = [write(make_sweep(), tmp_path / "a.nc"), write(make_sweep(depth=DEPTH + 0.01), tmp_path / "b.nc")]
    with pytest.raises(SystemExit):
        main(["transition", *files, "--out", str(tmp_path / "out")])
    assert "are not at the same contexts" in capsys.readouterr().err
