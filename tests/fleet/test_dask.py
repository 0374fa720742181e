"""Dask's workers in one fleet, as examples/dask_crawl.py has it: by the servers' count, and with a worker killed."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from keeppool.testing import Behaviour, Site, Sites

pytestmark = pytest.mark.sdk
pytest.importorskip("redis")

EXAMPLES = Path(__file__).parents[2] / "examples"


def _is_free(host: Site) -> bool:
    return host.open_now == 0


def test_a_crawl_on_dask_keeps_the_cap_and_goes_on_when_a_worker_is_killed(
    redis_port: int, sites: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not while tests are collected: with it, errors hold frames for longer, in tests of other folders too.
    distributed = pytest.importorskip("distributed")
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import dask_crawl

    hosts = [sites.add(Behaviour(delay_s=0.02), host=f"127.0.0.{n}") for n in (2, 3)]
    pages = [f"{host.url}/bytes/{number}" for number in range(150) for host in hosts]
    killed: list[int] = []

    def kill_one(_: Any) -> None:
        if not killed and all(host.requests >= 30 for host in hosts):
            killed.append(next(iter(pids.values())))
            os.kill(killed[0], signal.SIGKILL)

    for host in hosts:
        host.handler = kill_one
    with (
        distributed.LocalCluster(n_workers=3, threads_per_worker=4, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        pids = client.run(os.getpid)
        fetched = dask_crawl.crawl(client, f"redis://127.0.0.1:{redis_port}", pages)
        left = client.run(os.getpid)
    assert killed
    assert killed[0] not in left.values()
    assert sorted(length for lengths in fetched.values() for length in lengths) == sorted([*range(150)] * 2)
    assert all(host.peak_open <= dask_crawl.CAP for host in hosts)
    assert all(host.wait_for(partial(_is_free, host)) for host in hosts)
