"""One round of `keeppool demo`: all pages of all sites, in shuffled order, through one session.

Decides: what counts as an error: everything but the right page. Knows: session, ledger, sites.
Does not know: how it is shown.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

from keeppool import AsyncResponse, HostConfig, HostLedger, Limits, Response, Session, Stats, Timeout
from keeppool.cli.demo_sites import Host, page
from keeppool.cli.pictures import Pictures
from keeppool.cli.workers import Workers
from keeppool.stats import HostTally

#: The same order each time: two rounds, and two runs, can be compared.
_SEED = 1996


class Visit(NamedTuple):
    """One page that was asked for. `error` says what is wrong, if anything is."""

    url: str
    error: str | None


@dataclass(frozen=True, slots=True)
class HostOutcome:
    """What a round was for one host.

    Attributes:
        name: Its address.
        label: Its behaviour in a few words.
        requests: Pages asked for.
        tally: The client's counts.
        peak: The most sockets the *server* saw open at once.
        late: Requests the server saw after an end it had stated.
    """

    name: str
    label: str
    requests: int
    tally: HostTally
    peak: int
    late: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a whole round was.

    Attributes:
        limits: The caps that held.
        hosts: Each host's part.
        stats: The pool's counts, after it was closed.
        errors: What went wrong, if anything.
        seconds: From the first request to the last page.
    """

    limits: Limits
    hosts: list[HostOutcome]
    stats: Stats
    errors: list[str]
    seconds: float


class Round:
    """Fetches every page once. Iterate over it for the visits, as they happen; then ask for the `outcome`.

    Args:
        hosts: The sites.
        pages: How many pages in all.
        threads: How many threads fetch.
        limits: The pool's caps.
        keep_alive: False has every connection used once.
        pictures: What is to be drawn of it, if anything.
    """

    def __init__(
        self,
        hosts: list[Host],
        pages: int,
        threads: int,
        limits: Limits,
        *,
        keep_alive: bool,
        pictures: Pictures | None = None,
    ) -> None:
        self.hosts = hosts
        self.limits = limits
        self.keep_alive = keep_alive
        self.urls = _shuffled(hosts, pages)
        #: Pages that are there, by origin.
        self.done: Counter[str] = Counter()
        self._errors: list[str] = []
        self._threads = threads
        self._seconds = 0.0
        self._ledger = HostLedger()
        self._session = Session(
            limits,
            timeout=Timeout(stall=None),
            defaults=HostConfig(keep_alive=keep_alive),
            hosts={host.site.url: host.config for host in hosts},
            on_event=self._ledger if pictures is None else pictures.listener(self._ledger),
        )

    def __iter__(self) -> Iterator[Visit]:
        started = time.monotonic()
        with self._session, Workers(self.urls, self._visit, self._threads) as workers:
            for visit in workers:
                self._note(visit)
                yield visit
            self._seconds = time.monotonic() - started

    def stats(self) -> Stats:
        """Look at the pool, now."""
        return self._session.stats()

    def outcome(self) -> Outcome:
        """Sum up what happened; to be called at the end."""
        tallies = self._ledger.hosts()
        asked = Counter(map(origin_of, self.urls))
        hosts = [_host_outcome(host, tallies, asked[host.site.url]) for host in self.hosts]
        return Outcome(self.limits, hosts, self._session.stats(), self._errors, self._seconds)

    def _visit(self, url: str) -> Visit:
        try:
            return checked(url, self._session.get(url))
        except Exception as error:
            return failed(url, error)

    def _note(self, visit: Visit) -> None:
        self.done[origin_of(visit.url)] += 1
        if visit.error is not None:
            self._errors.append(visit.error)


def _shuffled(hosts: list[Host], pages: int) -> list[str]:
    urls = [f"{hosts[number % len(hosts)].site.url}/page/{number}" for number in range(pages)]
    random.Random(_SEED).shuffle(urls)
    return urls


def checked(url: str, response: Response | AsyncResponse) -> Visit:
    """Compare what came with the page that was asked for.

    Raises:
        HTTPError: It is no page at all.
    """
    response.raise_for_status()
    right = response.content == page(urlsplit(url).path)
    return Visit(url, None if right else f"{url}: not the page that was asked for")


def failed(url: str, error: Exception) -> Visit:
    """Tell why there is no page."""
    return Visit(url, f"{url}: {type(error).__name__}: {error}")


def origin_of(url: str) -> str:
    """Give scheme, host and port of a page."""
    return url[: url.index("/", len("http://"))]


def _host_outcome(host: Host, tallies: Mapping[str, HostTally], requests: int) -> HostOutcome:
    tally = tallies.get(host.site.url) or HostTally()
    return HostOutcome(host.name, host.label, requests, tally, host.site.peak_open, host.site.late)
