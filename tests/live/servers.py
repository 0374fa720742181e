"""Starts real HTTP servers and proxies for tests, as child processes on loopback.

nginx, Apache httpd, Node, gunicorn and uvicorn serve; tinyproxy, squid and HAProxy stand before one that does.

Knows: their command lines and configuration files. Everything they write goes below the folder they are given.
Does not know: what is tested. The fixtures are in tests/conftest.py.

A program that is not installed skips the test, but fails it where the environment variable CI is set.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NoReturn

import pytest

HOST = "127.0.0.1"
#: Debian has servers where a user's PATH does not look.
SYSTEM_PATH = "/usr/sbin:/usr/local/sbin:/sbin:/opt/homebrew/bin"
APACHE_MODULES = ("/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/libexec/apache2")
#: Files every server offers: path → content.
FILES = {"index.html": b"hello\n", "1k.bin": b"k" * 1024, "1m.bin": b"m" * 1024 * 1024}
#: 500 looks, 20 ms apart: ten seconds for a server that needs a tenth of one.
READY_TRIES = 500
READY_PAUSE_S = 0.02
#: Another process may take a port between choosing it and listening on it.
PORT_TRIES = 5

Directives = Mapping[str, object]


class Failed(RuntimeError):
    """The server ended before it listened; `log` says why."""

    def __init__(self, message: str, log: str) -> None:
        super().__init__(f"{message}\n{log}")
        self.log = log


class RealServer:
    """A server process. It has to write a file named `pid` into its folder, where it can once it listens.

    That it can be connected to is no proof: another process may have the port, while this one tries again.

    Attributes:
        name: Program.
        port: Port on 127.0.0.1.
        url: Scheme, host and port, without a slash at the end. `/`, `/1k.bin` and `/1m.bin` are there.
        pid: Process to end.
    """

    def __init__(self, name: str, command: list[str], port: int, folder: Path, *, tls: bool = False) -> None:
        self.name = name
        self.host = HOST
        self.port = port
        self.url = f"http{'s' if tls else ''}://{HOST}:{port}"
        self._ready = folder / "pid"
        self._ready.unlink(missing_ok=True)
        self._output = folder / "output.log"
        self._logs = [self._output, folder / "error.log"]
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=folder
            )
        self.pid = self._process.pid

    def log(self) -> str:
        """All the server has written so far."""
        return "".join(path.read_text(errors="replace") for path in self._logs if path.exists())

    def wait_until_ready(self) -> None:
        """Wait until it listens, and connect to it once.

        Raises:
            Failed: It ended, or did not listen after ten seconds. The process is gone then.
        """
        pause = threading.Event()
        for _ in range(READY_TRIES):
            if self._process.poll() is not None:
                raise Failed(f"{self.name} ended with {self._process.returncode}", self.log())
            if self._ready.exists():
                with contextlib.suppress(ConnectionRefusedError):
                    socket.create_connection((HOST, self.port), timeout=5).close()
                    return
            pause.wait(READY_PAUSE_S)
        self.stop()
        raise Failed(f"{self.name} does not listen on {self.port}", self.log())

    def stop(self) -> None:
        """End the process and wait for its end. May be called again."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)


def program(*names: str) -> str:
    """Find a program by any of its names; skip the test if there is none, or fail it in CI."""
    found = [shutil.which(name, path=path) for name in names for path in (None, SYSTEM_PATH)]
    return next(filter(None, found), None) or missing(names[0])


def missing(name: str) -> NoReturn:
    """Skip the test for want of a program; where CI is set nothing may be missing."""
    if os.environ.get("CI"):
        pytest.fail(f"{name} not installed, and CI is set")
    pytest.skip(f"skipped: {name} not installed")


@contextlib.contextmanager
def running(start: Callable[[int], RealServer]) -> Iterator[RealServer]:
    """Start a server on a free port, try others if that is taken meanwhile, and stop it at the end."""
    for attempt in range(PORT_TRIES):
        server = start(free_port())
        try:
            server.wait_until_ready()
            break
        except Failed as error:
            if "in use" not in error.log or attempt == PORT_TRIES - 1:
                raise
    try:
        yield server
    finally:
        server.stop()


def free_port() -> int:
    """Ask the system for a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def write_files(folder: Path) -> Path:
    """Make the folder of files to be served."""
    folder.mkdir(exist_ok=True)
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


def lines(directives: Directives, end: str = "") -> str:
    """Write directives one a line: True and False as on and off; `None` leaves one out."""
    words = {True: "on", False: "off"}
    said = {name: value for name, value in directives.items() if value is not None}
    return "\n".join(f"{name} {words[v] if isinstance(v, bool) else v}{end}" for name, v in said.items())


@contextlib.contextmanager
def nginx(folder: Path, directives: Directives, tls: tuple[str, str] | None = None) -> Iterator[RealServer]:
    """Run nginx.

    Args:
        folder: For its configuration, files and logs.
        directives: Of the `server` block, such as `keepalive_timeout="2s"`.
        tls: Paths of a certificate chain and a key, to speak HTTPS.
    """
    command = program("nginx")
    root = write_files(folder / "www")
    scratch = {f"{name}_temp_path": folder / name for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")}
    secure = {"ssl_certificate": tls[0], "ssl_certificate_key": tls[1]} if tls else {}
    template = """
{user}
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
{scratch}
access_log off;
server {{
listen {host}:{port}{ssl};
root {root};
{directives}
}}
}}
"""

    def start(port: int) -> RealServer:
        config = folder / "nginx.conf"
        config.write_text(
            template.format(
                user="user root;" if os.geteuid() == 0 else "",
                folder=folder,
                scratch=lines(scratch, ";"),
                host=HOST,
                port=port,
                ssl=" ssl" if tls else "",
                root=root,
                directives=lines({**secure, **directives}, ";"),
            )
        )
        return RealServer(
            "nginx", [command, "-p", str(folder), "-e", "error.log", "-c", str(config)], port, folder, tls=bool(tls)
        )

    with running(start) as server:
        yield server


@contextlib.contextmanager
def apache(folder: Path, directives: Directives) -> Iterator[RealServer]:
    """Run Apache httpd with the event MPM.

    Args:
        folder: For its configuration and logs.
        directives: Of the server, such as `KeepAliveTimeout=2`, `MaxKeepAliveRequests=3`.
    """
    command = program("apache2", "httpd")
    modules = next((path for path in APACHE_MODULES if Path(path, "mod_mpm_event.so").exists()), None)
    if modules is None:
        missing("apache2 (its modules)")
    template = """
ServerRoot {folder}
ServerName {host}
Listen {host}:{port}
PidFile {folder}/pid
DefaultRuntimeDir {folder}
ErrorLog {folder}/error.log
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule dir_module {modules}/mod_dir.so
StartServers 1
{user}
DocumentRoot {root}
DirectoryIndex index.html
{directives}
"""
    # Started by root it serves as another user, who must be able to reach the files; pytest's folders are private.
    with tempfile.TemporaryDirectory(prefix="keeppool-httpd-") as public:
        Path(public).chmod(0o755)
        root = write_files(Path(public, "www"))

        def start(port: int) -> RealServer:
            config = folder / "httpd.conf"
            user = "User nobody\nGroup #65534" if os.geteuid() == 0 else ""
            config.write_text(
                template.format(
                    folder=folder,
                    host=HOST,
                    port=port,
                    modules=modules,
                    user=user,
                    root=root,
                    directives=lines(directives),
                )
            )
            return RealServer("httpd", [command, "-DFOREGROUND", "-f", str(config)], port, folder)

        with running(start) as server:
            yield server


NODE_SCRIPT = """
const http = require("node:http"), fs = require("node:fs"), path = require("node:path");
const [port, root, settings] = [Number(process.argv[2]), process.argv[3], JSON.parse(process.argv[4])];
const server = http.createServer((request, response) => {
  request.resume().on("end", () => {
    const name = request.url === "/" ? "index.html" : path.basename(request.url.split("?")[0]);
    fs.readFile(path.join(root, name), (error, body) => {
      response.writeHead(error ? 404 : 200, { "Content-Length": error ? 0 : body.length });
      response.end(error ? undefined : body);
    });
  });
});
Object.assign(server, settings).listen(port, "127.0.0.1", () => fs.writeFileSync("pid", String(process.pid)));
"""


@contextlib.contextmanager
def node(folder: Path, settings: Mapping[str, object]) -> Iterator[RealServer]:
    """Run Node's http server.

    Args:
        folder: For its script, files and output.
        settings: Properties of the server, such as `keepAliveTimeout=2000` (milliseconds), `maxRequestsPerSocket=3`.
    """
    command = program("node", "nodejs")
    script = folder / "server.js"
    script.write_text(NODE_SCRIPT)
    root = write_files(folder / "www")

    def start(port: int) -> RealServer:
        return RealServer("node", [command, str(script), str(port), str(root), json.dumps(settings)], port, folder)

    with running(start) as server:
        yield server


#: An application for WSGI and ASGI servers that tells how often each path was asked for, in one process.
APPLICATION = """
import collections
counts = collections.Counter()

def wsgi(environ, start_response):
    environ["wsgi.input"].read()
    counts[environ["PATH_INFO"]] += 1
    body = str(counts[environ["PATH_INFO"]]).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]

async def asgi(scope, receive, send):
    while (await receive()).get("more_body"):
        pass
    counts[scope["path"]] += 1
    body = str(counts[scope["path"]]).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
"""


@contextlib.contextmanager
def gunicorn(folder: Path, keep_alive: int, worker: str = "gthread") -> Iterator[RealServer]:
    """Run gunicorn with `APPLICATION`; it closes idle connections after so many seconds without a word."""
    options = ["--worker-class", worker, "--threads", "16", "--keep-alive", str(keep_alive), "--pid", "pid"]
    with _python_server(folder, "gunicorn", lambda port: ["--bind", f"{HOST}:{port}", *options, "app:wsgi"]) as server:
        yield server


@contextlib.contextmanager
def uvicorn(folder: Path, keep_alive: int) -> Iterator[RealServer]:
    """Run uvicorn with `APPLICATION`; as `gunicorn`."""

    def options(port: int) -> list[str]:
        return ["--port", str(port), "--timeout-keep-alive", str(keep_alive), "--lifespan", "off", "app:asgi"]

    with _python_server(folder, "uvicorn", options) as server:
        yield server


def _python_server(
    folder: Path, name: str, options: Callable[[int], list[str]]
) -> contextlib.AbstractContextManager[RealServer]:
    if importlib.util.find_spec(name) is None:
        missing(name)
    (folder / "app.py").write_text(APPLICATION)
    return running(lambda port: RealServer(name, noting_pid(sys.executable, "-m", name, *options(port)), port, folder))


def noting_pid(*command: str) -> list[str]:
    """Give the command that writes its own `pid` file before it becomes a program that writes none."""
    return ["/bin/sh", "-c", 'echo $$ > pid; exec "$@"', "sh", *command]


@contextlib.contextmanager
def tinyproxy(folder: Path) -> Iterator[RealServer]:
    """Run tinyproxy, a forwarding proxy that closes right behind each response without a word."""
    command = program("tinyproxy")

    def start(port: int) -> RealServer:
        config = folder / "tinyproxy.conf"
        config.write_text(f"Port {port}\nListen {HOST}\nAllow {HOST}\nTimeout 60\nMaxClients 100\nLogLevel Critical\n")
        return RealServer("tinyproxy", noting_pid(command, "-d", "-c", str(config)), port, folder)

    with running(start) as server:
        yield server


class Redis(RealServer):
    """A Redis that keeps nothing on disk: what is stopped has forgotten everything."""

    def __init__(self, command: str, port: int, folder: Path, *more: str) -> None:
        options = (
            *more,
            "--port",
            str(port),
            "--bind",
            HOST,
            "--save",
            "",
            "--appendonly",
            "no",
            "--pidfile",
            str(folder / "pid"),
        )
        super().__init__("redis-server", [command, *options, "--daemonize", "no"], port, folder)
        # Redis writes its pid only as a daemon; it tells that it listens by its log.
        self._ready = self._output


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[RealServer]:
    """Run Redis."""
    command = program("redis-server")
    with running(lambda port: Redis(command, port, folder)) as server:
        yield server


@contextlib.contextmanager
def redis_sentinel(folder: Path, watched: int) -> Iterator[RealServer]:
    """Run Redis as a Sentinel that knows a server on that port as `main`."""
    config = folder / "sentinel.conf"
    config.write_text(f"sentinel monitor main {HOST} {watched} 1\n")
    command = program("redis-server")
    with running(lambda port: Redis(command, port, folder, str(config), "--sentinel")) as server:
        yield server


@contextlib.contextmanager
def redis_cluster(folder: Path, nodes: int = 3) -> Iterator[list[RealServer]]:
    """Run a cluster of Redis: as many nodes, each with its part of the slots and no replica."""
    command, started = program("redis-server"), []
    with contextlib.ExitStack() as stack:
        for number in range(nodes):
            home = folder / f"node-{number}"
            home.mkdir()
            # The default, ten thousand above the other port, may be none at all.
            options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()), "--dir", str(home))
            start = functools.partial(_cluster_node, command, home, options)
            started.append(stack.enter_context(running(start)))
        _join(started)
        yield started


def _cluster_node(command: str, home: Path, options: tuple[str, ...], port: int) -> RealServer:
    return Redis(command, port, home, *options)


def _join(nodes: list[RealServer]) -> None:
    """Make one cluster of nodes, and wait until each of them knows so."""
    import redis

    clients = [redis.Redis(HOST, node.port) for node in nodes]
    buses = [client.config_get("cluster-port")["cluster-port"] for client in clients]
    for number, client in enumerate(clients):
        first, last = 16384 * number // len(nodes), 16384 * (number + 1) // len(nodes) - 1
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
        client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        if number:
            clients[0].execute_command("CLUSTER", "MEET", HOST, nodes[number].port, buses[number])
    pause = threading.Event()
    for _ in range(READY_TRIES):
        told = [client.execute_command("CLUSTER INFO") for client in clients]
        if all(one["cluster_state"] == "ok" and int(one["cluster_known_nodes"]) == len(nodes) for one in told):
            break
        pause.wait(READY_PAUSE_S)
    else:
        raise Failed("the nodes make no cluster", str(told))
    for client in clients:
        client.close()


@contextlib.contextmanager
def squid(idle: int) -> Iterator[RealServer]:
    """Run squid, a forwarding proxy, that closes idle connections of clients after so many seconds."""
    command = program("squid")
    template = """
http_port {host}:{port}
pid_filename {folder}/pid
cache_log {folder}/error.log
access_log none
cache deny all
http_access allow all
client_idle_pconn_timeout {idle} seconds
shutdown_lifetime 0 seconds
"""
    # Started by root it runs as another user, who must be able to write here; pytest's folders are private.
    with tempfile.TemporaryDirectory(prefix="keeppool-squid-") as public:
        folder = Path(public)
        folder.chmod(0o777)

        def start(port: int) -> RealServer:
            config = folder / "squid.conf"
            config.write_text(template.format(host=HOST, port=port, folder=folder, idle=idle))
            return RealServer("squid", [command, "-N", "-f", str(config)], port, folder)

        with running(start) as server:
            yield server


@contextlib.contextmanager
def haproxy(folder: Path, backend: int, idle: int) -> Iterator[RealServer]:
    """Run HAProxy before a server on that port; it closes idle connections of clients after so many seconds."""
    command = program("haproxy")
    template = """
global
  maxconn 200
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
  timeout http-keep-alive {idle}s
frontend front
  bind {host}:{port}
  default_backend back
backend back
  server one {host}:{backend}
"""

    def start(port: int) -> RealServer:
        config = folder / "haproxy.cfg"
        config.write_text(template.format(idle=idle, host=HOST, port=port, backend=backend))
        return RealServer("haproxy", noting_pid(command, "-db", "-f", str(config)), port, folder)

    with running(start) as server:
        yield server
