"""One program for each fault: `python -m tests.faults.programs FAULT threads|tasks [URL]`.

Each lets callers ask, brings the fault about, waits for what it does to them, forks in the middle of it, takes the
fault away, and waits until all is well. What every call has ended with is printed as JSON; with a server of its own
also how often that one has carried out each.
"""

from __future__ import annotations

from tests.faults.sleep import sleep  # isort: skip  # before keeppool, which looks up its clock when it is imported

import contextlib
import faulthandler
import json
import os
import resource
import socket
import ssl
import sys
import threading
import time
from pathlib import Path
from typing import Any

import keeppool
from keeppool import Config, HostConfig, Limits, Timeout
from keeppool.testing import Behaviour, Site
from tests.faults import network
from tests.faults.load import PATIENCE, Load, echo


def told(load: Load, site: Site | None = None) -> None:
    """Print how the calls ended, for the test to read."""
    print(json.dumps({"outcomes": load.outcomes, "executed": site and site.executed}))


def descriptors(kind: str, url: str) -> None:
    """No file descriptor is left for a dial."""
    load = Load(kind, url, timeout=5)
    load.until()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (4, hard))
    load.until("ConnectError")
    load.fork()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    load.until(count=30)
    load.end()
    told(load)


def ports(kind: str) -> None:
    """No port is left to dial from."""
    network.turn(True)
    network.with_ports(40000, 40015)
    with Site(Behaviour(close_after=3), handler=echo) as site:
        load = Load(kind, site.url, timeout=5)
        load.until()
        hogs = []
        while load.count({"ConnectError"}) < 10:  # What the pool's connections leave is taken too.
            hog = socket.socket()
            with contextlib.suppress(OSError):
                hog.bind(("127.0.0.1", 0))
                hogs.append(hog)
        load.fork()
        for hog in hogs:
            hog.close()
        load.until(count=30)
        load.end()
        told(load, site)


def threads(kind: str, url: str) -> None:
    """No memory is left for the stack of a thread, such as one that looks up names."""
    port = url.rpartition(":")[2]
    config = Config(
        limits=Limits(dns_ttl=0),
        timeout=Timeout(5),
        defaults=HostConfig(keep_alive=False),
        resolver=lambda host, port: ["127.0.0.1"],
    )
    load = Load(kind, f"http://site.example:{port}", config=config)
    load.until()
    size, limits = threading.stack_size(64 << 20), resource.getrlimit(resource.RLIMIT_AS)
    now = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + (32 << 20), limits[1]))
    load.until("ResolveError")
    load.fork()
    resource.setrlimit(resource.RLIMIT_AS, limits)
    threading.stack_size(size)
    load.until(count=30)
    load.end()
    told(load)


def clock(kind: str, url: str) -> None:
    """The wall clock is set, forwards and back."""
    load = Load(kind, url, timeout=5)
    load.until()
    real, offsets = time.time, [0.0]
    time.time = lambda: real() + offsets[-1]
    for offset in (86400.0, -86400.0, 0.0):
        offsets.append(offset)
        load.until(count=30)
        load.fork()
    load.end()
    told(load)


def suspend(kind: str, url: str) -> None:
    """The machine sleeps for an hour, again and again."""
    load = Load(kind, url, timeout=Timeout(5, total=60))
    for _ in range(5):
        load.until()
        sleep(3600)
    load.fork()
    load.until(count=30)
    load.end()
    told(load)


def certificate(kind: str) -> None:
    """The server's certificate is renewed, then replaced by one that nobody trusts, and put right."""
    import trustme  # It takes longer to import than all else.

    authority, other = trustme.CA(), trustme.CA()

    def context_by(issuer: Any) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.num_tickets = 0  # A resumed session shows no certificate.
        issuer.issue_cert("127.0.0.1").configure_cert(context)
        return context

    def show(tls: ssl.SSLObject, *_: object) -> None:
        tls.context = shown[-1]

    shown = [context_by(authority)]
    shown[0].sni_callback = show  # A whole certificate for each connection, chosen as it begins.
    with (
        authority.cert_pem.tempfile() as roots,
        Site(Behaviour(close_after=3), handler=echo, tls=shown[0]) as site,
    ):
        load = Load(kind, site.url, timeout=5, verify=roots)
        load.until()
        shown.append(context_by(authority))
        load.until(count=30)
        assert set(load.outcomes.values()) <= {"ok", "ServerDisconnected"}
        shown.append(context_by(other))
        load.until("CertificateError")
        load.fork()
        shown.append(context_by(authority))
        load.until(count=30)
        load.end()
        told(load, site)


def shutdown(kind: str, url: str) -> None:
    """The interpreter ends with everybody busy."""
    load = Load(kind, url, timeout=5)
    load.until()
    load.fork()
    keeppool.get(f"{url}/0", stream=True)
    load.until(count=30)
    faulthandler.cancel_dump_traceback_later()


def serve() -> None:
    """Be the server of another program's load, and tell at the end how often each request was carried out."""
    with Site(Behaviour(close_after=50), handler=echo) as site:
        print(site.url, flush=True)
        sys.stdin.readline()
        print(json.dumps(site.executed))


def silence(kind: str) -> None:
    """The network swallows everything, of connections there are and of new ones."""
    network.turn(True)
    void = network.swallowing()
    with Site(Behaviour(delay_s=0.01), handler=echo) as site:
        load = Load(kind, site.url, timeout=Timeout(0.3))
        load.until()
        network.turn(False)
        load.until("ReadTimeout", count=1)
        load.until("ConnectError", "ConnectTimeout", "ReadTimeout")
        load.fork()
        network.turn(True)
        load.until(count=30)
        load.end()
        told(load, site)
    nobody = Load(kind, "http://10.9.8.7:80", timeout=Timeout(0.2))
    nobody.until("ConnectTimeout")
    nobody.fork()
    nobody.end()
    os.close(void)


def names(kind: str, url: str) -> None:
    """Whoever knows the names says nothing any more."""
    port = url.rpartition(":")[2]
    answers = threading.Event()
    answers.set()

    def look_up(host: str, port: int) -> list[str]:
        assert answers.wait(PATIENCE)
        return ["127.0.0.1"]

    config = Config(
        limits=Limits(dns_ttl=0),
        timeout=Timeout(5, connect=0.3),
        defaults=HostConfig(keep_alive=False),
        resolver=look_up,
    )
    load = Load(kind, f"http://site.example:{port}", config=config)
    load.until()
    answers.clear()
    load.until("ConnectTimeout")
    load.fork()
    answers.set()
    load.until(count=30)
    load.end()
    told(load)


def stopped(kind: str, url: str) -> None:
    """The process itself is stopped, and goes on when all its connections have been closed at the other end."""
    load = Load(kind, url, timeout=Timeout(5, read=0.3))
    load.until()
    print("ready", flush=True)
    assert sys.stdin.readline() == "went on\n"
    load.until(count=30)
    load.fork()
    load.end()
    told(load)


def server(kind: str, url: str) -> None:
    """The server is stopped; connections to it are still made, by its kernel."""
    load = Load(kind, url, timeout=Timeout(0.3))
    load.until()
    print("ready", flush=True)
    assert sys.stdin.readline() == "stopped\n"
    load.until("ReadTimeout", count=20)
    load.fork()
    print("go on", flush=True)
    assert sys.stdin.readline() == "went on\n"
    load.until(count=30)
    load.end()
    told(load)


def loop(kind: str, url: str) -> None:
    """The event loop is stopped in the middle of it, and run again."""
    load = Load(kind, url, timeout=5)
    for _ in range(5):
        load.until()
        load.pause()
    load.fork()
    load.until(count=30)
    load.end()
    told(load)


def main(fault: str, *arguments: str) -> None:
    programs: dict[str, Any] = {
        function.__name__: function
        for function in (
            *(descriptors, ports, threads, clock, suspend, silence, names, stopped, server, certificate, loop),
            *(shutdown, serve),
        )
    }
    programs[fault](*arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
