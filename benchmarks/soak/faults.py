"""Which ends of a request its plan explains: from fault, host and manner to what may come of it.

Decides: whether an outcome is a fault of the client's, and whether an error lies about what was sent.
Knows: the faults' meaning for a client that keeps the promises of docs/safety.md.
Does not know: what the server has seen (`ledger.py` adds that).

An outcome is "right", "left" (given up unread), "cancelled", a status such as "413", or the name of an error's class.
"""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.soak.plan import RIDDEN, Plan
from keeppool.errors import ConnectError, ExchangeError, KeepPoolError, PoolError

Outcomes = frozenset[str]
RIGHT: Outcomes = frozenset({"right"})
#: The connection ended before a byte of the response.
LOST: Outcomes = frozenset({"ServerDisconnected", "SendError", "ReadError"})
#: Any outcome at all, as long as there is one.
ANY: Outcomes = frozenset({"any"})

#: What may come of a fault that a caller waits out. A request that is sent again meets the fault again or does not.
OF_FAULT: Mapping[str, Outcomes] = {
    "": RIGHT,
    "closes unread": LOST | RIGHT,
    "resets unread": LOST | RIGHT,
    "executes, closes": LOST | RIGHT,
    "executes, resets": LOST | RIGHT,
    "cut, closes": LOST | RIGHT | {"TruncatedHead", "IncompleteBody"},
    "cut, resets": LOST | RIGHT | {"TruncatedHead", "IncompleteBody"},
    "cut, silent": frozenset({"ReadTimeout"}),
    "silent": frozenset({"ReadTimeout"}),
    "drips": RIGHT,
    "in two": RIGHT,
    "flips a byte": ANY,
    "no http": frozenset({"InvalidHead"}),
    "interim": RIGHT,
    "interim, closes": frozenset({"ServerDisconnected", "TruncatedHead", "ReadError"}),
    "bad chunk": frozenset({"InvalidChunk"}),
    "too short": frozenset({"IncompleteBody"}),
    "too long": RIGHT,
    "second response": RIGHT,
    "two framings": RIGHT,
    "damaged gzip": frozenset({"ContentDecodingError"}),
    "endless head": frozenset({"HeadTooLarge"}),
    "says close": RIGHT,
    "last of max": RIGHT,
    "closes behind": RIGHT,
    "closes idle": RIGHT,
    "resets idle": RIGHT,
    "408 when idle": RIGHT,
    "half-closes": RIGHT,
    "refuses upload": frozenset({"413"}),
}
#: What every request to a host may meet beside its own fault.
OF_HOST: Mapping[str, Outcomes] = {"abrupt": LOST | {"ConnectError"}}
#: What every request to a host does meet.
ONLY_AT_HOST: Mapping[str, Outcomes] = {
    "refused": frozenset({"RefusedError"}),
    "no-tls": frozenset({"SSLError"}),
    "no-tunnel": frozenset({"ProxyError"}),
}
#: Faults that no response's head comes with.
WITHOUT_A_HEAD = frozenset({"silent", "no http", "interim, closes", "endless head"})
#: A total timeout may strike anywhere: in the queue, while dialling, and after that.
TOO_LATE: Outcomes = frozenset({"PoolTimeout", "ConnectTimeout", "TotalTimeout"})


def is_explained(plan: Plan, outcome: str, *, is_cancelled: bool) -> bool:
    """Tell whether the plan alone explains the outcome.

    Args:
        plan: Of the request.
        outcome: What came of it.
        is_cancelled: Its caller cancels it, or tries to.
    """
    host, manner, fault = plan.host, plan.manner, plan.fault
    outcomes = ONLY_AT_HOST.get(host) or OF_FAULT[fault]
    if outcome in outcomes or outcomes is ANY or outcome in OF_HOST.get(host, ()):
        return True
    if outcome == "TruncatedHead":
        # 100 Continue has come, and is the beginning of a response.
        return plan.upload == "expecting" and not outcomes.isdisjoint(LOST)
    if outcome == "left":
        # What is not read to its end does not show a fault there.
        return manner in ("leave", "drop") and fault not in WITHOUT_A_HEAD and host not in ONLY_AT_HOST
    if is_cancelled:
        return outcome == "cancelled"
    return outcome in TOO_LATE and manner in ("total", "cancel")


def is_lost(plan: Plan, outcome: str) -> bool:
    """Tell whether the outcome is that of a request that crossed its connection's end, and cannot be repeated."""
    if outcome == "408":
        return plan.upload == "generator"  # Else it counts as a close, and the request goes again.
    return outcome in LOST and not (plan.is_repeatable and plan.upload != "generator")


def is_behind_surplus(plan: Plan, outcome: str) -> bool:
    """Tell whether the outcome is that of a request that had ridden behind a response with bytes too many.

    They are where its own response would begin, and nobody can tell that they do not.
    """
    return outcome == "InvalidHead" and plan.host in RIDDEN and plan.method == "GET"


def lie(plan: Plan, error: KeepPoolError) -> str:
    """Say what is wrong with an error's own facts; empty if nothing is."""
    if isinstance(error, (PoolError, ConnectError)):
        return ""
    if not isinstance(error, ExchangeError):
        return f"{type(error).__name__} is no error that a request ends with"
    if error.retry_safe and error.sent and not plan.is_repeatable:
        return f"retry_safe, though {error.sent} bytes of a {plan.method} were sent"
    if not error.retry_safe and not error.sent:
        return "not retry_safe, though nothing was sent"
    return ""


def was_sent(error: BaseException) -> bool:
    """Tell whether the server may have seen the request, by the error's own word."""
    if isinstance(error, (PoolError, ConnectError)):
        return False
    return not isinstance(error, ExchangeError) or bool(error.sent)


def wrong(plan: Plan, status: int, identity: str | None, body: bytes, *, is_part: bool = False) -> str:
    """Say what is not this request's in a response; empty if nothing is.

    Args:
        plan: Of the request.
        status: The response's.
        identity: Its field X-Id.
        body: What was read of it.
        is_part: There may be more.
    """
    if status == 408 and identity is None:
        return ""  # The late word of a server that knows of no request.
    if identity != str(plan.number):
        return f"status {status}, X-Id {identity}"
    expected = b"" if plan.method == "HEAD" or status != 200 else plan.body
    if body != (expected[: len(body)] if is_part else expected):
        return f"status {status}, a body of {len(body)} bytes: {body[:60]!r}"
    return ""
