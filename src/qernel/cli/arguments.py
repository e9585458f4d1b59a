"""What is written on the command line, as values; a mistake is a UserError that says how to write it."""

from collections.abc import Iterable, Sequence

import numpy as np

from qernel.config import UserError


def parse_ranges(texts: Iterable[str]) -> dict[str, list[float]]:
    """name=start:stop:count or name=value,value,... of several parameters, each named once."""
    values: dict[str, list[float]] = {}
    for text in texts:
        name, points = _parse_range(text)
        if name in values:
            raise UserError(f"--over {text}: {name} is given twice; write all its values as one list")
        values[name] = points
    return values


def _parse_range(text: str) -> tuple[str, list[float]]:
    """name=start:stop:count or name=value,value,..."""
    name, equals, values = text.partition("=")
    try:
        if not equals:
            raise ValueError
        if ":" not in values:
            return name, [float(value) for value in values.split(",")]
        start, stop, count = values.split(":")
        if int(count) < 1:
            raise UserError(f"--over {text}: the count, last, has to be 1 or more")
        return name, np.linspace(float(start), float(stop), int(count)).tolist()
    except ValueError:
        raise UserError(
            f"--over {text}: write name=start:stop:count or name=value,value,..., e.g. moire_depth=0.5:1.5:21"
        ) from None


def parse_places(texts: Sequence[str]) -> dict[str, tuple[float, float]]:
    """name=value or name=low:high, each name once."""
    places = dict(map(_parse_place, texts))
    if len(places) < len(texts):
        raise UserError(
            f"--at {' --at '.join(texts)}: a name is given twice; write name=low:high for a range"
        )
    return places


def _parse_place(text: str) -> tuple[str, tuple[float, float]]:
    """name=value or name=low:high."""
    name, equals, values = text.partition("=")
    try:
        low, *rest = (float(value) for value in values.split(":"))
        if not equals or len(rest) > 1 or (rest and not low < rest[0]):
            raise ValueError
    except ValueError:
        raise UserError(
            f"--at {text}: write name=value or name=low:high with low < high, e.g. moire_depth=1.05"
        ) from None
    return name, (low, rest[0] if rest else low)


def parse_size(text: str) -> tuple[int, int]:
    """ELECTRONS/CELLS."""
    electrons, _, cells = text.partition("/")
    if not (electrons.isdigit() and cells.isdigit()):
        raise UserError(f"{text} is not a size: write ELECTRONS/CELLS, e.g. 18/27")
    return int(electrons), int(cells)
