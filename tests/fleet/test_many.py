"""Eight processes, twelve hosts, one cap: the sockets that the servers count; and a process that is stopped."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from keeppool import HostConfig, PoolManager, Timeout
from keeppool.fleet import Fleet
from keeppool.testing import Behaviour, Site, Sites

redis = pytest.importorskip("redis")

PROCESSES, HOSTS, CAP, REQUESTS = 8, 12, 6, 4000
TTL = 3.0
SHARED = HostConfig(fleet_per_host=CAP)


def pool_on(port: int) -> PoolManager:
    # A machine under load may take longer than a tenth of a second.
    return PoolManager(fleet=Fleet(redis.Redis(port=port), "many", ttl=TTL, timeout=0.5), defaults=SHARED)


def work(port: int, urls: list[str], begin: Any, tickets: Any, told: Any) -> None:
    """Take tickets for requests, as long as there are some, with two threads for each host."""
    done, failed = 0, 0
    lock = threading.Lock()

    def fetch(url: str) -> None:
        nonlocal done, failed
        while True:
            with tickets.get_lock():
                if tickets.value <= 0:
                    return
                tickets.value -= 1
            try:
                status = pool.request("GET", url, timeout=Timeout(pool=60)).status
            except Exception:
                status = 0
            with lock:
                done, failed = done + 1, failed + (status != 200)

    with pool_on(port) as pool, ThreadPoolExecutor(2 * len(urls)) as threads:
        begin.wait()
        list(threads.map(fetch, urls * 2))
    told.send((done, failed))


@pytest.mark.slow
def test_eight_processes_never_have_more_than_the_cap(redis_port: int) -> None:
    context = multiprocessing.get_context("spawn")
    # All begin together: a process that starts late on a machine under load would find less to do.
    begin, tickets = context.Barrier(PROCESSES, timeout=100), context.Value("i", REQUESTS)
    with Sites() as sites:
        hosts = [sites.add(Behaviour(delay_s=0.05), host=f"127.0.0.{n + 2}") for n in range(HOSTS)]
        urls = [host.url for host in hosts]
        pipes = [context.Pipe() for _ in range(PROCESSES)]
        processes = [
            context.Process(target=work, args=(redis_port, urls, begin, tickets, theirs), daemon=True)
            for _, theirs in pipes
        ]
        for process in processes:
            process.start()
        told = []
        for ours, _ in pipes:
            assert ours.poll(100), "a process has not come to its end"
            told.append(ours.recv())
        for process in processes:
            process.join(10)
        assert max(host.peak_open for host in hosts) <= CAP
        assert sum(failed for _, failed in told) == 0
        assert sum(done for done, _ in told) == REQUESTS
        assert min(done for done, _ in told) >= REQUESTS / PROCESSES / 2, "a process had less than half of its part"


def keep_pace(port: int, url: str, begin: Any, until: Any) -> None:
    """Ask as often as the pace lets it, until the time is over."""
    with PoolManager(
        fleet=Fleet(redis.Redis(port=port), "many", ttl=TTL, timeout=0.5), defaults=HostConfig(pace=5)
    ) as pool:
        begin.wait()
        while not until.is_set():
            pool.request("GET", url, timeout=Timeout(pool=60))


@pytest.mark.slow
def test_four_processes_keep_one_pace(redis_port: int) -> None:
    """In any second at most five starts, and the burst of one; one more where a machine under load delays two."""
    context = multiprocessing.get_context("spawn")
    begin, until = context.Event(), context.Event()
    at: list[float] = []
    with Site(handler=lambda request: at.append(request.at)) as site:
        processes = [
            context.Process(target=keep_pace, args=(redis_port, site.url, begin, until), daemon=True) for _ in range(4)
        ]
        for process in processes:
            process.start()
        begin.set()
        assert site.wait_for(lambda: len(at) >= 100, 60)
        until.set()
        for process in processes:
            process.join(30)
    at.sort()
    most = max(sum(1 for other in at if start <= other < start + 1) for start in at)
    assert most <= 7
    assert at[99] - at[0] >= 19, "a hundred starts at five in a second"


def hold(port: int, url: str, told: Any) -> None:
    pool = pool_on(port)
    held = [pool.request("GET", f"{url}/bytes/10000000", stream=True) for _ in range(CAP)]
    told.send(len(held))
    time.sleep(1.5 * TTL)
    for response in held:
        response.close()
    told.send(0)
    time.sleep(60)


@pytest.mark.slow
def test_a_process_that_was_stopped_exceeds_the_cap_by_what_it_held_and_works_it_off(redis_port: int) -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    with Site() as site, pool_on(redis_port) as pool:
        process = context.Process(target=hold, args=(redis_port, site.url, theirs), daemon=True)
        process.start()
        assert ours.poll(30)
        assert ours.recv() == CAP
        os.kill(process.pid, signal.SIGSTOP)  # type: ignore[arg-type]
        try:
            with ThreadPoolExecutor(CAP) as threads:
                held = list(
                    threads.map(
                        lambda _: pool.request(
                            "GET", f"{site.url}/bytes/10000000", stream=True, timeout=Timeout(pool=30)
                        ),
                        range(CAP),
                    )
                )
            assert site.peak_open == 2 * CAP, "its lease is over, and its sockets are still there"
        finally:
            os.kill(process.pid, signal.SIGCONT)  # type: ignore[arg-type]
        assert ours.poll(30)
        ours.recv()
        for response in held:
            response.close()
        assert site.wait_for(lambda: site.open_now <= CAP, 30), "what is too much is not worked off"
        assert site.peak_open <= 2 * CAP
        process.kill()
        process.join(10)
