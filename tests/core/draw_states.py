"""Draws the states of a connection and of a ticket from `lifecycle.py`, as SVG for light and for dark pages.

`python tests/core/draw_states.py` writes `docs/connection-states.svg` and `docs/ticket-states.svg`. A test holds that
they are what it would draw now; where boxes and words stand is decided here, by hand.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

import lifecycle

DOCS = Path(__file__).parents[2] / "docs"
#: Pixels: a box, and a line of text.
BOX = (192, 54)
LINE = 17

_STYLE = """
text { font: 14px system-ui, sans-serif; fill: #24292f }
.fact { font: 12.5px ui-monospace, monospace; fill: #57606a }
.state { font-weight: 600; text-anchor: middle }
.note { font-size: 12.5px; fill: #57606a; text-anchor: middle }
rect { fill: #f6f8fa; stroke: #57606a; stroke-width: 1.5 }
.end { stroke-dasharray: 5 3 }
path { fill: none; stroke: #0969da; stroke-width: 1.5 }
.head, circle { fill: #0969da; stroke: none }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .fact, .note { fill: #9198a1 } rect { fill: #161b22; stroke: #9198a1 }
path { stroke: #58a6ff } .head, circle { fill: #58a6ff }
}
"""


class Arrow(NamedTuple):
    """One arrow: its path, and where the facts stand that it is for.

    Attributes:
        path: SVG path data; it ends at the box.
        at: Where the first line of text stands.
        anchor: Which end of the text is there: `start`, `middle` or `end`.
        per_line: Facts in one line.
    """

    path: str
    at: tuple[int, int]
    anchor: str = "start"
    per_line: int = 1


class Picture(NamedTuple):
    """One kind's states and arrows, and where each stands."""

    kind: str
    size: tuple[int, int]
    boxes: dict[str, tuple[int, int, str]]
    arrows: dict[tuple[str, str], Arrow]


CONNECTION = Picture(
    lifecycle.CONNECTION,
    (980, 640),
    {
        "connecting": (490, 70, "being dialled"),
        "busy": (200, 350, "lent to one exchange"),
        "idle": (780, 350, "on the shelf, watched"),
        "closed": (490, 590, "holds no slot"),
    },
    {
        ("new", "connecting"): Arrow("M58 70H391", (74, 94), per_line=3),
        ("connecting", "busy"): Arrow("M430 97L228 320", (305, 205), "end"),
        ("connecting", "idle"): Arrow("M550 97L752 320", (665, 205)),
        ("connecting", "closed"): Arrow("M490 97V560", (500, 170)),
        ("busy", "busy"): Arrow("M104 338C30 318 30 382 101 364", (24, 400)),
        ("busy", "idle"): Arrow("M297 339H680", (310, 330), per_line=2),
        ("idle", "busy"): Arrow("M683 361H300", (310, 381), per_line=2),
        ("busy", "closed"): Arrow("M228 377L430 560", (290, 470), "end"),
        ("idle", "closed"): Arrow("M752 377L550 560", (690, 470)),
    },
)

TICKET = Picture(
    lifecycle.TICKET,
    (1000, 540),
    {
        "waiting for room": (320, 90, "in the queue"),
        "waiting for a dial": (320, 450, "the dial is under way"),
        "failed": (570, 270, "holds the error"),
        "served": (860, 90, "holds a connection"),
        "abandoned": (860, 450, "its caller has gone"),
    },
    {
        ("new", "waiting for room"): Arrow("M50 270V90H221", (64, 80)),
        ("new", "waiting for a dial"): Arrow("M50 270V450H221", (64, 470)),
        ("waiting for room", "waiting for a dial"): Arrow("M270 117V420", (260, 236), "end"),
        ("waiting for room", "failed"): Arrow("M360 117L525 240", (425, 192), "end"),
        ("waiting for room", "served"): Arrow("M417 80H761", (585, 70), "middle", per_line=4),
        ("waiting for room", "abandoned"): Arrow("M417 108C610 130 760 300 810 420", (645, 184)),
        ("waiting for a dial", "failed"): Arrow("M360 423L525 300", (415, 348), "end"),
        ("waiting for a dial", "served"): Arrow("M417 432C610 410 760 240 810 120", (645, 366)),
        ("waiting for a dial", "abandoned"): Arrow("M417 462H761", (585, 482), "middle"),
        ("served", "abandoned"): Arrow("M890 117V420", (900, 274)),
    },
)


def picture(drawn: Picture) -> str:
    """Give the SVG document of one kind's states.

    Raises:
        KeyError: The table has a state or a move without a place here, or the other way round.
    """
    moves = {places: facts.split() for places, facts in lifecycle.TABLE[drawn.kind].items()}
    if moves.keys() != drawn.arrows.keys():
        raise KeyError(sorted(moves.keys() ^ drawn.arrows.keys()))
    width, height = drawn.size
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">']
    parts.append(f"<title>The states of a {drawn.kind}, and the facts that move it</title><style>{_STYLE}</style>")
    parts.append(
        '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    )
    parts.append('<path class="head" d="M0 0L8 4L0 8z"/></marker>')
    for places, arrow in drawn.arrows.items():
        parts.append(f'<path d="{arrow.path}" marker-end="url(#head)"/>')
        parts += _words(moves[places], arrow)
    start = next(arrow.path for places, arrow in drawn.arrows.items() if places[0] == lifecycle.NEW)
    across, down = start[1:].replace("H", " ").replace("V", " ").split()[:2]
    parts.append(f'<circle cx="{across}" cy="{down}" r="7"/>')
    for state, (across_box, down_box, note) in drawn.boxes.items():
        parts += _box(state, across_box, down_box, note, is_end=not any(before == state for before, _ in moves))
    return "\n".join([*parts, "</svg>", ""])


def _words(facts: list[str], arrow: Arrow) -> Iterator[str]:
    """Write the facts beside their arrow."""
    across, down = arrow.at
    for start in range(0, len(facts), arrow.per_line):
        text = escape(", ".join(facts[start : start + arrow.per_line]))
        yield f'<text class="fact" x="{across}" y="{down}" text-anchor="{arrow.anchor}">{text}</text>'
        down += LINE


def _box(state: str, across: int, down: int, note: str, *, is_end: bool) -> Iterator[str]:
    width, height = BOX
    kind = ' class="end"' if is_end else ""
    yield f'<rect{kind} x="{across - width // 2}" y="{down - height // 2}" width="{width}" height="{height}" rx="8"/>'
    yield f'<text class="state" x="{across}" y="{down - 3}">{escape(state)}</text>'
    yield f'<text class="note" x="{across}" y="{down + 17}">{escape(note)}</text>'


PICTURES = {"connection-states.svg": CONNECTION, "ticket-states.svg": TICKET}


if __name__ == "__main__":
    for name, drawn in PICTURES.items():
        (DOCS / name).write_text(picture(drawn), encoding="utf-8")
    sys.stdout.write(f"written: {', '.join(PICTURES)}\n")
