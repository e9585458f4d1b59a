"""Checkpoints: the whole training state in one safetensors file, named tensor by tensor.

Written under a temporary name, flushed, and renamed, so that a file under its final name is complete;
the two newest are kept. Reading executes nothing.
"""

import itertools
import json
import os
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from qernel.config import UserError
from qernel.training.step import TrainingState

_FORMAT = "qernel-training-state-1"
_KEEP = 2


def save_checkpoint(directory: Path, state: TrainingState) -> Path:
    """Write the state as step-XXXXXXXX.safetensors and drop all but the two newest."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"step-{int(state.step):08d}.safetensors"
    tensors = {name: np.asarray(leaf) for name, leaf in _named(state)}
    header = {"format": _FORMAT, "momenta": _momenta(state)}
    temporary = path.with_suffix(".partial")
    with open(temporary, "wb") as file:
        file.write(save(tensors, header))
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    flush(directory)  # the new name, before the old files go
    for old in checkpoints(directory)[:-_KEEP]:
        old.unlink()
    return path


def checkpoints(directory: Path) -> list[Path]:
    """The directory's checkpoints, oldest first."""
    return sorted(directory.glob("step-*.safetensors"))


def newest_step(directory: Path) -> int:
    """The step of the newest checkpoint by its name; 0 if there is none."""
    return max(map(_step, checkpoints(directory)), default=0)


def flush(path: Path) -> None:
    """Have the system write a file, or the names in a directory, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def set_aside_after(directory: Path, step: int) -> None:
    """Rename checkpoints beyond the step that could be read to .damaged: they are then not the newest.

    Where there is such a file already, to .damaged-2 and so on.
    """
    for path in checkpoints(directory):
        if _step(path) > step:
            path.rename(_unused(path.with_suffix(".damaged")))


def load_checkpoint(path: Path, template: TrainingState) -> TrainingState:
    """Read a state into the structure of `template`, a state or its shapes (`eqx.filter_eval_shape`).

    The numbers of contexts and walkers are those of the file; everything else must have the template's
    shape. Raises UserError for a damaged file, one that the system does not give, a file of another program,
    or another architecture.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            if header.get("format") != _FORMAT:
                raise UserError(f"{path} is not a qernel checkpoint")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise DamagedCheckpoint(f"{path} is damaged ({error})") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    wanted = dict(_named(template))
    for name in sorted(wanted.keys() ^ tensors.keys()):
        side = "lacks" if name in wanted else "has an unexpected"
        raise UserError(f"{path} {side} tensor {name}: it was written for another architecture")
    for name, leaf in wanted.items():
        free = name.startswith((".walkers", ".contexts", ".emphasis.weights"))
        if tensors[name].shape != leaf.shape and not free:
            raise UserError(
                f"{path}: {name} has shape {tensors[name].shape}, this configuration needs {leaf.shape}"
            )
    if header.get("momenta", _momenta(template, fillings=1)) != _momenta(template):  # older files do not say
        raise UserError(
            f"{path} was written with other crystal momenta for the orbitals' columns than this version"
            " chooses: train it anew"
        )
    arrays, static = eqx.partition(template, _is_tensor)
    leaves = [jnp.asarray(tensors[name]) for name, _ in _named(template)]
    return eqx.combine(jax.tree.unflatten(jax.tree.structure(arrays), leaves), static)


class DamagedCheckpoint(UserError):
    """A checkpoint file that is truncated, or is no safetensors file."""


def load_latest(directory: Path, template: TrainingState) -> tuple[TrainingState, list[str]]:
    """The newest readable checkpoint, and a line for each damaged one that was passed over.

    Raises UserError if none can be read.
    """
    complaints: list[str] = []
    for path in reversed(checkpoints(directory)):
        try:
            found = load_checkpoint(path, template)
            return found, [f"{each}; using the one before it" for each in complaints]
        except DamagedCheckpoint as error:
            complaints.append(str(error))
    raise UserError(f"no readable checkpoint in {directory}: {'; '.join(complaints) or 'it has none'}")


def _unused(path: Path) -> Path:
    """The path, or PATH-2, PATH-3, ... where that is taken."""
    others = (path.with_name(f"{path.name}-{number}") for number in itertools.count(2))
    return next(each for each in itertools.chain([path], others) if not each.exists())


def _step(path: Path) -> int:
    return int(path.stem.removeprefix("step-"))


def _momenta(state: TrainingState, fillings: int | None = None) -> str:
    """The crystal momenta of the orbitals' columns (in the first so many fillings): what the weights mean."""
    momenta = getattr(getattr(state.model, "orbitals", None), "momenta", ())
    return json.dumps(momenta[:fillings])


def _is_tensor(leaf) -> bool:
    return eqx.is_array(leaf) or isinstance(leaf, jax.ShapeDtypeStruct)


def _named(state: TrainingState) -> list[tuple[str, np.ndarray | jax.Array | jax.ShapeDtypeStruct]]:
    arrays = eqx.filter(state, _is_tensor)
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(arrays)]
