"""What TLS adds: tickets, records, goodbyes, and settings that must not be shared."""

import ssl
import threading

import pytest
import trustme

from keeppool import HostConfig, PoolManager, errors
from keeppool.events import ConnectionOpened, Why
from keeppool.testing import RawConnection, ScriptedServer

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\nall of it"
SERVE = [*[RawConnection.read_request, OK] * 5, RawConnection.read_until_closed]


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def server_context(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


@pytest.fixture
def pool(authority, recorder):
    with (
        authority.cert_pem.tempfile() as path,
        PoolManager(defaults=HostConfig(verify=path), on_event=recorder) as pool,
    ):
        yield pool


def test_session_tickets_do_not_look_like_a_closed_connection(pool, server_context):
    with ScriptedServer(SERVE, tls=server_context) as server:
        for _ in range(5):
            assert pool.request("GET", server.url).data == b"ok"
        assert len(server.connections) == 1


def test_a_second_connection_resumes_the_first_ones_session(pool, server_context, recorder):
    close = HostConfig(keep_alive=False)
    with ScriptedServer([RawConnection.read_request, OK], tls=server_context) as server:
        for _ in range(3):
            pool.request("GET", server.url, host=close)
    assert [event.resumed for event in recorder.of(ConnectionOpened)] == [False, True, True]


@pytest.mark.parametrize("sent", [[OK + OK], [OK, OK]], ids=["in one record", "in two records"])
def test_a_second_answer_nobody_asked_for_is_never_handed_out(pool, server_context, sent):
    poisoned = threading.Event()
    poison = [RawConnection.read_request, *sent, lambda _: poisoned.set(), RawConnection.read_until_closed]
    with ScriptedServer(poison, SERVE, tls=server_context) as server:
        assert pool.request("GET", server.url + "/1").data == b"ok"
        assert poisoned.wait(5)
        assert pool.request("GET", server.url + "/2").data == b"ok"
        assert [request.target for request in server.requests] == ["/1", "/2"]
        assert len(server.connections) == 2
    assert pool.stats().closed_by[Why.UNASKED_DATA] == 1


def test_a_body_that_only_the_close_ends_must_end_with_tls_goodbye(pool, server_context):
    script = [RawConnection.read_request, UNTIL_CLOSE]
    with ScriptedServer([*script, RawConnection.close], [*script, RawConnection.cut], tls=server_context) as server:
        assert pool.request("GET", server.url).data == b"all of it"
        with pytest.raises(errors.IncompleteBody, match="close_notify"):
            pool.request("GET", server.url)


def test_a_body_of_stated_length_needs_no_goodbye(pool, server_context):
    with ScriptedServer([RawConnection.read_request, OK, RawConnection.cut], tls=server_context) as server:
        for _ in range(2):
            assert pool.request("GET", server.url).data == b"ok"


def test_an_untrusted_certificate_is_refused_and_leaves_nothing_open(server_context):
    with ScriptedServer(SERVE, tls=server_context) as server, PoolManager() as pool:
        with pytest.raises(errors.CertificateError) as raised:
            pool.request("GET", server.url)
        assert isinstance(raised.value, errors.SSLError)
        assert raised.value.origin == server.url
        assert pool.stats().hosts == {}


def test_a_connection_made_without_checking_is_never_lent_to_a_request_that_checks(server_context):
    with ScriptedServer(SERVE, tls=server_context) as server, PoolManager() as pool:
        assert pool.request("GET", server.url, host=HostConfig(verify=False)).data == b"ok"
        with pytest.raises(errors.CertificateError):
            pool.request("GET", server.url)
        assert pool.request("GET", server.url, host=HostConfig(verify=False)).reused


def test_a_large_request_over_tls_is_sent_in_records_that_are_counted(pool, server_context):
    body = bytes(range(256)) * 4000
    with ScriptedServer([RawConnection.read_request, OK], tls=server_context) as server:
        assert pool.request("POST", server.url, body=body, headers={"X-Long": "a" * 30000}).data == b"ok"
        assert server.requests[0].body == body


def test_a_refusal_during_a_large_upload_over_tls_is_the_answer(pool, server_context):
    done = threading.Event()

    def refuse(connection):
        connection.read_head()
        connection.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
        connection.wait(done)

    def body():
        while True:
            yield bytes(100_000)

    with ScriptedServer(refuse, tls=server_context) as server:
        try:
            assert pool.request("POST", server.url, body=body()).status == 413
        finally:
            done.set()


def test_a_silent_tls_server_is_a_read_timeout(pool, server_context):
    silent = [RawConnection.read_request, RawConnection.read_until_closed]
    with ScriptedServer(silent, tls=server_context) as server, pytest.raises(errors.ReadTimeout):
        pool.request("GET", server.url, timeout=(5, 0.05))
