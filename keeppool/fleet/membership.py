"""What a pool and the fleet it is a member of say to each other.

Knows: names. Does not know: Redis, or how a fleet is kept; `keeppool.fleet` does, and is handed in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from keeppool.stats import FleetStats


class Call(NamedTuple):
    """What a pool has, and wants, of one key, when its fleet is asked.

    Attributes:
        have: Connections it has, or opens because it may.
        want: How many more it could use.
        cap: Connections there may be in all members; `None` for any number.
        per_host: The pool's own cap there.
        starts: Starts of requests that are to be reserved.
        gap: Seconds between two starts; 0 without a pace.
        burst: How many may start at once.
        ended: A request has ended, and the interval counts from there.
        holds: Seconds for which a server's `Retry-After` is to hold everybody; 0 for none.
    """

    have: int
    want: int
    cap: int | None
    per_host: int | None
    starts: int
    gap: float
    burst: int
    ended: bool
    holds: float


class Told(NamedTuple):
    """What a fleet has said of one key.

    Attributes:
        n: Connections the pool may have; `None` where the fleet has no cap.
        until: When permits that are not used yet must not be used any more.
        is_wanted: Other members ask.
        starts: When the starts are that were reserved, on the pool's clock.
        hold: Seconds for which a server's `Retry-After` holds on.
        parties: Among how many members the pace is divided, while nobody can be asked; else `None`.
    """

    n: int | None
    until: float
    is_wanted: bool
    starts: list[float]
    hold: float
    parties: int | None


class Wanted(NamedTuple):
    """What a pool still wants of a key after it was told.

    Attributes:
        permits: Callers who wait for one.
        is_paced: Callers stand in line for their turn: they are to hear soon of what others hear.
    """

    permits: int
    is_paced: bool


class Joined(Protocol):
    """A pool, as far as its fleet has to do with it."""

    @property
    def is_closed(self) -> bool:
        """True if it takes no more requests."""

    def fleet_call(self, key: str) -> Call:
        """Say what it has and wants of a key; from here on it holds that and no more until it is told."""

    async def fleet_settled(self) -> None:
        """Wait, on an event loop, until no socket is there any more that was closed, or whose dial was broken off."""

    def fleet_told(self, key: str, told: Told) -> Wanted:
        """Take note of what the fleet has said of a key."""

    def fleet_lost(self, key: str) -> Wanted:
        """Take note, on an event loop, that a call about a key has come to no end; tell who waits for the next."""

    def fleet_forgot(self, key: str) -> None:
        """Take note that no more calls are made about a key until one is asked for."""

    def fleet_held(self) -> dict[str, tuple[int, int]]:
        """Give the connections there are, and may be, by key."""

    def fleet_changed(self, name: str, *, is_up: bool, error: str) -> None:
        """Report that Redis is away, or back."""


class Membership(Protocol):
    """One pool's part in a fleet."""

    @property
    def trouble(self) -> str:
        """While Redis is away, what to say of that behind how many connections the fleet allows; empty otherwise."""

    def due(self, key: str) -> None:
        """A call about a key is wanted: permits are, or are given back, or starts are. Does not wait."""

    def hurry(self) -> None:
        """Break off a call that takes too long; for whoever comes by now and then while anybody waits."""

    def close(self) -> None:
        """End with the pool, where that is for threads: waits a moment until what it had is given back."""

    async def aclose(self) -> None:
        """End with the pool, where that is for tasks: waits a moment until what it had is given back."""

    def stats(self) -> FleetStats:
        """Take a snapshot of what is known of each key."""


class AnyFleet(Protocol):
    """What pools share their caps through."""

    def join(self, pool: Joined, *, for_tasks: bool) -> Membership:
        """Make a pool a member."""
