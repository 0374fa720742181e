"""What has happened to each host: counts that outlive its connections.

Decides: how many hosts that are gone are remembered.
Knows: numbers and reasons.
Does not know: connections. Those that are open know for themselves what they have carried; a tally learns of it when
    they are closed. So a request that takes an open connection costs nothing here.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from keeppool.core.origin import Origin
from keeppool.reasons import Why

#: Hosts without a connection whose counts are kept, as many as origins whose habits are (`habits.py`). One takes about
#: 300 bytes.
MOST_GONE: Final = 1024


class Tally:
    """The counts of one host.

    Attributes:
        answered: Responses carried by the connections that are closed.
        failed: Dials that failed or were given up.
        closed_by: Connections closed, by reason; only reasons that have occurred.
    """

    __slots__ = ("answered", "closed_by", "failed")

    def __init__(self) -> None:
        self.answered = 0
        self.failed = 0
        self.closed_by: dict[Why, int] = {}

    def closed(self, why: Why, served: int) -> None:
        """Count a connection that is closed after `served` responses."""
        self.answered += served
        self.closed_by[why] = self.closed_by.get(why, 0) + 1


class Tallies:
    """The counts of hosts that have no connection and no caller, the longest gone first. Bounded."""

    __slots__ = ("_gone",)

    def __init__(self) -> None:
        self._gone: OrderedDict[Origin, Tally] = OrderedDict()

    def keep(self, origin: Origin, tally: Tally) -> None:
        """Remember the counts of a host that goes."""
        self._gone[origin] = tally
        if len(self._gone) > MOST_GONE:
            self._gone.popitem(last=False)

    def come_back(self, origin: Origin) -> Tally:
        """Give the counts of a host that comes; fresh ones if it was not there, or is forgotten."""
        return self._gone.pop(origin, None) or Tally()

    def __len__(self) -> int:
        return len(self._gone)
