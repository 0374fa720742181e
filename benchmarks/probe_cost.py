"""The look at an idle socket before each reuse (`Stream.probe`), plain and TLS.

TLS needs a certificate, which trustme (extra `test`) makes; without it that row is left out.
"""

from __future__ import annotations

import contextlib
import ssl
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.measure import in_turns, machine, median_us, table
from keeppool.core.origin import Origin, TlsIdentity
from keeppool.net.dial import dial
from keeppool.net.stream import Liveness, Stream
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
        stream = dial(origin, timeout=10, tls=TlsStore())
        stream.send(REQUEST)
        while not stream.recv(65536).endswith(site.manners.payload):
            pass
        # A first look reads what TLS 1.3 has sent behind the handshake: session tickets.
        if stream.probe() is not Liveness.IDLE:
            raise SystemExit("the idle socket is not idle")
        yield stream
        stream.close()


@contextlib.contextmanager
def certificate() -> Iterator[tuple[ssl.SSLContext, str]]:
    """Make a server's context with a fresh certificate, and a file with the root that vouches for it."""
    import trustme

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with tempfile.TemporaryDirectory() as folder:
        roots = str(Path(folder, "roots.pem"))
        authority.cert_pem.write_to_path(roots)
        yield context, roots


def main() -> None:
    """Measure and print."""
    with contextlib.ExitStack() as stack:
        streams = {"plain": stack.enter_context(idle_stream())}
        try:
            streams["TLS"] = stack.enter_context(idle_stream(*stack.enter_context(certificate())))
        except ImportError as error:
            print(f"left out: TLS ({error})", file=sys.stderr)
        costs = in_turns({name: stream.probe for name, stream in streams.items()}, rounds=25, each=5000)
    print(f"{machine()}, {ssl.OPENSSL_VERSION}\n")
    print(table(["idle socket", "µs per probe"], [[name, f"{median_us(own):.2f}"] for name, own in costs.items()]))


if __name__ == "__main__":
    main()
