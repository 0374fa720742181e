"""nginx with one worker, on free ports of the loopback, with a few things to fetch.

Knows: its configuration. Does not know: who fetches.

| path | what |
| --- | --- |
| `/1k.bin`, `/100k.bin`, `/256m.bin` | bodies of that size |
| `/answer` | `JSON` as text, to GET and POST |
| `/answer.gz` | `LONG_JSON`, gzip-coded beforehand |
| `/serial` | how many connections nginx has seen, this one included; and the connection closes |
| `/once/1k.bin` | 1 KiB, and the connection closes |
| `/resumed` | `r` if this connection's TLS session was resumed, `.` if not; and the connection closes |
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

#: The body every client fetches: 1 KiB.
BODY = b"keeppool" * 128
#: Something an API would answer, about 1 KiB of text; and a list of such, about 100 KiB.
JSON = {"items": [{"id": number, "name": f"item {number}", "price": number / 8, "tags": ["a"]} for number in range(16)]}
LONG_JSON = [JSON] * 100
#: Bytes of the large body.
LARGE = 256 * 2**20
#: Listened on, it is every address, those of the loopback (127.0.0.0/8) among them.
EVERYWHERE = "0.0.0.0"
#: Debian has nginx where a user's PATH does not look.
_SYSTEM_PATH = "/usr/sbin:/usr/local/sbin:/sbin:/opt/homebrew/bin"
#: 500 looks, 20 ms apart: ten seconds for a server that needs a tenth of one.
_TRIES = 500
_PAUSE_S = 0.02

# keepalive_requests: nginx's own 1000 would put a reconnect into each client's round.
_CONFIGURATION = r"""
{user}
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
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
{listen}
{tls}
{reach}
root {folder}/www;
location = /256m.bin {{ sendfile on; tcp_nopush on; }}
location = /answer {{ default_type application/json; return 200 '{json}'; }}
location ~ \.gz$ {{ default_type application/json; add_header Content-Encoding gzip; }}
location /once/ {{ alias {folder}/www/; keepalive_timeout 0; }}
location = /serial {{ keepalive_timeout 0; return 200 $connection; }}
location = /resumed {{ keepalive_timeout 0; return 200 $ssl_session_reused; }}
}}
}}
"""


class Certificate(NamedTuple):
    """What a TLS server shows, and what vouches for it: paths of PEM files."""

    chain: str
    key: str
    roots: str


@contextlib.contextmanager
def certificate(*addresses: str) -> Iterator[Certificate]:
    """Make a certificate for these addresses, or the loopback, and a root that vouches for it.

    Raises:
        ImportError: trustme is not installed.
    """
    import trustme

    authority = trustme.CA()
    issued = authority.issue_cert(*(addresses or ("127.0.0.1",)))
    with tempfile.TemporaryDirectory(prefix="keeppool-tls-") as name:
        made = Certificate(*(str(Path(name, file)) for file in ("chain.pem", "key.pem", "roots.pem")))
        issued.private_key_pem.write_to_path(made.key)
        for number, blob in enumerate(issued.cert_chain_pems):
            blob.write_to_path(made.chain, append=number > 0)
        authority.cert_pem.write_to_path(made.roots)
        yield made


@contextlib.contextmanager
def nginx() -> Iterator[str]:
    """Run nginx; give the URL of the small file.

    Raises:
        SystemExit: nginx is not installed, or does not start; the message says what to do, or why.
    """
    with sites() as [site]:
        yield f"{site}/1k.bin"


@contextlib.contextmanager
def sites(
    number: int = 1,
    *,
    tls: Certificate | None = None,
    address: str = "127.0.0.1",
    files: Mapping[str, bytes] | None = None,
) -> Iterator[list[str]]:
    """Run nginx as so many hosts, each a port of its own; give their URLs, without a path. Raises as `nginx`.

    Args:
        number: How many.
        tls: What they show; `None` for plain http.
        address: Where they listen.
        files: What there is beside the usual, by name; a name that ends in `.gz` says that it is gzip-coded.
    """
    program = shutil.which("nginx") or shutil.which("nginx", path=_SYSTEM_PATH)
    if program is None:
        raise SystemExit("nginx is not installed; this program needs it (Debian, Ubuntu: apt-get install nginx-light)")
    # Started by root it serves as root too: the folder is nobody else's to read.
    with tempfile.TemporaryDirectory(prefix="keeppool-nginx-") as name:
        folder, ports = Path(name), _free_ports(number, address)
        _write_files(folder / "www")
        for file, content in (files or {}).items():
            (folder / "www" / file).write_bytes(content)
        configuration = folder / "nginx.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                folder=folder,
                user="user root;" if os.geteuid() == 0 else "",
                listen="\n".join(f"listen {address}:{port}{' ssl' if tls else ''};" for port in ports),
                # On every address of the machine it serves the machine alone.
                reach="allow 127.0.0.0/8; deny all;" if address == EVERYWHERE else "",
                tls=f"ssl_certificate {tls.chain};\nssl_certificate_key {tls.key};" if tls else "",
                json=json.dumps(JSON),
            )
        )
        with _process([program, "-p", name, "-e", "error.log", "-c", str(configuration)], folder):
            yield [f"{'https' if tls else 'http'}://{address}:{port}" for port in ports]


def _write_files(folder: Path) -> None:
    folder.mkdir()
    (folder / "1k.bin").write_bytes(BODY)
    (folder / "100k.bin").write_bytes(BODY * 100)
    (folder / "answer.gz").write_bytes(gzip.compress(json.dumps(LONG_JSON).encode()))
    with (folder / "256m.bin").open("wb") as file:
        file.truncate(LARGE)


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


def _free_ports(number: int, address: str) -> list[int]:
    """Find so many free ports: all are held until the last is found, so that none is found twice."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(number)]
        for probe in probes:
            probe.bind((address, 0))
        return [int(probe.getsockname()[1]) for probe in probes]
