"""A GET of 1 KiB over a link of 20 ms round trip, with keep-alive and without, plain and TLS.

The link is made here: a network namespace of its own (Linux; root, or a kernel that lets users make namespaces), and in
it a tunnel device whose other end is this program. Packets wait in it for 10 ms and come back with source and
destination exchanged; so client and server, both on this side, meet across it, handshakes included. The kernel's own
delay (`tc netem`) would do the same, where it is compiled in.
"""

from __future__ import annotations

import collections
import contextlib
import fcntl
import functools
import os
import shutil
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import program
from benchmarks.clients import SESSIONS, Wishes, open_installed
from benchmarks.measure import in_turns, median_us
from benchmarks.nginx_server import Certificate, certificate, sites
from benchmarks.program import CannotRunError, Effort, Rows

BESIDE = ("urllib3", "requests", "httpx", "pycurl", "pyreqwest", "primp")
#: Seconds each way.
DELAY = 0.010
#: Our side of the tunnel, and what lies behind it: ourselves again.
HERE, THERE = "10.9.0.1", "10.9.0.2"
_DEVICE = b"link0"
#: linux/if_tun.h: TUNSETIFF; IFF_TUN | IFF_NO_PI.
_TUNSETIFF, _TUN_WITHOUT_INFO = 0x400454CA, 0x1001
#: Says that the process is already in a namespace of its own.
_INSIDE = "KEEPPOOL_BENCHMARK_LINK"


def enter_namespace() -> None:
    """Start this program again in a network namespace of its own; come back if it is in one, or none can be had."""
    unshare = shutil.which("unshare")
    if unshare is None or os.environ.get(_INSIDE):
        return
    command = [unshare, "--net"] if os.geteuid() == 0 else [unshare, "--net", "--map-root-user"]
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
        os.environ[_INSIDE] = "1"
        os.execv(unshare, [*command, sys.executable, *sys.orig_argv[1:]])


@contextlib.contextmanager
def slow_link() -> Iterator[None]:
    """Carry packets for `THERE` back to `HERE`, late. The link ends with the process, and its namespace with it.

    Raises:
        CannotRunError: No namespace, or no tunnel, can be had.
    """
    if not os.environ.get(_INSIDE):
        raise CannotRunError("no network namespace can be made (Linux, as root or with user namespaces)")
    try:
        device = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH", _DEVICE, _TUN_WITHOUT_INFO))
        for line in f"addr add {HERE}/24 dev link0", "link set link0 up", "link set lo up":
            subprocess.run(["ip", *line.split()], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise CannotRunError(f"no tunnel can be made ({error})") from error
    threading.Thread(target=_read_packets, args=(device, Late(device)), daemon=True).start()
    yield


class Late:
    """Packets on their way, and the thread that lets each out when its time has come."""

    def __init__(self, device: int) -> None:
        self._device = device
        self._packets: collections.deque[tuple[float, bytes]] = collections.deque()
        self._some = threading.Semaphore(0)
        threading.Thread(target=self._let_out, daemon=True).start()

    def add(self, packet: bytes) -> None:
        """Take a packet in."""
        self._packets.append((time.monotonic() + DELAY, packet))
        self._some.release()

    def _let_out(self) -> None:
        while self._some.acquire():
            due, packet = self._packets.popleft()
            time.sleep(max(due - time.monotonic(), 0))
            os.write(self._device, packet)


def _read_packets(device: int, late: Late) -> None:
    while packet := os.read(device, 65536):
        if packet[0] >> 4 == 4:
            # The checksums are sums: they hold when two of their terms change places.
            late.add(packet[:12] + packet[16:20] + packet[12:16] + packet[20:])


def ask(effort: Effort) -> Rows:
    """Measure every client that is installed."""
    with slow_link(), contextlib.ExitStack() as stack:
        rows = _measured("http", None, effort)
        try:
            made = stack.enter_context(certificate(THERE))
        except ImportError as error:
            print(f"left out: TLS ({error})", file=sys.stderr)
            return rows
        return rows | _measured("https", made, effort)


def _measured(scheme: str, made: Certificate | None, effort: Effort) -> dict[str, dict[str, float | None]]:
    rows: dict[str, dict[str, float | None]] = {}
    with sites(tls=made, address=HERE) as [site]:
        there = site.replace(HERE, THERE)
        for kind, path in ("kept", ""), ("a new connection each time", "/once"):
            # Sessions of its own for each kind: what `/once` closes must not be what the other keeps.
            with contextlib.ExitStack() as stack:
                sessions = open_installed(SESSIONS, stack, Wishes(roots=made.roots if made else ""))
                url = f"{there}{path}/1k.bin"
                calls = {name: functools.partial(session.get, url) for name, session in sessions.items()}
                costs = in_turns(calls, rounds=1 + effort.rounds, each=effort.requests)
            # The first round opens connections, and gets what later ones are resumed with.
            rows |= {f"{name}, {scheme}, {kind}": {"ms": median_us(own[1:]) / 1000} for name, own in costs.items()}
    return rows


if __name__ == "__main__":
    enter_namespace()
    program.main(ask, Effort(5, 4), about=__doc__, beside=BESIDE, one_core=False)
