"""Requests one behind the other on one connection of real servers: nginx, Apache httpd, Node, plain and over TLS.

64 tasks, six connections, eight in flight on each; every path is echoed, and one request in twenty is a POST.
`KEEPPOOL_REQUESTS` says how many requests; 10000 is what CI asks for once.
"""

from __future__ import annotations

import asyncio
import collections
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme

from keeppool import AsyncPoolManager, HostConfig, Limits
from keeppool.stats import Stats
from live import servers

REQUESTS = int(os.environ.get("KEEPPOOL_REQUESTS", "800"))
TASKS, DEPTH = 64, 8

#: Echoes each path, a little later; on `/seen` it tells how often each was asked for, and what was in flight at a time.
NODE = """
const fs = require('fs')
const [port, settings, tls] = process.argv.slice(2)
const seen = { executed: {}, deepest: 0, behindPost: 0, beyondMax: 0 }
const { max, ...rest } = JSON.parse(settings)
const answer = (request, response) => {
  if (request.url === '/seen') return response.end(JSON.stringify(seen))
  const socket = request.socket
  socket.carried = (socket.carried || 0) + 1
  socket.flying = (socket.flying || 0) + 1
  if (socket.posting) seen.behindPost += 1
  if (request.method === 'POST') socket.posting = true
  if (max && socket.carried > max) seen.beyondMax += 1
  seen.deepest = Math.max(seen.deepest, socket.flying)
  seen.executed[request.url] = (seen.executed[request.url] || 0) + 1
  request.resume()
  setTimeout(() => {
    socket.flying -= 1
    if (request.method === 'POST') socket.posting = false
    response.end(request.url)
  }, 1)
}
const server = tls
  ? require('https').createServer({ cert: fs.readFileSync(tls), key: fs.readFileSync(tls) }, answer)
  : require('http').createServer(answer)
Object.assign(server, rest)
server.listen(+port, '127.0.0.1', () => fs.writeFileSync('pid', String(process.pid)))
"""


class Echo(NamedTuple):
    """A response's status, and the path in it."""

    status: int
    path: str


Reading = Callable[[object], Echo]


def body(response) -> Echo:
    return Echo(response.status, response.data.decode())


def location(response) -> Echo:
    return Echo(response.status, re.sub("^https?://[^/]*", "", response.headers["location"]))


async def crowd(url: str, read: Reading, status: int, **limits: object) -> Stats:
    """Ask for many paths at once, and demand that everybody gets its own."""
    paths = iter(range(REQUESTS))
    hosts = HostConfig(pipelining=DEPTH, verify=False)
    async with asyncio.timeout(300), AsyncPoolManager(Limits(per_host=6, **limits), defaults=hosts) as pool:

        async def ask() -> None:
            for number in paths:
                method = "POST" if number % 20 == 0 else "GET"
                response = await pool.request(method, f"{url}/p/{number}", body=b"x" if method == "POST" else None)
                assert read(response) == Echo(status, f"/p/{number}"), "another's response"

        await asyncio.gather(*(ask() for _ in range(TASKS)))
        stats = pool.stats()
        # A dial that nobody counts on any more may still be under way.
        assert (stats.busy, stats.waiting) == (0, 0)
        assert stats.peak_open <= 6
        assert stats.piped
        assert not stats.distrusted
        return stats


def lines_of(log: Path, number: int) -> list[str]:
    """Read a server's log once it has so many lines: it is written behind the response."""
    for _ in range(500):
        found = log.read_text().splitlines() if log.exists() else []
        if len(found) >= number:
            break
        time.sleep(0.02)
    return found


def executed(log: Path) -> collections.Counter[str]:
    return collections.Counter(line.split('"')[1] for line in lines_of(log, REQUESTS))


@pytest.fixture
def certificate(tmp_path: Path) -> str:
    path = tmp_path / "server.pem"
    trustme.CA().issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(path)
    return str(path)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_nginx(nginx, tmp_path, certificate, tls):
    """It closes behind 100 requests, says so with the last, and answers nothing behind that."""
    log = tmp_path / "requests.log"
    directives = {"keepalive_requests": 100, "access_log": str(log), "return": "200 $request_uri"}
    server = nginx(tls=(certificate, certificate), **directives) if tls else nginx(**directives)
    stats = asyncio.run(crowd(server.url, body, 200))
    counts = executed(log)
    assert len(counts) == REQUESTS
    assert max(counts.values()) <= 2
    assert stats.resent <= stats.requeued


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_apache(apache, tmp_path, certificate, tls):
    """It says how many requests are left, down to none, and no more are sent."""
    log = tmp_path / "requests.log"
    modules = next(path for path in servers.APACHE_MODULES if Path(path, "mod_alias.so").exists())
    loaded = f"alias_module {modules}/mod_alias.so"
    secure: dict[str, object] = {}
    if tls:
        loaded += f"\nLoadModule ssl_module {modules}/mod_ssl.so"
        secure = {"SSLEngine": "on", "SSLCertificateFile": certificate, "SSLCertificateKeyFile": certificate}
    server = apache(
        LoadModule=loaded,
        KeepAlive=True,
        KeepAliveTimeout=5,
        MaxKeepAliveRequests=5,
        RedirectMatch="307 ^/(p/.*)$ http://elsewhere.example/$1",
        CustomLog=f'{log} "\\"%r\\" %k"',
        **secure,
    )
    url = server.url.replace("http:", "https:") if tls else server.url
    stats = asyncio.run(crowd(url, location, 307))
    counts = executed(log)
    assert sum(counts.values()) == REQUESTS, "nothing was carried out twice"
    assert (stats.resent, stats.requeued) == (0, 0)
    carried = [int(line.rpartition(" ")[2]) for line in lines_of(log, REQUESTS)]
    assert max(carried) <= 5, "MaxKeepAliveRequests counts those that may follow the first"


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_node(tmp_path, certificate, tls):
    """It says the whole number each time, and keeps to it."""
    command, script = servers.program("node", "nodejs"), tmp_path / "echo.js"
    script.write_text(NODE, encoding="utf-8")

    def start(port: int) -> servers.RealServer:
        settings = '{"maxRequestsPerSocket": 50, "max": 50}'
        arguments = [command, str(script), str(port), settings, *([certificate] if tls else [])]
        return servers.RealServer("node", arguments, port, tmp_path, tls=tls)

    async def story(url: str) -> tuple[Stats, dict]:
        stats = await crowd(url, body, 200)
        async with AsyncPoolManager(defaults=HostConfig(verify=False)) as pool:
            return stats, (await pool.request("GET", f"{url}/seen")).json()

    with servers.running(start) as server:
        stats, seen = asyncio.run(story(server.url))
    assert len(seen["executed"]) == REQUESTS
    assert set(seen["executed"].values()) == {1}
    assert 1 < seen["deepest"] <= DEPTH
    assert (seen["behindPost"], seen["beyondMax"]) == (0, 0)
    assert (stats.resent, stats.requeued) == (0, 0)
