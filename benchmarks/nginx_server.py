"""nginx with one worker, on a free port of the loopback, with one file to fetch.

Knows: its configuration. Does not know: who fetches.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

#: The body every client fetches: 1 KiB.
BODY = b"keeppool" * 128
#: Debian has nginx where a user's PATH does not look.
_SYSTEM_PATH = "/usr/sbin:/usr/local/sbin:/sbin:/opt/homebrew/bin"
#: 500 looks, 20 ms apart: ten seconds for a server that needs a tenth of one.
_TRIES = 500
_PAUSE_S = 0.02

# keepalive_requests: nginx's own 1000 would put a reconnect into each client's round.
_CONFIGURATION = """
{user}
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
client_body_temp_path {folder}/client_body;
proxy_temp_path {folder}/proxy;
fastcgi_temp_path {folder}/fastcgi;
uwsgi_temp_path {folder}/uwsgi;
scgi_temp_path {folder}/scgi;
access_log off;
keepalive_requests 1000000000;
keepalive_timeout 600s;
server {{
listen 127.0.0.1:{port};
root {folder}/www;
}}
}}
"""


@contextlib.contextmanager
def nginx() -> Iterator[str]:
    """Run nginx; give the URL of the file.

    Raises:
        SystemExit: nginx is not installed, or does not start; the message says what to do, or why.
    """
    program = shutil.which("nginx") or shutil.which("nginx", path=_SYSTEM_PATH)
    if program is None:
        raise SystemExit("nginx is not installed; this program needs it (Debian, Ubuntu: apt-get install nginx-light)")
    # Started by root it serves as root too: the folder is nobody else's to read.
    with tempfile.TemporaryDirectory(prefix="keeppool-nginx-") as name:
        folder, port = Path(name), _free_port()
        (folder / "www").mkdir()
        (folder / "www" / "1k.bin").write_bytes(BODY)
        configuration = folder / "nginx.conf"
        user = "user root;" if os.geteuid() == 0 else ""
        configuration.write_text(_CONFIGURATION.format(folder=folder, port=port, user=user))
        with _process([program, "-p", name, "-e", "error.log", "-c", str(configuration)], folder):
            yield f"http://127.0.0.1:{port}/1k.bin"


@contextlib.contextmanager
def _process(command: list[str], folder: Path) -> Iterator[None]:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        pause = threading.Event()
        for _ in range(_TRIES):
            if (folder / "pid").exists() or process.poll() is not None:
                break
            pause.wait(_PAUSE_S)
        if process.poll() is not None:
            raise SystemExit(f"nginx does not start: {process.communicate()[1].decode(errors='replace')}")
        yield
    finally:
        process.terminate()
        process.communicate()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
