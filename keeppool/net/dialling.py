"""`Dialling`: one dial under way, in one block for all that every dial goes through.

Decides: whether a name is looked up once more, because its addresses may be old.
Knows: where to, which name was looked up last, when it must be over.
Does not know: waiting; `dial.py` and `dial_tasks.py` do. Which error a failure becomes (`failures.py`).

One block for the whole dial, because a block for each stage took 20 % of what a new host costs (CPU, 2026-11).
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from keeppool.core.origin import Origin
from keeppool.deferred import Deferred
from keeppool.errors import ConnectError
from keeppool.net.deadline import Deadline
from keeppool.net.failures import told
from keeppool.net.options import preparation, source_of
from keeppool.net.questions import questions_of, to_be_dialled
from keeppool.net.race import RaceLost
from keeppool.net.resolver import Question, Resolver
from keeppool.reasons import Step

if TYPE_CHECKING:
    from keeppool import fakers
    from keeppool.net.laps import Laps
else:
    fakers = Deferred("keeppool.fakers")

#: Modules of which one is loaded wherever a tool is active that fakes or records responses in tests.
_TOOLS = ("httpretty", "requests_mock", "responses", "vcr")

#: What holds before the clock starts.
_NO_DEADLINE = Deadline(None)
_NOTHING = Question("", 0, 0)


class Dialling:
    """A dial. What fails in its block is told as somebody's failure, and the origin's addresses are forgotten then.

    A tool of tests that would not see the connection is told of first.

    Args:
        origin: Where to.
        resolver: Asked for names.

    Attributes:
        origin: As given.
        deadline: When it must be over.
    """

    __slots__ = ("_is_old", "_question", "_resolver", "deadline", "origin")

    def __init__(self, origin: Origin, resolver: Resolver) -> None:
        self.origin = origin
        self._resolver = resolver
        self._question = _NOTHING
        self.deadline = _NO_DEADLINE
        if not sys.modules.keys().isdisjoint(_TOOLS):
            fakers.watch_dial(origin.host)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is not None:
            self._failed(error)

    def begin(self, seconds: float | None, laps: Laps | None) -> Deadline:
        """Start the clock."""
        self.deadline = deadline = Deadline(seconds, laps)
        return deadline

    def looks_up(self, question: Question) -> Question:
        """Take note that a name is about to be looked up."""
        self._question = question
        self.deadline.begin(Step.NAME)
        return question

    def next_hop(self) -> tuple[Question, Callable[[socket.socket], None]]:
        """Take note that whom to connect to, the origin or its proxy, is about to be looked up.

        Returns:
            What to look up, and what prepares a socket for the connection.
        """
        origin = self.origin
        source = source_of(origin)
        question = to_be_dialled(origin, source)
        self._is_old = self._resolver.keeps(question)
        return self.looks_up(question), preparation(origin, source)

    def connects(self) -> Deadline:
        """Take note that the addresses are about to be connected to; give the time there is for it."""
        self.deadline.begin(Step.CONNECT)
        return self.deadline

    def lost(self, lost: RaceLost) -> None:
        """Forget addresses that are from an earlier look-up, because the host may have moved since.

        They are to be looked up and dialled once more.

        Raises:
            RaceLost: They are not to blame.
        """
        if not self._is_old or lost.is_timeout():
            try:
                raise lost
            finally:
                del lost  # As in `_failed`.
        self._resolver.forget(self._question)

    def _failed(self, error: BaseException) -> None:
        seen = told(self.origin, self.deadline, self._question, error)
        if isinstance(seen or error, ConnectError):
            self._resolver.forget(*questions_of(self.origin))
        if seen is not None:
            try:
                raise seen
            finally:
                # An error that is held by a frame in its traceback is there until the garbage collector comes by, and
                # so is all that its callers hold.
                del seen
