"""The states of a connection and of a ticket, and which fact moves them from where to where.

The table is written by hand and held against the core from both sides: the state machines assert at every step that
what they see stands here, and `test_states.py` that all of this was seen. `draw_states.py` draws it for the docs. The
core knows nothing of it: its states follow from its rules, and a look at a table would cost each request a step.

Facts are the methods by which a front end reports to `core/pool.py`; those of `core/late.py` alone are `dialled`,
`dial_failed` and `found_stale`, and those of `core/riding.py` `offered`, `sent`, `begun`, `unfit`, `broken`, `cut` and
`pipeline_waited`. What riding adds to the table, and barging, stands by itself. `permits` is a fleet's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

CONNECTION: Final = "connection"
TICKET: Final = "ticket"

#: Where everything comes from, and where a ticket goes whose caller gives up: no state of a record.
NEW: Final = "new"
ABANDONED: Final = "abandoned"


class Move(NamedTuple):
    """One step of a life."""

    kind: str
    before: str
    after: str
    fact: str


#: By kind, before and after: the facts that do it.
TABLE: Final[Mapping[str, Mapping[tuple[str, str], str]]] = {
    CONNECTION: {
        # For whoever reports it, or for a caller whose turn it is because the fact has left room.
        (NEW, "connecting"): "requested found_dead found_stale redialled released abandoned connect_failed dial_failed "
        "permits",
        ("connecting", "busy"): "connected dialled",
        # Nobody waits any more.
        ("connecting", "idle"): "dialled",
        # The dial failed, its caller gave up, the pool is closed, or it was spare and had to give way or was too old.
        ("connecting", "closed"): "connect_failed dial_failed abandoned requested released connected dialled ticked "
        "closed_by_user permits",
        # Handed on to the next caller: the same state, another generation.
        ("busy", "busy"): "released abandoned",
        ("busy", "idle"): "released abandoned",
        ("busy", "closed"): "released abandoned found_dead found_stale redialled",
        ("idle", "busy"): "requested found_dead found_stale",
        # Expired, evicted, closed by the server, as old as one that was dead, or the pool is closed.
        ("idle", "closed"): "requested found_dead found_stale redialled peer_closed ticked closed_by_user permits "
        "released abandoned connect_failed dial_failed",
    },
    TICKET: {
        # Whoever had a dead connection waits for room only where a fleet's lease is over.
        (NEW, "waiting for room"): "requested found_dead found_stale",
        (NEW, "waiting for a dial"): "requested found_stale",
        ("waiting for room", "waiting for a dial"): "requested released abandoned connect_failed dial_failed permits "
        "found_stale",
        ("waiting for room", "served"): "requested released abandoned connect_failed permits dialled found_dead",
        ("waiting for room", "failed"): "closed_by_user",
        ("waiting for room", ABANDONED): "abandoned",
        ("waiting for a dial", "served"): "dialled released abandoned",
        ("waiting for a dial", "failed"): "dial_failed closed_by_user",
        ("waiting for a dial", ABANDONED): "abandoned",
        # What it was given goes on to the next.
        ("served", ABANDONED): "abandoned",
    },
}

#: The same, for what only pools do whose callers ride. A ticket that is put back may find an idle connection at once.
RIDING: Final[Mapping[str, Mapping[tuple[str, str], str]]] = {
    CONNECTION: {
        (NEW, "connecting"): "begun cut pipeline_waited",
        ("idle", "busy"): "released redialled begun cut pipeline_waited",
        # Expired, or closed so that a request goes out for the last time over a new one.
        ("idle", "closed"): "released begun cut pipeline_waited",
    },
    TICKET: {
        # Also because nobody is before it any more who could not ride, or because one by whose request an origin is
        # tried has left its line, so that another may be tried elsewhere.
        ("waiting for room", "riding"): "offered sent begun released abandoned redialled cut pipeline_waited requested "
        "dialled dial_failed connect_failed permits",
        # Its turn has come; all but `released` put it back.
        ("riding", "served"): "released redialled begun cut pipeline_waited",
        ("riding", "waiting for room"): "released redialled begun cut pipeline_waited",
        ("riding", "waiting for a dial"): "released redialled begun cut pipeline_waited",
        ("riding", "failed"): "closed_by_user released redialled begun pipeline_waited",
        ("riding", ABANDONED): "abandoned",
    },
}

#: The same, for pools whose callers are threads: a newcomer takes what is lent to a sleeper, who waits again.
BARGING: Final[Mapping[str, Mapping[tuple[str, str], str]]] = {
    CONNECTION: {("busy", "busy"): "requested"},
    TICKET: {("served", "waiting for room"): "requested"},
}

MOVES: Final = frozenset(
    Move(kind, before, after, fact)
    for table in (TABLE, RIDING, BARGING)
    for kind, moves in table.items()
    for (before, after), facts in moves.items()
    for fact in facts.split()
)
FACTS: Final = frozenset(move.fact for move in MOVES) | {"broken", "unfit"}
