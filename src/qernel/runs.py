"""A run's directory: what was asked, what happened, where it stands.

config.toml     the resolved configuration
metrics.jsonl   one line per optimization step
checkpoints/    the two newest training states
sweeps/         measurements by inference, one netCDF file each
report/         figures and the page
verification.json   comparisons made by `qernel verify`
.lock           held by the command that trains the run
"""

import contextlib
import json
import os
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import numpy as np

from qernel.batching import gather
from qernel.config import Config, UserError, load_config
from qernel.numbering import check_writable, oldest_first
from qernel.processes import by_first, is_first, same_everywhere
from qernel.training.checkpoint import (
    checkpoints,
    flush,
    load_latest,
    newest_step,
    save_checkpoint,
    set_aside_after,
)
from qernel.training.contexts import stages_until
from qernel.training.loop import initial_state
from qernel.training.step import StepMetrics, TrainingState

try:
    import fcntl
except ImportError:
    fcntl = None

VERIFICATION = "verification.json"
_LOCK = ".lock"
_PATIENCE = 90.0  # seconds for which a shared file system may hide a new file from other machines

#: What may differ between a run and the command that resumes it.
_FREE = {
    ("training", "stages"),
    ("training", "microbatch"),
    ("training", "checkpoint_seconds"),
    ("optimizer", "keep_scores"),
}


class Run:
    """One run's directory."""

    def __init__(self, path: str | Path):
        self.path = Path(path)

    @property
    def config_file(self) -> Path:
        return self.path / "config.toml"

    @property
    def metrics_file(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def checkpoint_directory(self) -> Path:
        return self.path / "checkpoints"

    @property
    def sweep_directory(self) -> Path:
        return self.path / "sweeps"

    def sweep_files(self) -> list[Path]:
        """The run's sweeps, oldest first."""
        return oldest_first(self.sweep_directory, ".nc")

    def exists(self) -> bool:
        return self.config_file.is_file()

    def config(self) -> Config:
        """The run's configuration; raises UserError if this is not a run."""
        if not self.exists():
            raise UserError(f"{self.path} is not a run: it has no config.toml")
        try:
            return load_config(str(self.config_file))
        except UserError as error:
            named = str(self.config_file) in str(error)
            raise error if named else UserError(f"{self.config_file}: {error}") from None

    def begin(self, config: Config) -> None:
        """Make the directory for a configuration, or check that it continues what is there.

        Raises UserError if the directory holds something else or a run that differs, or where another process
        does not see what the first has made.
        """
        by_first(lambda: self._begin(config))
        deadline = time.monotonic() + _PATIENCE
        while not self.exists():
            if time.monotonic() > deadline:
                raise UserError(
                    f"{self.config_file}, which the first process wrote, is not there: --out has to be a"
                    " directory that all machines share"
                )
            time.sleep(0.2)

    def _begin(self, config: Config) -> None:
        self._make_directory()
        if self.exists():
            self._check_continues(config)
        write_atomically(self.config_file, config.to_toml())

    def _make_directory(self) -> None:
        empty = self.path.is_dir() and all(entry.name == _LOCK for entry in self.path.iterdir())
        if self.path.exists() and not (self.exists() or empty):
            what = "not empty and not a run" if self.path.is_dir() else "a file"
            raise UserError(f"{self.path} is {what}: choose another --out")
        check_writable(self.path)
        self.path.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other commands from training the run meanwhile. Raises UserError where one is at it.

        The directory is made if need be. The lock ends with the process, however that ends.
        """
        with contextlib.ExitStack() as held:
            by_first(lambda: held.enter_context(self._lock()))
            yield

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        self._make_directory()
        with open(self.path / _LOCK, "w") as file:
            try:
                if fcntl is not None:  # None on Windows
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(f"another command is training {self.path}: wait for it or stop it") from None
            except OSError:
                pass  # a file system without locks
            yield

    def state(self) -> TrainingState:
        """The newest good state; warns of damaged files that were passed over.

        Raises UserError if none was saved: random weights are nobody's result.
        """
        if not checkpoints(self.checkpoint_directory):
            self.config()  # complains if this is not a run at all
            raise UserError(f"{self.path} has no checkpoint yet: train it first")
        state, complaints = self.resume()
        for complaint in complaints:
            warnings.warn(complaint, stacklevel=2)
        return state

    def resume(self) -> tuple[TrainingState, list[str]]:
        """What training goes on from, a fresh state if none was saved; complaints about damaged files.

        Every process reads it. Raises UserError where they do not find the same.
        """
        config, complaints = self.config(), []
        if checkpoints(self.checkpoint_directory):
            shapes = eqx.filter_eval_shape(initial_state, config)
            state, complaints = load_latest(self.checkpoint_directory, shapes)
        else:
            state = initial_state(config)
        if not same_everywhere(int(state.step)):
            raise UserError(f"{self.path} is not the same for all processes: they need one file system")
        return state, complaints

    def step(self) -> int:
        """How far training came, by its newest checkpoint or what was recorded."""
        recorded = max((row["step"] for row in self.metrics()), default=0)
        return max(recorded, newest_step(self.checkpoint_directory))

    def save(self, state: TrainingState) -> None:
        """Write a checkpoint. All processes have to ask."""
        whole = gather(state)
        if is_first():
            if self.metrics_file.is_file():
                flush(self.metrics_file)  # what is recorded is not behind what training resumes from
            save_checkpoint(self.checkpoint_directory, whole)

    def record(self, step: int, seconds: float, contexts: np.ndarray, metrics: StepMetrics) -> None:
        """Append one step, which took so many seconds, to metrics.jsonl."""
        row: dict[str, Any] = {"step": step, "seconds": seconds, "contexts": np.asarray(contexts).tolist()}
        row |= {name: np.asarray(value).tolist() for name, value in metrics._asdict().items()}
        with open(self.metrics_file, "a") as file:
            file.write(json.dumps(row) + "\n")

    def metrics(self) -> Iterator[dict[str, Any]]:
        """The recorded steps, oldest first; a line cut short by a crash is left out."""
        if self.metrics_file.is_file():
            for line in self.metrics_file.read_text().splitlines():
                with contextlib.suppress(json.JSONDecodeError):
                    yield json.loads(line)

    def forget_after(self, step: int) -> None:
        """Drop recorded steps beyond the state that training resumes from, and set damaged states aside."""
        set_aside_after(self.checkpoint_directory, step)
        if self.metrics_file.is_file():
            kept = [json.dumps(row) for row in self.metrics() if row["step"] <= step]
            write_atomically(self.metrics_file, "".join(line + "\n" for line in kept))

    def _check_continues(self, config: Config) -> None:
        old, new = self.config().model_dump(), config.model_dump()
        for key, (before, after) in _differences(old, new).items():
            if key not in _FREE and key[0] not in ("description", "cost"):
                raise UserError(
                    f"{self.path} was made with {'.'.join(key)} = {_shown(before)}, now asked for"
                    f" {_shown(after)}: use the same value to resume, or another --out"
                )
        done = newest_step(self.checkpoint_directory)
        stages = [stages_until(each.training.stages, done) for each in (self.config(), config)]
        if stages[0] != stages[1]:
            raise UserError(
                f"{self.path} has {done} steps behind it, by other training.stages than now asked for:"
                " lengthen the last one or append others to resume, or use another --out"
            )


def check_distinct(runs: Sequence[Run]) -> None:
    """Raises UserError where one run is given twice."""
    if len({run.path.resolve() for run in runs}) < len(runs):
        raise UserError(f"{', '.join(str(run.path) for run in runs)}: one of them is given twice")


def _shown(value: Any) -> str:
    return "none" if value is None else repr(value)


def _differences(old: dict[str, Any], new: dict[str, Any], prefix: tuple[str, ...] = ()):
    found = {}
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            found |= _differences(before, after, (*prefix, name))
        elif before != after:
            found[(*prefix, name)] = (before, after)
    return found


def write_atomically(path: Path, text: str) -> None:
    """Write a file that is whole at every moment: the former one, or this."""
    temporary = path.with_suffix(path.suffix + ".partial")
    with open(temporary, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
