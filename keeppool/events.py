"""One dataclass for each thing that can happen in a pool; with `Why` and `Room`, the words they use.

Knows: names and units. Everything is plain data: text, numbers, `Why`, `Room`.
Does not know: what reports events and what listens. A front end builds an event only when somebody listens, and
    delivers it after the lock is released.

Durations end in `_s` and are seconds; `origin` reads like "https://example.com:443"; `connection` is the number of
the connection in its pool, from 1. `request` is the number of the request, from 1 in its pool: the same in all events
of one request. It is 0 where no request is meant, or one that was begun before anybody listened.

A listener (`on_event`) may have an attribute `wants`, a set of these classes when the pool is made: then it is told of
those alone. Most of what listening costs are the events that each request has; what nobody wants is not built. It may
have a method `before_send` too, which is called with each request just before it is sent, and may add fields to it; see
`keeppool.Outgoing`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from keeppool.phases import Dial, Moments, Phases, phases_of
from keeppool.reasons import Room as Room
from keeppool.reasons import Why as Why


@dataclass(frozen=True, slots=True)
class RequestQueued:
    """The caller waits. `waiting` callers do, this one included, at this origin or in the line of its host.

    `waits_for` says for what; `None` if that is not known.
    """

    origin: str
    waiting: int
    request: int = 0
    waits_for: Room | None = None


@dataclass(frozen=True, slots=True)
class RequestServed:
    """A caller that had queued got its connection, the right to dial one, or its turn, after `waited_s`."""

    origin: str
    waited_s: float
    request: int = 0


@dataclass(frozen=True, slots=True)
class ConnectionOpened:
    """A connection was dialled in `dial_s`, TLS and proxy included; `resumed` tells whether TLS was resumed.

    `request` is the one it was dialled for; on an event loop it may serve another.
    """

    origin: str
    connection: int
    dial_s: float
    resumed: bool
    request: int = 0


@dataclass(frozen=True, slots=True)
class ConnectFailed:
    """Dialling failed; `error` is the class name of what the caller gets."""

    origin: str
    connection: int
    error: str
    request: int = 0


@dataclass(frozen=True, slots=True)
class ConnectionReused:
    """A request took an open connection that had carried `served` requests and sat idle for `idle_s`."""

    origin: str
    connection: int
    served: int
    idle_s: float
    request: int = 0


@dataclass(frozen=True, slots=True)
class ConnectionIdle:
    """A connection went back to the shelf, for `idle_limit_s` at the most (`None`: no limit)."""

    origin: str
    connection: int
    served: int
    idle_limit_s: float | None


@dataclass(frozen=True, slots=True)
class ConnectionClosed:
    """A connection was closed after `served` requests and `age_s`."""

    origin: str
    connection: int
    why: Why
    served: int
    age_s: float


@dataclass(frozen=True, slots=True)
class ResponseStarted:
    """The head of a response arrived `after_s` after the request was begun."""

    origin: str
    connection: int
    method: str
    status: int
    after_s: float
    request: int = 0


@dataclass(frozen=True, slots=True)
class RequestBoarded:
    """A request was sent behind others on one connection, as the one at `place`; the first there stands at 1."""

    origin: str
    connection: int
    place: int
    request: int = 0


@dataclass(frozen=True, slots=True)
class RequestRequeued:
    """The connection of a request has ended before those in front of it were done, and the request waits again.

    `spent` tells that it may have been carried out: it is sent once more, alone.
    """

    origin: str
    method: str
    spent: bool
    request: int = 0


@dataclass(frozen=True, slots=True)
class RequestResent:
    """A request is sent once more, on a new connection, because the reused one was dead. `sent` bytes had left."""

    origin: str
    method: str
    sent: int
    request: int = 0


@dataclass(frozen=True, slots=True)
class Waited:
    """A part of a request's time: `seconds` in the queue for `room`, of which there is `limit` in all."""

    room: Room
    limit: int | None
    seconds: float


class RequestDone(NamedTuple):
    """A request has ended, well or not, and all of its time is accounted for. The last event with its number.

    Redirects, retries and challenges are requests of their own; one that is resent is not. Moments are on
    `keeppool.clock.clock`. The times from `blocked_s` to `receiving_s` follow one another in this order and add up to
    `total_s`; `None` stands for what did not happen: no name, TCP, proxy or TLS on a connection that was open already,
    nothing sent by a request that never had one. Who needs several takes `phases`: each is reckoned when it is asked
    for, as making a request must not take longer for it.

    Attributes:
        request: Its number.
        method: As sent.
        url: As the caller wrote it, without user and password.
        origin: As in other events.
        connection: The one it went over; of a request that was resent, the last. `None` if it had none.
        served: Responses that connection had carried before; 0 for a new one.
        position: Its place among requests that were under way on that connection when it was sent behind them, from 2
            on; 0 if it was not (see `HostConfig.pipelining`).
        status: Of the final response; `None` if its head did not come.
        error: Class name of what ended it; `None` where the body has come whole, or was not wanted to its end. What is
            wrong with a body that came whole, such as its coding, is not told here.
        complete: The body has come to its end.
        resent: Times it was sent again because its connection was dead: 0 or 1.
        waits: The times it stood in the queue, which are part of `blocked_s`.
        started_at: When it was begun.
        dial: How its connection was opened, if that was done for it or while it waited.
        lost_s: What the attempt took that was resent.
        begun_at: When its last attempt was begun, on a connection; `None` if it never had one.
        sent_at: When the kernel had taken the whole request; `None` if it has not.
        first_byte_at: When the first byte of the final response came; `None` if none did.
        ended_at: When it was over.
        sent: Bytes sent, as HTTP, in the last attempt.
        received: Bytes received likewise.
        peer: IP address of the other end, the proxy's if there is one; `None` if unknown, and for a Unix socket.
        version: Of HTTP in the response: "1.1" or "1.0".
        reason: The response's reason phrase.
        per_host: Connections its host may have, `None` for any number.
        request_head: What was sent before the body: it may hold secrets, so it is in no `repr`.
        response_lines: The fields of the response as they came, one a line; likewise.
        note: What a listener's `before_send` has left on the request for its end; likewise.
    """

    request: int
    method: str
    url: str
    origin: str
    connection: int | None
    served: int
    position: int
    status: int | None
    error: str | None
    complete: bool
    resent: int
    waits: tuple[Waited, ...]
    started_at: float
    dial: Dial | None
    lost_s: float
    begun_at: float | None
    sent_at: float | None
    first_byte_at: float | None
    ended_at: float
    sent: int
    received: int
    peer: str | None
    version: str | None
    reason: str
    per_host: int | None
    request_head: bytes
    response_lines: Sequence[bytes]
    note: object = None

    @property
    def total_s(self) -> float:
        """Seconds from its beginning to its end."""
        return self.ended_at - self.started_at

    @property
    def waited_s(self) -> float:
        """Seconds in the queue, for whatever room."""
        return sum(waited.seconds for waited in self.waits)

    @property
    def phases(self) -> Phases:
        """All parts of its time at once."""
        moments = (
            self.started_at,
            self.dial,
            self.lost_s,
            self.begun_at,
            self.sent_at,
            self.first_byte_at,
            self.ended_at,
        )
        return phases_of(Moments(*moments))

    @property
    def blocked_s(self) -> float:
        """Until it had a connection, or one was dialled for it: `waits`, and what the pool itself took."""
        return self.phases.blocked_s

    @property
    def name_s(self) -> float | None:
        """Looking up the host's name, or its proxy's."""
        return self.phases.name_s

    @property
    def connect_s(self) -> float | None:
        """TCP, to the first address that answered."""
        return self.phases.connect_s

    @property
    def proxy_s(self) -> float | None:
        """TLS with the proxy, and CONNECT or SOCKS."""
        return self.phases.proxy_s

    @property
    def tls_s(self) -> float | None:
        """TLS with the host."""
        return self.phases.tls_s

    @property
    def sending_s(self) -> float | None:
        """From the first byte of the request until the kernel had taken the last one."""
        return self.phases.sending_s

    @property
    def first_byte_s(self) -> float | None:
        """From then to the first byte of the final response."""
        return self.phases.first_byte_s

    @property
    def receiving_s(self) -> float | None:
        """From there to the end. A body that is read piece by piece takes as long as its reader."""
        return self.phases.receiving_s

    def __repr__(self) -> str:
        told = zip(self._fields[:-3], self[:-3], strict=True)
        return f"RequestDone({', '.join(f'{name}={value!r}' for name, value in told)})"


@dataclass(frozen=True, slots=True)
class FleetChanged:
    """Redis does not answer (`error` is the class name of why), or does again. `origin` is the fleet's name."""

    origin: str
    is_up: bool
    error: str = ""


Event = (
    RequestQueued
    | RequestServed
    | RequestBoarded
    | RequestRequeued
    | ConnectionOpened
    | ConnectFailed
    | ConnectionReused
    | ConnectionIdle
    | ConnectionClosed
    | ResponseStarted
    | RequestResent
    | RequestDone
    | FleetChanged
)
