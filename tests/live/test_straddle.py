"""Pauses on both sides of real servers' idle timeouts, from many threads: nobody meets a server that hangs up."""

import random
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from keeppool import Limits, PoolManager
from keeppool.errors import ExchangeError
from keeppool.events import ConnectionReused, RequestResent

THREADS = 8
REQUESTS = 2000
#: One request in this many is followed by a pause of up to twice the servers' timeout of one second.
PAUSE_EVERY = 40


def visit(pool, url, seed):
    """Make one thread's share of the requests, half of them POSTs, with pauses that the seed fixes."""
    chance, pause, errors = random.Random(seed), threading.Event(), []
    for _ in range(REQUESTS // THREADS):
        method, body = chance.choice([("GET", None), ("POST", b"x")])
        try:
            pool.request(method, url, body=body)
        except ExchangeError as error:
            errors.append(error)
        if not chance.randrange(PAUSE_EVERY):
            pause.wait(chance.uniform(0, 2))
    return errors


def straddle(url, recorder):
    with PoolManager(Limits(per_host=THREADS), timeout=10, on_event=recorder) as pool:
        with ThreadPoolExecutor(THREADS) as threads:
            visits = [threads.submit(visit, pool, url, seed) for seed in range(THREADS)]
            errors = [error for done in visits for error in done.result()]
        return errors, pool.stats()


@pytest.fixture(params=["apache", "nginx", "node"])
def server(request):
    if request.param == "apache":
        return request.getfixturevalue("apache")(KeepAliveTimeout=1, MaxKeepAliveRequests=5)
    if request.param == "nginx":
        return request.getfixturevalue("nginx")(keepalive_timeout="1s 1s", keepalive_requests=5)
    return request.getfixturevalue("node_server")(keepAliveTimeout=1000, maxRequestsPerSocket=5)


@pytest.mark.slow
def test_two_thousand_requests_with_pauses_meet_no_server_that_hangs_up(server, recorder):
    errors, stats = straddle(f"{server.url}/1k.bin", recorder)
    assert errors == []
    assert recorder.of(RequestResent) == []
    # None went out after the second the servers announce, nor after the sixth request (httpd's own count for 5).
    assert max(event.idle_s for event in recorder.of(ConnectionReused)) < 1
    assert max(event.served for event in recorder.of(ConnectionReused)) <= 5
    assert stats.opened >= REQUESTS // 6


IDLE_PROCESS = """
import sys, threading, keeppool
pool = keeppool.PoolManager()
for _ in range(50):
    pool.request("GET", sys.argv[1])
held = [pool.request("GET", sys.argv[1], stream=True) for _ in range(4)]
for response in held:
    response.data
print("idle", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="skipped: this system has no /proc/net/tcp")
def test_an_idle_process_keeps_no_half_closed_socket_and_no_thread(sites):
    site = sites.add()

    def half_closed():
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return [row for row in rows if int(row[2].partition(":")[2], 16) == site.port and row[3] == "08"]

    command = [sys.executable, "-c", IDLE_PROCESS, site.url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"idle\n"
        assert site.open_now
        site.drop_idle()
        tasks, tries = Path(f"/proc/{process.pid}/task"), threading.Event()
        for _ in range(60):
            if not half_closed() and len(list(tasks.iterdir())) == 1:
                break
            tries.wait(0.1)
        assert half_closed() == []
        assert len(list(tasks.iterdir())) == 1
        process.communicate()
