"""One pool for each crawler, shared by its handlers for http and https, and its figures in Scrapy's stats.

Decides: when the pool is closed (with its last handler), how a URL goes out (as it is written), and how often figures
are brought up to date.
Does not know: requests and responses.
"""

from __future__ import annotations

import logging
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary, ref

from scrapy import signals
from scrapy.crawler import Crawler

from keeppool.adapters.scrapy.names import UnknownNames
from keeppool.adapters.scrapy.settings import configuration
from keeppool.clock import clock
from keeppool.config import HostConfig
from keeppool.errors import InvalidURL, ResolveError
from keeppool.pools.manager_tasks import AsyncPoolManager
from keeppool.pools.routes import Located
from keeppool.reasons import Why
from keeppool.wire.request import check_target

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds between two looks at the figures of a pool at work. One takes about as long as a request for some hundred
#: hosts, so this costs nothing to speak of.
FIGURES_EVERY: Final = 5.0

#: Evictions a request that are worth a word, and requests from which on they are: a quarter of all handshakes made anew
#: is more than a change of hosts explains.
HIGH_SHARE: Final = 0.25
FEWEST_ASKED: Final = 200

#: Scheme and authority, and what the request line says of the rest; the fragment stays here (RFC 9112 §3.2).
_PARTS: Final = re.compile(r"([^:/?#]*://[^/?#\\]*)([^#]*)")

logger = logging.getLogger(__name__)

_pools: WeakKeyDictionary[Crawler, CrawlerPool] = WeakKeyDictionary()


class CrawlerPool(AsyncPoolManager):
    """A crawler's connections.

    Args:
        crawler: Whose settings hold, and whose stats receive the figures.

    Raises:
        ConfigError, ValueError: As `keeppool.adapters.scrapy.settings.configuration`.
    """

    _reads_at_once = True

    def __init__(self, crawler: Crawler) -> None:
        _quieten()
        super().__init__(config=configuration(crawler.settings))
        self._locate = lru_cache(maxsize=0)(as_written(self._locate))
        # Weakly, or the registry, which forgets a crawler that is gone, would keep it by its own entry.
        self._crawler = ref(crawler)
        self._due = clock() + FIGURES_EVERY
        self.users = 0
        self._unknown = UnknownNames()
        self._warned_of_evictions = False
        self._asked = self._evicted = 0
        # With the last word on the spider Scrapy writes its stats to the log; handlers are closed after that.
        crawler.signals.connect(self.tell_figures, signals.spider_closed)

    def check_name(self, url: str, override: HostConfig | None) -> None:
        """Let pass a URL whose host may have an address.

        Raises:
            ResolveError: A moment ago the name did not exist.
        """
        if self._unknown and (host := self._dialled_name(url, override)):
            self._unknown.check(host)

    def note_name(self, url: str, override: HostConfig | None, error: ResolveError) -> None:
        """Remember that a name was looked up in vain."""
        if host := self._dialled_name(url, override):
            self._unknown.note(host, error)

    def _dialled_name(self, url: str, override: HostConfig | None) -> str:
        """Give the host that is looked up here for a URL; empty if a proxy does that."""
        origin = self._locate(url, override).route.origin
        return "" if origin.proxy is not None else origin.host

    def tell_figures_if_due(self) -> None:
        """Bring the figures up to date, now and then."""
        if clock() >= self._due:
            self.tell_figures()

    def tell_figures(self) -> None:
        """Bring the figures in Scrapy's stats up to date."""
        self._due = clock() + FIGURES_EVERY
        crawler = self._crawler()
        if crawler is None or crawler.stats is None:
            return
        now = self.stats()
        figures: dict[str, float] = {
            "opened": now.opened,
            "reused": now.reused,
            "resent": now.resent,
            "waited": now.queued,
            "waited_s": round(now.waited_s, 3),
            "connect_failed": now.connect_failed,
            "peak_open": now.peak_open,
        }
        if now.fleet is not None:
            figures |= {"fleet_calls": now.fleet.calls, "fleet_failures": now.fleet.failures}
        figures |= {f"closed/{why.value}": count for why, count in now.closed_by.items() if count}
        evicted, asked = now.closed_by[Why.EVICTED], now.opened + now.reused
        if evicted:
            figures["evicted_share"] = round(evicted / asked, 3)
            self._warn_of_evictions(evicted - self._evicted, asked - self._asked)
        self._evicted, self._asked = evicted, asked
        for name, value in figures.items():
            crawler.stats.set_value(f"keeppool/{name}", value)

    def _warn_of_evictions(self, evicted: int, asked: int) -> None:
        """Say once which setting cures it if many connections are closed to make room before they are needed again."""
        if self._warned_of_evictions or asked < FEWEST_ASKED or evicted < HIGH_SHARE * asked:
            return
        self._warned_of_evictions = True
        total = self.config.limits.total
        logger.warning(
            "%d of the last %d requests had another host's idle connection closed to make room: the crawl goes round"
            " more hosts than the %s connections there may be."
            ' Set KEEPPOOL_LIMITS = {"total": N} with N above the number of hosts; each takes a file descriptor'
            " (ulimit -n). This is logged once.",
            evicted,
            asked,
            total,
        )


def lend(crawler: Crawler) -> CrawlerPool:
    """Give a crawler's pool to one more handler, which gives it back by `give_back`.

    Raises:
        ConfigError, ValueError: As `CrawlerPool`.
    """
    pool = _pools.get(crawler)
    if pool is None:
        pool = _pools[crawler] = CrawlerPool(crawler)
    pool.users += 1
    return pool


async def give_back(crawler: Crawler, pool: CrawlerPool) -> None:
    """Take a pool back from one handler; from the last one it is closed."""
    pool.users -= 1
    if pool.users:
        return
    if _pools.get(crawler) is pool:
        del _pools[crawler]
    await pool.aclose()
    pool.tell_figures()


def _quieten() -> None:
    """Keep what pools log at DEBUG, Scrapy's usual level, out of its log, unless the program has set a level for it.

    Scrapy does the same with what it uses itself for downloads: each request is in its log already.
    """
    if logging.getLogger("keeppool").level == logging.NOTSET:
        for name in ("keeppool.pool", "keeppool.http"):
            if (one := logging.getLogger(name)).level == logging.NOTSET:
                one.setLevel(logging.INFO)


def as_written(
    locate: Callable[[str, HostConfig | None], Located],
) -> Callable[[str, HostConfig | None], Located]:
    """Make the way to a URL whose path and query go out as they stand.

    Scrapy has quoted them already, or `verbatim_url` forbids it. And a crawl asks for each URL once, so only
    the way to its site is worth remembering.

    Args:
        locate: Finds the way to a site, and remembers it.
    """

    def locate_as_written(url: str, override: HostConfig | None = None) -> Located:
        parts = _PARTS.match(url)
        if parts is None:
            return locate(url, override)  # Which says what is wrong with it.
        site, rest = parts.groups()
        route = locate(f"{site}/", override).route
        try:
            target = check_target(rest if rest.startswith("/") else f"/{rest}")
        except InvalidURL as error:
            raise InvalidURL(str(error), url=url) from error
        return Located(route, route.proxied + target, url)

    return locate_as_written
