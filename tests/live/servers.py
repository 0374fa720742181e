"""Starts real HTTP servers for tests: nginx, Apache httpd and Node, as child processes on loopback.

Knows: their command lines and configuration files. Everything they write goes below the folder they are given.
Does not know: what is tested. The fixtures are in tests/conftest.py.

A program that is not installed skips the test, but fails it where the environment variable CI is set.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
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
    """A server process. It has to write a file named `pid` into its folder once it listens; all three can.

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
