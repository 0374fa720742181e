"""One connection of a soak's servers, and all of them together: requests are read, carried out, counted, responded to.

Knows: its own sockets, and how often each number was carried out. Counts as open what the kernel says is
established: a connection whose client has closed it is none, whether the event loop has come to see that or not. Where
that is more than a cap, those count that are still established a moment later: on a busy machine the end of one
connection may be dealt with after the beginning of the next, by another core.
Does not know: what faults do (`courses.py`); it is told them by name.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import re
import socket
import ssl
import struct
from collections.abc import Callable, Generator, Mapping
from typing import Any, NamedTuple

from benchmarks.soak.ledger import packed
from benchmarks.soak.plan import BEHIND, Plan, planner

#: `tcpi_state` of the kernel: data can go both ways.
ESTABLISHED = 1
#: Seconds after which connections beyond a cap have to be there still. Loopback needs microseconds for the end of one,
#: unless the core that has to deal with it is busy.
STAYS_S = 0.005
#: Hosts that have connections of more than one pool, or of none.
APART = frozenset({BEHIND, "fleet"})
#: Seconds for which a server that has said its last word listens for requests that have crossed it.
LINGER = 1.0
_TARGETS = re.compile(rb"(?:GET|POST|PUT|HEAD|DELETE) \S*/(\d+) HTTP/1")
_LENGTH = re.compile(rb"\r\nContent-Length: (\d+)", re.IGNORECASE)

#: A fault: what is done about one request, with pauses of so many seconds; a negative one ends when a request comes,
#: and gives True then.
Course = Generator[float, bool, None]


class Faults(NamedTuple):
    """What is done about a request that meets a fault, by its name in `plan.FAULTS`.

    Attributes:
        at_the_head: When the head is there, without carrying the request out.
        courses: Once the request is there whole, and was carried out.
    """

    at_the_head: Mapping[str, Callable[[Peer, Plan], None]]
    courses: Mapping[str, Callable[[Peer, Plan], Course]]


class Listening:
    """One host: a port, who is connected to it, and what it has done to them."""

    def __init__(self, name: str, cap: int, tls: ssl.SSLContext | None) -> None:
        self.name = name
        self.cap = cap
        self.tls = tls
        self.accepted = 0
        self.peak = 0
        self.loose = 0
        self.surplus = 0
        self.peers: set[Peer] = set()

    def established(self) -> list[Peer]:
        """List what is established."""
        return [peer for peer in self.peers if peer.is_established()]

    def open(self) -> int:
        """Count what is established."""
        return len(self.established())


class World:
    """All hosts, and the counts.

    Args:
        settings: Seed, requests, hosts and caps.
        faults: What each of them does.

    Attributes:
        executed: How often each number was carried out.
        crossed: Numbers that arrived on a connection which the server had ended by then; they were not carried out.
        over: Caps that were exceeded, in words.
    """

    def __init__(self, settings: Mapping[str, Any], faults: Faults) -> None:
        requests, caps = settings["requests"], settings["caps"]
        self.plan = planner(settings["seed"], settings["hosts"])
        self.faults = faults
        self.executed = bytearray(requests)
        self.arrived = bytearray(requests)
        self.crossed = bytearray(requests)
        self.over: list[str] = []
        self.total = caps["total"]
        self.peak = 0
        self.hosts: dict[str, Listening] = {}

    def accepted(self, host: Listening) -> None:
        """Hold the caps against what is open now."""
        if len(host.peers) > host.peak:
            self._seen(host, host.established(), host.cap)
        if sum(len(other.peers) for other in self.hosts.values() if other.name not in APART) > self.peak:
            self._seen(self, self.established(), self.total)

    def _seen(self, where: Listening | World, peers: list[Peer], cap: int) -> None:
        """Note the most that were seen; more than the cap only if they stay."""
        if where.peak < len(peers) <= cap:
            where.peak = len(peers)
        elif len(peers) > cap:
            asyncio.get_running_loop().call_later(STAYS_S, self._stayed, where, peers, cap)

    def _stayed(self, where: Listening | World, peers: list[Peer], cap: int) -> None:
        stayed = sum(peer.is_established() for peer in peers)
        if stayed > where.peak:
            where.peak = stayed
            if stayed > cap:
                here = f"{where.name}: {stayed} connections" if isinstance(where, Listening) else f"{stayed} in all"
                self.over.append(f"{here}, the cap is {cap}")

    def established(self) -> list[Peer]:
        """List what is established at those hosts that one pool's total is about."""
        return [peer for host in self.hosts.values() if host.name not in APART for peer in host.established()]

    def open(self) -> dict[str, int]:
        """Count what is established, by host."""
        return {name: host.open() for name, host in self.hosts.items() if name != BEHIND}

    def report(self) -> dict[str, Any]:
        """Give all that was counted."""
        return {
            "executed": packed(self.executed),
            "crossed": packed(self.crossed),
            "over": self.over,
            "loose": {name: host.loose for name, host in self.hosts.items()},
            "surplus": {name: host.surplus for name, host in self.hosts.items()},
            "peaks": {name: host.peak for name, host in self.hosts.items()} | {"total": self.peak},
            "accepted": {name: host.accepted for name, host in self.hosts.items()},
        }


class Peer(asyncio.Protocol):
    """One connection."""

    def __init__(self, world: World, host: Listening) -> None:
        self.world = world
        self.host = host
        self.buffer = bytearray()
        self.is_over = False
        self.course: Course | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.is_waiting = False
        self.current: tuple[Plan, bytes, bool] | None = None
        self.left = 0
        self.is_tls = self.is_shaking_hands = False
        self.tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: Any) -> None:
        """Count it, and begin what this host begins with."""
        self.transport = transport
        self.sock = transport.get_extra_info("socket")
        host = self.host
        host.accepted += 1
        host.peers.add(self)
        self.world.accepted(host)
        if host.name == "abrupt" and host.accepted % 3 == 0:
            self.reset()
        elif host.tls is not None and host.name != "tunnelled":
            self._secure()

    def is_established(self) -> bool:
        """Ask the kernel whether the client still has it."""
        try:
            return bool(self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == ESTABLISHED)
        except OSError:
            return False

    def _secure(self) -> None:
        self.transport.pause_reading()
        self.is_tls = self.is_shaking_hands = True
        task = asyncio.get_running_loop().create_task(self._handshake())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _handshake(self) -> None:
        loop = asyncio.get_running_loop()
        assert self.host.tls is not None
        try:
            self.transport = await loop.start_tls(self.transport, self, self.host.tls, server_side=True)
        except (OSError, AttributeError):  # AttributeError: the client has gone, and with it the transport.
            self.connection_lost(None)
            return
        self.is_shaking_hands = False
        self._go()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self.host.peers.discard(self)
        self.is_over = True
        if self.timer is not None:
            self.timer.cancel()
        self.course = None

    def data_received(self, data: bytes) -> None:
        """Take bytes of requests."""
        self.buffer += data
        if self.is_over:
            self._note_crossed()
        elif self.is_shaking_hands:
            pass  # The transport that would take the response is not there yet.
        elif self.course is None:
            self._go()
        elif self.is_waiting:
            assert self.timer is not None
            self.timer.cancel()
            self._resume(True)

    def _note_crossed(self) -> None:
        for match in _TARGETS.finditer(self.buffer):
            self.world.crossed[int(match[1])] = 1
        del self.buffer[: -200 if len(self.buffer) > 200 else 0]

    def _go(self) -> None:
        """Serve what has come whole, one after the other."""
        while not self.is_over and self.course is None:
            if self.current is None and not self._begin():
                return
            if self.current is not None and not self._finish():
                return

    def _begin(self) -> bool:
        """Read a head; False while there is none."""
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = bytes(self.buffer[: end + 4])
        del self.buffer[: end + 4]
        target = head.split(b" ", 2)[1]
        if head.startswith(b"CONNECT"):
            if self.host.name == "no-tunnel":
                self.transport.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
                self.close()
            else:
                self.transport.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                self._secure()
            return False
        number = int(target.rpartition(b"/")[2])
        plan, arrived = self.world.plan(number), self.world.arrived
        has_fault = bool(plan.fault) and (plan.is_lasting or not arrived[number])
        arrived[number] = min(arrived[number] + 1, 255)
        length = _LENGTH.search(head)
        is_chunked = length is None and b"ransfer-" in head
        self.left = -1 if is_chunked else int(length[1]) if length else 0
        if has_fault and (deed := self.world.faults.at_the_head.get(plan.fault)):
            deed(self, plan)
            return False
        if b"100-continue" in head:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.current = plan, head, has_fault
        return True

    def _finish(self) -> bool:
        """Take the body; if it is whole, carry the request out and respond."""
        if self.left < 0:
            end = self.buffer.find(b"0\r\n\r\n")
            if end < 0:
                # Of what uploads bring none looks like this; a part of it may stand at the end.
                del self.buffer[:-10]
                return False
            del self.buffer[: end + 5]
        elif self.left:
            taken = min(self.left, len(self.buffer))
            del self.buffer[:taken]
            self.left -= taken
            if self.left:
                return False
        assert self.current is not None
        plan, _, has_fault = self.current
        self.current = None
        executed = self.world.executed
        executed[plan.number] = min(executed[plan.number] + 1, 255)
        if has_fault:
            self.course = self.world.faults.courses[plan.fault](self, plan)
            self._resume(None)
        else:
            self.transport.write(response(plan))
            if plan.framing == "until close" and plan.method != "HEAD":
                self.close()
            elif self.host.name == "fleeting":
                self.host.loose += 1
                self.close()
        return True

    def _resume(self, value: bool | None) -> None:
        """Go on with a fault until its next pause, or its end."""
        self.timer, self.is_waiting = None, False
        if self.course is None:
            return
        try:
            pause = self.course.send(value)  # type: ignore[arg-type]  # The first value of a generator is None.
        except StopIteration:
            self.course = None
            if value is not None:
                self._go()
            return
        if self.course is not None:
            self.is_waiting = pause < 0 and not self.buffer
            if pause < 0 and self.buffer:
                asyncio.get_running_loop().call_soon(self._resume, True)
            else:
                self.timer = asyncio.get_running_loop().call_later(abs(pause), self._resume, False)

    # Ends

    def close(self) -> None:
        """Close; a request that crosses it meets a reset."""
        self.is_over = True
        self.transport.close()

    def reset(self) -> None:
        """Reset, whatever is still on its way."""
        self.is_over = True
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def end_idle(self, *, lingers: bool) -> None:
        """Close an idle connection without a word: so that crossing requests are seen, or not."""
        if lingers and not self.is_tls:
            self.is_over = True
            self._note_crossed()
            with contextlib.suppress(OSError):  # The client may have gone.
                self.transport.write_eof()
            self.timer = asyncio.get_running_loop().call_later(LINGER, self.transport.abort)
        else:
            self.host.loose += 1
            self.close()


def response(plan: Plan, fields: bytes = b"", *, framing: str = "", excess: int = 0) -> bytes:
    """Write the right response to a request.

    Args:
        plan: Of the request.
        fields: More lines of its head.
        framing: Instead of the plan's.
        excess: Bytes that its Content-Length says more than there are.
    """
    body, framing = plan.body, framing or plan.framing
    head = b"HTTP/1.1 200 OK\r\nX-Id: %d\r\n%b" % (plan.number, fields)
    if framing == "gzip":
        body = gzip.compress(body, 1)
        head += b"Content-Encoding: gzip\r\n"
    if plan.method == "HEAD":
        return b"%bContent-Length: %d\r\n\r\n" % (head, len(body))
    if framing == "chunked":
        cut = plan.chance % len(body)
        parts = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:cut], body[cut:]) if part)
        return b"%bTransfer-Encoding: chunked\r\n\r\n%b0\r\n\r\n" % (head, parts)
    if framing == "until close":
        return b"%bConnection: close\r\n\r\n%b" % (head, body)
    return b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body) + excess, body)
