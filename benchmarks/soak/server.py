"""The servers of a soak, in a process of their own: each commits the fault that a request's plan says, and counts.

`python -m benchmarks.soak.server SETTINGS` takes JSON, listens on free ports, prints them as one line of JSON, and
responds to each line on its standard input with another one: `open` (connections that are open, by host), `report`
(all that was counted), anything else ends it.

Knows: ports, certificates, commands. Does not know: what a connection does (`peer.py`).
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import sys
from typing import Any

from benchmarks.soak.courses import FAULTS
from benchmarks.soak.peer import Listening, Peer, World
from benchmarks.soak.plan import BEHIND, REAL


async def serve(settings: dict[str, Any]) -> None:
    """Listen, tell the ports, and respond to commands until one ends it."""
    loop = asyncio.get_running_loop()
    world = World(settings, FAULTS)
    tls = None
    if settings["tls"]:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*settings["tls"])
    ports, held = {}, []
    for name in (*(name for name in settings["hosts"] if name not in REAL), BEHIND):
        secure = tls if name in ("tls-1", "tls-2", "tunnelled") else None
        host = world.hosts[name] = Listening(name, settings["caps"].get(name, settings["caps"]["host"]), secure)
        # The protocol is said, or asyncio leaves Nagle's algorithm on.
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        sock.bind(("127.0.0.1", 0))
        ports[name] = sock.getsockname()[1]
        held.append(sock)
        if name == "no-tls":
            await loop.create_server(lambda host=host: Rude(world, host), sock=sock, backlog=512)  # type: ignore[misc]
        elif name != "refused":
            await loop.create_server(lambda host=host: Peer(world, host), sock=sock, backlog=512)  # type: ignore[misc]
    print(json.dumps(ports), flush=True)
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while (command := (await lines.readline()).strip()) in (b"open", b"report"):
        print(json.dumps(world.open() if command == b"open" else world.report()), flush=True)


class Rude(Peer):
    """Says something else than a TLS server would."""

    def data_received(self, data: bytes) -> None:
        """Say it."""
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.close()


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.argv[1])))
