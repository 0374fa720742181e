"""Which questions there are, and which bars keeppool's answers have to pass.

A bar names a row and a figure of its program, and a bound. Ratios are of rates in the same run: 2 is twice as fast.

Knows: the programs' names, rows and figures. Does not know: how a figure is measured or printed.
"""

from __future__ import annotations

from typing import NamedTuple


class Bar(NamedTuple):
    """A bound for one figure of one row: at least, or at most."""

    row: str
    figure: str
    least: float | None = None
    most: float | None = None
    #: It is about client and server on all cores, whatever the program's others are about.
    on_all_cores: bool = False

    def is_held_by(self, measured: float) -> bool:
        """Say whether a figure is within the bound."""
        return (self.least is None or measured >= self.least) and (self.most is None or measured <= self.most)

    def __str__(self) -> str:
        bound = f"≥ {self.least:g}" if self.least is not None else f"≤ {self.most:g}"
        return f"{bound}, on all cores" if self.on_all_cores else bound


class Question(NamedTuple):
    """One program.

    Attributes:
        program: Its module in this folder.
        title: What it asks.
        quick: Rounds, and requests in each round, for a first impression.
        bars: What has to hold.
        full: The same for figures to be shown, where three times as many rounds are not right: all questions together
            are to take about twelve minutes.
    """

    program: str
    title: str
    quick: tuple[int, int]
    bars: tuple[Bar, ...] = ()
    full: tuple[int, int] | None = None

    @property
    def usual(self) -> tuple[int, int]:
        """Rounds, and requests in each round, for figures to be shown."""
        rounds, requests = self.quick
        return self.full or (rounds * 3, requests)


SESSION = "keeppool.Session"
CROWD = "keeppool.AsyncPoolManager on"
TASKS = "keeppool.AsyncSession on"
#: The largest loads of core_cost, beside the smallest.
MANY_HOSTS = "with lock, clock and probe (BlockingPool), beside 100,000 other hosts"
MANY_WAITERS = "with lock, clock and probe (BlockingPool), beside 10,000 waiters, each for a host of its own"

QUESTIONS = (
    Question("pulse", "What the machine is like", (7, 50)),
    Question(
        "sequential",
        "One keep-alive GET of 1 KiB after the other",
        (7, 200),
        (
            Bar(SESSION, "rate_by_pycurl", least=1.0),
            Bar(SESSION, "rate_by_floor", least=0.6),
            Bar(SESSION, "rate_by_urllib3", least=5),
            Bar(SESSION, "rate_by_requests", least=16),
            Bar(SESSION, "rate_by_pycurl", least=1.1, on_all_cores=True),
            Bar(SESSION, "rate_by_floor", least=0.72, on_all_cores=True),
        ),
    ),
    Question("parts", "What one GET is made of", (9, 300)),
    Question(
        "seen",
        "One GET after the other, seen by a recorder",
        (7, 200),
        (Bar(f"{SESSION}, a Recorder", "cpu_by_unheard", most=1.3),),
    ),
    Question(
        "post_json",
        "One POST of JSON after the other, its JSON answer parsed",
        (7, 100),
        (Bar(SESSION, "rate_by_pycurl", least=1.0, on_all_cores=True),),
    ),
    Question("gzip_body", "A gzip-coded body of 100 KiB", (7, 50)),
    Question(
        "threads",
        "16 threads, one client",
        (7, 20),
        (
            Bar(SESSION, "rate_by_pyreqwest", least=0.8),
            Bar(SESSION, "rate_by_primp", least=0.9),
            Bar(SESSION, "rate_by_urllib3", least=6),
            Bar(SESSION, "rate_by_urllib3", least=4.2, on_all_cores=True),
            Bar(SESSION, "rate_by_pyreqwest", least=0.57, on_all_cores=True),
            Bar("keeppool.PoolManager", "rate_by_pyreqwest", least=0.7, on_all_cores=True),
            Bar(f"{SESSION}, six connections", "rate_by_16", least=0.85, on_all_cores=True),
        ),
    ),
    Question(
        "tasks",
        "64 tasks, six connections",
        (7, 8),
        (
            Bar(f"{CROWD} asyncio", "rate_by_aiohttp", least=3.2),
            Bar(f"{CROWD} uvloop", "rate_by_aiohttp", least=2.5),
            Bar(f"{CROWD} uvloop", "rate_by_pyreqwest", least=2),
        ),
    ),
    Question(
        "download",
        "256 MiB down, in pieces of 64 KiB",
        (5, 1),
        (
            Bar(SESSION, "rate_by_pycurl", least=0.9),
            Bar(SESSION, "rate_by_pycurl", least=0.95, on_all_cores=True),
            Bar(SESSION, "rate_by_urllib3", least=2),
            Bar(SESSION, "peak_mib", most=45),
        ),
        full=(10, 1),
    ),
    Question(
        "bodies",
        "256 MiB whole, one long line, small pieces",
        (5, 1),
        (
            Bar(f"whole: {SESSION}", "rate_by_urllib3", least=1.1, on_all_cores=True),
            Bar(f"whole: {SESSION}", "growth_mib", most=294.4),
            Bar(f"one line: {SESSION}", "rate_by_httpx", least=1.0),
            Bar(f"pieces of 512: {SESSION}", "rate_by_urllib3", least=1.0),
            Bar("packed five times: keeppool.AsyncSession", "held_ms", most=20),
        ),
        full=(5, 1),
    ),
    Question("upload", "256 MiB up, from a file", (5, 1), full=(5, 1)),
    Question(
        "large",
        "Large bodies by both fronts: whole, in pieces, up, gzip-coded",
        (2, 1),
        (
            Bar(f"whole: {TASKS} asyncio", "rate_by_urllib3", least=1.1, on_all_cores=True),
            Bar(f"whole: {TASKS} uvloop", "rate_by_urllib3", least=1.1, on_all_cores=True),
            Bar(f"whole: {TASKS} asyncio", "growth_mib", most=294.4),
            Bar(f"whole: {TASKS} uvloop", "growth_mib", most=294.4),
            Bar(f"pieces: {SESSION}", "cpu_by_pycurl", most=1.0, on_all_cores=True),
        ),
        full=(5, 1),
    ),
    Question(
        "cookies",
        "Cookies of 10,000 other domains in the jar",
        (15, 100),
        (
            Bar("10,000 other domains", "growth", most=1.1),
            Bar("10,000 other domains, and one of its own", "growth", most=1.1),
        ),
    ),
    Question("ring", "200 hosts in a ring, 64 connections in all", (3, 1)),
    Question(
        "new_hosts",
        "One page from each of many hosts",
        (3, 250),
        (
            Bar(SESSION, "rate_by_urllib3", least=1.8, on_all_cores=True),
            Bar(SESSION, "cpu_by_floor", most=2.5, on_all_cores=True),
            Bar("200 tasks: keeppool.AsyncSession", "rate_by_aiohttp", least=1.5, on_all_cores=True),
            Bar("200 tasks: keeppool.AsyncSession", "growth_by_aiohttp", most=0.3, on_all_cores=True),
        ),
        # The goals are about 2,500 hosts, and 20,000 for the tasks.
        full=(3, 2500),
    ),
    Question("tls", "TLS: one connection kept, and a new one each time", (5, 60)),
    Question("latency", "Latency at 500 requests per second", (4, 250), full=(4, 250)),
    Question("link", "A link of 20 ms round trip", (2, 2), full=(2, 2)),
    Question(
        "core_cost",
        "Acquire and release, with much else in the tables",
        (9, 1000),
        (
            Bar(MANY_HOSTS, "us_call", most=4),
            Bar(MANY_HOSTS, "growth", most=1.5),
            Bar(MANY_WAITERS, "growth", most=1.5),
        ),
    ),
    Question("probe_cost", "The look at an idle socket before each reuse", (9, 2000)),
    Question(
        "memory",
        "Python memory of a connection",
        (1, 100),
        (Bar(f"{SESSION}, one host: idle connection", "bytes", most=2048),),
        full=(1, 100),
    ),
    Question(
        "import_cost",
        "What importing costs",
        (5, 1),
        (
            Bar("`import keeppool`", "time_by_requests", most=0.5),
            Bar("`from keeppool import Session`", "time_by_requests", most=0.6, on_all_cores=True),
        ),
    ),
    Question(
        "mount",
        "requests, with keeppool mounted",
        (7, 100),
        (Bar("requests, keeppool mounted", "rate_by_requests", least=1.3),),
    ),
    Question(
        "httpx",
        "Clients of httpx and httpx2 over our transport and over their own",
        (3, 50),
        (
            Bar("GET: httpx, over keeppool", "cpu_by_own", most=0.67),
            Bar("GET: httpx2, over keeppool", "cpu_by_own", most=0.67),
            Bar("GET: httpx, tasks, over keeppool", "cpu_by_own", most=0.67),
            Bar("GET: httpx2, tasks, over keeppool", "cpu_by_own", most=0.67),
            Bar("events: httpx, over keeppool", "time_by_own", most=1.0),
            Bar("events: httpx, tasks, over keeppool", "time_by_own", most=1.0),
        ),
    ),
    Question(
        "dropins",
        "urllib3's classes, and keeppool's in their place",
        (7, 100),
        (
            Bar("keeppool's PoolManager", "rate_by_urllib3", least=1.3),
            Bar("keeppool's HTTPConnectionPool", "rate_by_urllib3", least=1.3),
        ),
    ),
)
