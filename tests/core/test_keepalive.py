"""What servers say about keeping connections: the grammar, the margin, and both ways of counting requests."""

from __future__ import annotations

import pytest
from desk import A, Desk
from hypothesis import given, settings
from hypothesis import strategies as st

from keeppool.core.keepalive import (
    LONGEST_VALUE,
    MARGIN,
    MARGIN_SHARE,
    NO_HINT,
    Hint,
    connection_options,
    idle_limit,
    parse_keep_alive,
    uses_left,
    why_not_persistent,
    with_proxys_close,
)
from keeppool.core.records import State
from keeppool.events import Why

# The field's grammar


@pytest.mark.parametrize(
    ("value", "timeout", "most"),
    [
        # As real servers write it: httpd, Node, nginx, IIS.
        (b"timeout=5, max=100", 5, 100),
        (b"timeout=5", 5, None),
        (b"timeout=60", 60, None),
        (b"timeout=15,max=98", 15, 98),
        # Case, white space, order, zero, leading zeros.
        (b"TimeOut=5, MAX=3", 5, 3),
        (b" \ttimeout \t=\t 5 \t,\tmax = 3 ", 5, 3),
        (b"max=3, timeout=5", 5, 3),
        (b"max=0, timeout=0", 0, 0),
        (b"timeout=0005", 5, None),
        # Quoted strings (RFC 9110 section 5.6.4); a comma inside separates nothing.
        (b'timeout="5", max="7"', 5, 7),
        (b'x="a, timeout=1", timeout=9', 9, None),
        (b'x="a\\", timeout=1", timeout=9', 9, None),
        (b'timeout=""', None, None),
        (b'timeout="5 "', None, None),
        # Lists (RFC 9110 section 5.6.1): empty elements, several lines joined, repeated parameters.
        (b",, ,timeout=5,,", 5, None),
        (b"timeout=5, timeout=3, timeout=8", 3, None),
        (b"max=9, timeout=4, max=2", 4, 2),
        # Extensions and rubbish spoil nothing else.
        (b"timeout=5, foo, bar=baz, qux=1, max=2", 5, 2),
        (b"5, timeout=4", 4, None),
        (b"timeout, max=2", None, 2),
        (b"timeout=, max=2", None, 2),
        (b"=5, max=2", None, 2),
        (b"timeout=x, max=2", None, 2),
        (b"mytimeout=1, timeout=7, timeouts=2", 7, None),
        # Not 1 to 9 digits: no number at all, rather than a guess.
        (b"timeout=-1", None, None),
        (b"timeout=+5", None, None),
        (b"timeout=5.5", None, None),
        (b"timeout=2s", 2, None),
        (b'timeout="2s", max=3', 2, 3),
        (b"timeout=2 S", None, None),
        (b"timeout=2sec", 2, None),
        (b"timeout=30seconds", 30, None),
        (b"timeout=2000ms", None, None),
        (b"timeout=2m", None, None),
        (b"timeout=0x5", None, None),
        (b"timeout=5 max=2", None, None),
        (b"timeout=999999999", 999_999_999, None),
        (b"timeout=1000000000, max=2", None, 2),
        ("timeout=\N{FULLWIDTH DIGIT FIVE}".encode(), None, None),
        ("timeout=\N{SUPERSCRIPT TWO}".encode("latin-1"), None, None),
        # A quotation mark without its partner is an ordinary character.
        (b'x="a, timeout=5', 5, None),
        (b'"', None, None),
        (b"", None, None),
    ],
)
def test_a_keep_alive_value_means(value: bytes, timeout: int | None, most: int | None) -> None:
    assert parse_keep_alive(value) == Hint(timeout, most)


def test_a_value_that_says_nothing_is_no_hint() -> None:
    assert parse_keep_alive(b"rubbish, foo=5") is NO_HINT


def test_what_stands_behind_the_bound_is_not_looked_at() -> None:
    assert parse_keep_alive(b"max=3," + b"x" * LONGEST_VALUE + b",timeout=5") == Hint(None, 3)


@pytest.mark.parametrize("unit", [b'"', b'\\"', b'"\\', b'",', b"=", b"a=1,", b" ", b"timeout=", b'"a"'])
def test_a_hostile_value_of_a_megabyte_is_read_in_steps_the_bound_allows(unit: bytes) -> None:
    """Nothing here grows with the value, or worse than with the square of the bound: the test would not end."""
    for number in range(50):
        parse_keep_alive(b"%d" % number + unit * (1_000_000 // len(unit)))


@given(st.binary(max_size=80))
@settings(derandomize=True, deadline=None, database=None)
def test_no_value_is_an_error_and_none_hides_a_parameter_before_it(value: bytes) -> None:
    hint = parse_keep_alive(b"timeout=5," + value)
    assert hint.timeout is not None
    assert 0 <= hint.timeout <= 5


# The Connection field


@pytest.mark.parametrize(
    ("value", "options"),
    [
        (b"close", {b"close"}),
        (b"Keep-Alive", {b"keep-alive"}),
        (b" keep-alive ,\tUpgrade", {b"keep-alive", b"upgrade"}),
        (b",,close,", {b"close"}),
        (b"closed, not-close", {b"closed", b"not-close"}),
        (b"", set()),
    ],
)
def test_connection_options_are_split_and_lowered(value: bytes, options: set[bytes]) -> None:
    assert connection_options(value) == options


@pytest.mark.parametrize(
    ("version", "connection", "why"),
    [
        pytest.param(11, None, None, id="9112-9.3-http11-persists"),
        pytest.param(11, b"keep-alive", None, id="9112-9.3-http11-keep-alive"),
        pytest.param(11, b"close", Why.SERVER_CLOSE, id="9112-9.3-close"),
        pytest.param(11, b"Close", Why.SERVER_CLOSE, id="9110-7.6.1-case"),
        pytest.param(11, b"keep-alive, close", Why.SERVER_CLOSE, id="9112-9.3-close-wins"),
        pytest.param(11, b"upgrade", None, id="9112-9.3-other-option"),
        pytest.param(11, b"closed", None, id="9110-7.6.1-whole-option"),
        pytest.param(10, None, Why.SERVER_CLOSE, id="9112-9.3-http10-closes"),
        pytest.param(10, b"keep-alive", None, id="9112-9.3-http10-keep-alive"),
        pytest.param(10, b"Keep-Alive, close", Why.SERVER_CLOSE, id="9112-9.3-http10-close-wins"),
        pytest.param(10, b"upgrade", Why.SERVER_CLOSE, id="9112-9.3-http10-other-option"),
    ],
)
def test_persistence(version: int, connection: bytes | None, why: Why | None) -> None:
    assert why_not_persistent(version, connection) is why


# How long it may lie idle


@pytest.mark.parametrize(
    ("hint", "own", "limit"),
    [
        (None, 55.0, 55.0),
        (None, None, None),
        (0, None, 0.0),
        (1, None, 0.75),
        (2, None, 1.5),
        (5, None, 4.0),
        (5, 55.0, 4.0),
        (5, 3.0, 3.0),
        (5, 0, 0),
        (600, 55.0, 55.0),
        (600, None, 599.0),
        (5, float("inf"), 4.0),
    ],
)
def test_the_smaller_of_our_limit_and_the_servers_less_a_margin_holds(
    hint: int | None, own: float | None, limit: float | None
) -> None:
    assert idle_limit(hint, own) == limit


@given(st.integers(0, 10**9))
@settings(derandomize=True, deadline=None, database=None)
def test_a_server_is_never_believed_to_the_second_nor_disbelieved_by_more_than_the_margin(hint: int) -> None:
    limit = idle_limit(hint, None)
    assert limit is not None
    assert hint - MARGIN <= limit <= hint
    assert limit >= hint * (1 - MARGIN_SHARE)
    assert limit < hint or hint == 0


# How many requests it may carry


def carried(limit: int, *, counts_down: bool, silent: frozenset[int] = frozenset()) -> int:
    """Count the requests the pool sends on one connection to a server that takes `limit` and then hangs up unasked.

    Its n-th answer has `max`, unless n is in `silent`: what is left (httpd), or the whole (Node).
    """
    desk = Desk()
    connection = desk.open(A)
    for number in range(1, limit + 2):
        most = limit - number if counts_down else limit
        desk.release(connection, hint=NO_HINT if number in silent else Hint(timeout=5, max=max(0, most)))
        if connection.state is State.CLOSED:
            return number
        assert desk.ask(A) is connection
    return limit + 1


@pytest.mark.parametrize("limit", [1, 3, 4, 5, 20, 100])
@pytest.mark.parametrize("counts_down", [True, False], ids=["httpd", "node"])
def test_a_connection_carries_as_many_requests_as_its_server_takes(limit: int, counts_down: bool) -> None:
    assert carried(limit, counts_down=counts_down) == limit


def test_a_first_max_of_one_may_be_the_whole_so_nothing_more_is_sent() -> None:
    """Httpd at `MaxKeepAliveRequests 2` says 1, as Node does at 1: the only case where one request fewer goes out."""
    assert carried(2, counts_down=True) == 1
    assert carried(2, counts_down=False) == 2


@given(st.integers(1, 30), st.booleans(), st.frozensets(st.integers(2, 30)))
@settings(derandomize=True, deadline=None, database=None)
def test_never_one_request_too_many_though_the_server_is_silent_now_and_then(
    limit: int, counts_down: bool, silent: frozenset[int]
) -> None:
    assert 1 <= carried(limit, counts_down=counts_down, silent=silent) <= limit


def test_a_max_first_said_late_counts_what_was_carried_before() -> None:
    assert carried(10, counts_down=False, silent=frozenset(range(1, 6))) == 10
    assert uses_left(6, 10, None, None) == 4


def test_a_server_that_never_says_max_is_not_counted() -> None:
    assert uses_left(1000, None, None, None) is None


def test_an_announced_timeout_holds_though_a_later_answer_does_not_repeat_it() -> None:
    for later in (NO_HINT, Hint(max=50), parse_keep_alive(b"rubbish")):
        desk = Desk()
        connection = desk.visit(A, 0, hint=Hint(timeout=5, max=100))
        desk.visit(A, 1, hint=later)
        assert connection.expires_at == 5


def test_the_latest_timeout_replaces_the_one_before() -> None:
    desk = Desk()
    connection = desk.visit(A, 0, hint=Hint(timeout=5))
    desk.visit(A, 1, hint=Hint(timeout=10))
    assert connection.expires_at == 10


@pytest.mark.parametrize(
    ("connection", "of_proxy", "together"),
    [
        (None, b"close", b"close"),
        (None, b"Foo, CLOSE", b"close"),
        (b"keep-alive", b"close", b"keep-alive, close"),
        (b"close", b"keep-alive", b"close"),
        (None, b"keep-alive", None),
        (None, b"", None),
    ],
)
def test_only_the_close_of_a_proxy_connection_field_counts(connection, of_proxy, together):
    assert with_proxys_close(connection, of_proxy) == together
