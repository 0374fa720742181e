"""Connections by how many requests they carry one behind the other: which of a host's is boarded next.

Decides: that it is one with the fewest.
Knows: how far the first response of a pipeline is, and how long the pipeline is.
Does not know: whether an origin is trusted (`credit.py`), who boards (`riding.py`).
"""

from __future__ import annotations

import enum
from typing import Generic, TypeVar

T = TypeVar("T")


class Stage(enum.Enum):
    """How far the first response of a pipeline is, as far as others may follow its request."""

    #: Nobody may board: the request is not sent whole, or nobody may follow it.
    SHUT = "shut"
    #: The request was sent whole.
    SENT = "sent"
    #: The head of its response has come.
    BEGUN = "begun"


class Pipelines(Generic[T]):
    """A host's connections that may be boarded, by the stage and the number of requests they carry."""

    __slots__ = ("_by_stage", "_listed")

    def __init__(self) -> None:
        self._listed = 0
        self._by_stage: dict[Stage, list[dict[T, None]]] = {Stage.SENT: [], Stage.BEGUN: []}

    def put(self, connection: T, stage: Stage, length: int) -> None:
        """Let a connection be boarded from now on."""
        rows = self._by_stage[stage]
        while len(rows) <= length:
            rows.append({})
        rows[length][connection] = None
        self._listed += 1

    def drop(self, connection: T, stage: Stage, length: int) -> None:
        """Let a connection be boarded no longer."""
        del self._by_stage[stage][length][connection]
        self._listed -= 1

    def shortest(self, before_head: int, behind_head: int) -> T | None:
        """Give a connection with the fewest requests, one whose response has begun first.

        Args:
            before_head: Requests that a pipeline must stay below before its first head has come.
            behind_head: ... and once it has.
        """
        if not self._listed:
            return None
        sent, begun = self._by_stage[Stage.SENT], self._by_stage[Stage.BEGUN]
        for length in range(1, max(before_head, behind_head)):
            for rows, limit in ((begun, behind_head), (sent, before_head)):
                if length < min(limit, len(rows)) and rows[length]:
                    return next(iter(rows[length]))
        return None
