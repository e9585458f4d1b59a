"""Weights of one wavefunction as the start of another."""

import equinox as eqx
import jax
import numpy as np
import pytest

from qernel.cli import main
from qernel.config import load_config
from qernel.hamiltonian import make_hamiltonian
from qernel.runs import Run
from qernel.training.transfer import taken_over
from qernel.wavefunction import make_wavefunction


@pytest.fixture(scope="module")
def model(tiny):
    def build(seed, *overrides):
        config = tiny(*overrides)
        return make_wavefunction(config, make_hamiltonian(config), jax.random.key(seed))

    return build


def leaves(tree):
    return jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array))


def equal(first, second):
    pairs = zip(leaves(first), leaves(second), strict=True)
    return [bool(np.array_equal(a, b)) for a, b in pairs]


def test_the_same_system_takes_everything(model):
    ours, theirs = model(0), model(1)
    assert not all(equal(ours, theirs))
    assert all(equal(taken_over(ours, theirs), theirs))


@pytest.mark.parametrize(
    "overrides",
    [["model.sector=[0,0]"], ["electrons=[4,2]", "cells=9"]],
    ids=["another sector", "more electrons"],
)
def test_another_filling_keeps_its_orbitals(model, overrides):
    ours, theirs = model(0, *overrides), model(1)
    both = taken_over(ours, theirs)
    assert all(equal(both.orbitals, ours.orbitals))
    assert both.orbitals.momenta == ours.orbitals.momenta != theirs.orbitals.momenta
    assert all(equal(both.blocks, theirs.blocks))
    assert all(equal(both.context, theirs.context))
    assert both.features.supercell == ours.features.supercell


def test_another_architecture_is_named(model):
    with pytest.raises(ValueError, match=r"embed\.weight: shape .* here, .* there"):
        taken_over(model(0), model(0, "model.size=16"))


def test_a_run_starts_from_another(tiny_file, tmp_path):
    main(["train", tiny_file, "--out", str(tmp_path / "a"), "training.stages=[{steps=2,contexts=2}]"])
    start = f"training.start={tmp_path / 'a'}"
    arguments = ["train", tiny_file, start, "training.seed=1", "--minutes", "0.0001"]
    main([*arguments, "--out", str(tmp_path / "b")])
    first, second = (Run(tmp_path / name).state()[0] for name in "ab")
    assert int(second.step) == 1
    # One small step away from the first run's wavefunction, and nowhere near its own random weights
    for ours, theirs in zip(leaves(second.model.blocks), leaves(first.model.blocks), strict=True):
        assert np.abs(ours - theirs).max() < 0.05


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.size=16", "has another architecture: "),
        ("contexts={moire_phase=[30,50]}", "its contexts (moire_depth) are not those asked for"),
    ],
)
def test_what_cannot_be_a_start_is_refused(tiny_file, tmp_path, capsys, override, message):
    main(["train", tiny_file, "--out", str(tmp_path / "a"), "training.stages=[{steps=1,contexts=2}]"])
    start = f"training.start={tmp_path / 'a'}"
    with pytest.raises(SystemExit) as stop:
        main(["train", tiny_file, "--out", str(tmp_path / "b"), start, override])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_a_start_that_is_not_there_is_refused(tiny_file, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["train", tiny_file, "--out", str(tmp_path / "b"), "training.start=nowhere"])
    assert stop.value.code == 2
    assert "nowhere is not a run" in capsys.readouterr().err


def test_the_start_is_kept_in_the_configuration(tiny_file):
    config = load_config(tiny_file, ["training.start=six-over-depth"])
    assert 'start = "six-over-depth"' in config.to_toml()
