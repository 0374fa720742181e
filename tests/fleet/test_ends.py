"""A process that ends leaves nothing behind in Redis that others would have to wait for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from keeppool.testing import Behaviour, Sites

redis = pytest.importorskip("redis")

PROGRAM = """
import concurrent.futures, functools, multiprocessing, os, sys, threading
import redis
from keeppool import HostConfig, Session
from keeppool.fleet import Fleet

@functools.cache
def session():
    fleet = Fleet(redis.Redis.from_url(sys.argv[2]), timeout=0.5)
    return Session(fleet=fleet, defaults=HostConfig(fleet_per_host=6))

def fetch(_):
    return session().get(sys.argv[1]).status_code

if __name__ == "__main__":
{}
"""

ENDS = {
    "closed": "with session(): fetch(1)",
    "closed, and gone at once": "with session(): fetch(1)\n    os._exit(0)",
    "not closed": "fetch(1)",
    "dropped": "fetch(1); session.cache_clear()",
    "interrupted": "fetch(1); raise KeyboardInterrupt",
    "with a response that is read no further": "kept = session().get(sys.argv[1] + '/bytes/1000000', stream=True)",
    "children, forked": "with multiprocessing.get_context('fork').Pool(2) as pool:\n"
    "        pool.map(fetch, range(8)); pool.close(); pool.join()",
    "children, spawned": "context = multiprocessing.get_context('spawn')\n"
    "    with concurrent.futures.ProcessPoolExecutor(2, context) as pool: list(pool.map(fetch, range(8)))",
}


@pytest.mark.parametrize("end", ENDS)
def test_what_a_process_had_is_free_when_it_has_ended(end: str, redis_port: int, sites: Sites, tmp_path: Path) -> None:
    site = sites.add(Behaviour())
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(f"    {ENDS[end]}"), encoding="utf-8")
    command = [sys.executable, str(program), site.url, f"redis://127.0.0.1:{redis_port}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == "" or (end == "interrupted" and done.stderr.endswith("KeyboardInterrupt\n")), done.stderr
    assert site.requests > 0
    held = redis.Redis(port=redis_port).hget(f"kp:crawl:{{127.0.0.1:{site.port}}}:held", "*")
    assert int(held or 0) == ("read no further" in end), "what is in use has its permit until the lease ends"


def test_a_process_does_not_wait_for_a_redis_that_is_not_there(sites: Sites, tmp_path: Path) -> None:
    site = sites.add(Behaviour())
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format("    fetch(1)"), encoding="utf-8")
    command = [sys.executable, str(program), site.url, "redis://127.0.0.1:1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0
    assert "Redis does not answer" in done.stderr
    assert "Traceback" not in done.stderr
