"""The operating system has nothing left: no descriptor, no thread. It is the dial that failed, and nothing leaks."""

from __future__ import annotations

import errno
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import trustme
from pools.on_a_loop import PoolOnALoop

from keeppool import PoolManager, errors
from keeppool.pools import janitor
from keeppool.testing import Site

PROGRAM = Path(__file__).with_name("out_of_descriptors.py")


@pytest.mark.parametrize("kind", ["threads", "tasks"])
def test_no_descriptor_left_at_the_first_https_request(kind, tmp_path):
    authority, roots = trustme.CA(), tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(roots)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with Site(tls=context) as site:
        command = [sys.executable, str(PROGRAM), kind, site.url, str(roots)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [f"ConnectError OSError {errno.EMFILE} 0", "200"]


def refuse(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


@pytest.mark.parametrize("kind", [PoolManager, PoolOnALoop])
def test_no_thread_to_be_had_for_a_name(kind, sites, monkeypatch):
    site = sites.add()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with kind(timeout=5) as pool:
        with pytest.raises(errors.ConnectError, match="can't start new thread") as caught:
            pool.request("GET", f"http://no-such-name.invalid:{site.port}/")
        assert isinstance(caught.value.__cause__, RuntimeError)
        assert (pool.stats().open, pool.stats().waiting) == (0, 0)
        assert pool.request("GET", site.url).status == 200, "an address needs no thread"


def test_a_janitor_that_could_not_be_had_comes_with_a_later_request(sites, monkeypatch):
    site = sites.add()
    fresh = janitor._Janitor()
    monkeypatch.setattr(janitor, "_janitor", fresh)
    with PoolManager() as pool:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            assert pool.request("GET", site.url).status == 200
        assert fresh._thread is None
        assert pool.request("GET", site.url).status == 200
        assert fresh._thread is not None
