"""A second attempt that never begins: the error tells of the first, of which the server may have seen something."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest
from on_a_loop import PoolOnALoop

from keeppool import Limits, PoolManager, Timeout, errors
from keeppool.events import ConnectFailed

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LATE = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture(params=[PoolManager, PoolOnALoop], ids=["threads", "tasks"])
def make(request):
    return request.param


@contextlib.contextmanager
def vanishing(second: bytes = b"") -> Iterator[str]:
    """Serve one request, give this for the next, and be gone: nothing listens there any more."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(OK)
            connection.recv(65536)
            listener.close()
            connection.sendall(second)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        thread.join()


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_what_was_sent_once_is_said_to_have_been_sent(make, method):
    """A `ConnectError` would say that the server has seen nothing."""
    with vanishing() as url, make() as pool:
        pool.request("GET", url)
        why = "could not be sent again: cannot connect: .* refused"
        with pytest.raises(errors.ServerDisconnected, match=why) as caught:
            pool.request(method, url, body=b"data")
        error = caught.value
        assert (error.sent > 0, error.received, error.retry_safe) == (True, 0, True)
        assert isinstance(error.__cause__, errors.RefusedError)
        assert str(error).startswith(f"{method} {url}: ")
        assert pool.stats().busy == pool.stats().connecting == 0


def test_the_dial_that_failed_is_reported_as_any_other(make, recorder):
    with vanishing() as url, make(on_event=recorder) as pool:
        pool.request("GET", url)
        with pytest.raises(errors.ServerDisconnected):
            pool.request("GET", url)
    assert [(failed.request, failed.error) for failed in recorder.of(ConnectFailed)] == [(2, "RefusedError")]


def test_what_the_server_has_said_it_did_not_carry_out_was_not(make):
    """A whole 408 is such a word: the POST may be repeated by whoever likes to, and nothing came of it."""
    with vanishing(LATE) as url, make() as pool:
        pool.request("GET", url)
        with pytest.raises(errors.RefusedError):
            pool.request("POST", url, body=b"data")


def test_the_total_timeout_is_said_to_have_passed_in_either_attempt(make):
    """Whoever has set it catches it by its name, and learns of the first attempt all the same."""
    names, is_over = [], threading.Event()

    def look_up(host, port):
        names.append(host)
        if len(names) > 1:
            is_over.wait(20)
        return ["127.0.0.1"]

    with vanishing() as url, make(resolver=look_up, limits=Limits(dns_ttl=0)) as pool:
        url = url.replace("127.0.0.1", "somewhere.test")
        pool.request("GET", url)
        with pytest.raises(errors.TotalTimeout) as caught:
            pool.request("GET", url, timeout=Timeout(total=0.2))
        is_over.set()
        assert caught.value.sent > 0
        assert caught.value.limit == 0.2
        assert pool.stats().busy == pool.stats().connecting == 0
