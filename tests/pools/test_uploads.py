"""Uploads to servers that take their time, or that refuse before they have read everything."""

from __future__ import annotations

import asyncio
import contextlib
import io
import queue
import select
import ssl
import threading
from asyncio.selector_events import _SelectorSocketTransport
from collections.abc import AsyncIterator

import pytest
import requests
import trustme
from net.loops import on_both_loops

import keeppool.adapters.urllib3
from keeppool import AsyncPoolManager, AsyncSession, HostConfig, PoolManager, Session, Timeout, errors
from keeppool.adapters.requests import KeepPoolAdapter
from keeppool.testing import ClientGone, RawConnection, ScriptedServer

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
REASON = b"too large"
REFUSED = b"HTTP/1.1 413 Too Large\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(REASON), REASON)
LARGE = bytes(8 << 20)
#: Seconds after which a wait is given up; nothing here takes a hundredth of it.
PATIENCE = 20.0
#: Bytes taken at a time by a slow server, and the seconds between two of them: 400 KB a second. The kernel holds a
#: megabyte or more, and says that there is room when a third is free; that takes longer than `READ`.
BITE, PAUSE, READ = 20_000, 0.05, 0.6
SLOWLY_SENT = bytes(1_400_000)


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def server_context(authority):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(made)
    return made


@pytest.fixture(scope="module")
def roots(authority, tmp_path_factory):
    path = tmp_path_factory.mktemp("roots") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture
def closed() -> queue.SimpleQueue[None]:
    """Holds something for each connection that `refusing` has closed."""
    return queue.SimpleQueue()


@pytest.fixture(params=["plain", "tls"])
def refusing(request, server_context, closed):
    def refuse_early(connection: RawConnection) -> None:
        """Read a thousand bytes, answer, and close with the rest unread: the kernel resets the connection behind it."""
        connection.read_exactly(1000)
        connection.send(REFUSED)
        connection.close()
        closed.put(None)

    with ScriptedServer(refuse_early, tls=server_context if request.param == "tls" else None) as server:
        yield server


class TestRefusedEarly:
    """RFC 9112 §9.6: the response is there, although the connection breaks while the request is sent."""

    @pytest.mark.parametrize("of", ["bytes", "file"])
    def test_threads(self, refusing, roots, of):
        with Session(defaults=HostConfig(verify=roots)) as session:
            for _ in range(5):
                answer = session.post(refusing.url, data=LARGE if of == "bytes" else io.BytesIO(LARGE))
                assert (answer.status_code, answer.content) == (413, REASON)

    @on_both_loops
    @pytest.mark.parametrize("of", ["bytes", "file", "async"])
    def test_tasks(self, run, refusing, roots, of):
        async def pieces() -> AsyncIterator[bytes]:
            for start in range(0, len(LARGE), 1 << 20):
                yield LARGE[start : start + (1 << 20)]

        async def main():
            async with AsyncSession(defaults=HostConfig(verify=roots)) as session:
                for _ in range(5):
                    data = {"bytes": LARGE, "file": io.BytesIO(LARGE), "async": pieces()}[of]
                    answer = await session.post(refusing.url, data=data)
                    assert (answer.status_code, answer.content) == (413, REASON)

        run(main())

    @pytest.mark.parametrize("of", ["bytes", "file"])
    def test_tasks_whose_transport_is_the_first_to_hear_of_the_reset(self, refusing, roots, closed, monkeypatch, of):
        """On a busy machine time passes before it writes; it gives up reading then, whatever has come."""
        write = _SelectorSocketTransport.write

        def late_write(transport, data):
            if len(data) > 1024:  # No handshake.
                closed.get(timeout=PATIENCE)
                poll = select.poll()
                poll.register(transport.get_extra_info("socket").fileno(), select.POLLERR)
                assert poll.poll(PATIENCE * 1000)
            write(transport, data)

        async def main():
            async with AsyncPoolManager(defaults=HostConfig(verify=roots)) as pool:
                for _ in range(3):
                    body = LARGE if of == "bytes" else io.BytesIO(LARGE)
                    answer = await pool.request("POST", refusing.url, body=body)
                    assert (answer.status, answer.data) == (413, REASON)

        monkeypatch.setattr(_SelectorSocketTransport, "write", late_write)
        asyncio.run(main())

    def test_the_mount_and_the_drop_in(self, refusing, roots):
        with requests.Session() as session:
            session.mount("http://", KeepPoolAdapter())
            session.mount("https://", KeepPoolAdapter())
            for _ in range(3):
                answer = session.post(refusing.url, data=LARGE, verify=roots)
                assert (answer.status_code, answer.content) == (413, REASON)
        with keeppool.adapters.urllib3.PoolManager(ca_certs=roots, retries=False) as pool:
            for _ in range(3):
                answer = pool.request("POST", refusing.url, body=LARGE)
                assert (answer.status, answer.data) == (413, REASON)


def take_slowly(connection: RawConnection) -> None:
    """Take a little at a time, steadily, and answer when all has come."""
    pause, size = threading.Event(), 0
    head = connection.read_head()
    wanted = int(head.headers["content-length"])
    size = len(connection.received) - connection.received.index(b"\r\n\r\n") - 4
    while size < wanted:
        size += len(connection.read(BITE))
        pause.wait(PAUSE)
    connection.send(OK)


@pytest.fixture(params=["plain", "tls"])
def slow(request, server_context):
    with ScriptedServer(take_slowly, tls=server_context if request.param == "tls" else None) as server:
        yield server


class TestTakenSlowly:
    """What the kernel still holds becomes less: that is progress, although no more can be sent for long."""

    @pytest.mark.parametrize("of", ["bytes", "file"])
    def test_threads(self, slow, roots, of):
        with PoolManager(timeout=Timeout(read=READ), defaults=HostConfig(verify=roots)) as pool:
            body = SLOWLY_SENT if of == "bytes" else io.BytesIO(SLOWLY_SENT)
            assert pool.request("POST", slow.url, body=body).status == 200

    @on_both_loops
    @pytest.mark.parametrize("of", ["bytes"])
    def test_tasks(self, run, slow, roots, of):
        async def main():
            async with AsyncPoolManager(timeout=Timeout(read=READ), defaults=HostConfig(verify=roots)) as pool:
                body = SLOWLY_SENT if of == "bytes" else io.BytesIO(SLOWLY_SENT)
                assert (await pool.request("POST", slow.url, body=body)).status == 200

        run(main())


@pytest.fixture
def stuck():
    """A server that reads the head, and then nothing more until the test is over."""
    is_over = threading.Event()
    with ScriptedServer([RawConnection.read_head, lambda connection: connection.wait(is_over)]) as server:
        yield server
        is_over.set()


@pytest.mark.parametrize("waits", [Timeout(read=0.2), Timeout(read=None, write=0.2)], ids=["read", "write"])
class TestTakenNoMore:
    @pytest.mark.parametrize("size", [200_000, len(LARGE)], ids=["held by the kernel", "more than it holds"])
    def test_threads(self, stuck, size, waits):
        with PoolManager(timeout=waits) as pool:
            with pytest.raises(errors.Timeout) as caught:
                pool.request("POST", stuck.url, body=bytes(size))
            assert caught.value.limit == 0.2
            assert isinstance(caught.value, errors.WriteTimeout) or size < len(LARGE)

    @on_both_loops
    @pytest.mark.parametrize("size", [200_000, len(LARGE)], ids=["held by the kernel", "more than it holds"])
    def test_tasks(self, run, stuck, size, waits):
        async def main():
            async with AsyncPoolManager(timeout=waits) as pool:
                with pytest.raises(errors.Timeout) as caught:
                    await pool.request("POST", stuck.url, body=bytes(size))
                assert isinstance(caught.value, errors.WriteTimeout) or size < len(LARGE)

        run(main())


class TestReadBehindWrite:
    def test_a_response_is_waited_for_as_long_as_read_says_whatever_write_does(self):
        script = [RawConnection.read_request, RawConnection.read_until_closed]
        with ScriptedServer(script) as server, PoolManager(timeout=Timeout(read=0.05, write=60)) as pool:
            for body in (b"small", bytes(200_000)):
                with pytest.raises(errors.ReadTimeout) as caught:
                    pool.request("POST", server.url, body=body)
                assert caught.value.limit == 0.05

    @on_both_loops
    def test_a_response_is_waited_for_as_long_as_read_says_in_tasks_too(self, run):
        async def main():
            async with AsyncPoolManager(timeout=Timeout(read=0.05, write=60)) as pool:
                with pytest.raises(errors.ReadTimeout) as caught:
                    await pool.request("POST", server.url, body=bytes(200_000))
                assert caught.value.limit == 0.05

        with ScriptedServer([RawConnection.read_request, RawConnection.read_until_closed]) as server:
            run(main())

    def test_the_total_timeout_ends_an_upload_that_goes_on_slowly(self):
        def take_until_gone(connection: RawConnection) -> None:
            with contextlib.suppress(ClientGone):
                take_slowly(connection)

        with (
            ScriptedServer(take_until_gone) as server,
            PoolManager(timeout=Timeout(read=READ, total=1.0)) as pool,
            pytest.raises(errors.TotalTimeout),
        ):
            pool.request("POST", server.url, body=SLOWLY_SENT)
