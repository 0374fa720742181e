"""The probe of an idle socket before each reuse (`Stream.probe`), plain and TLS.

TLS needs a certificate, which trustme (extra `test`) makes; without it that row is left out.
"""

from __future__ import annotations

import contextlib
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import program
from benchmarks.measure import in_turns, median_us
from benchmarks.nginx_server import certificate
from benchmarks.program import Effort, Rows
from keeppool.core.origin import Origin, TlsIdentity
from keeppool.net.dial import dial
from keeppool.net.stream import Stream
from keeppool.net.streams import Liveness
from keeppool.net.tls import TlsStore
from keeppool.testing import Site

REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@contextlib.contextmanager
def idle_stream(server: ssl.SSLContext | None = None, roots: str = "") -> Iterator[Stream]:
    """Open a connection that has carried one exchange and sits idle, as in a pool."""
    with Site(tls=server) as site:
        identity = TlsIdentity(verify=roots) if server else None
        scheme = "https" if server else "http"
        origin = Origin(scheme=scheme, host=site.host, port=site.port, tls=identity)
        stream = dial(origin, seconds=10, tls=TlsStore())
        stream.send(REQUEST)
        while not stream.receive(65536).endswith(site.behaviour.payload):
            pass
        # A first look reads what TLS 1.3 has sent behind the handshake: session tickets.
        if stream.probe() is not Liveness.IDLE:
            raise SystemExit("the idle socket is not idle")
        yield stream
        stream.close()


def ask(effort: Effort) -> Rows:
    """Measure both kinds of socket, if there is a certificate."""
    with contextlib.ExitStack() as stack:
        streams = {"plain": stack.enter_context(idle_stream())}
        try:
            made = stack.enter_context(certificate())
        except ImportError as error:
            print(f"left out: TLS ({error})", file=sys.stderr)
        else:
            server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            server.load_cert_chain(made.chain, made.key)
            streams["TLS"] = stack.enter_context(idle_stream(server, made.roots))
        calls = {name: stream.probe for name, stream in streams.items()}
        costs = in_turns(calls, rounds=effort.rounds, each=effort.requests)
    return {name: {"us_call": median_us(own)} for name, own in costs.items()}


if __name__ == "__main__":
    program.main(ask, Effort(25, 5000), about=__doc__)
