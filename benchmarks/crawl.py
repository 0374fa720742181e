"""A crawl by Scrapy over 40 hosts whose servers hang up on idle connections, with each download handler in turn.

Three crawls of 2,000 pages each:

- "polite" waits between two requests to one host about as long as its server keeps an idle connection, so every reuse
  may meet a close.
- "in flight" does the same with servers a network away: the close is still on its way when the next request comes, and
  that is what the request gets.
- "flat out" waits for nothing and shows what a page costs.

The servers are a process of their own, on 40 loopback addresses; each crawl is a process too. Scrapy's retries are off:
a failed page is an error its user would see. What servers say comes from the servers: connections they accepted, the
most one host had open, the most all of them had open at once. A handler that is not there is left out, and a line says
so.

`--broad` is another crawl: 4 pages of each of 600 hosts, over TLS, in turn. With fewer connections in total than hosts
every request dials, as the one closed to make room is the one that is needed next; it is shown beside the default.

Linux answers on all of 127.0.0.0/8; elsewhere the addresses have to be set up first.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import random
import resource
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.measure import machine, table

HANDLERS = {
    "keeppool": "keeppool.adapters.scrapy.KeepPoolDownloadHandler",
    "Scrapy's default (Twisted)": "scrapy.core.downloader.handlers.http11.HTTP11DownloadHandler",
    "Scrapy's aiohttp": "scrapy.core.downloader.handlers._aiohttp.AiohttpDownloadHandler",
}
PAGES, HOSTS = 2000, 40
QUICK_PAGES, QUICK_HOSTS = 16, 4
BROAD_HOSTS, BROAD_ROUNDS, QUICK_BROAD_HOSTS = 600, 4, 12
#: Bytes of a page.
PAGE = 10_000
#: Seconds between two requests to one host (Scrapy makes that half to one and a half of it), and seconds after which
#: its server closes an idle connection.
DELAY = 0.2


class Crawl(NamedTuple):
    """How a crawl goes about it."""

    name: str
    settings: Mapping[str, Any]
    idle_s: float
    #: The close meets the next request half-way.
    in_flight: bool = False
    tls: bool = False


CRAWLS = (
    Crawl("polite", {"DOWNLOAD_DELAY": DELAY, "CONCURRENT_REQUESTS": 64}, DELAY),
    Crawl("in flight", {"DOWNLOAD_DELAY": DELAY, "CONCURRENT_REQUESTS": 64}, DELAY, in_flight=True),
    Crawl("flat out", {"CONCURRENT_REQUESTS": 32}, 5.0),
)

#: One that goes round its hosts: no server closes, so each new connection is one that was closed to make room.
BROAD = Crawl("broad", {"CONCURRENT_REQUESTS": 64}, 60.0, tls=True)


class Seen(NamedTuple):
    """What came of one crawl; counts of connections are the servers'."""

    failed: int
    opened: int
    most_at_one_host: int
    most_at_once: int
    seconds: float
    cpu_s: float
    pages: int

    def row(self, crawl: str, handler: str) -> list[str]:
        """Write it as a line of the table."""
        counts = (self.failed, self.opened, self.most_at_one_host, self.most_at_once)
        rate, cost = self.pages / self.seconds, self.cpu_s / self.pages * 1e3
        return [f"{crawl}, {handler}", *map(str, counts), f"{rate:.0f}", f"{cost:.2f}"]


# The servers' process


def serve(hosts: int, idle_s: float, *, in_flight: bool, tls: bool) -> None:
    """Serve until standard input ends; print the URLs first, and what was seen at the end."""
    from keeppool.testing import Answer, Behaviour, Request, Site, Sites

    most = 0
    # What is measured is how the crawler manages with its own descriptors.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    page = Answer(body=bytes(PAGE), headers=(("Content-Type", "text/plain"),))
    heard: dict[tuple[str, int], float] = {}

    def answer(request: Request) -> Answer:
        nonlocal most
        most = max(most, sum(site.open_now for site in sites))
        connection = request.headers["host"], request.connection
        silent = request.at - heard.get(connection, request.at)
        heard[connection] = request.at
        return Answer(hang_up=True) if in_flight and silent > idle_s else page

    with Sites() as several:
        behaviour = Behaviour(drop_idle_s=None if in_flight else idle_s)
        sites: list[Site] = []
        addresses = [f"127.0.{number // 250}.{number % 250 + 2}" for number in range(hosts)]
        context = server_context(addresses) if tls else None
        sites.extend(several.add(behaviour, host=address, handler=answer, tls=context) for address in addresses)
        print(json.dumps([site.url for site in sites]), flush=True)
        sys.stdin.read()
        seen = {
            "opened": sum(site.opened for site in sites),
            "most_at_one_host": max(site.peak_open for site in sites),
            "most_at_once": most,
        }
    print(json.dumps(seen), flush=True)


def server_context(addresses: list[str]) -> ssl.SSLContext:
    """Make the TLS settings of all servers; needs trustme, of the extra `test`."""
    import trustme

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert(*addresses).configure_cert(context)
    return context


@contextlib.contextmanager
def servers(hosts: int, one: Crawl) -> Iterator[tuple[list[str], dict[str, int]]]:
    """Start the servers; give their URLs, and a dict that holds what they saw once they have ended."""
    command = [
        sys.executable,
        __file__,
        "--serve",
        str(hosts),
        str(one.idle_s),
        str(int(one.in_flight)),
        str(int(one.tls)),
    ]
    seen: dict[str, int] = {}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline()), seen
        seen.update(json.loads(process.communicate()[0]))


# The crawler's process


def crawl(handler: str, urls: list[str], settings: Mapping[str, Any]) -> dict[str, float]:
    """Run one crawl to its end; give its failures, its time and its own CPU time."""
    import scrapy
    from scrapy.crawler import AsyncCrawlerProcess

    failed = []

    class Pages(scrapy.Spider):
        name = "pages"

        async def start(self) -> Any:
            for url in urls:
                yield scrapy.Request(url, errback=failed.append, dont_filter=True)

        def parse(self, response: Any) -> None:
            if len(response.body) != PAGE:
                failed.append(response)

    process = AsyncCrawlerProcess(
        {
            "DOWNLOAD_HANDLERS": {"http": handler, "https": handler},
            "RETRY_ENABLED": False,
            "TELNETCONSOLE_ENABLED": False,
            "LOG_LEVEL": "ERROR",
            # The scheduler's choice of hosts is not what is measured.
            "SCHEDULER_PRIORITY_QUEUE": "scrapy.pqueues.DownloaderAwarePriorityQueue",
            **settings,
        }
    )
    process.crawl(Pages)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu, wall = usage.ru_utime + usage.ru_stime, time.perf_counter()
    process.start()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    seconds = time.perf_counter() - wall
    return {"failed": len(failed), "seconds": seconds, "cpu_s": usage.ru_utime + usage.ru_stime - cpu}


def crawled(handler: str, urls: list[str], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Run one crawl in a process of its own."""
    order = json.dumps({"handler": handler, "urls": urls, "settings": settings})
    command = [sys.executable, __file__, "--crawl"]
    done = subprocess.run(command, input=order, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


# Both


def measured(one: Crawl, handler: str, pages: int, hosts: int) -> Seen:
    """Let one handler crawl over servers of its own."""
    with servers(hosts, one) as (sites, seen):
        urls = [f"{sites[number % hosts]}/page/{number}" for number in range(pages)]
        if one.name != BROAD.name:
            random.Random(1).shuffle(urls)
        found = crawled(HANDLERS[handler], urls, one.settings)
    return Seen(pages=pages, **found, **seen)


def is_there(path: str) -> bool:
    """Tell whether a handler can be had here."""
    try:
        module = importlib.util.find_spec(path.rpartition(".")[0])
    except ModuleNotFoundError:
        return False
    return module is not None and ("aiohttp" not in path or importlib.util.find_spec("aiohttp") is not None)


def main() -> None:
    """Read the command line, crawl, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few pages, to see that it runs")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--broad", action="store_true", help="600 hosts in turn, over TLS")
    parser.add_argument("--serve", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--crawl", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        hosts, idle_s, in_flight, tls = chosen.serve
        serve(int(hosts), float(idle_s), in_flight=in_flight == "1", tls=tls == "1")
    elif chosen.crawl:
        order = json.loads(sys.stdin.read())
        print(json.dumps(crawl(**order)))
    elif chosen.broad:
        report_broad(QUICK_BROAD_HOSTS if chosen.quick else BROAD_HOSTS)
    else:
        report(*((QUICK_PAGES, QUICK_HOSTS) if chosen.quick else (PAGES, HOSTS)), as_json=chosen.json)


def report(pages: int, hosts: int, *, as_json: bool) -> None:
    """Let every handler do every crawl, and print what came of it."""
    found = {name: path for name, path in HANDLERS.items() if is_there(path)}
    results = {(one.name, name): measured(one, name, pages, hosts) for one in CRAWLS for name in found}
    if as_json:
        rows = {f"{one}, {name}": seen._asdict() for (one, name), seen in results.items()}
        print(json.dumps({"machine": machine("Scrapy", "Twisted", "aiohttp"), "rows": rows}))
        return
    head = ["crawl", "failed", "opened", "most at one host", "most at once", "pages/s", "CPU ms a page"]
    print(f"{pages} pages of {PAGE} bytes on {hosts} hosts. {machine('Scrapy', 'Twisted', 'aiohttp')}\n")
    print(table(head, [seen.row(*place) for place, seen in results.items()]))
    for name in HANDLERS.keys() - found.keys():
        print(f"\n{name} is not installed.")


def report_broad(hosts: int) -> None:
    """Let every handler go round many hosts, keeppool's also with fewer connections than hosts, and print it."""
    pages = hosts * BROAD_ROUNDS
    few = {"KEEPPOOL_LIMITS": {"total": hosts * 256 // BROAD_HOSTS}}
    crawls = {name: BROAD for name, path in HANDLERS.items() if is_there(path)}
    rows = [measured(one, name, pages, hosts).row(one.name, name) for name, one in crawls.items()]
    capped = BROAD._replace(settings={**BROAD.settings, **few})
    label = f"keeppool, {few['KEEPPOOL_LIMITS']}"
    rows.insert(1, measured(capped, "keeppool", pages, hosts).row(capped.name, label))
    head = ["crawl", "failed", "opened", "most at one host", "most at once", "pages/s", "CPU ms a page"]
    print(f"{pages} pages on {hosts} hosts, {BROAD_ROUNDS} times in turn. {machine('Scrapy', 'Twisted', 'aiohttp')}\n")
    print(table(head, rows))


if __name__ == "__main__":
    main()
