"""Facts and figures laid out for people: as plain text, and as HTML for notebooks.

Decides: how wide a column is, and what is cut.
Knows: text. What it is given may come from servers and users, so HTML is escaped and controls are shown as escapes.
Does not know: what the figures are about.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from keeppool.deferred import Deferred

if TYPE_CHECKING:
    import html
else:
    html = Deferred("html")

#: Characters of a cell that are shown: with it and six columns of figures a line has 80.
LONGEST_CELL: Final = 36
#: Styles of notebooks align cells to the right; what is text reads better from the left.
_LEFT: Final = ' style="text-align: left; vertical-align: top"'
_COLUMN: Final = 'th scope="col"'


def as_text(facts: Sequence[tuple[str, str]], headings: Sequence[str] = (), rows: Sequence[Sequence[str]] = ()) -> str:
    """Lay out facts, one a line behind its label, and a table below; its first column is text, the others figures."""
    indent = max((len(label) for label, _ in facts), default=0) + 2
    lines = [f"{label:<{indent}}{printable(fact)}" for label, fact in facts]
    if rows:
        cells = [list(headings), *([shortened(row[0]), *row[1:]] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines += [*([""] if lines else []), *(_line(row, widths) for row in cells)]
    return "\n".join(lines)


def as_html(
    title: str, facts: Sequence[tuple[str, str]], headings: Sequence[str] = (), rows: Sequence[Sequence[str]] = ()
) -> str:
    """Lay out the same for a notebook, under a title."""
    parts = [f"<table><caption{_LEFT}><b>{_markup(title)}</b></caption><tbody>"]
    parts += [
        f'<tr><th scope="row"{_LEFT}>{_markup(label)}</th><td{_LEFT}>{_markup(fact)}</td></tr>' for label, fact in facts
    ]
    parts.append("</tbody></table>")
    if rows:
        parts.append(f"<table><thead><tr>{_cells(_COLUMN, headings)}</tr></thead><tbody>")
        parts += [f"<tr>{_cells('td', row)}</tr>" for row in rows]
        parts.append("</tbody></table>")
    return "".join(parts)


def shortened(text: str, longest: int = LONGEST_CELL) -> str:
    """Make a text printable, and cut out its middle if it is too long: a host's end tells as much as its beginning."""
    text = printable(text)
    if len(text) <= longest:
        return text
    tail = longest // 3
    return f"{text[: longest - tail - 1]}…{text[-tail:]}"


def printable(text: str) -> str:
    """Escape what a terminal would obey instead of show."""
    return text if text.isprintable() else "".join([c if c.isprintable() else ascii(c)[1:-1] for c in text])


def seconds(value: float) -> str:
    """Write seconds with as many digits as tell something: 12 ms, 0.31 s, 4.2 s, 73 s."""
    if value < 0.1:
        return f"{value * 1000:.0f} ms"
    return f"{value:.2f} s" if value < 1 else f"{value:.1f} s" if value < 10 else f"{value:,.0f} s"


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    figures = [f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)]
    return "  ".join([f"{row[0]:<{widths[0]}}", *figures]).rstrip()


def _cells(tag: str, texts: Sequence[str]) -> str:
    """Write a row's cells; the first one is text, the others figures."""
    end = tag.partition(" ")[0]
    styles = [_LEFT, *[""] * (len(texts) - 1)]
    return "".join([f"<{tag}{style}>{_markup(text)}</{end}>" for style, text in zip(styles, texts, strict=True)])


def _markup(text: str) -> str:
    return html.escape(printable(text))
