"""Real servers and proxies for a part of a soak, each where it is installed: started, reloaded, and counted.

nginx and Node respond by themselves; Apache httpd, HAProxy, squid and tinyproxy stand before the scripted servers' port
`behind`. While a part runs, nginx and httpd are told every moment to read their configuration again.

Knows: how they are started (tests/live/servers.py), where each leaves word of what it has carried out, and the kernel's
table of sockets, in which a server's end of a connection is its own. Does not know: the requests.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

#: The programs that hosts of `plan.HOSTS` need, by any of their names.
PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "nginx": ("nginx",),
    "nginx-tls": ("nginx",),
    "apache": ("apache2", "httpd"),
    "node": ("node", "nodejs"),
    "haproxy": ("haproxy",),
    "squid": ("squid",),
    "tinyproxy": ("tinyproxy",),
    "fleet": ("redis-server",),
}
#: What the host `fleet` needs; its connections are no request's.
REDIS = "redis"
#: Those that are told to reload, and by which signal; httpd's means: let each child end what it does.
RELOADED: Mapping[str, signal.Signals] = {
    "nginx": signal.SIGHUP,
    "nginx-tls": signal.SIGHUP,
    "apache": signal.SIGUSR1,
}
#: Seconds between two looks at the sockets, and looks between two reloads.
LOOK = 0.5
LOOKS = 4
#: Seconds after which they close idle connections: nginx and HAProxy without a word.
IDLE = 2
_ESTABLISHED = "01"
_LOGGED = re.compile(r'"(?:GET|POST|PUT|HEAD|DELETE) /(\d+) HTTP')
_NODE = """
const http = require("node:http"), fs = require("node:fs"), executed = {};
const server = http.createServer((request, response) => {
  request.resume().on("end", () => {
    const number = request.url.slice(1);
    executed[number] = (executed[number] || 0) + 1;
    response.setHeader("X-Id", number);
    response.end(number + ";");
  });
});
server.keepAliveTimeout = 2000;
server.listen(Number(process.argv[2]), "127.0.0.1", () => fs.writeFileSync("pid", String(process.pid)));
process.on("SIGTERM", () => { fs.writeFileSync("executed", JSON.stringify(executed)); process.exit(); });
"""


def missing() -> dict[str, str]:
    """Give the hosts that cannot be had on this machine, and why."""
    try:
        import pytest

        from tests.live import servers
    except ImportError as error:
        return dict.fromkeys(PROGRAMS, str(error))
    found = {}
    for host, names in PROGRAMS.items():
        try:
            servers.program(*names)
            if host == "fleet":
                import redis  # noqa: F401 - only whether it is there
        except (pytest.skip.Exception, ImportError) as error:
            found[host] = str(error)
    return found


class Real:
    """The servers that run.

    Attributes:
        ports: Of each host.
        peaks: The most connections that were seen at each.
        reloads: How often servers were told to reload.
        thread: Looks at the sockets, and has servers reload.
        executed: What those have carried out that respond by themselves, once they have ended.
    """

    def __init__(self) -> None:
        self.ports: dict[str, int] = {}
        self.peaks: Counter[str] = Counter()
        self.reloads = 0
        self.executed: Counter[int] = Counter()
        self._pids: dict[str, int] = {}
        self._folders: dict[str, Path] = {}
        self._is_over = threading.Event()
        self.thread = threading.Thread(target=self._disturb, name="disturb")

    def started(self, host: str, server: Any, folder: Path) -> None:
        """Take note of a server."""
        self.ports[host], self._pids[host], self._folders[host] = server.port, server.pid, folder

    def _disturb(self) -> None:
        looks = 0
        while not self._is_over.wait(LOOK):
            looks += 1
            seen = self._established()
            # The table is read line by line, while it changes: those count that are there the second time too.
            for host, number in self._by_host(seen & self._established()).items():
                self.peaks[host] = max(self.peaks[host], number)
            if looks % LOOKS == 0:
                for host in RELOADED.keys() & self._pids.keys():
                    os.kill(self._pids[host], RELOADED[host])
                    self.reloads += 1

    def rest(self) -> None:
        """Look at the sockets and disturb the servers no longer."""
        self._is_over.set()
        self.thread.join()

    def open(self) -> dict[str, int]:
        """Count the connections that are established, at each.

        At the client's end: Apache has the kernel accept none before its first request is there (TCP_DEFER_ACCEPT), so
        one that was dialled and never used is established at that end alone.
        """
        return self._by_host(self._established(at_client=True))

    def _established(self, *, at_client: bool = False) -> set[tuple[str, str]]:
        """Find them, each by the server's port and the client's end."""
        ports = {f"{port:04X}" for host, port in self.ports.items() if host != REDIS}
        found = set()
        # Line by line: a table of many thousands must not show in what the process has in memory.
        with Path("/proc/net/tcp").open(encoding="ascii") as table:
            next(table)
            for line in table:
                _, local, remote, state, _ = line.split(None, 4)
                server, client = (remote, local) if at_client else (local, remote)
                if state == _ESTABLISHED and server[-4:] in ports:
                    found.add((server[-4:], client))
        return found

    def _by_host(self, connections: set[tuple[str, str]]) -> dict[str, int]:
        found = Counter(port for port, _ in connections)
        return {host: found[f"{port:04X}"] for host, port in self.ports.items() if host != REDIS}

    def count(self) -> None:
        """Read what was carried out."""
        for host in ("nginx", "nginx-tls"):
            if host in self._folders:
                log = (self._folders[host] / "access.log").read_text(encoding="ascii", errors="replace")
                self.executed.update(int(number) for number in _LOGGED.findall(log))
        if "node" in self._folders:
            counts = json.loads((self._folders["node"] / "executed").read_text(encoding="ascii"))
            self.executed.update({int(number): times for number, times in counts.items()})


@contextlib.contextmanager
def running(hosts: Sequence[str], behind: int, tls: Sequence[str]) -> Iterator[Real]:
    """Run these servers; after that `executed` tells what they did.

    Args:
        hosts: Of `PROGRAMS`.
        behind: The port for those that stand before a server.
        tls: Paths of a certificate and its key.
    """
    real = Real()
    with tempfile.TemporaryDirectory(prefix="keeppool-soak-") as name:
        with contextlib.ExitStack() as stack:
            for host in hosts:
                folder = Path(name, host)
                folder.mkdir()
                real.started(
                    REDIS if host == "fleet" else host, stack.enter_context(_server(host, folder, behind, tls)), folder
                )
            real.thread.start()
            stack.callback(real.rest)
            yield real
        real.count()


def _server(host: str, folder: Path, behind: int, tls: Sequence[str]) -> contextlib.AbstractContextManager[Any]:
    from tests.live import servers

    match host:
        case "nginx" | "nginx-tls":
            directives = {
                "keepalive_timeout": f"{IDLE}s",
                "keepalive_requests": 200,
                "add_header": "X-Id $http_x_id",
                "access_log": f"{folder}/access.log combined buffer=64k flush=1s",
                "return": '200 "$http_x_id;"',
            }
            if host == "nginx-tls":
                # Else each reload takes the sessions that clients keep for the next handshake, and Python loses 6 KiB
                # whenever it hands out a new one: that is its leak, and not what the soak looks for.
                Path(folder, "tickets").write_bytes(os.urandom(80))
                directives["ssl_session_ticket_key"] = f"{folder}/tickets"
            certificate = (tls[0], tls[1]) if host == "nginx-tls" else None
            return servers.nginx(folder, directives, certificate)
        case "apache":
            modules = next(path for path in servers.APACHE_MODULES if Path(path, "mod_proxy_http.so").exists())
            return servers.apache(
                folder,
                {
                    "LoadModule proxy_module": f"{modules}/mod_proxy.so",
                    "LoadModule proxy_http_module": f"{modules}/mod_proxy_http.so",
                    "ProxyPass": f'"/" "http://{servers.HOST}:{behind}/"',
                    "KeepAliveTimeout": IDLE,
                    "MaxKeepAliveRequests": 100,
                },
            )
        case "node":
            command = servers.program("node", "nodejs")
            script = folder / "server.js"
            script.write_text(_NODE, encoding="ascii")
            return servers.running(
                lambda port: servers.RealServer("node", [command, str(script), str(port)], port, folder)
            )
        case "haproxy":
            return servers.haproxy(folder, behind, IDLE)
        case "squid":
            return servers.squid(IDLE)
        case "tinyproxy":
            return servers.tinyproxy(folder)
        case _:
            return servers.redis(folder)
