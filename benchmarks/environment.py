"""What a benchmark ran on."""

import json
import os
import platform
import sys
from pathlib import Path

import jax

import qernel


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
        path.write_text(json.dumps({"environment": environment(), **result}, indent=1) + "\n")


def saved_rows(path: Path | None, about: dict) -> list[dict]:
    """The rows of a result that was written before; none where there is none.

    Exits where it was made otherwise than `about` says.
    """
    if path is None or not path.exists():
        return []
    saved = json.loads(path.read_text())
    for name, value in about.items():
        if saved.get(name) != value:
            sys.exit(f"{path} has {name} = {saved.get(name)}, not {value}: choose another --out")
    return saved["rows"]
