"""Files NAME-NNN.SUFFIX, numbered as they are written: none is ever overwritten, the last is the newest."""

import tempfile
from pathlib import Path

from qernel.config import UserError


def new_file(directory: Path, name: str, suffix: str) -> Path:
    """A new file NAME-NNN.SUFFIX, empty, numbered after all there are in the directory, which is made.

    Raises UserError where it cannot be.
    """
    check_writable(directory)
    directory.mkdir(parents=True, exist_ok=True)
    number = max(map(_number, directory.glob(f"{name}-*{suffix}")), default=0)
    while True:
        number += 1
        path = directory / f"{name}-{number:03d}{suffix}"
        try:
            path.touch(exist_ok=False)
        except FileExistsError:  # another process was faster
            continue
        return path


def check_writable(directory: Path) -> None:
    """Raises UserError where no file could be written to a directory, or where it would be made."""
    try:
        there = next(each for each in (directory, *directory.parents) if each.exists())
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise UserError(f"cannot write to {directory}: {error.strerror or error}") from None


def oldest_first(directory: Path, suffix: str) -> list[Path]:
    """The directory's files of this suffix in the order of their numbers."""
    return sorted(directory.glob(f"*{suffix}"), key=lambda path: (_number(path), path.name))


def _number(path: Path) -> int:
    """NNN of NAME-NNN.SUFFIX; 0 of a file of another name."""
    number = path.stem.rpartition("-")[-1]
    return int(number) if number.isdecimal() else 0
