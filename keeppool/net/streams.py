"""What both kinds of stream promise: one that blocks its thread, and one whose waits are awaited.

`Stream` (threads) and `Channel` (an event loop) have the same names for the same things. What never waits is a
protocol here, for code that serves both. What waits has the same name and words in both, and is awaited in one:

    receive        up to so many bytes; none at the end
    wait_readable  until there is something to receive

Knows: nothing but names.
Does not know: sockets, event loops.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Protocol

from keeppool.core.records import Endpoint

if TYPE_CHECKING:
    from keeppool.net.laps import Laps


class Liveness(enum.Enum):
    """What an idle connection looks like. Only IDLE may carry another request."""

    IDLE = "idle"
    DATA = "data"
    CLOSED = "closed"


class AnyStream(Endpoint, Protocol):
    """One connected stream, plain or TLS.

    Attributes:
        is_tls: Whether it speaks TLS, to an https proxy or to the origin.
        resumed: Whether the TLS next to the caller resumed an earlier session.
        laps: How it was dialled; `None` if others have.
    """

    laps: Laps | None

    @property
    def address(self) -> str | None:
        """IP address of the other end; `None` for a Unix socket, and where the connection is gone already."""

    @property
    def tls(self) -> object:
        """The TLS next to the caller, as `TlsStore.remember` takes it; `None` for a plain connection."""

    def probe(self) -> Liveness:
        """Tell whether this idle connection may be used, without waiting."""

    def receive_now(self, size: int) -> bytes | None:
        """Read what is there without waiting; `None` if nothing is, no bytes at the end."""
