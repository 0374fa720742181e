"""gevent and eventlet: a session waits in the way of green threads, patched before it is imported or after."""

from __future__ import annotations

import importlib.util
import json
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest
import trustme

from keeppool.testing import Answer, Request, Site

pytestmark = pytest.mark.green

PROGRAM = Path(__file__).with_name("green_program.py")


def answer(request: Request) -> Answer:
    if request.path == "/slow":
        time.sleep(0.5)
    if request.path == "/large":
        return Answer(body=b"x" * 3_000_000)
    if request.path == "/echo":
        return Answer(body=str(len(request.body)).encode())
    if request.path == "/closing":
        return Answer(headers=(("Connection", "close"),))
    time.sleep(0.02)
    return Answer()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("which", ["gevent", "eventlet"])
def test_a_session_works_with_green_threads(which, when, tmp_path):
    if importlib.util.find_spec(which) is None:
        pytest.skip(f"skipped: {which} not installed")
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    roots = tmp_path / "roots.pem"
    authority.cert_pem.write_to_path(roots)
    with Site(handler=answer) as site, Site(tls=context) as secure:
        # Contexts of TLS that there are before the patch are not green; both packages say so.
        arguments = (which, when, site.url, secure.url if when == "before" else "", str(roots))
        command = [sys.executable, "-W", "ignore", str(PROGRAM), *arguments]
        run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=90)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    expected = {
        "statuses": [200] * 9,
        "turns": 5,
        "peak": 3,
        "slow": "ReadTimeout",
        "large": 3_000_000,
        "posted": "700000",
        "streamed": 3_000_000,
        "closing": 200,
        "after a close": 200,
        "mounted": [200] * 3,
    }
    assert found == expected | ({"secure": [200, 200]} if when == "before" else {})
