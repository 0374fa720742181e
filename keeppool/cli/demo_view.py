"""The live view of `keeppool demo`: a line a host, a sign a socket.

Knows: rich, and a round's figures. Does not know: what comes of them.
"""

from __future__ import annotations

from collections import Counter
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from keeppool import Limits, Stats
from keeppool.cli.demo_sites import Host
from keeppool.cli.signs import signs_for
from keeppool.stats import HostStats

#: Redraws a second: sockets come and go faster than anyone can read.
_REDRAWS = 12
#: Columns of the bar over all hosts.
_BAR_WIDTH = 30


class Watched(Protocol):
    """A round, whoever fetches."""

    @property
    def hosts(self) -> list[Host]:
        """Who is visited."""

    @property
    def limits(self) -> Limits:
        """The caps that hold."""

    @property
    def urls(self) -> list[str]:
        """All pages."""

    @property
    def done(self) -> Counter[str]:
        """Pages that are there, by origin."""

    def stats(self) -> Stats:
        """Look at the pool, now; called from a thread of the view's own."""


class View:
    """Draws a round while it runs; nothing where the console is no terminal. A context manager.

    Args:
        console: Where to.
        current: The round.
        title: What is written on top.
    """

    def __init__(self, console: Console, current: Watched, title: str) -> None:
        self._round = current
        self._title = title
        self._signs = signs_for(console)
        self._console = console
        self._live: Live | None = None

    def __enter__(self) -> None:
        if self._console.is_terminal:
            self._live = Live(
                console=self._console, get_renderable=self._draw, refresh_per_second=_REDRAWS, transient=True
            )
            self._live.start()

    def __exit__(self, *exc_info: object) -> None:
        if self._live is not None:
            self._live.stop()

    def _draw(self) -> RenderableType:
        stats = self._round.stats()
        done, pages = self._round.done.total(), len(self._round.urls)
        top = Table.grid(padding=(0, 2))
        bar = ProgressBar(total=pages, completed=done, width=_BAR_WIDTH)
        top.add_row(Text(self._title, "bold"), bar, f"{done}/{pages}", f"{stats.open} sockets")
        hosts = Table.grid(padding=(0, 2))
        for host in self._round.hosts:
            hosts.add_row(*self._line(host, stats.hosts.get(host.site.url, HostStats())))
        return Group(top, "", hosts, "", self._signs.legend())

    def _line(self, host: Host, now: HostStats) -> tuple[str, Text, Text, str, Text]:
        done = self._round.done[host.site.url]
        waiting = Text(f"{now.waiting} waiting" if now.waiting else "", "dim")
        return (
            host.name,
            Text(host.label, "dim"),
            self._signs.sockets(now, self._round.limits.per_host),
            f"{done:3}",
            waiting,
        )
