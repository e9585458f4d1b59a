"""The layout that CONTRIBUTING.md promises: dependencies point one way."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import qernel

PACKAGE = Path(qernel.__file__).parent
GUIDE = Path(__file__).parent.parent / "CONTRIBUTING.md"
ROOT = ("__init__", "__main__")  # what is imported by name, and the command


@pytest.fixture(scope="module")
def rows():
    """Row of the guide's table by module, from the interface down."""
    table = [line for line in GUIDE.read_text().splitlines() if line.startswith("| `")]
    return {
        name.removesuffix(".py").rstrip("/"): number
        for number, line in enumerate(table)
        for name in re.findall(r"`([\w./]+)`", line.split("|")[1])
    }


def imports(file: Path) -> Iterator[str]:
    """Modules of this package that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "qernel":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("qernel."):
            yield str(node.module).split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (name.name.split(".")[1] for name in node.names if name.name.startswith("qernel."))


def test_every_module_has_its_row(rows):
    entries = [entry for entry in PACKAGE.iterdir() if entry.is_dir() or entry.suffix == ".py"]
    assert {entry.stem for entry in entries} - {*ROOT, "__pycache__"} == set(rows)


def test_imports_point_down(rows):
    up = []
    for file in sorted(PACKAGE.rglob("*.py")):
        own = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if own in ROOT:
            continue
        up += [f"{own} imports {name}" for name in imports(file) if rows.get(name, len(rows)) < rows[own]]
    assert not up
