"""A pool whose every fact is watched: which connections and tickets it moved, from which state into which.

The pool itself knows nothing of it. What is seen must stand in `lifecycle.py`; that all of it was seen is for whoever
has driven the pool long enough to demand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lifecycle
from lifecycle import CONNECTION, TICKET, Move


class Watched:
    """Passes everything on to a pool, and checks each move against the table.

    Args:
        pool: A `PoolState` or a `LatePoolState`, or a copy of one with a bug.
        seen: Takes each move that was seen.
    """

    def __init__(self, pool: Any, seen: set[Move]) -> None:
        self._pool = pool
        self._seen = seen
        #: The state of everything there has been, as of the last fact; of a connection with its generation.
        self._connections: dict[Any, tuple[str, int]] = {}
        self._tickets: dict[Any, str] = {}

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._pool, name)
        return self._noted(name, found) if name in lifecycle.FACTS else found

    def _noted(self, fact: str, report: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any, **options: Any) -> Any:
            answer = None
            try:
                answer = report(*arguments, **options)
            finally:
                self._look(fact, [*arguments, answer], arguments[0] if fact == "abandoned" else None)
            return answer

        return noted

    def _look(self, fact: str, said: list[Any], abandoned: Any) -> None:
        for one in [*said, *self._pool.orders, *self._tickets]:
            self._meet(one)
        for ticket, before in list(self._tickets.items()):
            after = lifecycle.ABANDONED if ticket is abandoned else _state_of(ticket, before)
            self._tickets[ticket] = after
            if after != before:
                self._note(Move(TICKET, before, after, fact))
        for connection, (before, generation) in list(self._connections.items()):
            after = connection.state.value
            self._connections[connection] = (after, connection.generation)
            # Handed on, it is busy before and behind; but it is another's.
            is_handed_on = connection.generation != generation and before == "busy"
            if after != before or is_handed_on:
                self._note(Move(CONNECTION, before, after, fact))

    def _meet(self, one: Any) -> None:
        """Take up what has not been seen before: a connection, a ticket, or what an order is about."""
        for about in (one, getattr(one, "connection", None), getattr(one, "ticket", None), getattr(one, "dial", None)):
            if hasattr(about, "generation") and about not in self._connections:
                self._connections[about] = (lifecycle.NEW, 0)
            elif hasattr(about, "overtaken") and about not in self._tickets:
                self._tickets[about] = lifecycle.NEW
                self._meet(about)

    def _note(self, move: Move) -> None:
        self._seen.add(move)
        assert move in lifecycle.MOVES, f"no {move.kind} may go from {move.before} to {move.after} by {move.fact!r}"


def _state_of(ticket: Any, before: str) -> str:
    if before == lifecycle.ABANDONED:
        return before
    if ticket.failure is not None:
        return "failed"
    if ticket.connection is not None:
        return "served"
    if ticket.ride is not None:
        return "riding"
    return "waiting for room" if ticket.dial is None else "waiting for a dial"
