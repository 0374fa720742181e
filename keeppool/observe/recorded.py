"""`Socket`: one connection of a pool, as its events tell of it.

Knows: nothing but fields. The recorder fills them in.
"""

from __future__ import annotations

from dataclasses import dataclass

from keeppool.events import Why


@dataclass(frozen=True, slots=True)
class Socket:
    """One connection, as far as it has come.

    Attributes:
        origin: Where it leads, as in events.
        connection: Its number in its pool.
        opened_at: When it was open, on `keeppool.clock.clock`; the dial had taken `dial_s` by then.
        dial_s: Seconds the dial took, TLS and proxy included.
        resumed: Whether TLS was resumed.
        closed_at: When it was closed; `None` while it is open.
        why: Why it was closed.
        served: Responses it had carried then.
    """

    origin: str
    connection: int
    opened_at: float
    dial_s: float
    resumed: bool
    closed_at: float | None = None
    why: Why | None = None
    served: int = 0
