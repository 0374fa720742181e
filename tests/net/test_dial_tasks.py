"""Opening connections on an event loop: what the blocking dial does, and nothing left behind by whoever cancels."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import itertools
import os
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import pytest
from loops import PATIENCE, on_both_loops, turns, until
from proxies import SocksProxy, TunnelProxy
from test_dial import UNRESOLVABLE
from test_leaks import CASES, world  # noqa: F401 - a fixture

from keeppool.core.origin import Origin, Proxy, TlsIdentity
from keeppool.errors import ConfigError, ConnectTimeout, KeepPoolError, ResolveError
from keeppool.net.dial import dial as blocking_dial
from keeppool.net.dial_tasks import dial
from keeppool.net.resolver_tasks import LoopResolver
from keeppool.net.stream_tasks import Channel
from keeppool.net.tls import BUILDER, TlsStore

pytestmark = on_both_loops

T = TypeVar("T")

needs_python_socks = pytest.mark.skipif(
    importlib.util.find_spec("python_socks") is None, reason="python-socks not installed"
)


async def ping(origin: Origin, tls: TlsStore) -> Channel:
    """Dial, send, read, remember and close, as a pool does."""
    channel = await dial(origin, seconds=PATIENCE, tls=tls)
    assert channel.accepted == 0
    channel.write(b"ping")
    assert await channel.receive(100, PATIENCE) == b"hello"
    tls.remember(origin, channel.tls)
    channel.close()
    await channel.wait_closed()
    return channel


@pytest.fixture
def outer_context(ca) -> ssl.SSLContext:
    """What an https proxy speaks with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    return context


class TestArriving:
    def test_directly(self, run, serve, origin) -> None:
        server = serve()
        assert not run(ping(origin(server), TlsStore())).is_tls
        assert server.seen() == b"ping"

    def test_by_a_name(self, run, serve, origin) -> None:
        run(ping(origin(serve(), host="localhost"), TlsStore()))

    def test_by_a_name_that_the_resolver_looks_up_and_by_an_address_that_it_need_not(self, run, serve, origin) -> None:
        server = serve()
        asked: list[str] = []

        def look_up(host: str, port: int) -> str:
            asked.append(host)
            return "127.0.0.1"

        async def test() -> None:
            for host in ("a.example", "127.0.0.1"):
                wanted = origin(server, host=host)
                channel = await dial(wanted, seconds=PATIENCE, tls=TlsStore(), resolver=LoopResolver(look_up))
                channel.abort()

        run(test())
        assert asked == ["a.example"]

    def test_by_ipv6(self, run, serve, origin) -> None:
        run(ping(origin(serve(host="::1"), host="::1"), TlsStore()))

    def test_by_a_unix_socket(self, run, serve, origin, tmp_path) -> None:
        path = tmp_path / "a.sock"
        server = serve(path=path)
        run(ping(origin(1, host=UNRESOLVABLE, unix_socket=str(path)), TlsStore()))
        assert server.seen() == b"ping"

    def test_from_a_source_address_with_its_options(self, run, serve, origin) -> None:
        server = serve(lambda conn: conn.getpeername())

        async def test() -> None:
            channel = await dial(origin(server, source_address="127.0.0.9"), seconds=PATIENCE, tls=TlsStore())
            assert channel.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert channel.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            channel.abort()
            await channel.wait_closed()

        run(test())
        assert server.seen()[0] == "127.0.0.9"

    def test_over_tls_and_again_with_the_session(self, run, serve, speak_tls, origin, trusting) -> None:
        store, server = TlsStore(), serve(speak_tls)
        wanted = origin(server, scheme="https", tls=trusting)
        resumed = [run(ping(wanted, store)).resumed for _ in range(2)]
        assert resumed == [False, True]
        assert [server.seen().resumed for _ in range(2)] == resumed

    def test_over_tls_with_the_session_of_a_thread(self, run, serve, speak_tls, origin, trusting) -> None:
        """One store may serve both kinds of connection."""
        store, server = TlsStore(), serve(speak_tls)
        wanted = origin(server, scheme="https", tls=trusting)
        stream = blocking_dial(wanted, seconds=PATIENCE, tls=store)
        stream.send(b"ping")
        assert stream.receive(100) == b"hello"
        store.remember(wanted, stream.sock)
        stream.close()
        assert run(ping(wanted, store)).resumed

    def test_through_a_tunnel(self, run, serve, speak_tls, origin, trusting) -> None:
        server = serve(speak_tls)
        with TunnelProxy(leads_to=(server.host, server.port), dribble=True) as proxy:
            through = Proxy(scheme="http", host="127.0.0.1", port=proxy.port)
            run(ping(origin(443, scheme="https", host="a.example", tls=trusting, proxy=through), TlsStore()))
        assert server.seen().name == "a.example"

    def test_by_tls_within_tls(self, run, serve, speak_tls, origin, trusting, outer_context) -> None:
        server = serve(speak_tls)
        with TunnelProxy(leads_to=(server.host, server.port), tls=outer_context) as proxy:
            through = Proxy(scheme="https", host="127.0.0.1", port=proxy.port, verify=trusting.verify)
            wanted = origin(443, scheme="https", host="a.example", tls=trusting, proxy=through)
            store = TlsStore()
            assert [run(ping(wanted, store)).resumed for _ in range(2)] == [False, True]
        assert [server.seen().data for _ in range(2)] == [b"ping", b"ping"]

    def test_by_tls_within_tls_and_leaving_with_both_goodbyes(
        self, run, serve, server_context, origin, trusting, outer_context
    ) -> None:
        """The inner one goes first and through the outer layer, or the server hears a broken end."""

        def handle(conn: socket.socket) -> bytes:
            with server_context.wrap_socket(conn, server_side=True, suppress_ragged_eofs=False) as secured:
                secured.recv(100)
                secured.sendall(b"hello")
                return secured.recv(100)

        server = serve(handle)
        with TunnelProxy(leads_to=(server.host, server.port), tls=outer_context) as proxy:
            through = Proxy(scheme="https", host="127.0.0.1", port=proxy.port, verify=trusting.verify)
            run(ping(origin(443, scheme="https", host="a.example", tls=trusting, proxy=through), TlsStore()))
            assert server.seen() == b""

    @needs_python_socks
    @pytest.mark.parametrize("scheme", ["socks5", "socks5h", "socks4", "socks4a"])
    def test_through_socks(self, run, serve, origin, scheme) -> None:
        server = serve()
        with SocksProxy(leads_to=(server.host, server.port)) as proxy:
            through = Proxy(scheme=scheme, host="127.0.0.1", port=proxy.port)
            run(ping(origin(80, host="localhost", proxy=through), TlsStore()))
        assert server.seen() == b"ping"


async def failing(wanted: Origin, seconds: float) -> KeepPoolError:
    with pytest.raises(KeepPoolError) as caught:
        await dial(wanted, seconds=seconds, tls=TlsStore())
    return caught.value


class TestFailing:
    @pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
    def test_as_the_blocking_dial_fails(self, run, world, case, open_files) -> None:  # noqa: F811
        wanted, timeout, server = case(world)
        with pytest.raises(KeepPoolError) as caught:
            blocking_dial(wanted, seconds=timeout, tls=TlsStore())
        theirs = caught.value
        if server is not None:
            server.seen()
        before = open_files()
        ours = run(failing(wanted, timeout))
        if server is not None:
            server.seen()
        assert type(ours) is type(theirs)
        assert str(ours) == str(theirs)
        assert type(ours.__cause__) is type(theirs.__cause__)
        assert vars(ours).keys() == vars(theirs).keys()
        assert open_files() == before

    def test_telling_the_server_why_its_certificate_is_refused(self, run, serve, speak_tls, origin) -> None:
        server = serve(speak_tls)
        run(failing(origin(server, scheme="https"), PATIENCE))
        assert "ALERT_UNKNOWN_CA" in str(server.seen())

    def test_for_a_name_without_an_address(self, run, origin) -> None:
        wanted = origin(80, host=UNRESOLVABLE)
        ours = run(failing(wanted, PATIENCE))
        with pytest.raises(ResolveError) as caught:
            blocking_dial(wanted, seconds=PATIENCE, tls=TlsStore())
        assert type(ours) is ResolveError
        assert str(ours) == str(caught.value)

    @pytest.mark.parametrize("host", ["a" * 64 + ".invalid", "a\0b.invalid"])
    def test_for_a_name_that_is_none(self, run, origin, host) -> None:
        assert type(run(failing(origin(80, host=host), PATIENCE))) is ResolveError

    def test_for_a_source_address_that_is_none(self, run, origin) -> None:
        assert type(run(failing(origin(80, source_address="eth0"), PATIENCE))) is ConfigError

    def test_for_a_trust_file_that_is_none(self, run, origin) -> None:
        wanted = origin(443, scheme="https", tls=TlsIdentity(verify="/nowhere"))
        assert type(run(failing(wanted, PATIENCE))) is ConfigError

    def test_for_a_resolver_that_takes_too_long(self, run, origin) -> None:
        async def test() -> KeepPoolError:
            async def silent(host: str, port: int) -> list[str]:
                await asyncio.get_running_loop().create_future()
                return []

            wanted = origin(80, host="a.example")
            with pytest.raises(KeepPoolError) as caught:
                await dial(wanted, seconds=0.01, tls=TlsStore(), resolver=LoopResolver(silent))
            await asyncio.sleep(0)  # The look-up is cancelled, and ends.
            return caught.value

        error = run(test())
        assert type(error) is ConnectTimeout
        assert "no address for a.example yet" in str(error)


@pytest.fixture
def pipe(tmp_path) -> Iterator[Path]:
    """A trust file that whoever reads it waits for, and that is there to be read once.

    A loop that waits for it itself would do so for ever, and no time limit of a test could end it.
    """
    path = tmp_path / "slow.pem"
    os.mkfifo(path)
    rescue = threading.Timer(PATIENCE, lambda: path.open("r+b", buffering=0).close())
    rescue.start()
    yield path
    rescue.cancel()
    rescue.join()


@contextlib.asynccontextmanager
async def being_read(pipe: Path) -> AsyncIterator[BinaryIO]:
    """Wait until somebody reads; give the end to write to."""
    with await asyncio.to_thread(pipe.open, "wb") as writer:
        yield writer


def join_builders() -> None:
    for thread in threading.enumerate():
        if thread.name == BUILDER:
            thread.join(PATIENCE)
            assert not thread.is_alive()


class TestFirstContext:
    """The roots take tens of milliseconds to read. Here they take as long as the test wants."""

    def test_is_built_while_others_go_on_and_once_for_all(self, run, serve, speak_tls, origin, pipe, ca) -> None:
        server, store = serve(speak_tls), TlsStore()
        wanted = origin(server, scheme="https", tls=TlsIdentity(verify=str(pipe)))

        async def test() -> None:
            dials = [asyncio.create_task(ping(wanted, store)) for _ in range(3)]
            async with being_read(pipe) as writer:
                await turns()
                assert not any(dialling.done() for dialling in dials)
                writer.write(ca.cert_pem.bytes())
            assert all(channel.is_tls for channel in await asyncio.gather(*dials))
            await ping(wanted, store)

        run(test())

    def test_is_not_waited_for_where_it_is_there(self, run, origin, trusting) -> None:
        """The dial gets to its first wait, for the server, in one go."""
        store = TlsStore()
        assert store.building(trusting) is not None
        store.context_for(trusting)
        assert store.building(trusting) is None
        assert store.building(TlsIdentity(context=ssl.create_default_context())) is None

    def test_is_built_on_the_loop_where_no_thread_can_be_had(self, run, trusting, monkeypatch) -> None:
        def refuse(thread) -> None:
            raise RuntimeError("can't start new thread")

        async def test() -> None:
            store = TlsStore()
            with monkeypatch.context() as no_threads:
                no_threads.setattr(threading.Thread, "start", refuse)
                assert store.building(trusting) is None
                assert store.context_for(trusting).verify_mode is ssl.CERT_REQUIRED

        run(test())

    def test_stays_for_others_when_its_dial_is_cancelled(self, run, serve, speak_tls, origin, pipe, ca) -> None:
        server, store = serve(speak_tls), TlsStore()
        wanted = origin(server, scheme="https", tls=TlsIdentity(verify=str(pipe)))

        async def test() -> None:
            first, second = (asyncio.create_task(ping(wanted, store)) for _ in range(2))
            async with being_read(pipe) as writer:
                first.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await first
                writer.write(ca.cert_pem.bytes())
            await second
            await ping(wanted, store)

        run(test())

    def test_may_outlive_the_loop(self, run, origin, pipe, ca, caplog) -> None:
        wanted, store = origin(443, scheme="https", tls=TlsIdentity(verify=str(pipe))), TlsStore()

        async def test() -> BinaryIO:
            dialling = asyncio.create_task(dial(wanted, seconds=PATIENCE, tls=store))
            writer = await asyncio.to_thread(pipe.open, "wb")
            dialling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await dialling
            return writer

        with run(test()) as writer:
            writer.write(ca.cert_pem.bytes())
        join_builders()
        assert store.building(wanted.identity) is None
        assert not caplog.records

    def test_that_cannot_be_built_is_everybodys_own_error_and_is_tried_again(
        self, run, serve, speak_tls, origin, tmp_path, ca
    ) -> None:
        path, server, store = tmp_path / "roots.pem", serve(speak_tls), TlsStore()
        wanted = origin(server, scheme="https", tls=TlsIdentity(verify=str(path)))

        async def test() -> None:
            errors = await asyncio.gather(ping(wanted, store), ping(wanted, store), return_exceptions=True)
            assert [type(error) for error in errors] == [ConfigError] * 2
            assert errors[0] is not errors[1]
            ca.cert_pem.write_to_path(path)
            await ping(wanted, store)

        run(test())


class Counted(Awaitable[T]):
    """A coroutine that has its task cancelled where it waits for the `number`-th time.

    Args:
        steps: The coroutine.
        number: Counted from 0.
        late: Cancelled not at once, but when what it waits for has come: the cancellation wins the race with it.

    Attributes:
        was_reached: Whether it waited that often.
    """

    def __init__(self, steps: Coroutine[Any, Any, T], number: int, *, late: bool) -> None:
        self.was_reached = False
        self._steps = steps
        self._number = number
        self._late = late

    def __await__(self) -> Generator[Any, Any, T]:
        waits = self._steps.__await__()
        for count in itertools.count():
            try:
                waited_for = waits.send(None)
            except StopIteration as end:
                return end.value
            if count == self._number:
                break
            yield waited_for
        self.was_reached = True
        if not self._late:
            asyncio.current_task().cancel()
        try:
            yield waited_for
        except asyncio.CancelledError as error:
            waits.throw(error)
        waits.throw(asyncio.CancelledError())
        raise AssertionError("went on after it was cancelled")


class TestCancelling:
    """At each point where the dial waits: no socket is left, and no task."""

    @pytest.fixture
    def ways(self, serve, speak_tls, origin, trusting, outer_context, black_hole, closed_port):
        """Origins to dial, one for each way there is."""
        server, secure = serve(), serve(speak_tls)
        with (
            TunnelProxy(leads_to=(secure.host, secure.port), dribble=True) as tunnel,
            TunnelProxy(leads_to=(secure.host, secure.port), tls=outer_context) as tls_tunnel,
        ):

            def through(proxy: TunnelProxy, scheme: str) -> Origin:
                nearest = Proxy(scheme=scheme, host="127.0.0.1", port=proxy.port, verify=trusting.verify)
                return origin(443, scheme="https", host="a.example", tls=trusting, proxy=nearest)

            yield {
                "plain": origin(server),
                "by name": origin(server, host="localhost"),
                "silent": origin(black_hole[1]),
                "refused": origin(closed_port),
                "tls": origin(secure, scheme="https", tls=trusting),
                "tunnel": through(tunnel, "http"),
                "tls within tls": through(tls_tunnel, "https"),
            }

    @pytest.mark.parametrize("late", [False, True], ids=["at once", "when the answer has come"])
    @pytest.mark.parametrize("way", ["plain", "by name", "silent", "refused", "tls", "tunnel", "tls within tls"])
    def test_leaves_nothing(self, run, ways, way, late, open_files) -> None:
        wanted, store = ways[way], TlsStore()
        timeout = 0.05 if way == "silent" else PATIENCE

        async def cancelled_at(number: int) -> bool:
            dialling = Counted(dial(wanted, seconds=timeout, tls=store), number, late=late)

            async def run_it() -> Channel:
                return await dialling

            try:
                channel = await asyncio.create_task(run_it())
            except asyncio.CancelledError:
                pass
            except KeepPoolError:
                assert way in ("silent", "refused")
            else:
                channel.abort()
                await channel.wait_closed()
            return dialling.was_reached

        async def test() -> int:
            await cancelled_at(1000)  # Threads, contexts and whatever else stays.
            before = await settled(open_files)
            for number in itertools.count():
                was_reached = await cancelled_at(number)
                await until(lambda: open_files() == before)
                assert asyncio.all_tasks() == {asyncio.current_task()}
                if not was_reached:
                    return number
            raise AssertionError("unreachable")

        waits = run(test())
        assert waits >= (0 if way in ("plain", "refused") else 1)  # On loopback these are over at once.


async def settled(count: Callable[[], int]) -> int:
    """Wait until the count has stayed the same for a while, and give it."""
    same, last = 0, count()
    while same < 500:
        await asyncio.sleep(0)
        now = count()
        same, last = (same + 1 if now == last else 0), now
    return last
