"""How long each wait of an exchange may take: the timeout's own seconds, or what is left until the deadline.

A wait has four words in this house. `timeout` is the object a caller configures, `seconds` a length of time, `limits`
are the caps, and a `deadline` is a point in time on the house's clock, carried by the exchange.

Decides: the next wait's length, and what a wait that was too long has run into.
Does not know: who waits, and how.

Source: RFC 9110 §10.1.1 (how long a body waits for 100 Continue).
"""

from __future__ import annotations

from keeppool.clock import clock
from keeppool.pools.exchange import Exchange

#: Seconds a body waits for the 100 Continue it has asked for; curl's figure. A server may never send one.
CONTINUE_WAIT = 1.0
#: Seconds in which a response is looked for after the request could not be sent: a server that refuses a large body
#: responds first and closes then. What it sent is in our buffer already, or a packet away.
LATE_RESPONSE = 0.1
#: Seconds by which the kernel's timer and our clock may differ when both say that the same time has passed.
CLOCK_SLACK = 0.001
#: Seconds by which a socket's own time limit may end a wait too early: the kernel counts it in ticks, of 4 ms at
#: 250 Hz, and the first of them has begun already. Of a million requests one of 3 ms was over before its time.
TICK = 0.004
#: Parts of the timeout for sending after which a wait for the server to take something looks whether it has. The kernel
#: says that there is room only when a third of its buffer is free, so the wait itself does not tell.
LOOKS = 8
#: Seconds of the shortest wait: 0 would not even try.
SHORTEST = 0.001


def next_wait(exchange: Exchange) -> float | None:
    """Give the seconds for which the network may be silent: the read timeout, or what is left until the deadline.

    Raises:
        TimeoutError: Nothing is left.
    """
    return within(exchange.timeout.read, exchange.head_ends(clock()))


def sending_wait(exchange: Exchange) -> float | None:
    """As `next_wait`, for a piece of the request that the server is to take."""
    return within(exchange.timeout.sending, exchange.head_ends(clock()))


class Progress:
    """Whether the server still takes what was sent: what the kernel holds of it becomes less.

    Args:
        exchange: Whose timeout for sending is the longest time without a byte of progress.
        held: Bytes the kernel holds; `None` if that is not known, or not yet.
    """

    __slots__ = ("_exchange", "_held", "_since")

    def __init__(self, exchange: Exchange, held: int | None = None) -> None:
        self._exchange = exchange
        self._held = held
        self._since = clock()

    def next_look(self) -> float | None:
        """Give the seconds until the next look at what the kernel holds; `None` for no limit.

        Raises:
            TimeoutError: The time for the whole exchange has passed.
        """
        timeout = self._exchange.timeout
        # The read timeout too: it begins once everything was taken, and that is seen by a look alone.
        seconds = min((limit for limit in (timeout.sending, timeout.read) if limit is not None), default=None)
        return within(None if seconds is None else seconds / LOOKS, self._exchange.head_ends(clock()))

    def check(self, held: int | None, error: TimeoutError) -> None:
        """Take note of what the kernel holds now that a look is due.

        Args:
            held: Bytes the kernel holds; `None` if that cannot be told.
            error: Raised if there was no progress for as long as that timeout.
        """
        now, seconds = clock(), self._exchange.timeout.sending
        if held is not None and self._held is not None and held != self._held:
            self._since = now
        self._held = held
        if seconds is not None and now - self._since >= seconds - CLOCK_SLACK:
            raise error


def within(seconds: float | None, deadline: float | None) -> float | None:
    """Cut a wait that is about to begin down to what is left until the deadline.

    Raises:
        TimeoutError: Nothing is left.
    """
    if deadline is None:
        return seconds
    left = deadline - clock()
    if left <= 0:
        raise TimeoutError("the total timeout has passed")
    return left if seconds is None else min(seconds, left)


def shorter(seconds: float | None, deadline: float | None, now: float) -> float | None:
    """As `within`, for a wait that is tried at least once: it is never cut down to nothing."""
    if deadline is None:
        return seconds
    left = max(deadline - now, SHORTEST)
    return left if seconds is None else min(seconds, left)


def queue_wait(exchange: Exchange, waited: float, stalled: float, now: float) -> tuple[float | None, str]:
    """Give the seconds a caller may still wait in the queue, and the limit that ends the wait then.

    Args:
        exchange: Whose timeouts hold.
        waited: Seconds it has waited.
        stalled: Seconds for which the queue has not moved.
        now: The time.

    Returns:
        Seconds, not above 0 where the time is up, and the name of one of the timeouts; `None` for no limit.
    """
    timeout, deadline = exchange.timeout, exchange.deadline
    if exchange.turn is not None:
        waited = now - exchange.turn.since  # First for its turn, then for a connection: one wait.
    seconds: float | None = None
    by = ""
    if timeout.stall is not None:
        seconds, by = timeout.stall - stalled, "stall"
    if timeout.pool is not None and (seconds is None or timeout.pool - waited < seconds):
        seconds, by = timeout.pool - waited, "pool"
    if deadline is not None and (seconds is None or deadline - now < seconds):
        seconds, by = deadline - now, "total"
    return seconds, by


def has_passed(deadline: float | None) -> bool:
    """Tell whether it is the deadline that has ended a wait."""
    return deadline is not None and clock() >= deadline - CLOCK_SLACK


def total_passed(exchange: Exchange) -> float | None:
    """Give the total timeout's seconds if it is what has ended a wait; else `None`."""
    deadline = exchange.deadline
    return exchange.timeout.total if deadline is not None and clock() >= deadline - TICK else None


def continue_wait_ends(exchange: Exchange) -> float:
    """Tell until when a body waits for 100 Continue."""
    end = clock() + CONTINUE_WAIT
    return end if exchange.deadline is None else min(end, exchange.deadline)
