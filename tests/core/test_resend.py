"""When a failed request goes out once more by itself: the table of cases, times methods, times kinds of body."""

from __future__ import annotations

import pytest

from keeppool.core.resend import IDEMPOTENT, SAT_IDLE, Outcome, is_idempotent, may_resend

#: A reused connection, the whole request accepted by the kernel, closed before a byte of the answer.
STALE = Outcome(
    resent=False,
    reused=True,
    idle=5.0,
    closed=True,
    received=0,
    sent=300,
    replayable=True,
    method=b"GET",
    idempotent=None,
)
UNSENT = STALE._replace(sent=0)

SAFE = [b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"QUERY"]
METHODS = [*SAFE, b"PUT", b"DELETE", b"POST", b"PATCH", b"CONNECT", b"PROPFIND", b"get", b""]
#: Kinds of body, and whether each can be produced again.
BODIES = {
    "none": True,
    "bytes": True,
    "seekable-file": True,
    "factory": True,
    "iterator-unpulled": True,
    "iterator-pulled": False,
    "pipe-read": False,
}


def resent_bodies(outcome: Outcome) -> set[str]:
    """Try every kind of body."""
    return {kind for kind, replayable in BODIES.items() if may_resend(outcome._replace(replayable=replayable))}


REPLAYABLE = {kind for kind, replayable in BODIES.items() if replayable}


@pytest.mark.parametrize("method", METHODS, ids=bytes.decode)
class TestTable:
    """Rows that hold for every method, or say for which."""

    def test_9112_9_3_1_nothing_was_accepted_so_any_method_goes_again(self, method: bytes) -> None:
        assert resent_bodies(UNSENT._replace(method=method)) == REPLAYABLE

    def test_9110_9_2_2_all_was_sent_so_only_idempotent_methods_go_again(self, method: bytes) -> None:
        expected = REPLAYABLE if method in {*SAFE, b"PUT", b"DELETE"} else set()
        assert resent_bodies(STALE._replace(method=method)) == expected

    def test_9110_9_2_2_the_caller_vouches_for_it(self, method: bytes) -> None:
        assert resent_bodies(STALE._replace(method=method, idempotent=True)) == REPLAYABLE

    def test_9110_9_2_2_the_caller_warns_of_it(self, method: bytes) -> None:
        assert resent_bodies(STALE._replace(method=method, idempotent=False)) == set()


@pytest.mark.parametrize("method", METHODS, ids=bytes.decode)
@pytest.mark.parametrize(
    "facts",
    [
        pytest.param({"resent": True}, id="9110-9.2.2-once-only"),
        pytest.param({"received": 1}, id="9112-9.3.1-one-byte-of-a-status-line"),
        pytest.param({"received": 25}, id="9112-9.3.1-100-continue"),
        pytest.param({"closed": False}, id="9112-9.3.1-read-timeout"),
        pytest.param({"reused": False, "idle": 0.0}, id="9112-9.3.1-fresh-connection"),
        pytest.param({"reused": False, "idle": SAT_IDLE / 2}, id="9112-9.3.1-hardly-idle"),
    ],
)
def test_never_again_though_unsent_and_vouched_for(method: bytes, facts: dict[str, float]) -> None:
    for sent in (0, 300):
        outcome = STALE._replace(method=method, idempotent=True, sent=sent, **facts)
        assert not may_resend(outcome)


@pytest.mark.parametrize(
    ("outcome", "again"),
    [
        pytest.param(UNSENT, True, id="9112-9.3.1-unsent-get"),
        pytest.param(UNSENT._replace(method=b"POST"), True, id="9112-9.3.1-unsent-post"),
        pytest.param(UNSENT._replace(method=b"POST", replayable=False), False, id="9112-9.3.1-unsent-post-pulled"),
        pytest.param(UNSENT._replace(method=b"POST", idempotent=False), True, id="9112-9.3.1-unsent-proves-it"),
        pytest.param(STALE, True, id="9112-9.3.1-sent-get"),
        pytest.param(STALE._replace(sent=1), True, id="9112-9.3.1-partly-sent-get"),
        pytest.param(STALE._replace(sent=1, method=b"POST"), False, id="9112-9.3.1-partly-sent-post"),
        pytest.param(STALE._replace(method=b"PUT"), True, id="9110-9.2.2-sent-put"),
        pytest.param(STALE._replace(method=b"DELETE"), True, id="9110-9.2.2-sent-delete"),
        pytest.param(STALE._replace(method=b"POST"), False, id="9110-9.2.2-sent-post"),
        pytest.param(STALE._replace(method=b"POST", idempotent=True), True, id="9110-9.2.2-idempotency-key"),
        pytest.param(STALE._replace(reused=False, idle=SAT_IDLE), True, id="9112-9.3.1-never-used-but-idle"),
        pytest.param(STALE._replace(reused=True, idle=0.0), True, id="9112-9.3.1-reused-at-once"),
    ],
)
def test_case(outcome: Outcome, again: bool) -> None:
    assert may_resend(outcome) is again


@pytest.mark.parametrize("method", [b"GET", b"PUT"])
def test_9110_15_5_9_a_whole_408_on_a_reused_connection_counts_as_closed(method: bytes) -> None:
    assert may_resend(STALE._replace(method=method, closed=True, received=0))


def test_methods_are_told_apart_by_case() -> None:
    """RFC 9110 §9.1: `get` is a method of its own, about which nothing is known."""
    assert not is_idempotent(b"get", None)


def test_the_idempotent_methods_are_those_of_the_rfcs() -> None:
    assert {*SAFE, b"PUT", b"DELETE"} == IDEMPOTENT
