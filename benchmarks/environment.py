"""What a benchmark ran on."""

import json
import os
import platform
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import jax

import qernel
from qernel.runs import write_atomically


def environment() -> dict[str, str]:
    """Versions and hardware, for the record of a benchmark."""
    cpu = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return {
        "qernel": qernel.__version__,
        "jax": jax.__version__,
        "python": platform.python_version(),
        "devices": ", ".join(str(device) for device in jax.devices()),
        "cpu": f"{os.cpu_count()} x {cpu}",
    }


def save(path: Path | None, result: dict) -> None:
    """Write the result beside its environment, if a path was given."""
    if path is not None:
        write_atomically(path, json.dumps({"environment": environment(), **result}, indent=1) + "\n")


def measured_rows(
    names: Iterable[str],
    seeds: Iterable[int],
    out: Path | None,
    about: dict,
    measure: Callable[[str, int], dict],
) -> list[dict]:
    """A row of `measure(name, seed)` for every variant and seed, saved as soon as there is another.

    What `out` has already is not measured again; exits where that was made otherwise than `about` says. A row
    names its processor: the file's environment is that of the last one.
    """
    names, rows = list(names), _saved_rows(out, about)
    done = {(row["variant"], row["seed"]) for row in rows}
    for seed in seeds:  # in turn: what is interrupted has every variant once
        for name in names:
            if (name, seed) not in done:
                rows.append(
                    {"variant": name, "seed": seed} | measure(name, seed) | {"cpu": environment()["cpu"]}
                )
                jax.clear_caches()  # the compiled code of some ten trainings crashes a process
                print(f"{name}, seed {seed}: measured", flush=True)
                save(out, about | {"rows": rows})
    return rows


def _saved_rows(path: Path | None, about: dict) -> list[dict]:
    if path is None or not path.exists():
        return []
    saved = json.loads(path.read_text())
    for name, value in about.items():
        if saved.get(name) != value:
            sys.exit(f"{path} has {name} = {saved.get(name)}, not {value}: choose another --out")
    return saved["rows"]
