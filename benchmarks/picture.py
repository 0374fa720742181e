"""The picture of the figures: bars in SVG, readable on a light and on a dark page.

Knows: shapes, colours, which questions are shown. Does not know: where the figures come from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from xml.sax.saxutils import escape


class Panel(NamedTuple):
    """One question's bars.

    Attributes:
        program: Whose answer it shows.
        figure: The figure that is a bar's length.
        title: What stands above the bars.
        only: Rows with this in their names; all, if empty. It is cut from what stands beside the bars.
    """

    program: str
    figure: str
    title: str
    only: str = ""


PANELS = (
    Panel("sequential", "per_s", "One keep-alive GET after the other, per second"),
    Panel("threads", "per_s", "16 threads, one client: GETs per second"),
    Panel("tasks", "us", "64 tasks on asyncio: GETs per second", " on asyncio"),
    Panel("tasks", "us", "64 tasks on uvloop: GETs per second", " on uvloop"),
    Panel("download", "mib_s", "256 MiB streamed down: MiB per second"),
)

#: Pixels: the whole width, the names' column, the longest bar, a row, a bar's thickness, between two panels.
WIDTH, NAMES, LONGEST, ROW, BAR, GAP = 780, 240, 430, 22, 14, 26
#: Dark text for a light page, light text for a dark one; the bars' colours can be told from both.
_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600 }
.peer { fill: #8c959f }
.ours { fill: #0969da }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .peer { fill: #6e7681 } .ours { fill: #58a6ff } }
"""


def picture(answers: Mapping[str, Mapping[str, Any]]) -> str:
    """Draw what was measured.

    Args:
        answers: Each program's own JSON, by the program's name. A panel whose program is not among them is left out.

    Returns:
        An SVG document.
    """
    shapes: list[str] = []
    top = 0
    for panel in PANELS:
        if bars := lengths(panel, answers.get(panel.program, {}).get("rows", {})):
            shapes += drawn(panel.title, bars, top)
            top += ROW * (len(bars) + 1) + GAP
    size = f'width="{WIDTH}" height="{top}" viewBox="0 0 {WIDTH} {top}"'
    described = "<title>Rates of keeppool and other clients</title>"
    body = "\n".join([f"<style>{_STYLE}</style>", described, *shapes])
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">\n{body}\n</svg>\n'


def lengths(panel: Panel, rows: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Take a panel's figures, the largest first. Microseconds become requests per second."""
    found = {name.replace(panel.only, ""): row[panel.figure] for name, row in rows.items() if panel.only in name}
    rates = {name: 1e6 / value if panel.figure == "us" else value for name, value in found.items()}
    return dict(sorted(rates.items(), key=lambda item: -item[1]))


def drawn(title: str, bars: Mapping[str, float], top: int) -> Iterator[str]:
    """Draw a title and its bars."""
    yield f'<text class="title" x="0" y="{top + BAR}">{escape(title)}</text>'
    longest = max(bars.values())
    for number, (name, value) in enumerate(bars.items(), 1):
        y, length = top + number * ROW, value / longest * LONGEST
        kind = "ours" if "keeppool" in name else "peer"
        yield f'<text x="{NAMES - 8}" y="{y + BAR - 2}" text-anchor="end">{escape(name)}</text>'
        yield f'<rect class="{kind}" x="{NAMES}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2"/>'
        yield f'<text x="{NAMES + length + 6:.1f}" y="{y + BAR - 2}">{value:,.0f}</text>'
