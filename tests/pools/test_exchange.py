"""What a caller gets when servers answer, misbehave, or die at a chosen point."""

import sys
import threading

import pytest

from keeppool import HostConfig, Limits, PoolManager, Session, Timeout, errors
from keeppool.core.keepalive import why_not_persistent
from keeppool.events import ConnectionClosed, ConnectionOpened, RequestResent, Why
from keeppool.pools import exchange
from keeppool.testing import Behaviour, RawConnection, ScriptedServer

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def answer_once_then(*rest):
    """A connection that answers one request well, then does the rest at the second one."""
    return [RawConnection.read_request, OK, RawConnection.read_request, *rest]


SERVE = [RawConnection.read_request, OK, RawConnection.read_request, OK, RawConnection.read_until_closed]


@pytest.fixture
def pool(recorder):
    with PoolManager(timeout=5, on_event=recorder) as pool:
        yield pool


def is_settled(pool):
    stats = pool.stats()
    return stats.busy == stats.connecting == stats.waiting == 0 and stats.opened == stats.open + stats.closed


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", errors.InvalidHead),
        (b"HTTP/2 200\r\n\r\n", errors.InvalidHead),
        (b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n", errors.InvalidHead),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 270000 + b"\r\n\r\n", errors.HeadTooLarge),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 3000 + b"\r\n", errors.HeadTooLarge),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", errors.InvalidLength),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", errors.InvalidLength),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n", errors.InvalidChunk),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", errors.IncompleteBody),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", errors.IncompleteBody),
        (b"HTTP/1.1 200 OK\r\nContent-Le", errors.TruncatedHead),
        (b"", errors.ServerDisconnected),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nzzzz", errors.ContentDecodingError),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 12000, errors.HeadTooLarge),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_lying_server_gets_its_own_error_and_the_pool_stays_usable(pool, answer, kind, stream):
    with ScriptedServer([RawConnection.read_request, answer], SERVE) as server:
        with pytest.raises(kind) as raised, pool.request("GET", server.url, stream=stream) as response:
            response.read()
        error = raised.value
        assert error.origin == server.url
        assert error.sent > 0
        assert error.received == len(answer) or kind is errors.HeadTooLarge
        assert is_settled(pool)
        assert pool.request("GET", server.url).data == b"ok"


def test_interim_answers_are_skipped(pool):
    with ScriptedServer([RawConnection.read_request, b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK]) as server:
        assert pool.request("GET", server.url).data == b"ok"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("end", [RawConnection.close, RawConnection.reset])
def test_an_idempotent_request_survives_a_reused_connection_that_dies_unanswered(pool, recorder, method, end):
    with ScriptedServer(answer_once_then(end), [RawConnection.read_request, OK]) as server:
        pool.request("GET", server.url)
        assert pool.request(method, server.url).status == 200
        assert len(server.connections) == 2
    assert len(recorder.of(RequestResent)) == 1
    assert pool.stats().resent == 1


@pytest.mark.parametrize("end", [RawConnection.close, RawConnection.reset])
def test_a_post_that_died_unanswered_is_not_sent_again(pool, end):
    with ScriptedServer(answer_once_then(end), SERVE) as server:
        pool.request("GET", server.url)
        with pytest.raises(errors.ServerDisconnected) as raised:
            pool.request("POST", server.url, body=b"pay 100")
        assert not raised.value.retry_safe
        assert raised.value.sent > 0
        assert len(server.connections) == 1
    assert is_settled(pool)


@pytest.mark.parametrize("end", [RawConnection.close, RawConnection.reset])
def test_the_close_that_met_a_post_on_its_way_is_the_servers(pool, recorder, end):
    """The same silent close as if the request could have been sent again: it is named, and learned from."""
    with ScriptedServer(answer_once_then(end), SERVE) as server:
        pool.request("GET", server.url)
        with pytest.raises(errors.ServerDisconnected):
            pool.request("POST", server.url, body=b"pay 100")
        assert [event.why for event in recorder.of(ConnectionClosed)] == [Why.PEER_CLOSED]
        assert pool.stats().closed_by[Why.PEER_CLOSED] == 1


def test_so_is_the_one_that_met_a_large_post_half_sent(pool):
    dying = [RawConnection.read_request, OK, lambda connection: connection.read_exactly(1), RawConnection.reset]
    with ScriptedServer(dying, SERVE) as server:
        pool.request("GET", server.url)
        with pytest.raises(errors.ExchangeError):
            pool.request("POST", server.url, body=bytes(30_000_000))
        assert pool.stats().closed_by[Why.PEER_CLOSED] == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_new_connection_that_dies_unanswered_was_not_idle(pool, method):
    with ScriptedServer([RawConnection.read_request, RawConnection.reset]) as server:
        with pytest.raises(errors.ServerDisconnected):
            pool.request(method, server.url)
        assert pool.stats().closed_by[Why.EXCHANGE_FAILED] == 1


def test_a_close_long_after_the_request_was_not_for_the_silence_before_it(pool, monkeypatch):
    """A server that worked at the request and died of it."""
    monkeypatch.setattr(exchange, "LATE_CLOSE", -1.0)
    with ScriptedServer(answer_once_then(RawConnection.close), SERVE) as server:
        pool.request("GET", server.url)
        with pytest.raises(errors.ServerDisconnected):
            pool.request("POST", server.url, body=b"pay 100")
        assert pool.stats().closed_by[Why.EXCHANGE_FAILED] == 1


@pytest.mark.parametrize("rest", [(b"H", RawConnection.close), (b"HTTP/2 200\r\n\r\n",)], ids=["half", "no HTTP"])
def test_an_answer_that_had_begun_is_no_silent_close(pool, rest):
    with ScriptedServer(answer_once_then(*rest), SERVE) as server:
        pool.request("GET", server.url)
        with pytest.raises(errors.ExchangeError):
            pool.request("POST", server.url, body=b"pay 100")
        assert pool.stats().closed_by[Why.EXCHANGE_FAILED] == 1


def test_a_post_with_an_idempotency_key_is_sent_again(pool):
    with ScriptedServer(answer_once_then(RawConnection.close), [RawConnection.read_request, OK]) as server:
        pool.request("GET", server.url)
        answer = pool.request("POST", server.url, body=b"pay 100", headers={"Idempotency-Key": "1"})
        assert answer.status == 200
        assert server.requests[-1].body == b"pay 100"


def test_a_request_on_a_fresh_connection_is_not_sent_again(pool):
    with ScriptedServer([RawConnection.read_request, RawConnection.close]) as server:
        with pytest.raises(errors.ServerDisconnected) as raised:
            pool.request("GET", server.url)
        assert raised.value.retry_safe
        assert len(server.connections) == 1


def test_a_request_is_resent_once_and_no_more(pool):
    with ScriptedServer(answer_once_then(RawConnection.close), [RawConnection.read_request]) as server:
        pool.request("GET", server.url)
        with pytest.raises(errors.ServerDisconnected):
            pool.request("GET", server.url)
        assert len(server.connections) == 2


def test_one_byte_of_an_answer_forbids_to_resend(pool):
    with ScriptedServer(answer_once_then(b"H", RawConnection.reset), SERVE) as server:
        pool.request("GET", server.url)
        with pytest.raises((errors.ReadError, errors.TruncatedHead)):
            pool.request("GET", server.url)
        assert len(server.connections) == 1


def test_a_generator_already_pulled_forbids_to_resend(pool):
    with ScriptedServer(answer_once_then(RawConnection.close), SERVE) as server:
        pool.request("GET", server.url)
        with pytest.raises(errors.ExchangeError):
            pool.request("PUT", server.url, body=iter([b"a", b"b"]))
        assert len(server.connections) == 1


def test_a_408_on_a_reused_connection_counts_as_closed(pool):
    late = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    with ScriptedServer(answer_once_then(late), [RawConnection.read_request, OK]) as server:
        pool.request("GET", server.url)
        assert pool.request("GET", server.url).status == 200


def test_nothing_of_a_long_connection_field_is_remembered_however_its_response_is_looked_at(pool):
    """A server may write a new one of 256 KiB each time, with an option for every two bytes."""
    late = b"HTTP/1.1 408 Late\r\nContent-Length: 0\r\nConnection: " + b"a," * 60000 + b"close\r\n\r\n"
    with ScriptedServer(answer_once_then(late), [RawConnection.read_request, late]) as server:
        pool.request("GET", server.url)
        why_not_persistent.cache_clear()
        assert pool.request("GET", server.url).status == 408  # It was sent again, and refused again.
        assert len(server.connections) == 2
    assert why_not_persistent.cache_info().currsize == 0


def test_a_408_on_a_fresh_connection_is_the_answer(pool):
    late = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    with ScriptedServer([RawConnection.read_request, late]) as server:
        assert pool.request("GET", server.url).status == 408
        assert pool.stats().closed_by[Why.SERVER_CLOSE] == 1


@pytest.mark.parametrize("extra", [OK, b"\r\n", b"x"])
def test_bytes_behind_an_answer_are_never_an_answer(pool, extra):
    with ScriptedServer([RawConnection.read_request, OK + extra, RawConnection.read_until_closed], SERVE) as server:
        assert pool.request("GET", server.url + "/1").data == b"ok"
        assert pool.request("GET", server.url + "/2").data == b"ok"
        assert [request.target for request in server.requests] == ["/1", "/2"]
        assert len(server.connections) == 2
    assert pool.stats().closed_by[Why.UNASKED_DATA] == 1


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_a_body_behind_an_answer_that_has_none_closes_the_connection(pool, status):
    poisoned = b"HTTP/1.1 " + status + b"\r\nContent-Length: 4\r\n\r\nevil"
    with ScriptedServer([RawConnection.read_request, poisoned, RawConnection.read_until_closed], SERVE) as server:
        assert pool.request("GET", server.url).data == b""
        assert pool.request("GET", server.url).data == b"ok"
        assert len(server.connections) == 2


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", Why.SERVER_CLOSE),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", Why.SERVER_CLOSE),
        (b"HTTP/1.1 200 OK\r\n\r\nok", Why.CLOSE_DELIMITED),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            Why.AMBIGUOUS_FRAMING,
        ),
        (b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=0\r\nContent-Length: 2\r\n\r\nok", Why.HINT_TIMEOUT),
        (b"HTTP/1.1 200 OK\r\nKeep-Alive: max=1\r\nContent-Length: 2\r\n\r\nok", Why.HINT_MAX),
    ],
)
def test_a_connection_that_cannot_carry_another_request_is_closed_with_its_reason(pool, answer, why):
    with ScriptedServer([RawConnection.read_request, answer]) as server:
        assert pool.request("GET", server.url).data == b"ok"
    assert pool.stats().closed_by[why] == 1
    assert pool.stats().open == 0


def test_http_1_0_with_keep_alive_is_reused(pool):
    answer = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"
    script = [RawConnection.read_request, answer, RawConnection.read_request, answer]
    with ScriptedServer(script) as server:
        host = HostConfig(http_version="1.0")
        for _ in range(2):
            assert pool.request("GET", server.url, host=host).data == b"ok"
        assert [request.version for request in server.requests] == ["1.0", "1.0"]
        assert server.requests[0].headers["connection"] == "keep-alive"
        assert len(server.connections) == 1


def test_keep_alive_off_says_close_and_closes(pool):
    with ScriptedServer([RawConnection.read_request, OK]) as server:
        pool.request("GET", server.url, host=HostConfig(keep_alive=False))
        assert server.requests[0].headers["connection"] == "close"
    assert pool.stats().closed_by[Why.CLIENT_CLOSE] == 1


def test_a_refusal_that_comes_during_a_large_upload_is_the_answer(pool):
    refusal = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig"

    def refuse(connection):
        connection.read_head()
        connection.send(refusal)
        connection.read_until_closed()

    with ScriptedServer(refuse, SERVE) as server:
        answer = pool.request("POST", server.url, body=bytes(50_000_000))
        assert (answer.status, answer.data) == (413, b"big")
        assert pool.stats().closed_by[Why.REQUEST_UNSENT] == 1
        assert pool.request("GET", server.url).data == b"ok"


def test_a_refusal_is_read_although_the_server_resets_the_upload(pool):
    refusal = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n"
    read = threading.Event()

    def refuse(connection):
        connection.read_head()
        connection.send(refusal)
        connection.wait(read)
        connection.reset()

    def body():
        try:
            yield bytes(100_000)
            read.set()
            while True:
                yield bytes(100_000)
        finally:
            read.set()  # The refusal may be read before anybody asks for more.

    with ScriptedServer(refuse) as server:
        assert pool.request("POST", server.url, body=body()).status == 413
    assert is_settled(pool)


def test_a_body_waits_for_100_continue(pool):
    def invite(connection):
        connection.read_head()
        connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert connection.read_request().body == b"please"
        connection.send(OK)

    with ScriptedServer(invite) as server:
        assert pool.request("POST", server.url, body=b"please", headers={"Expect": "100-continue"}).data == b"ok"


def test_a_final_answer_sends_no_body_and_no_other_request_on_that_connection(pool):
    refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
    seen = []

    def refuse(connection):
        connection.read_head()
        connection.send(refusal)
        seen.append(connection.read_until_closed())

    with ScriptedServer(refuse, SERVE) as server:
        assert pool.request("PUT", server.url, body=b"please", headers={"Expect": "100-continue"}).status == 403
        assert pool.request("GET", server.url).data == b"ok"
    assert seen == [b""]


@pytest.mark.parametrize("length", ["2", "9"])
def test_a_body_of_the_wrong_length_is_the_callers_error(pool, length):
    with ScriptedServer([RawConnection.read_until_closed], SERVE) as server:
        with pytest.raises(errors.BodyLengthError) as raised:
            pool.request("POST", server.url, body=iter([b"four"]), headers={"Content-Length": length})
        assert (raised.value.expected, raised.value.actual) == (int(length), 4)
        assert is_settled(pool)
        assert pool.request("GET", server.url).data == b"ok"


def test_an_error_in_the_callers_body_reaches_the_caller_and_frees_the_slot(pool):
    def broken():
        yield b"first"
        raise RuntimeError("disk on fire")

    with ScriptedServer([RawConnection.read_until_closed], SERVE) as server:
        with pytest.raises(RuntimeError, match="disk on fire"):
            pool.request("POST", server.url, body=broken())
        assert is_settled(pool)
        assert pool.request("GET", server.url).data == b"ok"


def test_a_silent_server_is_a_read_timeout(pool):
    with ScriptedServer([RawConnection.read_request, RawConnection.read_until_closed]) as server:
        with pytest.raises(errors.ReadTimeout) as raised:
            pool.request("GET", server.url, timeout=0.05)
        assert raised.value.limit == 0.05
        assert isinstance(raised.value, TimeoutError)
        assert is_settled(pool)


def test_a_body_has_the_read_timeout_whatever_its_head_has_taken(pool, monkeypatch):
    """What was left for a head that came in parts is no measure for the body."""
    monkeypatch.setattr(exchange, "HEAD_TIMES", 0.5)
    head = b"HTTP/1.1 102 Processing\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"

    def serve(connection):
        connection.read_request()
        connection.send(head[0])
        interim.wait(10)
        connection.send(head[1])
        for part in (b"bo", b"dy"):
            more.acquire(timeout=10)
            connection.send(part)
        connection.read_until_closed()

    interim, more = threading.Event(), threading.Semaphore(0)
    with ScriptedServer(serve) as server:
        take = exchange.Exchange.take
        monkeypatch.setattr(exchange.Exchange, "take", lambda of, data: (take(of, data), interim.set())[0])
        response = pool.request("GET", server.url, timeout=20, stream=True)
        more.release()
        assert response.read(2) == b"bo"
        assert response._lease._stream.timeout == 20
        more.release()
        assert response.read() == b"dy"


def test_a_dripping_server_is_ended_by_the_total_timeout(pool):
    def drip(connection):
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            connection.send(b"x" * 100)

    with ScriptedServer(drip, timeout=10) as server:
        response = pool.request("GET", server.url, timeout=Timeout(total=0.1), stream=True)
        with pytest.raises(errors.TotalTimeout) as raised:
            list(response.stream(1))
        assert raised.value.limit == 0.1
        assert is_settled(pool)


def test_a_server_that_takes_nothing_is_a_write_timeout(pool):
    with ScriptedServer([RawConnection.read_head, lambda connection: connection.wait(done)]) as server:
        done = threading.Event()
        try:
            with pytest.raises(errors.WriteTimeout):
                pool.request("POST", server.url, body=bytes(100_000_000), timeout=0.1)
        finally:
            done.set()
        assert is_settled(pool)


def test_a_timeout_of_one_request_is_not_the_next_ones():
    with PoolManager() as pool, ScriptedServer(SERVE) as server:
        pool.request("GET", server.url, timeout=0.5)
        connection = pool._pool._state.idle_connections()[0]
        pool.request("GET", server.url, timeout=9)
        assert connection.stream.timeout == 9


def test_a_full_pool_says_what_it_looked_like():
    unfinished = [RawConnection.read_request, OK[:-1], RawConnection.read_until_closed]
    with PoolManager(Limits(per_host=1)) as pool, ScriptedServer(unfinished, SERVE) as server:
        holder = pool.request("GET", server.url, stream=True)
        with pytest.raises(errors.PoolTimeout, match=r"1/1 in use, 1 waiting, oldest held \d+\.\d s") as raised:
            pool.request("GET", server.url, timeout=Timeout(pool=0.01))
        assert raised.value.in_use == 1
        assert pool.stats().waiting == 0
        holder.close()
        assert pool.request("GET", server.url).data == b"ok"


def test_a_full_queue_is_said_at_once():
    with (
        PoolManager(Limits(per_host=1, waiting=0)) as pool,
        ScriptedServer([RawConnection.read_request, OK[:-1]]) as server,
        pool.request("GET", server.url, stream=True),
        pytest.raises(errors.QueueFull),
    ):
        pool.request("GET", server.url)


def test_a_closed_pool_refuses(pool):
    pool.close()
    with pytest.raises(errors.PoolClosed):
        pool.request("GET", "http://127.0.0.1:1/")


@pytest.mark.parametrize(
    ("method", "url", "options", "kind"),
    [
        ("GET", "ftp://example.com/", {}, errors.InvalidSchema),
        ("GET", "example.com", {}, errors.MissingSchema),
        ("GET", "http://", {}, errors.InvalidURL),
        ("GET", "http:///path", {}, errors.InvalidURL),
        ("GET", "http://a:99999/", {}, errors.InvalidURL),
        ("GET", "http://a:0/", {}, errors.InvalidURL),
        ("GET", "http://a/\r\nX: y", {}, errors.InvalidURL),
        ("GET", "http://a\x00b/", {}, errors.InvalidURL),
        ("GET", "http://a/\udcff", {}, errors.InvalidURL),
        ("GET", "", {}, errors.MissingSchema),
        ("GE T", "http://127.0.0.1/", {}, errors.InvalidMethod),
        ("GET\r\n", "http://127.0.0.1/", {}, errors.InvalidMethod),
        ("GET", "http://127.0.0.1/", {"headers": {"X": "a\r\nEvil: b"}}, errors.InvalidHeader),
        ("GET", "http://127.0.0.1/", {"headers": {"X Y": "a"}}, errors.InvalidHeader),
        ("GET", "http://127.0.0.1/", {"headers": {"X": 3}}, errors.InvalidHeader),
        ("POST", "http://127.0.0.1/", {"body": object()}, errors.InvalidBody),
        ("POST", "http://127.0.0.1/", {"body": b"x", "headers": {"Content-Length": "ten"}}, errors.InvalidHeader),
        ("GET", "http://127.0.0.1/", {"timeout": -1}, errors.ConfigError),
        ("GET", "http://127.0.0.1/", {"timeout": "5"}, errors.ConfigError),
        ("GET", "http://127.0.0.1/", {"host": HostConfig(proxy="gopher://x")}, errors.InvalidProxyURL),
    ],
)
def test_bad_input_has_its_own_error_and_opens_nothing(pool, method, url, options, kind):
    with pytest.raises(kind):
        pool.request(method, url, **options)
    assert pool.stats().opened == 0
    assert is_settled(pool)


def test_a_caller_may_say_that_a_post_can_be_applied_twice(pool):
    with ScriptedServer(answer_once_then(RawConnection.close), [RawConnection.read_request, OK]) as server:
        pool.request("GET", server.url)
        assert pool.request("POST", server.url, body=b"x", host=HostConfig(idempotent=True)).status == 200


def test_a_caller_may_say_that_a_get_must_not_be_sent_again(pool):
    with ScriptedServer(answer_once_then(RawConnection.close), SERVE) as server:
        pool.request("GET", server.url)
        with pytest.raises(errors.ServerDisconnected) as raised:
            pool.request("GET", server.url, host=HostConfig(idempotent=False))
        assert not raised.value.retry_safe
        assert len(server.connections) == 1


def test_a_post_after_a_408_is_sent_again_because_the_server_says_it_has_not_got_it(pool):
    late = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    with ScriptedServer(answer_once_then(late), [RawConnection.read_request, OK]) as server:
        pool.request("GET", server.url)
        assert pool.request("POST", server.url, body=b"pay").status == 200
        assert [request.body for request in server.requests] == [b"", b"pay", b"pay"]


def test_an_unsafe_request_gets_a_new_connection_where_the_host_is_set_so(sites):
    """Row K1: one on which nothing has been sent."""
    site = sites.add()
    with PoolManager(defaults=HostConfig(unsafe="fresh")) as pool:
        pool.request("GET", site.url)
        assert pool.request("GET", site.url).reused
        assert not any(pool.request("POST", site.url, body=b"x").reused for _ in range(3))
        assert pool.request("GET", site.url).reused


def test_a_408_on_a_connection_that_stays_open_is_an_applications_answer(pool):
    answer = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"
    with ScriptedServer(answer_once_then(answer)) as server:
        pool.request("GET", server.url)
        assert pool.request("POST", server.url, body=b"pay").status == 408
        assert len(server.connections) == 1


def test_a_408_after_100_continue_is_the_response(pool):
    """Whoever has said 100 has begun to read, and may have executed the request."""

    def serve(connection):
        connection.read_request()
        connection.send(OK)
        connection.read_head()
        connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.read_request()
        connection.send(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with ScriptedServer(serve) as server:
        pool.request("GET", server.url)
        answer = pool.request("POST", server.url, body=b"pay", headers={"Expect": "100-continue"})
        assert answer.status == 408
        assert len(server.connections) == 1


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([("Content-Length", "4"), ("Transfer-Encoding", "chunked")], b"four"),
        ([("Content-Length", "4"), ("Content-Length", "4")], b"four"),
        ([("Transfer-Encoding", "gzip")], b"four"),
        ([("Transfer-Encoding", "identity")], b"four"),
        ([("Transfer-Encoding", "gzip, chunked")], b"four"),
        ([("Transfer-Encoding", "xchunked")], b"four"),
        ([("Transfer-Encoding", "chunked"), ("transfer-encoding", "chunked")], b"four"),
        ([("Transfer-Encoding", "chunked")], None),
        ([("Content-Length", "4")], None),
        ([("Content-Length", "+4")], b"four"),
        ([("Content-Length", "4" * 5000)], b"four"),
        ([("Host", "a"), ("Host", "b")], None),
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_fields_that_could_be_read_as_two_requests_are_refused(pool, headers, body, method):
    with pytest.raises(errors.InvalidHeader):
        pool.request(method, "http://127.0.0.1:1/", headers=headers, body=body)


def test_a_session_whose_headers_frame_a_body_is_refused_too():
    with Session() as session:
        session.headers["Content-Length"] = "7"
        for call in (session.get, session.post):
            with pytest.raises(errors.InvalidHeader):
                call("http://127.0.0.1:1/")


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding", "Expect"])
def test_a_host_cannot_frame_the_bodies_of_all_its_requests(name):
    with pytest.raises(errors.ConfigError):
        HostConfig(headers={name: "5"})


def test_http_1_0_has_no_chunked_bodies(pool):
    with pytest.raises(errors.InvalidBody, match=r"HTTP/1\.0"):
        pool.request("POST", "http://127.0.0.1:1/", body=iter([b"a"]), host=HostConfig(http_version="1.0"))


class Broken:
    """A body that raises what a connection raises."""

    def __init__(self, error):
        self.error = error
        self.pulled = 0

    def __call__(self):
        self.pulled += 1
        yield b"first"
        raise self.error


@pytest.mark.parametrize(
    "error", [OSError(5, "disk"), TimeoutError("theirs"), errors.ServerDisconnected("of another request")], ids=repr
)
def test_an_error_of_the_callers_body_is_not_taken_for_the_connections(pool, error):
    body = Broken(error)
    serve = [RawConnection.read_request, OK, RawConnection.read_until_closed]
    with ScriptedServer(serve) as server:
        pool.request("GET", server.url)
        with pytest.raises(type(error)) as raised:
            pool.request("PUT", server.url, body=body)
        assert raised.value is error
        assert body.pulled == 1
        assert len(server.connections) == 1
    assert is_settled(pool)


def test_a_204_that_announces_a_body_cannot_poison_the_next_request(pool):
    sent = threading.Event()
    late = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL"

    def poison(connection):
        connection.read_request()
        connection.send(b"HTTP/1.1 204 No Content\r\nContent-Length: 42\r\n\r\n")
        connection.wait(sent)
        connection.send(late)

    with ScriptedServer(poison, SERVE) as server:
        assert pool.request("GET", server.url).status == 204
        sent.set()
        assert pool.request("GET", server.url).data == b"ok"


@pytest.mark.parametrize("end", [RawConnection.close, RawConnection.read_until_closed])
def test_bytes_before_the_request_on_a_new_connection_are_never_an_answer(end):
    spoken = threading.Event()

    def poison(connection):
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        if end is RawConnection.close:
            connection.close()
        spoken.set()
        if end is not RawConnection.close:
            connection.read_until_closed()

    def listen(event):
        if isinstance(event, ConnectionOpened):
            assert spoken.wait(5)

    with ScriptedServer(poison) as server, PoolManager(on_event=listen) as pool:
        with pytest.raises((errors.ProtocolError, errors.ServerDisconnected)) as raised:
            pool.request("POST", server.url, body=b"x")
        assert (raised.value.sent, raised.value.retry_safe) == (0, True)
        assert is_settled(pool)


def test_a_continue_wait_is_bounded_by_the_total_timeout(pool):
    def trickle(connection):
        connection.read_head()
        connection.read_until_closed()

    with ScriptedServer(trickle) as server, pytest.raises(errors.TotalTimeout):
        pool.request("POST", server.url, body=b"x", headers={"Expect": "100-continue"}, timeout=Timeout(total=0.05))


def test_a_pool_closed_under_an_exchange_leaves_no_socket_open(pool):
    def serve(connection):
        connection.read_request()
        connection.send(OK)
        connection.read_request()
        pool.close()
        connection.close()

    with ScriptedServer(serve) as server:
        pool.request("GET", server.url)
        (idle,) = pool._pool._state.idle_connections()
        with pytest.raises(errors.ServerDisconnected, match="the pool was closed"):
            pool.request("GET", server.url)
        assert idle.stream.sock.fileno() == -1
        assert not pool._pool._state.orders


def test_a_url_that_is_no_text_and_a_host_that_is_no_config_are_told(pool):
    with pytest.raises(errors.InvalidURL):
        pool.request("GET", ["http://a/"])
    with pytest.raises(errors.ConfigError):
        pool.request("GET", "http://a/", host={"per_host": 1})
    with pytest.raises(errors.InvalidHeader):
        pool.request("GET", "http://a/", headers=5)


@pytest.mark.parametrize("limits", [Limits(per_host=12), Limits(total=12, per_host=None)], ids=["host", "total"])
def test_a_pool_at_a_standstill_looks_at_its_connections_once_for_all_who_are_told(sites, monkeypatch, limits):
    """On an event loop thousands may be told in the same moment."""
    monkeypatch.setattr("keeppool.pools.pool.COUNT_HOLDS", 60)
    looks = 0

    def count(frame: object, event: str, _: object) -> None:
        nonlocal looks
        looks += event == "call" and frame.f_code.co_name == "unread_from"

    site = sites.add(Behaviour(body=1_000_000))
    with PoolManager(limits, timeout=Timeout(pool=0)) as pool:
        held = [pool.request("GET", site.url, stream=True) for _ in range(12)]
        sys.setprofile(count)
        try:
            for _ in range(10):
                with pytest.raises(
                    errors.PoolTimeout, match=r"12 held by unread responses, the oldest made at "
                ) as told:
                    pool.request("GET", site.url)
                assert told.value.unread == 12
        finally:
            sys.setprofile(None)
        assert looks == 12
        for response in held:
            response.release_conn()
