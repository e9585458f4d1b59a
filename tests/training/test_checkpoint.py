"""Checkpoints: exact, atomic, and refused where they do not belong."""

import os
import pickle

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

import qernel.training.checkpoint
from qernel.config import UserError
from qernel.training.checkpoint import (
    checkpoints,
    load_checkpoint,
    load_latest,
    newest_step,
    save_checkpoint,
    set_aside_after,
)
from qernel.training.loop import initial_state


@pytest.fixture(scope="module")
def state(tiny):
    return initial_state(tiny())


def at_step(state, step):
    return eqx.tree_at(lambda s: s.step, state, jnp.asarray(step, jnp.int64))


def equal(first, second):
    one, two = jax.tree.leaves(first), jax.tree.leaves(second)
    same = jax.tree.structure(first) == jax.tree.structure(second)
    return same and all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def test_every_array_comes_back_exactly(state, tmp_path, tiny):
    other = initial_state(tiny("seed=5"))
    assert not equal(state, other)
    assert equal(load_checkpoint(save_checkpoint(tmp_path, state), other), state)


def test_the_two_newest_are_kept(state, tmp_path):
    for step in (9, 10, 100):
        save_checkpoint(tmp_path, at_step(state, step))
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "step-00000010.safetensors",
        "step-00000100.safetensors",
    ]
    assert int(load_latest(tmp_path, state)[0].step) == 100


def test_interrupted_write_leaves_the_last_one_in_charge(state, tmp_path, monkeypatch):
    save_checkpoint(tmp_path, at_step(state, 1))

    def crash(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(qernel.training.checkpoint.os, "fsync", crash)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(tmp_path, at_step(state, 2))
    assert [path.name for path in checkpoints(tmp_path)] == ["step-00000001.safetensors"]
    latest, complaints = load_latest(tmp_path, state)
    assert int(latest.step) == 1
    assert complaints == []


@pytest.mark.parametrize("kept", [0, 7, 0.5, 0.999])
def test_truncated_file_is_named_and_the_one_before_used(state, tmp_path, kept):
    save_checkpoint(tmp_path, at_step(state, 1))
    newest = save_checkpoint(tmp_path, at_step(state, 2))
    whole = newest.read_bytes()
    newest.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    latest, complaints = load_latest(tmp_path, state)
    assert int(latest.step) == 1
    assert len(complaints) == 1
    assert str(newest) in complaints[0]
    assert "the one before" in complaints[0]


def test_a_damaged_newest_file_does_not_count_among_the_two(state, tmp_path):
    save_checkpoint(tmp_path, at_step(state, 1))
    save_checkpoint(tmp_path, at_step(state, 20)).write_bytes(b"")
    latest, _ = load_latest(tmp_path, state)
    set_aside_after(tmp_path, int(latest.step))
    assert newest_step(tmp_path) == 1
    save_checkpoint(tmp_path, at_step(state, 2))
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "step-00000001.safetensors",
        "step-00000002.safetensors",
        "step-00000020.damaged",
    ]


def test_what_is_set_aside_replaces_nothing(state, tmp_path):
    for content in (b"one", b"two", b"three"):
        (tmp_path / "step-00000020.safetensors").write_bytes(content)
        set_aside_after(tmp_path, 1)
    kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    name = "step-00000020.damaged"
    assert kept == {name: b"one", f"{name}-2": b"two", f"{name}-3": b"three"}


def test_a_file_that_the_system_does_not_give_is_not_taken_for_damaged(state, tmp_path):
    save_checkpoint(tmp_path, at_step(state, 1))
    (tmp_path / "step-00000002.safetensors").mkdir()  # as a file system that failed for a moment
    with pytest.raises(UserError, match=r"step-00000002\.safetensors cannot be read"):
        load_latest(tmp_path, state)


def test_nothing_readable_is_an_error_that_names_the_files(state, tmp_path):
    with pytest.raises(UserError, match="it has none"):
        load_latest(tmp_path, state)
    path = save_checkpoint(tmp_path, state)
    path.write_bytes(b"")
    with pytest.raises(UserError, match=path.name):
        load_latest(tmp_path, state)


def test_file_of_another_program_is_refused(state, tmp_path):
    path = tmp_path / "step-00000001.safetensors"
    save_file({"weight": np.zeros(3)}, path)
    with pytest.raises(UserError, match="not a qernel checkpoint"):
        load_checkpoint(path, state)


class Payload:
    """Unpickling this would make a directory."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_reading_executes_nothing(state, tmp_path):
    path = tmp_path / "step-00000001.safetensors"
    path.write_bytes(pickle.dumps(Payload(tmp_path / "made")))
    with pytest.raises(UserError, match="damaged"):
        load_checkpoint(path, state)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("size=16", "has shape"),
        ("layers=2", "lacks tensor .model.blocks"),
        ("conditioned=false", "unexpected tensor"),
        ("optimizer.name=adam", "another architecture"),
        ("determinants=3", "has shape"),
    ],
)
def test_another_architecture_is_refused(state, tmp_path, tiny, change, complaint):
    path = save_checkpoint(tmp_path, state)
    with pytest.raises(UserError, match=complaint) as error:
        load_checkpoint(path, initial_state(tiny(change)))
    assert path.name in str(error.value)


OPEN = ("electrons=[6,0]", "cells=9", "sector=[0,0]", "twist_1=0.0", "twist_2=0.0")


def test_other_crystal_momenta_are_refused(tmp_path, tiny):
    state = initial_state(tiny(*OPEN))
    assert len(state.model.orbitals.momenta) == 2
    path = save_checkpoint(tmp_path, state)
    assert equal(load_checkpoint(path, state), state)
    with pytest.raises(UserError, match="other crystal momenta"):
        load_checkpoint(path, initial_state(tiny(*OPEN, "sector=[1,0]")))


@pytest.mark.parametrize("fillings", [1, 2])
def test_files_that_do_not_say_their_momenta_had_one_filling(fillings, tmp_path, tiny):
    state = initial_state(tiny(*(OPEN if fillings == 2 else ())))
    assert len(state.model.orbitals.momenta) == fillings
    path = save_checkpoint(tmp_path, state)
    with safe_open(path, framework="numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = {name: text for name, text in file.metadata().items() if name != "momenta"}
    save_file(tensors, path, header)
    if fillings == 1:
        assert equal(load_checkpoint(path, state), state)
    else:
        with pytest.raises(UserError, match="other crystal momenta"):
            load_checkpoint(path, state)


def test_numbers_of_contexts_and_walkers_are_those_of_the_file(state, tmp_path, tiny):
    path = save_checkpoint(tmp_path, state)
    loaded = load_checkpoint(path, initial_state(tiny("stages=[{steps=2,contexts=1}]", "walkers=12")))
    assert loaded.walkers.electrons.shape == (2, 4, 3, 2)
    assert loaded.contexts.shape == (2, 1)
