"""A crawl on Dask: one pool for each worker process, and one cap for each host over all of them, kept in Redis.

Run it as it stands: it brings its own servers on loopback, and starts a Redis of its own if it is given no URL of one.
It needs the extra `fleet`, and `distributed`:

    python examples/dask_crawl.py
    python examples/dask_crawl.py redis://redis.internal
"""

import contextlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import redis
from distributed import Client, LocalCluster, Worker, WorkerPlugin, as_completed, get_worker

from keeppool import HostConfig, Session
from keeppool.fleet import Fleet
from keeppool.testing import Behaviour, Sites

WORKERS, THREADS = 3, 6
CAP, PAGES = 6, 100


class Pooled(WorkerPlugin):
    """Gives each worker process one session, which all its threads and tasks share."""

    name = "keeppool"

    def __init__(self, url: str) -> None:
        self.url = url

    def setup(self, worker: Worker) -> None:
        """Make the session: in the worker's process, once."""
        fleet = Fleet(redis.Redis.from_url(self.url), name="dask")
        self.session = Session(timeout=30, fleet=fleet, defaults=HostConfig(fleet_per_host=CAP))

    def teardown(self, worker: Worker) -> None:
        """Close it: what it had is free for the others at once."""
        self.session.close()


def fetch(url: str) -> tuple[int, int]:
    """Fetch one page, in whichever worker Dask has chosen: its number, and how long the page is."""
    worker = get_worker()
    page = worker.plugins[Pooled.name].session.get(url).raise_for_status()
    return worker.name, len(page.content)


def crawl(client: Client, url: str, pages: list[str]) -> dict[int, list[int]]:
    """Fetch all pages; their lengths, by the worker that has fetched them."""
    client.register_plugin(Pooled(url))
    fetched: dict[int, list[int]] = {}
    # Dask remembers what a pure function has given; a page may be another one the next time.
    for _, (worker, length) in as_completed(client.map(fetch, pages, pure=False), with_results=True):
        fetched.setdefault(worker, []).append(length)
    return fetched


@contextlib.contextmanager
def redis_of_our_own() -> Iterator[str]:
    """Run a Redis that listens on a Unix socket and keeps nothing; its URL."""
    program = shutil.which("redis-server")
    if program is None:
        raise SystemExit("redis-server is not installed: give the URL of a Redis, such as redis://localhost")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "socket"
        options = ["--port", "0", "--unixsocket", str(path), "--save", "", "--dir", folder]
        with subprocess.Popen([program, *options], stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            for line in server.stdout:
                if "ready to accept connections" in line.lower():
                    break
            try:
                yield f"unix://{path}"
            finally:
                server.terminate()
                server.stdout.read()


def main(url: str) -> None:
    with Sites() as sites:
        hosts = [sites.add(Behaviour(delay_s=0.01), host=f"127.0.0.{n}") for n in (2, 3)]
        pages = [f"{host.url}/bytes/{number}" for number in range(PAGES) for host in hosts]
        with (
            LocalCluster(n_workers=WORKERS, threads_per_worker=THREADS, dashboard_address=None) as cluster,
            Client(cluster) as client,
        ):
            fetched = crawl(client, url, pages)
        for worker, lengths in sorted(fetched.items()):
            print(f"worker {worker}: {len(lengths)} pages, {sum(lengths)} bytes")
        for host in hosts:
            print(f"{host.url}: {host.requests} requests, at most {host.peak_open} connections at once")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with redis_of_our_own() as own:
            main(own)
