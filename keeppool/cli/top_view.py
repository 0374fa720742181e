"""How `keeppool top` draws a frame: all hosts, or one of them in depth.

Decides: which columns there is room for. Knows: rich, and a frame. Does not know: where it comes from, which keys there
    are behind the words of the last line.

The names of hosts come from elsewhere; nothing in them can steer the terminal.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Final, NamedTuple

from rich.console import Console, Group, RenderableType
from rich.text import Text

from keeppool.cli.signs import signs_for
from keeppool.cli.top_figures import Frame, History, Line, ordered
from keeppool.explanation import Explanation
from keeppool.stats import Held, Stats
from keeppool.tables import printable, seconds, shortened

#: Columns of the labels on the left.
_LABELS: Final = 10
#: Rows that are no hosts: six of figures, the heading, the last line, and the blank ones between.
_FRAME_ROWS: Final = 11
#: Rows for the connections held longest, where there is room for them below the hosts.
_HELD_ROWS: Final = 3
#: From this height on they are shown.
_TALL: Final = 20
#: Columns a socket's sign takes at the most; a cap beyond it is told by its number alone.
_MOST_SIGNS: Final = 12
_BARS: Final = "▁▂▃▄▅▆▇█"
_PLAIN_BARS: Final = ".:-=+*#@"
_KEYS: Final = "q quit  p pause  s sort  ↑↓ choose  enter look closer"
_PLAIN_KEYS: Final = "q quit  p pause  s sort  j/k choose  enter look closer"
_KEYS_BELOW: Final = "q quit  p pause  esc back"


@dataclass
class Outlook:
    """What the person at the terminal has chosen.

    Attributes:
        order: How hosts are sorted.
        paused: The figures stand still.
        chosen: The host that is marked; `None` until one is.
        inside: That one is shown in depth.
        notice: What there is to be said about the process, such as that it does not answer.
        explained: What the process says of the host that is shown in depth.
    """

    order: str = "busiest"
    paused: bool = False
    chosen: str | None = None
    inside: bool = False
    notice: str = ""
    explained: Explanation | None = None


class _Column(NamedTuple):
    heading: str
    width: int
    #: Narrower terminals leave it out.
    least: int
    cell: Callable[[Line], str]


_COLUMNS: Final = (
    _Column("open", 7, 0, lambda line: _of(line.host.open + line.host.connecting, line.host.cap)),
    _Column("wait", 6, 0, lambda line: f"{line.host.waiting:,}" if line.host.waiting else "-"),
    _Column("oldest", 7, 0, lambda line: _since(line.host.waiting_s)),
    _Column("held", 7, 0, lambda line: _since(line.host.held_s)),
    _Column("req/s", 7, 0, lambda line: _rate(line.rate)),
    _Column("requests", 11, 100, lambda line: f"{line.host.requests:,}"),
    _Column("failed", 7, 100, lambda line: f"{line.host.connect_failed:,}" if line.host.connect_failed else "-"),
    _Column("closed", 8, 110, lambda line: f"{sum(line.host.closed_by.values()):,}"),
)


class View:
    """Draws frames for one console.

    Args:
        console: Where to; its size is looked at for each frame.
        address: Whom is asked.
    """

    def __init__(self, console: Console, address: str) -> None:
        self._console = console
        self._signs = signs_for(console)
        self._is_plain = not console.encoding.startswith("utf")
        self._address = address

    def draw(self, frame: Frame, history: History, outlook: Outlook) -> RenderableType:
        """Draw a frame as large as the terminal is."""
        width, height = self._console.size
        head = [self._title(frame, outlook, width), Text(), *self._summary(frame, width)]
        line = next((one for one in frame.lines if one.name == outlook.chosen), None)
        if outlook.inside and line is not None:
            body = self._inside(line, frame, history, outlook, width)
            keys = _KEYS_BELOW
        else:
            body = self._hosts(frame, outlook, width, height)
            keys = _PLAIN_KEYS if self._is_plain else _KEYS
        rows = [*head, Text(), *body][: height - 1]
        rows += [Text()] * (height - 1 - len(rows))
        foot = Text(keys, "reverse" if not self._is_plain else "", no_wrap=True, overflow="ellipsis")
        foot.pad_right(max(width - len(foot), 0))
        foot.truncate(width, overflow="crop")
        rows.append(foot)
        if self._is_plain:
            for row in rows:
                row.plain = row.plain.replace("…", "~")
        return Group(*rows)

    def rows_for_hosts(self) -> int:
        """Tell how many hosts are on the screen at one time."""
        height = self._console.size.height
        return max(height - _FRAME_ROWS - (_HELD_ROWS + 2 if height >= _TALL else 0), 1)

    def _title(self, frame: Frame, outlook: Outlook, width: int) -> Text:
        told = frame.told
        clock = time.strftime("%H:%M:%S", time.localtime(told.at))
        end = "PAUSED" if outlook.paused else clock
        text = Text("keeppool top  ", "bold", no_wrap=True)
        text.append(f"{printable(told.program) or '?'} (pid {told.pid})", "bold")
        if outlook.notice:
            text.append(f"  {printable(outlook.notice)}", "bold red")
        text.append(f" at {shortened(self._address)}", "dim")
        text.truncate(max(width - len(end) - 1, 0), overflow="ellipsis", pad=True)
        return text.append(f" {end}", "bold yellow" if outlook.paused else "dim")

    def _summary(self, frame: Frame, width: int) -> Iterable[Text]:
        stats = frame.told.stats
        yield _fact("requests", _turnover(frame), width)
        yield _fact("sockets", self._sockets(stats), width)
        yield _fact("waiting", _waiting(frame), width, "bold yellow" if stats.waiting else "")
        if stats.paces:
            yield _fact("pace", _paces(stats), width)
        most = sorted(((count, why.value) for why, count in stats.closed_by.items() if count), reverse=True)
        closed = f"{stats.closed:,}   {'  '.join(f'{why} {count:,}' for count, why in most)}"
        yield _fact("closed", closed, width)

    @staticmethod
    def _sockets(stats: Stats) -> str:
        parts = [f"{_of(stats.open + stats.connecting, stats.cap)} open", f"{stats.busy} busy", f"{stats.idle} idle"]
        parts += [f"{stats.connecting} being opened"] if stats.connecting else []
        parts += [f"peak {stats.peak_open}"]
        parts += [f"{shortened(name)} {_of(one.open, one.cap)}" for name, one in stats.proxies.items()]
        return "   ".join(parts)

    # All hosts

    def _hosts(self, frame: Frame, outlook: Outlook, width: int, height: int) -> Iterable[Text]:
        lines = ordered(frame, outlook.order)
        columns = [column for column in _COLUMNS if width >= column.least]
        figures = sum(column.width for column in columns)
        signs = _signs_width(lines)
        name_width = max(width - figures - signs - 3, 12)
        heading = f"  {_fitted(f'host ({len(lines):,}, by {outlook.order})', name_width)} "
        heading += f"{'':{signs}}" + "".join([f"{column.heading:>{column.width}}" for column in columns])
        yield Text(heading[:width], "bold", no_wrap=True)
        room = self.rows_for_hosts()
        first = _first_shown(lines, outlook.chosen, room)
        for line in lines[first : first + room]:
            yield self._host(line, columns, name_width, signs, line.name == outlook.chosen, width)
        below = len(lines) - first - room
        yield Text(f"  {below:,} more" if below > 0 else "", "dim")
        if height >= _TALL:
            yield from self._held(frame.told.held[:_HELD_ROWS], width)

    def _host(
        self, line: Line, columns: Sequence[_Column], name_width: int, signs: int, chosen: bool, width: int
    ) -> Text:
        mark = (">" if self._is_plain else "▸") if chosen else " "
        text = Text(f"{mark} {_fitted(line.name, name_width)} ", "bold" if chosen else "", no_wrap=True)
        if signs:
            drawn = self._signs.sockets(line.host, min(line.host.cap or 0, _MOST_SIGNS))
            drawn.truncate(signs, overflow="ellipsis", pad=True)
            text.append_text(drawn)
        for column in columns:
            waits = line.host.waiting and column.heading in ("wait", "oldest")
            text.append(f"{column.cell(line):>{column.width}}", "yellow" if waits else "")
        text.truncate(width, overflow="crop")
        return text

    @staticmethod
    def _held(held: Sequence[Held], width: int) -> Iterable[Text]:
        if not held:
            return
        yield Text("  held longest", "bold")
        for one in held:
            where = f"  unread since {one.unread_since}" if one.unread_since else ""
            told = f"{seconds(one.held_s):>8}  {shortened(one.origin)}  #{one.connection}, {one.served} served{where}"
            yield _cut(Text(f"  {printable(told)}"), width)

    # One host

    def _inside(self, line: Line, frame: Frame, history: History, outlook: Outlook, width: int) -> Iterable[Text]:
        host = line.host
        yield _cut(Text(f"  {printable(line.name)}", "bold"), width)
        yield Text()
        drawn = self._signs.sockets(host, min(host.cap or 0, width - _LABELS - 20))
        yield _cut(
            Text(f"  {'sockets':{_LABELS}}")
            .append_text(drawn)
            .append(f"  {_of(host.open + host.connecting, host.cap)}"),
            width,
        )
        yield _cut(Text(f"  {'':{_LABELS}}").append_text(self._signs.legend()), width)
        wait = f"{host.waiting:,} now, the oldest for {seconds(host.waiting_s)}" if host.waiting else "nobody"
        yield _fact("  waiting", wait, width, "bold yellow" if host.waiting else "")
        opened = host.open + sum(host.closed_by.values())
        each = f", {host.requests / opened:,.1f} on each connection" if opened else ""
        yield _fact("  requests", f"{host.requests:,} answered{each}; failed dials: {host.connect_failed:,}", width)
        rates = history.rates(line.name)[-(width - _LABELS - 16) :]
        yield _fact("  rate", f"{self._bars(rates)} {_rate(line.rate)}/s", width)
        most = sorted(((count, why.value) for why, count in host.closed_by.items()), reverse=True)
        yield _fact("  closed", "  ".join(f"{why} {count:,}" for count, why in most) or "none", width)
        yield from self._known(line, outlook.explained, width)
        mine = [one for one in frame.told.held if one.origin == line.name]
        yield Text()
        yield from self._held(mine, width)

    @staticmethod
    def _known(line: Line, explained: Explanation | None, width: int) -> Iterable[Text]:
        """Say what was learned of the host, and what a request would get; on more than one line where that is long."""
        if explained is None or explained.origin != line.name:
            return
        now = explained.now["repeatable"]
        facts = [*(("learned", text) for text in explained.learned), ("now", f"a request {now}")]
        for label, text in facts:
            for number, part in enumerate(wrap(text, max(width - _LABELS - 2, 20))):
                yield _fact(f"  {'' if number else label}", part, width)

    def _bars(self, rates: Sequence[float]) -> str:
        bars = _PLAIN_BARS if self._is_plain else _BARS
        most = max(rates, default=0.0)
        return "".join([bars[round(rate / most * (len(bars) - 1))] for rate in rates]) if most else ""


def _turnover(frame: Frame) -> str:
    stats = frame.told.stats
    parts = [f"{_rate(frame.rate)}/s", f"{stats.requests:,} in all", f"{stats.reuse_ratio:.1%} reused"]
    parts += [f"{_rate(frame.opened_rate)}/s opened"]
    parts += [f"{stats.resent:,} resent"] if stats.resent else []
    parts += [f"{stats.connect_failed:,} dials failed"] if stats.connect_failed else []
    return "   ".join(parts)


def _waiting(frame: Frame) -> str:
    stats = frame.told.stats
    parts = [f"{stats.waiting:,} now, oldest {seconds(stats.waiting_s)}" if stats.waiting else "nobody"]
    if stats.queued:
        average = seconds(stats.waited_s / stats.queued)
        parts += [f"{_rate(frame.queued_rate)}/s had to", f"{stats.queued:,} in all, mean {average}"]
    return "   ".join(parts)


def _paces(stats: Stats) -> str:
    held = sum(one.held_s > 0 for one in stats.paces.values())
    by_retry_after = f"   {held:,} held by Retry-After" if held else ""
    return f"{sum(one.waiting for one in stats.paces.values()):,} in line at {len(stats.paces):,} hosts{by_retry_after}"


def _fact(label: str, text: str, width: int, style: str = "") -> Text:
    indent = 2 if label.startswith(" ") else 0
    return _cut(Text(f"{label:{_LABELS + indent}}", "dim").append(printable(text), style), width)


def _cut(text: Text, width: int) -> Text:
    text.no_wrap = True
    text.truncate(width, overflow="ellipsis")
    return text


def _fitted(text: str, width: int) -> str:
    return f"{shortened(text, width):{width}}"


def _of(count: int, cap: int | None) -> str:
    return f"{count:,}" if cap is None else f"{count:,}/{cap:,}"


def _since(value: float) -> str:
    return seconds(value) if value else "-"


def _rate(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 10 or not value else f"{value:.1f}"


def _signs_width(lines: Sequence[Line]) -> int:
    """Give the columns that the sockets' signs need: all there may be, or none where the caps are too high to draw."""
    caps = [line.host.cap for line in lines]
    widest = max((cap or 0 for cap in caps), default=0)
    return min(widest, _MOST_SIGNS)


def _first_shown(lines: Sequence[Line], chosen: str | None, room: int) -> int:
    """Give the place of the first host on the screen, so that the chosen one is among them."""
    place = next((number for number, line in enumerate(lines) if line.name == chosen), 0)
    return max(place - room + 1, 0)
