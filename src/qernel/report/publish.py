"""A figure as the reader gets it: on the page, and as PNG, PDF and CSV beside it."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from qernel.report import html
from qernel.report.style import WIDTH, save_figure


class Data(NamedTuple):
    """Columns of numbers and words, as they go into a CSV file."""

    header: Sequence[str]
    rows: Iterable[Sequence[object]]


class Folder(NamedTuple):
    """Where files go; names begin with `prefix`."""

    path: Path
    prefix: str = ""

    def stem(self, name: str) -> Path:
        return self.path / f"{self.prefix}{name}"


def publish_figure(folder: Folder, name: str, title: str, caption: str, figure: Figure, data: Data) -> str:
    """Write name.png, name.pdf and name.csv; returns the figure's HTML."""
    stem = folder.stem(name)
    png = save_figure(figure, stem)
    publish_data(folder, name, data)
    files = [f"{stem.name}.{kind}" for kind in ("png", "pdf", "csv")]
    return html.figure(title, caption, png, files, figure.get_figwidth() / WIDTH)


def publish_data(folder: Folder, name: str, data: Data) -> str:
    """Write name.csv with numbers in full precision; returns the file's name, for `html.typeset` to link."""
    path = Path(f"{folder.stem(name)}.csv")
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(data.header)
        writer.writerows(data.rows)
    return html.file(path.name)
