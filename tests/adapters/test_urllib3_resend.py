"""The one safe resend beneath urllib3's `Retry`, of which it knows nothing."""

import io

import pytest
import urllib3
from adapters.urllib3s import SERVE, answer_once_then
from urllib3.exceptions import MaxRetryError, NewConnectionError, ProtocolError, ReadTimeoutError

from keeppool import HostConfig
from keeppool.adapters.urllib3 import PoolManager
from keeppool.events import RequestResent
from keeppool.testing import RawConnection, ScriptedServer

ENDS = {"closed": RawConnection.close, "reset": RawConnection.reset}
LATE_408 = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("retries", [False, 0, None], ids=["False", "0", "default"])
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_a_get_whose_connection_turns_out_stale_goes_out_once_more(http, recorder, end, retries):
    with ScriptedServer(answer_once_then(end), SERVE) as server:
        http.request("GET", server.url)
        response = http.request("GET", server.url, retries=retries)
        assert response.data == b"ok"
        assert len(server.requests) == 3
    assert len(recorder.of(RequestResent)) == http.stats().resent == 1
    # urllib3 has not noticed: its own count of attempts is untouched.
    assert not response.retries.history


@pytest.mark.parametrize("preload", [True, False])
def test_the_second_answer_can_be_streamed(http, preload):
    with ScriptedServer(answer_once_then(RawConnection.close), SERVE) as server:
        http.request("GET", server.url)
        response = http.request("GET", server.url, retries=False, preload_content=preload)
        assert response.read() if not preload else response.data == b"ok"
        assert http.stats().idle == 1


@pytest.mark.parametrize("body", [b"body", "body", bytearray(b"body")], ids=["bytes", "text", "bytearray"])
def test_a_put_carries_its_whole_body_again(http, body):
    with ScriptedServer(answer_once_then(RawConnection.close), SERVE) as server:
        http.request("GET", server.url)
        assert http.request("PUT", server.url, body=body, retries=False).data == b"ok"
        assert [request.body for request in server.requests[1:]] == [b"body", b"body"]


def test_a_large_put_carries_its_whole_body_again(http):
    with ScriptedServer(answer_once_then(RawConnection.close), SERVE) as server:
        http.request("GET", server.url)
        assert http.request("PUT", server.url, body=bytes(300_000), retries=False).data == b"ok"
        assert [len(request.body) for request in server.requests[1:]] == [300_000] * 2


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_a_post_is_never_sent_twice(http, end):
    with ScriptedServer(answer_once_then(end), SERVE) as server:
        http.request("GET", server.url)
        with pytest.raises(ProtocolError, match="Connection aborted"):
            http.request("POST", server.url, body=b"x", retries=False)
        assert len(server.requests) == 2
    assert http.stats().open == 0


@pytest.mark.parametrize(
    ("headers", "hosts"),
    [({"Idempotency-Key": "1"}, None), ({}, {"127.0.0.1": HostConfig(idempotent=True)})],
    ids=["by its key", "by its host"],
)
def test_a_post_that_may_be_repeated_is(headers, hosts):
    with ScriptedServer(answer_once_then(RawConnection.close), SERVE) as server, PoolManager(hosts=hosts) as http:
        http.request("GET", server.url)
        assert http.request("POST", server.url, headers=headers, retries=False).data == b"ok"
        assert len(server.requests) == 3


def test_a_get_that_must_not_be_repeated_is_not():
    hosts = {"127.0.0.1": HostConfig(idempotent=False)}
    with ScriptedServer(answer_once_then(RawConnection.close), SERVE) as server, PoolManager(hosts=hosts) as http:
        http.request("GET", server.url)
        with pytest.raises(ProtocolError):
            http.request("GET", server.url, retries=False)
        assert len(server.requests) == 2


@pytest.mark.parametrize("body", [lambda: io.BytesIO(b"body"), lambda: iter([b"body"])], ids=["file", "iterator"])
def test_a_body_that_has_moved_is_left_to_urllib3(http, body):
    with ScriptedServer(answer_once_then(RawConnection.close), SERVE) as server:
        http.request("GET", server.url)
        with pytest.raises(ProtocolError):
            http.request("PUT", server.url, body=body(), retries=False)
        assert len(server.connections) == 1


def test_urllib3s_own_retry_follows_where_ours_ends(http):
    """A file can be wound back by urllib3, which knows where it stood."""
    with ScriptedServer(answer_once_then(RawConnection.close), SERVE) as server:
        http.request("GET", server.url)
        assert http.request("PUT", server.url, body=io.BytesIO(b"body"), retries=1).data == b"ok"
        assert [request.body for request in server.requests[1:]] == [b"body", b"body"]


def test_the_first_request_on_a_new_connection_is_not_sent_twice(http):
    with ScriptedServer([RawConnection.read_request]) as server:
        with pytest.raises(ProtocolError):
            http.request("GET", server.url, retries=False)
        assert len(server.requests) == 1


def test_a_server_that_hangs_up_on_everybody_is_asked_twice_at_the_most(http):
    with ScriptedServer(answer_once_then(), [RawConnection.read_request]) as server:
        http.request("GET", server.url)
        with pytest.raises(ProtocolError):
            http.request("GET", server.url, retries=False)
        assert len(server.requests) == 3
    assert http.stats().open == 0


@pytest.mark.parametrize("said", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 20", b"HTTP/1.1 200 OK\r\nConte"])
def test_a_request_whose_answer_had_begun_is_not_sent_again(http, said):
    with ScriptedServer(answer_once_then(said, RawConnection.close), SERVE) as server:
        http.request("GET", server.url)
        with pytest.raises(ProtocolError):
            http.request("GET", server.url, retries=False)
        assert len(server.connections) == 1


def test_a_timeout_is_not_answered_with_another_attempt(http):
    with ScriptedServer(answer_once_then(RawConnection.read_until_closed), SERVE) as server:
        http.request("GET", server.url)
        with pytest.raises(ReadTimeoutError):
            http.request("GET", server.url, timeout=0.02, retries=False)
        assert len(server.connections) == 1


def test_a_408_that_only_says_that_it_was_too_quiet_is_answered_with_the_request(http):
    with ScriptedServer(answer_once_then(LATE_408, RawConnection.close), SERVE) as server:
        http.request("GET", server.url)
        assert http.request("POST", server.url, body=b"x", retries=False).status == 200
        assert len(server.requests) == 3


def test_a_408_on_a_new_connection_is_the_answer(http):
    with ScriptedServer([RawConnection.read_request, LATE_408]) as server:
        assert http.request("GET", server.url, retries=False).status == 408
        assert len(server.requests) == 1


def test_the_resends_own_dial_may_fail_too(http):
    server = ScriptedServer(answer_once_then(RawConnection.close))
    with server:
        http.request("GET", server.url)

        def refuse(conn):
            raise NewConnectionError(conn, "refused")

        (idle,) = http.connection_from_url(server.url).pool.queue
        idle.connect = lambda: refuse(idle)
        with pytest.raises(NewConnectionError):
            http.request("GET", server.url, retries=False)
    assert (http.stats().open, http.stats().connecting) == (0, 0)


def test_after_a_restart_one_request_finds_out_for_all_connections(http):
    """Idle connections that are at least as old as the stale one go with it."""
    with ScriptedServer(answer_once_then(RawConnection.close), answer_once_then(RawConnection.close), SERVE) as server:
        pool = http.connection_from_url(server.url)
        both = [pool._get_conn() for _ in range(2)]
        for conn in both:
            pool._put_conn(conn)
        first, second = (pool.urlopen("GET", "/", preload_content=False) for _ in range(2))
        assert first.data == second.data == b"ok"
        assert http.request("GET", server.url, retries=False).data == b"ok"


def test_errors_after_all_retries_are_urllib3s(http):
    with ScriptedServer([RawConnection.read_request]) as server:
        with pytest.raises(MaxRetryError) as raised:
            http.request("GET", server.url, retries=urllib3.Retry(2))
        assert isinstance(raised.value.reason, ProtocolError)
        assert len(server.requests) == 3
