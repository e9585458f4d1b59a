"""The comparisons of `qernel verify` on the page."""

import itertools
import json
from collections.abc import Iterator
from html import escape

from qernel.report import html
from qernel.report.publish import Data, Folder, publish_data
from qernel.runs import VERIFICATION, Run
from qernel.verification.check import Check, cells


def verification_section(run: Run, folder: Folder, level: int) -> Iterator[str]:
    """A table for each group of comparisons, those that failed marked; headings are of this level."""
    try:
        content = json.loads((run.path / VERIFICATION).read_text(encoding="utf-8"))
        checks = [Check(**{name: row[name] for name in Check._fields}) for row in content["checks"]]
    except (ValueError, KeyError, TypeError):
        yield html.paragraph(f"{VERIFICATION} is damaged, or of another version: left out.")
        return
    failed = sum(not check.passed for check in checks)
    words = f"{len(checks) - failed} of {len(checks)} comparisons passed" + (
        f", {failed} FAILED" if failed else ""
    )
    rows = [[*(row[name] for name in (*Check._fields, "passed"))] for row in content["checks"]]
    file = publish_data(folder, "verification", Data([*Check._fields, "passed"], rows))
    yield html.paragraph(
        f"{words} ({content['program']}). Errors are in brackets, on the last digits. A comparison passes if "
        f"the difference lies within the allowed interval and three standard errors. All numbers: {file}."
    )
    names = ("quantity", "unit", "reference", "ours", "difference", "in sigma", "allowed", "verdict")
    for group, members in itertools.groupby(checks, key=lambda check: check.group):
        yield html.heading(level, group)
        yield html.table(
            [(name, "") for name in names],
            [
                html.Row([escape(c) for c in cells(each)], kind="" if each.passed else "bug")
                for each in members
            ],
            "named",
        )
