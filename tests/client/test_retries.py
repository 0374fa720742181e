"""`retries=`: what is tried again, how often, after which pause, and what the caller gets in the end."""

from __future__ import annotations

import io
import signal
import socket
import subprocess
import sys

import pytest
from answers import elsewhere, page
from urllib3.util import Retry

import keeppool
from keeppool import HostConfig, Limits, Timeout
from keeppool.client.request.request import Request
from keeppool.client.retries.retrying import Retrying
from keeppool.client.retries.tries import Tries, reason_of
from keeppool.errors import (
    BodyLengthError,
    CertificateError,
    ChunkedEncodingError,
    ConfigError,
    ConnectError,
    ExchangeError,
    IncompleteBody,
    InvalidURL,
    PoolClosed,
    PoolTimeout,
    ProxyError,
    QueueFull,
    ReadTimeout,
    RefusedError,
    ResolveError,
    RetryError,
    SendError,
    ServerDisconnected,
    StreamConsumedError,
    TotalTimeout,
    UnrewindableBodyError,
)
from keeppool.events import ConnectFailed
from keeppool.testing import Answer, FakeClock, ScriptedServer
from keeppool.urls.address import parse

BUSY = 503
#: An iterable that can be had again. A list would be sent as a form.
PIECES = {b"pie": 1, b"ces": 2}.keys()
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def refusals(count: int, *headers: tuple[str, str], body: bytes = b"busy", status: int = BUSY):
    """Refuse so many times, then show what was received."""
    left = iter(range(count))
    refusal = Answer(status=status, headers=headers, body=body)
    return lambda request: page(request.body) if next(left, None) is None else refusal


def hang_up(connection):
    """Take the request and close without a word."""
    connection.read_request()


def answer(connection):
    connection.read_request()
    connection.send(OK)


class Pauses(list[float]):
    """Stands for `time.sleep`: notes how long it was to wait, and runs what shall happen meanwhile."""

    def __init__(self, *, meanwhile=lambda: None, clock=None) -> None:
        super().__init__()
        self._meanwhile = meanwhile
        self._clock = clock

    def __call__(self, seconds: float) -> None:
        self.append(seconds)
        if self._clock is not None:
            self._clock.advance(seconds)
        self._meanwhile()


@pytest.fixture
def pauses():
    return Pauses()


@pytest.fixture
def dead():
    """The URL of a port at which nobody listens, and which nobody else can get."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{reserved.getsockname()[1]}/"


# The argument


@pytest.mark.parametrize("nothing", [None, 0, False])
def test_no_retries_is_what_none_and_zero_mean(answering, nothing):
    site = answering({"/": refusals(1, ("Retry-After", "0"))})
    with keeppool.Session(retries=nothing) as session:
        assert session.retries is None
        assert session.get(f"{site.url}/", retries=nothing).status_code == BUSY
        assert session.get(f"{site.url}/").status_code == 200
    assert site.requests == 2


@pytest.mark.parametrize(
    ("value", "shown"), [(-1, -1), (1.5, 1.5), (True, True), ("3", "3"), ([1], "<list>"), (object(), "<object>")]
)
def test_what_is_neither_a_number_nor_a_retry_is_refused(session, value, shown):
    for attempt in (
        lambda: keeppool.Session(retries=value),
        lambda: session.get("http://127.0.0.1/", retries=value),
        lambda: setattr(session, "retries", value),
    ):
        with pytest.raises(ConfigError) as caught:
            attempt()
        assert (caught.value.field, caught.value.value) == ("retries", shown)


def test_a_calls_own_retries_win_over_the_sessions(answering):
    site = answering({"/": refusals(99)})
    policy = Retry(2, status_forcelist=[BUSY], raise_on_status=False)
    with keeppool.Session(retries=policy) as session:
        session.get(f"{site.url}/", retries=0)
        assert site.requests == 1
        session.get(f"{site.url}/")
        assert site.requests == 4
        session.retries = None
        session.get(f"{site.url}/", retries=policy)
        assert site.requests == 7


@pytest.mark.parametrize("method", ["get", "options", "head", "post", "put", "patch", "delete"])
def test_every_verb_takes_them(answering, session, method):
    site = answering({"/": refusals(1)})
    policy = Retry(1, status_forcelist=[BUSY], allowed_methods=None)
    assert getattr(session, method)(f"{site.url}/", retries=policy).status_code == 200
    assert session.request(method, f"{site.url}/", retries=policy).status_code == 200
    assert [request.method for request in site.log] == [method.upper()] * 3


def test_the_functions_take_them(answering):
    site = answering({"/": refusals(1, ("Retry-After", "0"))})
    assert keeppool.get(f"{site.url}/", retries=1).status_code == 200


def test_a_program_without_retries_does_not_load_them(site):
    program = f"""
import sys, keeppool
with keeppool.Session() as session:
    session.get({site.url!r})
print("keeppool.client.retries.tries" in sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout == "False\n"


# Errors


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_connection_that_cannot_be_opened_is_tried_as_often_as_was_said(dead, recorder, method):
    with keeppool.Session(retries=3, on_event=recorder) as session, pytest.raises(RefusedError) as caught:
        session.request(method, dead, data=b"x")
    assert len(recorder.of(ConnectFailed)) == 4
    assert caught.value.request.url == dead
    assert caught.value.__cause__ is not None, "the last error itself, with the operating system's"


@pytest.mark.parametrize(
    "body",
    [b"bytes", "text", io.BytesIO(b"file"), PIECES, (piece for piece in [b"unpulled"]), lambda: b"made"],
    ids=["bytes", "text", "file", "pieces", "generator", "factory"],
)
def test_a_post_that_never_left_goes_out_whole_once_the_server_is_there(site, body):
    site.close()
    pauses = Pauses(meanwhile=site.start)
    with keeppool.Session(retries=Retrying(Retry(2, backoff_factor=1), sleep=pauses)) as session:
        seen = session.post(f"{site.url}/echo", data=body).json()
    assert seen["body"] in ("bytes", "text", "file", "pieces", "unpulled", "made")
    assert (site.requests, pauses) == (1, [2.0])


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_an_allowed_method_that_died_unanswered_is_tried_again(method):
    reply = OK[:-2] if method == "HEAD" else OK
    with ScriptedServer(hang_up, lambda c: (c.read_request(), c.send(reply))) as server, keeppool.Session() as session:
        assert session.request(method, server.url, retries=1).status_code == 200
        assert len(server.connections) == 2


def test_a_method_that_is_not_allowed_is_not_tried_again():
    with ScriptedServer(hang_up, answer) as server, keeppool.Session(retries=5) as session:
        with pytest.raises(ServerDisconnected) as caught:
            session.post(server.url, data=b"order")
        assert caught.value.sent > 0
        assert len(server.connections) == 1


def test_a_method_the_caller_allows_is_tried_again():
    policy = Retry(1, allowed_methods=["POST"])
    with ScriptedServer(hang_up, answer) as server, keeppool.Session(retries=policy) as session:
        assert session.post(server.url, data=b"order").status_code == 200
        assert [connection.requests[0].body for connection in server.connections] == [b"order", b"order"]


def test_a_host_whose_requests_must_not_be_repeated_is_left_alone_whatever_the_policy():
    hosts = {"*": HostConfig(idempotent=False)}
    with ScriptedServer(hang_up, answer) as server, keeppool.Session(retries=5, hosts=hosts) as session:
        with pytest.raises(ServerDisconnected):
            session.get(server.url)
        assert len(server.connections) == 1


def test_a_body_that_broke_off_is_tried_again_where_the_whole_was_asked_for():
    half = [lambda c: c.read_request(), OK[:-1]]
    with ScriptedServer(half, answer) as server, keeppool.Session(retries=1) as session:
        assert session.get(server.url).content == b"ok"


def test_a_streamed_body_that_breaks_off_is_the_callers():
    half = [lambda c: c.read_request(), OK[:-1]]
    with ScriptedServer(half, answer) as server, keeppool.Session(retries=1) as session:
        with session.get(server.url, stream=True) as response, pytest.raises(IncompleteBody):
            assert response.content
        assert len(server.connections) == 1


def test_the_last_error_is_the_one_that_is_raised():
    half = [lambda c: c.read_request(), OK[:-1]]
    with (
        ScriptedServer(hang_up, half) as server,
        keeppool.Session(retries=1) as session,
        pytest.raises(ChunkedEncodingError) as caught,
    ):
        session.get(server.url)
    assert caught.value.__cause__ is None
    assert caught.value.origin == server.url


def test_a_full_pool_is_waited_out(site):
    held = []
    pauses = Pauses(meanwhile=lambda: held.pop().close())
    retrying = Retrying(Retry(2, backoff_factor=1), sleep=pauses)
    with keeppool.Session(Limits(per_host=1), timeout=Timeout(pool=0), retries=retrying) as session:
        held.append(session.get(f"{site.url}/bytes/10000000", stream=True))
        assert session.post(site.url, data=b"x").status_code == 200
    assert pauses == [2.0]


def test_a_closed_session_stays_closed(pauses):
    session = keeppool.Session(retries=Retrying(Retry(5, backoff_factor=1), sleep=pauses))
    session.close()
    with pytest.raises(PoolClosed):
        session.get("http://127.0.0.1/")
    assert pauses == []


def test_the_callers_mistake_is_not_repeated(site):
    calls = []

    def body():
        calls.append(1)
        yield 17

    with keeppool.Session(retries=Retry(5, allowed_methods=None)) as session:
        for bad in ({"url": "http://"}, {"url": site.url, "data": body()}, {"url": "http://127.0.0.1:0/"}):
            with pytest.raises(keeppool.errors.InvalidRequest):
                session.post(**bad)
    assert calls == [1]
    assert site.wait_for(lambda: (site.opened, site.open_now) == (1, 0))


def test_a_proxy_that_is_none_is_told_as_without_retries():
    proxy = HostConfig(proxy="ftp://proxy")
    with (
        keeppool.Session(defaults=proxy, retries=5) as session,
        pytest.raises(keeppool.errors.InvalidProxyURL) as caught,
    ):
        session.get("http://127.0.0.1/")
    assert caught.value.request.url == "http://127.0.0.1/"


SENT = {"sent": 100, "retry_safe": True}


@pytest.mark.parametrize(
    ("error", "counted_as"),
    [
        (PoolTimeout("x"), "connect"),
        (QueueFull("x"), "connect"),
        (ConnectError("x"), "connect"),
        (ResolveError("x"), "connect"),
        (RefusedError("x"), "connect"),
        (keeppool.errors.ConnectTimeout("x"), "connect"),
        (CertificateError("x"), "connect"),
        (ProxyError("x"), "connect"),
        (ExchangeError("x", sent=0), "connect"),
        (SendError("x", sent=0), "connect"),
        (SendError("x", **SENT), "read"),
        (ServerDisconnected("x", **SENT), "read"),
        (ReadTimeout("x", **SENT), "read"),
        (keeppool.errors.WriteTimeout("x", **SENT), "read"),
        (keeppool.errors.InvalidHead("x", **SENT), "read"),
        (IncompleteBody("x", **SENT), "read"),
        (keeppool.errors.ContentDecodingError("x", **SENT), None),
        (ReadTimeout("x", sent=100, retry_safe=False), None),
        (PoolClosed("x"), None),
        (TotalTimeout("x", **SENT), None),
        (TotalTimeout("x", sent=0), None),
        (BodyLengthError("x", sent=0), None),
        (InvalidURL("x"), None),
        (ConfigError("x"), None),
        (StreamConsumedError("x"), None),
        (UnrewindableBodyError("x"), None),
    ],
    ids=lambda value: f"{type(value).__name__}-{getattr(value, 'sent', '')}" if isinstance(value, Exception) else value,
)
def test_an_error_counts_by_what_it_says_of_the_server(error, counted_as):
    """Observed through `Retry` itself, which has one count for each kind."""
    reason = reason_of(error, b"GET")
    if counted_as is None:
        assert reason is None
        return
    after = Retry(9, connect=9, read=9, other=9).increment("GET", "/", error=reason)
    assert {name for name in ("connect", "read", "other") if getattr(after, name) == 8} == {counted_as}
    assert (type(reason.__cause__), str(reason.__cause__)) == (type(error), str(error))


# Statuses


def test_a_listed_status_is_tried_again_and_leaves_no_history(answering, session):
    site = answering({"/": refusals(2)})
    response = session.get(f"{site.url}/", retries=Retry(2, status_forcelist=[BUSY]))
    assert (response.status_code, response.history) == (200, [])
    assert (site.requests, site.opened) == (3, 1)


def test_a_status_that_is_not_listed_is_an_answer(answering, session):
    site = answering({"/": refusals(1, status=500)})
    assert session.get(f"{site.url}/", retries=Retry(2, status_forcelist=[BUSY])).status_code == 500


def test_no_tries_left_is_an_error_that_holds_the_last_answer(answering, session):
    site = answering({"/": refusals(99)})
    with pytest.raises(RetryError, match="answered 503: no tries left after 3") as caught:
        session.get(f"{site.url}/", retries=Retry(2, status_forcelist=[BUSY]))
    error = caught.value
    assert (error.tries, error.request.url, site.requests) == (3, f"{site.url}/", 3)
    assert (error.response.status_code, error.response.content) == (BUSY, b"busy")


@pytest.mark.parametrize("size", [10, 10_000_000])
def test_no_tries_left_leaves_no_connection_lent(answering, session, size):
    site = answering({"/": refusals(99, body=b"x" * size)})
    with pytest.raises(RetryError):
        session.get(f"{site.url}/", stream=True, retries=Retry(1, status_forcelist=[BUSY]))
    assert session.stats().busy == 0


def test_the_last_answer_is_the_answer_where_the_caller_wants_no_error(answering, session):
    site = answering({"/": refusals(99)})
    policy = Retry(2, status_forcelist=[BUSY], raise_on_status=False)
    with session.get(f"{site.url}/", stream=True, retries=policy) as response:
        assert (response.status_code, response.content) == (BUSY, b"busy")
    assert site.requests == 3


def test_a_status_is_tried_again_with_allowed_methods_only(answering, session):
    site = answering({"/": refusals(1)})
    assert session.post(f"{site.url}/", retries=Retry(2, status_forcelist=[BUSY])).status_code == BUSY
    assert site.requests == 1


def test_a_refused_answers_cookies_are_not_kept(answering, session):
    """As in requests, whose retries happen below its cookies."""
    site = answering({"/": refusals(1, ("Set-Cookie", "a=1"), ("Retry-After", "0"))})
    assert session.get(f"{site.url}/", retries=1).status_code == 200
    assert not session.cookies
    assert "cookie" not in site.log[1].headers


def test_a_chain_of_redirects_has_tries_for_each_request(answering, session):
    moved = iter([Answer(status=BUSY), elsewhere(302, "/b")])
    site = answering({"/a": lambda _: next(moved), "/b": refusals(1)})
    policy = Retry(1, redirect=0, status_forcelist=[BUSY])
    response = session.get(f"{site.url}/a", retries=policy)
    assert response.status_code == 200
    assert [hop.status_code for hop in response.history] == [302]
    assert [request.path for request in site.log] == ["/a", "/a", "/b", "/b"]


# Bodies


@pytest.mark.parametrize(
    "body",
    [b"bytes", "text", io.BytesIO(b"--file"), PIECES, lambda: iter([b"ma", b"de"])],
    ids=["bytes", "text", "file", "pieces", "factory"],
)
def test_a_body_is_sent_again_from_where_it_stood(answering, session, body):
    site = answering({"/": refusals(1)})
    if isinstance(body, io.BytesIO):
        body.seek(2)
    response = session.put(f"{site.url}/", data=body, retries=Retry(1, status_forcelist=[BUSY]))
    first, second = site.log
    assert response.content == first.body == second.body != b""


def test_a_body_that_cannot_be_had_again_says_so_with_the_answer(answering, session, pauses):
    site = answering({"/": refusals(1)})
    policy = Retrying(Retry(1, status_forcelist=[BUSY]), sleep=pauses)
    with pytest.raises(UnrewindableBodyError) as caught:
        session.put(f"{site.url}/", data=iter([b"once"]), retries=policy)
    assert caught.value.response.status_code == BUSY
    assert caught.value.request.url == f"{site.url}/"
    assert (pauses, session.stats().busy) == ([], 0)


def test_a_body_that_cannot_be_had_again_says_so_with_the_error():
    with ScriptedServer(hang_up, answer) as server, keeppool.Session(retries=1) as session:
        with pytest.raises(UnrewindableBodyError) as caught:
            session.put(server.url, data=iter([b"once"]))
        assert isinstance(caught.value.__cause__, ServerDisconnected)
        assert len(server.connections) == 1


# Pauses


def test_pauses_grow_as_retry_says(answering, session, pauses):
    site = answering({"/": refusals(99)})
    policy = Retry(4, status_forcelist=[BUSY], backoff_factor=0.5, backoff_max=3, raise_on_status=False)
    session.get(f"{site.url}/", retries=Retrying(policy, sleep=pauses))
    assert pauses == [1.0, 2.0, 3]


@pytest.mark.parametrize("status", [413, 429, 503])
def test_a_number_believes_retry_after_and_ends_with_the_answer(answering, session, pauses, status):
    site = answering({"/": refusals(99, ("Retry-After", "7"), status=status)})
    response = session.get(f"{site.url}/", retries=Retrying(2, sleep=pauses))
    assert (response.status_code, pauses) == (status, [7, 7])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("120", [120]),
        ("0", [2.0]),
        ("99999999", [300]),
        ("Fri, 31 Dec 2999 23:59:59 GMT", [300]),
        ("Fri, 31 Dec 1999 23:59:59 GMT", [2.0]),
        ("soon", [2.0]),
        ("-5", [2.0]),
        ("9" * 5000, [2.0]),
        ("Fri, 31 Dec 99999999999 23:59:59 GMT", [2.0]),
    ],
)
def test_retry_after_is_waited_for_where_it_can_be_read(answering, session, pauses, value, expected):
    """What asks for no time, or in no way that can be read, leaves the pause to the backoff."""
    left = iter([Answer(status=BUSY), Answer(status=BUSY, headers=(("Retry-After", value),))])
    site = answering({"/": lambda _: next(left, page(b"ok"))})
    policy = Retry(3, status_forcelist=[BUSY], backoff_factor=1, retry_after_max=300)
    assert session.get(f"{site.url}/", retries=Retrying(policy, sleep=pauses)).status_code == 200
    assert pauses == expected


def test_retry_after_can_be_disregarded(answering, session, pauses):
    site = answering({"/": refusals(1, ("Retry-After", "7"))})
    policy = Retry(1, status_forcelist=[BUSY], respect_retry_after_header=False)
    assert session.get(f"{site.url}/", retries=Retrying(policy, sleep=pauses)).status_code == 200
    assert pauses == []


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("body", [b"", b"small", b"x" * 10_000_000], ids=["none", "small", "large"])
def test_no_connection_is_held_during_a_pause(answering, session, stream, body):
    site = answering({"/": refusals(1, ("Retry-After", "9"), body=body)})
    busy = []
    pauses = Pauses(meanwhile=lambda: busy.append(session.stats().busy))
    with session.get(f"{site.url}/", stream=stream, retries=Retrying(1, sleep=pauses)) as response:
        assert response.content == b""
    assert (pauses, busy) == ([9], [0])


def test_an_interrupted_pause_ends_the_call(answering, session):
    site = answering({"/": refusals(99, ("Retry-After", "9"))})

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        session.get(f"{site.url}/", stream=True, retries=Retrying(5, sleep=Pauses(meanwhile=interrupt)))
    assert (site.requests, session.stats().busy) == (1, 0)


def test_ctrl_c_ends_a_real_pause(answering):
    site = answering({"/": refusals(99, ("Retry-After", "3600"))})
    program = f"import keeppool; keeppool.get('{site.url}/', retries=1)"
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stderr=subprocess.PIPE,
        text=True,
        # Jobs in the background are started with SIGINT ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as child:
        assert site.wait_for(lambda: site.requests == 1, 60)
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=60)
    assert said.rstrip().endswith("KeyboardInterrupt"), said


# The total timeout


def test_a_pause_longer_than_the_total_timeout_is_not_begun(answering, session, pauses):
    site = answering({"/": refusals(99, ("Retry-After", "60"))})
    retrying = Retrying(Retry(5, status_forcelist=[BUSY]), sleep=pauses)
    with pytest.raises(RetryError, match="60 s to wait are more than the total timeout of 30 s leaves") as caught:
        session.get(f"{site.url}/", timeout=Timeout(total=30), retries=retrying)
    assert (caught.value.tries, site.requests, pauses) == (1, 1, [])


@pytest.mark.parametrize("where", ["session", "host"])
def test_a_configured_total_timeout_bounds_the_pauses_too(answering, pauses, where):
    site = answering({"/": refusals(99, ("Retry-After", "60"))})
    limit = Timeout(total=30)
    configured = {"timeout": limit} if where == "session" else {"hosts": {"127.0.0.1": HostConfig(timeout=limit)}}
    with keeppool.Session(**configured, retries=Retrying(5, sleep=pauses)) as session:
        assert session.get(f"{site.url}/").status_code == BUSY
    assert (site.requests, pauses) == (1, [])


def test_an_error_after_which_no_time_is_left_is_raised(dead, pauses):
    retrying = Retrying(Retry(5, backoff_factor=20), sleep=pauses)
    with keeppool.Session(timeout=Timeout(total=30), retries=retrying) as session, pytest.raises(RefusedError):
        session.get(dead)
    assert pauses == []


def test_tries_and_pauses_share_the_total_timeout(answering, session):
    site = answering({"/": refusals(99, ("Retry-After", "4"))})
    clock = FakeClock()
    pauses = Pauses(clock=clock)
    retrying = Retrying(5, sleep=pauses, clock=clock)
    assert session.get(f"{site.url}/", timeout=Timeout(total=10), retries=retrying).status_code == BUSY
    assert (site.requests, pauses) == (3, [4, 4])


def test_the_next_try_gets_what_is_left_of_the_total_timeout():
    clock = FakeClock()
    tries = Tries(Retrying(5, clock=clock), Request(b"GET", parse("http://a/"), keeppool.Session().headers.block()))
    clock.advance(4)
    assert tries.left_of(10) == 6
    clock.advance(100)
    assert 0 < tries.left_of(10) < 0.1


class NotingPool(keeppool.PoolManager):
    """Notes the total timeout of each exchange."""

    def exchange(self, method, url, fields, body=None, timeout=None, *more, **options):
        self.__dict__.setdefault("totals", []).append(timeout and timeout.total)
        return super().exchange(method, url, fields, body, timeout, *more, **options)


def test_a_redirect_after_a_retry_gets_what_both_have_left(answering):
    slow = iter([Answer(status=BUSY, headers=(("Retry-After", "0"),), delay_s=0.1), elsewhere(302, "/b")])
    site = answering({"/a": lambda _: next(slow), "/b": page(b"ok")})
    with keeppool.Session(retries=1) as session, NotingPool() as session.pool:
        session.get(f"{site.url}/a", timeout=Timeout(total=60))
        first, second, third = session.pool.totals
    assert first == 60
    assert third < second <= 59.9


def test_a_try_that_used_up_the_total_timeout_is_the_last(answering, session, pauses):
    site = answering({"/": Answer(delay_s=30)})
    with pytest.raises(TotalTimeout):
        session.get(f"{site.url}/", timeout=Timeout(total=0.05), retries=Retrying(5, sleep=pauses))
    assert pauses == []


# Beside requests


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
@pytest.mark.parametrize("policy", [{"total": 0}, {"total": 2}, {"total": 5, "status": 1}, {"total": False}])
@pytest.mark.parametrize("more", [{}, {"raise_on_status": False}, {"allowed_methods": None}], ids=str)
@pytest.mark.parametrize("refused", [1, 2, 9])
@pytest.mark.parametrize("status", [BUSY, 500])
def test_requests_tries_as_often_and_ends_the_same(answering, method, policy, more, refused, status):
    requests = pytest.importorskip("requests")
    retry = Retry(**policy, **more, status_forcelist=[BUSY])
    ends = []
    with requests.Session() as theirs, keeppool.Session(retries=retry) as ours:
        theirs.trust_env = False
        theirs.mount("http://", requests.adapters.HTTPAdapter(max_retries=retry))
        for session in (theirs, ours):
            site = answering({"/": refusals(refused, status=status)})
            try:
                end = session.request(method, f"{site.url}/", data=b"x").status_code
            except (requests.RequestException, keeppool.errors.KeepPoolError) as error:
                end = type(error).__name__
            ends.append((end, site.requests))
    assert ends[0] == ends[1]
