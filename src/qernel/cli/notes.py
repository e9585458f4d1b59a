"""What a user should know of a measurement before believing it."""

from collections.abc import Mapping

import xarray

from qernel.cli.application import console
from qernel.config import Config


def note_outside(model: str, config: Config, values: Mapping[str, list[float]]) -> None:
    """Say, before the time is spent, where a sweep leaves what the model was trained for."""
    for name, points in values.items():
        low, high = config.trained.get(name, (-float("inf"), float("inf")))
        if min(points) < low or max(points) > high:
            text = f"note: {model} was trained for {name} in [{low:g}, {high:g}] only"
            console.print(text, highlight=False, soft_wrap=True)


def note_flags(data: xarray.Dataset, of: str = "") -> None:
    """Print what is wrong with contexts of a sweep, such as walkers that still drifted, and where."""
    from qernel.report.checks import flag_sweep, kept_momentum

    places: dict[str, list[str]] = {}
    for index, flags in flag_sweep(data, {}).items():
        point = data.isel(dict(zip(data["energy"].dims, index, strict=True)))
        where = ", ".join(f"{name} {float(point[name]):.4g}" for name in data["energy"].dims)
        for flag in flags:
            places.setdefault(flag.text, []).append(where)
    prefix = f"{of}: " if of else ""
    if kept := kept_momentum(data):
        console.print(f"note: {prefix}{kept}", highlight=False, soft_wrap=True)
    for text, at in places.items():
        console.print(f"note: {prefix}{text} ({'; '.join(at)})", highlight=False, soft_wrap=True)
