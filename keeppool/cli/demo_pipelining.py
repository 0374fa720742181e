"""The second part of `keeppool demo`: small pages fetched by tasks, with pipelining or without.

Decides: that all pages of a host are asked for at once, so that its connections are what is short.
Knows: a session for tasks, pages. Does not know: how it is shown, nor what a host's own settings are.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass

from keeppool import AsyncSession, Limits, Stats, Timeout
from keeppool.cli.demo_round import Visit, checked, failed, origin_of
from keeppool.cli.demo_sites import Host

#: Pages of each host. Through six connections, one at a time, that is thirty round trips: not quite a second.
MOST_PAGES = 180


@dataclass(frozen=True, slots=True)
class TaskOutcome:
    """What the second part was for one host.

    Attributes:
        host: The host; its site has the server's counts.
        limits: The caps that held.
        requests: Pages asked for.
        stats: The pool's counts, after it was closed.
        errors: What went wrong, if anything.
        seconds: From the first request to the last page.
    """

    host: Host
    limits: Limits
    requests: int
    stats: Stats
    errors: list[str]
    seconds: float


class TaskRound:
    """Fetches pages of one host, all at once, through a pool of their own.

    Args:
        host: The host.
        pages: How many pages there are in the whole demo; more than `MOST_PAGES` are not fetched.
        limits: The pool's caps.
    """

    def __init__(self, host: Host, pages: int, limits: Limits) -> None:
        self.hosts = [host]
        self.limits = limits
        self.urls = [f"{host.site.url}/page/{number}" for number in range(min(pages, MOST_PAGES))]
        #: Pages that are there, by origin.
        self.done: Counter[str] = Counter()
        self._session = AsyncSession(limits, timeout=Timeout(stall=None), hosts={host.site.url: host.config})

    def stats(self) -> Stats:
        """Look at the pool, now. Any thread may."""
        return self._session.stats()

    def run(self) -> TaskOutcome:
        """Fetch them, on an event loop of their own, and sum up what happened."""
        return asyncio.run(self._crawl())

    async def _crawl(self) -> TaskOutcome:
        started = time.monotonic()
        async with self._session:
            visits = await asyncio.gather(*map(self._visit, self.urls))
            seconds = time.monotonic() - started
        errors = [visit.error for visit in visits if visit.error is not None]
        return TaskOutcome(self.hosts[0], self.limits, len(visits), self.stats(), errors, seconds)

    async def _visit(self, url: str) -> Visit:
        try:
            visit = checked(url, await self._session.get(url))
        except Exception as error:
            visit = failed(url, error)
        self.done[origin_of(url)] += 1
        return visit
