"""How long a connection may live and sit idle.

Decides: when a connection expires, and for which reason: our own limits, the server's hints, and what its silent
closes have taught (`habits.py`); the earliest wins.
Does not know: the pool's tables, clocks.
"""

from __future__ import annotations

from keeppool.core.keepalive import idle_limit
from keeppool.core.records import NEVER, Connection
from keeppool.reasons import Why

# Looked up at the end of every request; as a member of its class it would cost three times as much (Python 3.11).
_IDLE_TIMEOUT = Why.IDLE_TIMEOUT


def settle(connection: Connection, now: float, learned: float | None) -> Why | None:
    """Set when a connection that has just done its work expires; the reason if it may not be used any more.

    Args:
        connection: With `read_at`, hints and `served` up to date.
        now: The time.
        learned: Seconds after which this origin's server closes silently, if known.
    """
    policy = connection.host.policy
    if connection.uses_left == 0:
        return Why.HINT_MAX
    if policy.max_requests is not None and connection.served >= policy.max_requests:
        return Why.MAX_REQUESTS
    limit, why = policy.idle_timeout, _IDLE_TIMEOUT
    hint = connection.hint.timeout
    if hint is not None:
        believed = idle_limit(hint, limit)
        if believed != limit:
            limit, why = believed, Why.HINT_TIMEOUT
    if learned is not None and (limit is None or learned < limit):
        limit, why = learned, Why.LEARNED_TIMEOUT
    expires_at = NEVER if limit is None else connection.read_at + limit
    if policy.max_age is not None and connection.born_at + policy.max_age < expires_at:
        expires_at, why = connection.born_at + policy.max_age, Why.MAX_AGE
    connection.expires_at, connection.expires_by = expires_at, why
    return None if now < expires_at else why
