"""The queue across hosts: whose turn it is when the total, or a proxy's cap, is what everybody waits for.

Within a host, callers stand in the host's own FIFO. A host whose callers could be served but for the total stands in
one heap by its oldest caller's number; a host that waits for its proxy's cap stands in that proxy's heap. A host has at
most one entry, and an entry's number is never above the host's oldest caller's: callers only leave. So an entry that
comes up too early is put right on the spot, abandoned callers cost nothing, and the heaps do not outgrow the callers.

While a proxy has room, the common heap has an entry of one of its hosts that is not above any parked in the proxy's
heap. So whenever such an entry is put right, the proxy's next host follows (`unpark`).

A host whose callers lack nothing but a permit of their fleet stands nowhere: it enters when permits come. So whoever
finds one on its way has the fleet asked.

Decides: which host's oldest caller is the oldest of all that could be served.
Does not know: connections, limits' values, time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from heapq import heapify, heappop, heappush, heapreplace

from keeppool.core.records import Ask, Group, Host, Order

Heap = list[tuple[int, int, Host]]

#: A heap may hold hosts whose callers have all given up; it is swept when it is this much longer than the callers are
#: many. Without that, a host asked again and again while the total is full would leave a record behind each time.
SLACK = 64


class Queue:
    """The hosts whose callers wait for something they share with other hosts.

    Args:
        orders: Where it is ordered that a fleet be asked.
    """

    __slots__ = ("_heap", "_orders", "bound", "length")

    def __init__(self, orders: deque[Order]) -> None:
        self._heap: Heap = []
        self._orders = orders
        #: Callers waiting in the whole pool, for whatever reason.
        self.length = 0
        #: Those among them who count on a dial (`late.py`): they stand in no line.
        self.bound = 0

    def enter(self, host: Host) -> None:
        """Let a host with callers and room of its own stand in line; one that stands already stays where it is."""
        if not host.waiters:
            return
        if host.permits is not None:
            self._ask(host)
        if host.queued_in is None and not host.is_full:
            self._push(self._heap, host)

    def left(self, host: Host) -> None:
        """Count out a caller who has left the host's own line."""
        self.length -= 1
        heap = host.queued_in
        if heap is not None and not host.waiters and len(heap) > 2 * self.length + SLACK:
            self._sweep(heap)

    def returned(self, host: Host) -> None:
        """Put right where a host stands, one of whose callers has come back to the front of its own line.

        Its entry may stand behind that caller's number now, which nothing else can bring about; so it is looked for.
        """
        heap = host.queued_in
        if heap is None:
            return self.enter(host)
        heap[:] = [
            (host.oldest.number, serial, one) if one is host else (number, serial, one) for number, serial, one in heap
        ]
        heapify(heap)
        return self.unpark(host.group)

    def enter_anew(self, hosts: Collection[Host]) -> None:
        """Let all of a pool's hosts stand in line as if none did, and count their callers."""
        self._heap.clear()
        for host in hosts:
            host.group.parked.clear()
            host.queued_in = None
        self.bound = sum(len(host.bound) for host in hosts)
        self.length = self.bound + sum(len(host.waiters) for host in hosts)
        for host in hosts:
            self.enter(host)

    def is_clear(self, group: Group) -> bool:
        """Tell whether nobody stands in line who could have what comes free in this group: the usual case."""
        return not self._heap and not group.parked

    def oldest(self, group: Group | None = None) -> Host | None:
        """Give the host whose oldest caller has waited longest for the total.

        Args:
            group: Count the hosts that wait for this group's cap too, as if one of its connections had just closed.
        """
        first = self._first_for_total()
        if group is None or not group.parked:
            return first
        parked = self._first(group.parked)
        if first is None or (parked is not None and parked.oldest.number < first.oldest.number):
            return parked
        return first

    def unpark(self, group: Group) -> None:
        """Let the longest-waiting host of a group that has gained room stand in the common line."""
        if group.parked and not group.is_full:
            host = self._first(group.parked)
            if host is not None:
                heappop(group.parked)
                self._push(self._heap, host)

    def _first_for_total(self) -> Host | None:
        """Find the first host whose group has room, or can make some; park the others with their group."""
        while (host := self._first(self._heap)) is not None:
            if not host.group.is_full or host.group.can_make_room:
                return host
            heappop(self._heap)
            self._push(host.group.parked, host)
        return None

    def _first(self, heap: Heap) -> Host | None:
        while heap:
            number, serial, host = heap[0]
            if not host.waiters or host.is_full:
                heappop(heap)
                host.queued_in = None
                if host.permits is not None and host.waiters:
                    self._ask(host)
            elif (oldest := host.oldest.number) != number:
                heapreplace(heap, (oldest, serial, host))
            else:
                return host
            if heap is self._heap:
                self.unpark(host.group)
        return None

    def _ask(self, host: Host) -> None:
        """Have the fleet asked, if that is all a host's callers wait for."""
        permits = host.permits
        if permits is not None and not permits.is_due and host.lacks_permit and not host.is_capped:
            permits.is_due = True
            self._orders.append(Ask(permits.key))

    def _sweep(self, heap: Heap) -> None:
        """Drop the hosts without callers."""
        empty = [host for _, _, host in heap if not host.waiters]
        heap[:] = [entry for entry in heap if entry[2].waiters]
        heapify(heap)
        for host in empty:
            host.queued_in = None
            self.unpark(host.group)

    def _push(self, heap: Heap, host: Host) -> None:
        host.queued_in = heap
        # Numbers are never shared between callers, so no comparison reaches the second place; id() only fills it.
        heappush(heap, (host.oldest.number, id(host), host))
