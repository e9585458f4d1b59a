"""Contexts that are added where a transition is."""

from types import SimpleNamespace

import numpy as np
import pytest
import xarray

import qernel.refinement
from qernel.config import UserError
from qernel.refinement import contexts_to_add, merged, refined

CROSSING = 1.137
OVER = {"moire_depth": np.linspace(0.9, 1.6, 8).tolist()}


def make_sweep(depth, crystal, seed):
    """A fabricated sweep of one of two states whose energies cross, or of the lower one (None)."""
    depth, random = np.asarray(depth), np.random.default_rng(seed)
    after = depth > CROSSING if crystal is None else np.full(len(depth), crystal)
    columns = {
        "energy": -10 * depth - 3.0 * (depth - CROSSING) * after,
        "coulomb": -55 + 0.5 * depth - 0.8 * after,
    }
    data = xarray.Dataset(coords={"moire_depth": depth, "sector_1": ("sector", [0, 1])})
    for name, values in columns.items():
        data[name] = ("moire_depth", values + 0.01 * random.normal(size=len(depth)))
        data[f"{name}_error"] = ("moire_depth", np.full(len(depth), 0.01))
    data.attrs = {"electrons": 6, "moire_cells": 9, "seed": seed}
    return data


def two_models(over, number):
    states = {"liquid": False, "crystal": True}
    return {
        name: make_sweep(*over.values(), crystal, 2 * number + crystal) for name, crystal in states.items()
    }


def test_contexts_close_in_on_the_crossing_of_two_models():
    *earlier, found = refined(two_models, OVER, 2)
    assert [len(each["crystal"]["moire_depth"]) for each in earlier] == [8, 11]
    for data in found.values():
        depth = data["moire_depth"].values
        assert len(depth) == 14
        assert np.all(np.diff(depth) > 0)
        assert np.isfinite(data["coulomb"]).all()
        around = depth[np.searchsorted(depth, CROSSING) - 1 :][:2]
        assert around[0] < CROSSING < around[1] < around[0] + 0.1 / 4**2 + 0.01


def test_a_parameter_of_one_value_stays_in_every_round():
    asked = []

    def measure(over, number):
        asked.append(over)
        return two_models({"moire_depth": over["moire_depth"]}, number)

    list(refined(measure, {"dielectric_constant": [5.0], **OVER}, 1))
    assert [over["dielectric_constant"] for over in asked] == [[5.0], [5.0]]
    assert len(asked[1]["moire_depth"]) == 3


def test_contexts_are_added_where_one_model_jumps():
    added = contexts_to_add({"model": make_sweep(OVER["moire_depth"], None, 0)})
    np.testing.assert_allclose(added, [1.125, 1.15, 1.175])


@pytest.mark.parametrize("gaps", [1, 2, 3, 4])
def test_what_is_added_lies_between_what_there_is(monkeypatch, gaps):
    """However many the interval spans: two measurements at one context would make a gap of no width."""
    depths = np.linspace(0.7, 1.5, 17)
    interval = SimpleNamespace(within_68=(depths[4] + 1e-9, depths[4 + gaps] - 1e-9))
    monkeypatch.setattr(qernel.refinement, "weigh", lambda *_: SimpleNamespace(place=interval))
    added = contexts_to_add({"model": make_sweep(depths, None, 0)})
    assert len(added) == 3
    assert np.all((np.array(added) > depths[4]) & (np.array(added) < depths[4 + gaps]))
    assert np.min(np.diff(np.sort([*depths, *added]))) > 0.05 / 4 - 1e-9


def test_without_a_transition_none_are_added():
    asked = []

    def measure(over, number):
        asked.append(number)
        return {"model": make_sweep(*over.values(), False, number)}

    (only,) = refined(measure, OVER, 3)
    assert len(only["model"]["moire_depth"]) == 8
    assert asked == [0]


def test_merged_sweeps_are_in_order_and_keep_what_was_measured_first():
    one, other = make_sweep([1.0, 1.2], False, 0), make_sweep([1.1, 1.2], False, 1)
    together = merged(one, other)
    np.testing.assert_array_equal(together["moire_depth"], [1.0, 1.1, 1.2])
    np.testing.assert_array_equal(
        together["energy"], [*one["energy"][:1], other["energy"][0], one["energy"][1]]
    )
    assert together.attrs["seed"] == 0
    assert together["sector_1"].dims == ("sector",)


@pytest.mark.parametrize("over", [{"moire_depth": [1.0, 1.1]}, OVER | {"twist_1": [0.0, 0.1]}])
def test_one_parameter_and_enough_contexts_are_needed(over):
    with pytest.raises(UserError, match="one parameter and 7 contexts"):
        next(refined(two_models, over, 1))
