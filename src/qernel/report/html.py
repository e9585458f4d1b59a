"""The page's HTML. Text enters through `escape` or `typeset`; nothing on the page points outside it."""

import base64
import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple
from urllib.parse import quote

_CSS = """
:root { color-scheme: light; --ink: #1d1f21; --soft: #5c6166; --line: #dcdfe2; --wash: #f6f7f8; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.5rem 5rem; max-width: 64rem; background: #fff; color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.75rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.25rem; margin: 3rem 0 .75rem; padding-top: 1.25rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.0625rem; margin: 2.25rem 0 .5rem; } h4 { font-size: 1rem; margin: 2rem 0 .5rem; }
p { margin: .5rem 0; max-width: 46rem; }
.lead { color: var(--soft); margin-bottom: 1.5rem; }
code, pre { font: .8125rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; }
pre { background: var(--wash); padding: 1rem; overflow-x: auto; border-radius: 4px; margin: .5rem 0; }
details { margin: 1rem 0; } summary { cursor: pointer; color: var(--soft); }
ul { padding-left: 1.2rem; max-width: 46rem; } li { margin: .25rem 0; }
dl { display: grid; grid-template-columns: 9.5rem 1fr; gap: .3rem 1rem; margin: 1rem 0;
  font-size: .9375rem; }
dt { color: var(--soft); } dd { margin: 0; }
figure { margin: 1.5rem 0 2rem; }
img { display: block; max-width: 100%; height: auto; }
figcaption, .note { font-size: .875rem; line-height: 1.5; color: var(--soft); max-width: 50rem; }
figcaption { margin-top: .5rem; } figcaption b { color: var(--ink); }
.files { white-space: nowrap; } a { color: #0b5c8f; }
.scroll { overflow-x: auto; margin: .75rem 0; }
table { border-collapse: collapse; font-size: .8125rem; line-height: 1.4;
  font-variant-numeric: tabular-nums; }
th, td { padding: .28rem .5rem; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { padding-left: .5rem; }
th { white-space: normal; max-width: 5.5rem; font-weight: 600; vertical-align: bottom;
  border-bottom: 1.5px solid var(--ink); }
th small { display: block; font-weight: 400; color: var(--soft); }
table.named td:first-child, table.named th:first-child { text-align: left; white-space: normal;
  max-width: 20rem; }
td { border-bottom: 1px solid var(--line); }
tr.open td { border-bottom: 0; padding-bottom: 0; }
td.remark { text-align: left; white-space: normal; padding-top: .05rem; color: var(--soft); }
sub { line-height: 0; }
.error { color: var(--soft); }
tr.warning td { background: #fff6e0; } tr.bug td { background: #fde8e4; }
tr.warning td.remark { color: #7a4b00; font-weight: 600; }
tr.bug td.remark { color: #a3200d; font-weight: 600; }
@media print { body { max-width: none; padding: 0; } figure, tr { break-inside: avoid; } }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .5rem; } }
"""


_BEFORE, _AFTER = "\ue000", "\ue001"  # stand around the names of files in plain text, see `file`


class Row(NamedTuple):
    """Cells of a table as HTML, a remark in words, and a class: '', 'warning' or 'bug'."""

    cells: Sequence[str]
    remark: str = ""
    kind: str = ""


def page(title: str, body: Iterable[str]) -> str:
    """A whole document."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_CSS}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def typeset(text: str) -> str:
    """Escape, keep numbers with their units, give a_M the subscript that Unicode lacks, link each `file`."""
    words, *rest = text.split(_BEFORE)
    parts = [_words(words)]
    for each in rest:
        name, _, words = each.partition(_AFTER)
        parts += [f'<a href="{escape(quote(name))}">{escape(name)}</a>', _words(words)]
    return "".join(parts)


def file(name: str) -> str:
    """The name of a file beside the page, in plain text that `typeset` makes a link of."""
    return f"{_BEFORE}{name}{_AFTER}"


def _words(text: str) -> str:
    text = re.sub(r"(?<=\d) (?=meV|nm|mₑ)", "\u00a0", text.replace(" = ", "\u00a0=\u00a0"))
    return escape(text).replace("a_M", "<i>a</i><sub>M</sub>")


def heading(level: int, text: str) -> str:
    """A heading of plain text."""
    return f"<h{level}>{typeset(text)}</h{level}>"


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph of plain text."""
    return f"<p{_class(kind)}>{typeset(text)}</p>"


def items(texts: Iterable[str]) -> str:
    """A list of plain texts."""
    return "<ul>" + "".join(f"<li>{typeset(text)}</li>" for text in texts) + "</ul>"


def command(text: str) -> str:
    """A line to type."""
    return f"<pre>{escape(text)}</pre>"


def definitions(pairs: Iterable[tuple[str, str]]) -> str:
    """Terms with their plain-text descriptions."""
    return "<dl>" + "".join(f"<dt>{typeset(a)}</dt><dd>{typeset(b)}</dd>" for a, b in pairs) + "</dl>"


def details(summary: str, text: str) -> str:
    """Preformatted plain text that unfolds."""
    return f"<details><summary>{escape(summary)}</summary><pre>{escape(text)}</pre></details>"


def figure(title: str, caption: str, png: bytes, files: Sequence[str], width: float = 1.0) -> str:
    """An inlined picture with its caption, and the files beside the page that hold the same.

    `width` is a share of the page's.
    """
    data = base64.b64encode(png).decode("ascii")
    first = re.sub(f"[{_BEFORE}{_AFTER}]", "", caption.split(". ")[0])  # all of it is below
    links = " ".join(
        f'<a href="{escape(quote(name))}">{escape(name.rsplit(".", 1)[-1].upper())}</a>' for name in files
    )
    return (
        f'<figure><img style="width:{width:.1%}" alt="{escape(f"{title}. {first}")}"'
        f' src="data:image/png;base64,{data}">'
        f"<figcaption><b>{escape(title)}.</b> {typeset(caption)}"
        f' <span class="files">{links}</span></figcaption></figure>'
    )


def table(header: Sequence[tuple[str, str]], rows: Sequence[Row], kind: str = "") -> str:
    """A table of numbers; header entries are (name, unit) in plain text. A remark gets a line below.

    The class 'named' puts the first column, words, to the left.
    """
    head = "".join(
        f'<th scope="col">{typeset(name)}<small>{escape(unit) or "&nbsp;"}</small></th>'
        for name, unit in header
    )
    lines = []
    for row in rows:
        cells = "".join(f"<td>{cell}</td>" for cell in row.cells)
        lines.append(f"<tr{_class(f'{row.kind} open' if row.remark else row.kind)}>{cells}</tr>")
        if row.remark:
            below = f'<td class="remark" colspan="{len(header)}">{escape(row.remark)}</td>'
            lines.append(f"<tr{_class(row.kind)}>{below}</tr>")
    body = "\n".join(lines)
    content = f"<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody>"
    return f'<div class="scroll"><table{_class(kind)}>{content}</table></div>'


def _class(kind: str) -> str:
    return f' class="{escape(kind)}"' if kind else ""
