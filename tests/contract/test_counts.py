"""One keep-alive GET takes as many steps as it did: functions called, calls into the kernel, memory kept.

A step more or less is no error; it is a decision. `python -m benchmarks.count --write` makes it.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from live.servers import program

from benchmarks import count
from keeppool.wire.request import check_method

ROOT = Path(__file__).parents[2]


def counted(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Count in a fresh interpreter, where nothing but this has run."""
    command = [sys.executable, "-W", "error", "-m", "benchmarks.count", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)


@pytest.mark.parametrize("client", count.CLIENTS)
def test_one_get_takes_as_many_steps_as_it_did(client):
    program("nginx")
    done = counted(client)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\npython -m benchmarks.count --write, if it is meant"


def test_what_has_changed_is_named(tmp_path):
    path = tmp_path / "counts.json"
    before = count.Counts({"a:old": 1, "a:more": 1, "a:same": 2}, {"socket.send": 1}, 0)
    count.write({"Session": before}, apart=False, path=path)
    now = count.Counts({"a:new": 3, "a:more": 2, "a:same": 2}, {"socket.send": 1}, 4)
    assert count.differences("Session", now, path) == [
        "Session: a:more called 1 times before, now 2",
        "Session: a:new was not called, and is now: 3",
        "Session: a:old was called 1 times, and is not any more",
        "Session: 4 blocks of memory stay allocated after each request",
    ]


def test_a_python_apart_has_expectations_of_its_own(tmp_path):
    path = tmp_path / "counts.json"
    ours, others = (count.Counts({name: 1}, {}, 0) for name in ("a:ours", "a:others"))
    count.write({"Session": others}, apart=False, path=path)
    count.write({"Session": ours}, apart=True, path=path)
    assert count.differences("Session", ours, path) == []
    assert set(count.expectations(path)) == {count.EVERY, count.VERSION}
    count.write({"Session": others}, apart=False, path=path)
    assert count.differences("Session", others, path) == [], "what is written is that Python's own from now on"


def test_functions_calls_into_the_kernel_and_memory_are_seen():
    left: list[object] = []

    def request(times: int, hook: count.Hook | None) -> None:
        sys.setprofile(hook)
        for _ in range(times):
            check_method("GET")
            ours.send(b"x")
            theirs.recv(1)
            left.append(bytearray(100))
        sys.setprofile(None)

    ours, theirs = socket.socketpair()
    with ours, theirs:
        counts = count._counted(request)
    assert counts.functions == {"wire.request:check_method": 1}
    assert counts.kernel == {"socket.recv": 1, "socket.send": 1}
    assert counts.kept == 2, "a bytearray, and its bytes"
