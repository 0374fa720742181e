"""What users do first, and nothing that needs a certain operating system: run as it is, and with things taken away."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import threading
from pathlib import Path

import pytest
import requests
import trustme

from keeppool import AsyncSession, Config, HostConfig, Limits, PoolManager, Session, Timeout, errors, observe
from keeppool.adapters import urllib3 as drop_in
from keeppool.adapters.requests import KeepPoolAdapter
from keeppool.cli import main
from keeppool.events import ConnectionClosed, Why
from keeppool.testing import Behaviour, RawConnection, Recorder, Replay, ScriptedServer, Sites

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ASKED = [RawConnection.read_request, OK]
#: Seconds that bound a wait; nothing here takes a hundredth of it.
PATIENCE = 20.0


def on_a_loop(coroutine):
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(asyncio.wait_for(coroutine, PATIENCE))


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, str]:
    ca = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    file = tmp_path_factory.mktemp("tls") / "ca.pem"
    ca.cert_pem.write_to_path(str(file))
    return context, str(file)


def test_requests_of_threads_share_a_connection(sites: Sites) -> None:
    site = sites.add(Behaviour(body=300_000, framing="chunked"))
    with Session() as session:
        for _ in range(3):
            assert len(session.get(site.url, timeout=PATIENCE).content) == 300_000
        assert session.post(site.url, json={"a": 1}, timeout=PATIENCE).ok
    assert (site.opened, sum(site.executed.values())) == (1, 4)


def test_requests_of_tasks_share_connections(sites: Sites) -> None:
    site = sites.add(Behaviour(body=300_000))

    async def fetch() -> None:
        async with AsyncSession(Limits(per_host=2)) as session:
            responses = await asyncio.gather(*[session.get(site.url) for _ in range(6)])
        assert [len(response.content) for response in responses] == [300_000] * 6

    on_a_loop(fetch())
    assert site.opened <= 2


def test_both_speak_tls(tls: tuple[ssl.SSLContext, str], sites: Sites) -> None:
    context, file = tls
    site = sites.add(tls=context)

    async def fetch() -> None:
        async with AsyncSession(verify=file) as session:
            for _ in range(2):
                assert (await session.get(site.url)).ok
            session.verify = True
            with pytest.raises(errors.CertificateError):
                await session.get(site.url)

    with Session(verify=file) as session:
        for _ in range(2):
            assert session.get(site.url).ok
    on_a_loop(fetch())


def test_a_silent_server_is_waited_for_as_long_as_was_said() -> None:
    def silent(connection: RawConnection) -> None:
        connection.read_request()
        connection.read_until_closed()

    async def fetch(url: str) -> None:
        async with AsyncSession(timeout=Timeout(0.05)) as session:
            with pytest.raises(errors.ReadTimeout):
                await session.get(url)

    with ScriptedServer(silent) as server:
        with Session(timeout=Timeout(0.05)) as session, pytest.raises(errors.ReadTimeout):
            session.get(server.url)
        on_a_loop(fetch(server.url))


@pytest.mark.parametrize("last", [b"", b"bytes nobody asked for"])
def test_a_connection_that_was_closed_or_says_something_is_not_used_again(last: bytes, recorder: Recorder) -> None:
    said = threading.Event()
    heard = threading.Event()

    def leaving(connection: RawConnection) -> None:
        connection.read_request()
        connection.send(OK)
        assert heard.wait(PATIENCE)
        if last:
            connection.send(last)
        else:
            connection.close()
        said.set()
        if last:
            connection.read_until_closed()

    with ScriptedServer(leaving, ASKED) as server, PoolManager(on_event=recorder) as pool:
        assert pool.request("POST", server.url, body=b"1").data == b"ok"
        heard.set()
        assert said.wait(PATIENCE)
        assert pool.request("POST", server.url, body=b"2").data == b"ok"
    assert recorder.of(ConnectionClosed)[0].why in (Why.PEER_CLOSED, Why.UNASKED_DATA)


def test_an_upload_whose_server_is_slow_arrives_as_a_whole() -> None:
    whole = b"0123456789abcdef" * 65536

    def read_all(connection: RawConnection) -> None:
        connection.read_request()
        connection.send(OK)

    async def upload(url: str) -> bytes:
        async with AsyncSession() as session:
            return (await session.put(url, data=whole)).content

    with ScriptedServer(read_all) as server:
        with Session() as session:
            assert session.put(server.url, data=whole).content == b"ok"
        assert on_a_loop(upload(server.url)) == b"ok"
        assert [request.body for request in server.requests] == [whole] * 2


def test_the_second_address_is_taken_where_the_first_refuses(sites: Sites) -> None:
    site = sites.add()
    url = f"http://two.example:{site.port}/"
    config = Config(
        resolver=lambda host, port: ["::1", "127.0.0.1"], hosts={"two.example": HostConfig(tcp_keepalive=30.0)}
    )

    async def fetch() -> None:
        async with AsyncSession(config=config) as session:
            assert (await session.get(url)).ok

    with Session(config=config) as session:
        assert session.get(url).ok
    on_a_loop(fetch())


def test_a_refused_connection_is_an_error_of_its_own() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"

    async def fetch() -> None:
        async with AsyncSession() as session:
            with pytest.raises(errors.RefusedError):
                await session.get(url)

    with Session() as session, pytest.raises(errors.RefusedError):
        session.get(url)
    on_a_loop(fetch())


def test_other_libraries_work_over_it(sites: Sites) -> None:
    site = sites.add(Behaviour(body=b"body"))
    with requests.Session() as session:
        session.mount("http://", KeepPoolAdapter())
        assert session.get(site.url, timeout=PATIENCE).content == b"body"
    with drop_in.PoolManager() as pool:
        assert pool.request("GET", site.url).data == b"body"


def test_a_pool_is_looked_at_on_a_port(sites: Sites) -> None:
    site = sites.add()
    with Session() as session, observe.serve(session, ("127.0.0.1", 0)) as serving:
        session.get(site.url)
        with observe.Remote(serving.address, serving.token) as remote:
            assert remote.told().stats.requests == 1


def test_what_was_recorded_is_written_and_read(sites: Sites, tmp_path: Path) -> None:
    site = sites.add(Behaviour(body="Grüße".encode(), headers=[("Set-Cookie", "a=1; Max-Age=600")]))
    recorder = observe.Recorder()
    for mode in ("record", "play"):
        with Replay(tmp_path / "seen.har", mode=mode), Session(on_event=recorder) as session:
            assert session.get(site.url).text == "Grüße"
    recorder.save_har(tmp_path / "recorder.har")
    recorder.save_waterfall(tmp_path / "waterfall.html")
    assert sum(site.executed.values()) == 1
    assert "keeppool" in (tmp_path / "waterfall.html").read_text(encoding="utf-8")


def test_the_command_fetches(sites: Sites, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = sites.add(Behaviour(body=b"body"))
    assert main(["fetch", "--json", site.url]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0]["status"] == 200


def test_a_unix_socket_is_dialled_or_refused_with_a_reason(tmp_path: Path) -> None:
    place = str(tmp_path / "socket")
    expected = errors.ConnectError if hasattr(socket, "AF_UNIX") else errors.ConfigError
    with Session(defaults=HostConfig(unix_socket=place)) as session:
        with pytest.raises(expected, match="socket"):
            session.get("http://localhost/")
        assert session.stats().open == 0
        if expected is errors.ConfigError:
            with pytest.raises(expected, match=r"127\.0\.0\.1"):
                observe.serve(session, place)


class Watchless(asyncio.SelectorEventLoop):
    """Cannot watch sockets for others, as Windows' ProactorEventLoop."""

    add_reader = asyncio.AbstractEventLoop.add_reader
    add_writer = asyncio.AbstractEventLoop.add_writer


def test_an_event_loop_that_cannot_watch_sockets_is_refused_before_anything_is_dialled(sites: Sites) -> None:
    site = sites.add()

    async def fetch() -> None:
        async with AsyncSession() as session:
            with pytest.raises(errors.LoopError, match=r"Watchless cannot .*asyncio\.SelectorEventLoop"):
                await session.get(site.url)

    with asyncio.Runner(loop_factory=Watchless) as runner:
        runner.run(fetch())
    assert site.opened == 0
