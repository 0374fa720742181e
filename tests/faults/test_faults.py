"""Each row of the table in docs/failures.md, for threads and for tasks, with a fork in the middle.

Whatever the fault is, every call ends, well or with one of keeppool's errors; no response is another call's; no slot is
held at the end; afterwards calls succeed again. What a call has ended with is true at the server: what went well was
carried out, what was never sent was not, and no POST twice.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from keeppool.testing import Behaviour, Site
from tests.faults import network
from tests.faults.load import PATIENCE, echo

ROOT = Path(__file__).parents[2]

#: By fault: what calls may end with, besides "ok". ServerDisconnected is there wherever a server closes connections of
#: its own accord: a POST is not sent again then.
ENDINGS: dict[str, set[str]] = {
    "descriptors": {"ConnectError", "ServerDisconnected"},
    "ports": {"ConnectError", "ServerDisconnected"},
    "threads": {"ResolveError", "ServerDisconnected"},
    "clock": {"ServerDisconnected"},
    "suspend": {"TotalTimeout", "ConnectTimeout", "ServerDisconnected"},
    "silence": {"ReadTimeout", "ConnectTimeout", "ConnectError", "ServerDisconnected"},
    "names": {"ConnectTimeout", "ServerDisconnected"},
    "certificate": {"CertificateError", "ServerDisconnected"},
    "loop": {"ServerDisconnected"},
    "stopped": {"ReadTimeout", "ConnectTimeout", "ServerDisconnected"},
    "server": {"ReadTimeout", "ConnectTimeout", "ServerDisconnected"},
}
#: Errors that say that nothing was sent.
UNSENT = {"ConnectError", "ConnectTimeout", "ResolveError", "CertificateError", "RefusedError", "PoolTimeout"}
#: From Python 3.12 on a fork warns where there are threads; that is what is tried here.
PROGRAM = ("-W", "ignore::DeprecationWarning", "-m", "tests.faults.programs")


def check(fault: str, outcomes: Mapping[str, str], executed: Mapping[str, int]) -> None:
    assert set(outcomes.values()) - {"ok"} <= ENDINGS[fault]
    for number, outcome in outcomes.items():
        times = executed.get(f"/{number}", 0)
        is_post = int(number) % 3 == 0
        if outcome == "ok":
            assert 1 <= times <= (1 if is_post else 2), (number, outcome, times)
        elif outcome in UNSENT:
            assert times == 0, (number, outcome, times)
        else:
            assert times <= (1 if is_post else 2), (number, outcome, times)


def run(command: list[str]) -> str:
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


def started(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *PROGRAM, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def stop(process: subprocess.Popen[str]) -> None:
    """Stop a process; when this returns it has."""
    os.kill(process.pid, signal.SIGSTOP)
    os.waitpid(process.pid, os.WUNTRACED)


def said(process: subprocess.Popen[str], line: str) -> str:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()
    assert process.stdout is not None
    return process.stdout.readline()


def ended(process: subprocess.Popen[str], line: str) -> str:
    out, err = process.communicate(line + "\n", timeout=100)
    assert process.returncode == 0, err
    assert "Traceback" not in err, err
    return out


KINDS = pytest.mark.parametrize("kind", ["threads", "tasks"])


@KINDS
@pytest.mark.parametrize("fault", ["descriptors", "threads", "clock", "suspend", "names"])
def test_faults_of_the_machine(fault: str, kind: str) -> None:
    with Site(Behaviour(close_after=3), handler=echo) as site:
        told = json.loads(run([sys.executable, *PROGRAM, fault, kind, site.url]))
        check(fault, told["outcomes"], site.executed)


@KINDS
@pytest.mark.parametrize("fault", ["ports", pytest.param("silence", marks=pytest.mark.slow)])
def test_faults_of_the_network(fault: str, kind: str) -> None:
    told = json.loads(run(network.alone(*PROGRAM, fault, kind)))
    check(fault, told["outcomes"], told["executed"])


@KINDS
def test_a_certificate_is_renewed(kind: str) -> None:
    told = json.loads(run([sys.executable, *PROGRAM, "certificate", kind]))
    assert "CertificateError" in told["outcomes"].values()
    check("certificate", told["outcomes"], told["executed"])


def test_the_event_loop_is_stopped_in_the_middle() -> None:
    with Site(handler=echo) as site:
        told = json.loads(run([sys.executable, *PROGRAM, "loop", "tasks", site.url]))
        check("loop", told["outcomes"], site.executed)


@KINDS
def test_the_interpreter_ends_with_everybody_busy(kind: str) -> None:
    with Site(Behaviour(close_after=3, delay_s=0.002), handler=echo) as site:
        assert run([sys.executable, *PROGRAM, "shutdown", kind, site.url]) == ""


@pytest.mark.slow
@KINDS
def test_the_process_is_stopped_and_the_server_does_not_wait(kind: str) -> None:
    with Site(handler=echo) as site, started("stopped", kind, site.url) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            stop(process)
            time.sleep(0.6)  # Twice its read timeout: the fault itself.
            site.drop_idle()
            assert site.wait_for(lambda: site.open_now == 0, PATIENCE)
            os.kill(process.pid, signal.SIGCONT)
            told = json.loads(ended(process, "went on"))
        finally:
            process.kill()
        check("stopped", told["outcomes"], site.executed)


@pytest.mark.slow
@KINDS
def test_the_server_is_stopped(kind: str) -> None:
    with started("serve") as server:
        try:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            with started("server", kind, url) as process:
                try:
                    assert process.stdout is not None
                    assert process.stdout.readline() == "ready\n"
                    stop(server)
                    assert said(process, "stopped") == "go on\n"
                    os.kill(server.pid, signal.SIGCONT)
                    told = json.loads(ended(process, "went on"))
                finally:
                    process.kill()
            executed = json.loads(ended(server, ""))
        finally:
            server.kill()
    assert "ReadTimeout" in told["outcomes"].values()
    check("server", told["outcomes"], executed)
