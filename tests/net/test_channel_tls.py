"""A connection on an event loop that speaks TLS, and what only TLS peers do."""

from __future__ import annotations

import asyncio
import contextlib
import ssl

import pytest
from loops import PATIENCE, TlsPeerWithin, on_both_loops, reset, secured, turns, until

from keeppool.core.origin import Origin
from keeppool.net.deadline import Deadline
from keeppool.net.dial_tasks import drive
from keeppool.net.outbox import BURST, Outbox
from keeppool.net.stream import TLS_RECORD
from keeppool.net.stream_tasks import READ
from keeppool.net.streams import Liveness
from keeppool.net.tls import TlsStore

pytestmark = on_both_loops

HUGE = 16 * 1024 * 1024


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def context(server_context, request) -> ssl.SSLContext:
    server_context.maximum_version = request.param
    return server_context


def test_bytes_go_both_ways(run, context, trusting) -> None:
    async def test() -> None:
        async with secured(context, trusting) as (channel, peer):
            peer.flush()
            channel.write(b"ping")
            assert channel.accepted == 4
            assert await peer.read() == b"ping"
            peer.send(b"pong")
            assert await channel.receive(2, PATIENCE) == b"po"
            assert await channel.receive(10, PATIENCE) == b"ng"
            assert channel.is_tls
            assert channel.tls is not None
            assert channel.tls.version() == peer.tls.version()
            assert not channel.resumed

    run(test())


def test_ciphertext_may_come_one_byte_at_a_time(run, context, trusting) -> None:
    async def test() -> None:
        async with secured(context, trusting) as (channel, peer):
            channel.watch(lambda: None)
            for byte in peer.sealed(b"pong"):
                assert channel.receive_now(10) is None
                peer.sock.send(bytes([byte]))
            assert await channel.receive(10, PATIENCE) == b"pong"

    run(test())


def test_many_records_may_come_at_once(run, context, trusting) -> None:
    async def test() -> None:
        async with secured(context, trusting) as (channel, peer):
            peer.sock.sendall(b"".join(peer.sealed(b"%d" % number) for number in range(10)))
            got = b""
            while len(got) < 10:
                got += await channel.receive(READ, PATIENCE)
            assert got == b"0123456789"

    run(test())


def test_tickets_are_not_data(run, server_context, trusting) -> None:
    """TLS 1.3 sends them after the handshake: a connection that was dialled ahead of need is idle when they come."""

    async def test() -> None:
        async with secured(server_context, trusting) as (channel, peer):
            channel.watch(lambda: pytest.fail("heard a ticket"))
            assert not channel.tls.session.has_ticket
            peer.flush()
            assert channel.probe() is Liveness.IDLE
            assert channel.tls.session.has_ticket
            await turns()
            assert channel.probe() is Liveness.IDLE
            assert channel.receive_now(10) is None

    run(test())


def test_tickets_that_the_loop_reads_are_not_data(run, server_context, trusting) -> None:
    async def test() -> None:
        async with secured(server_context, trusting) as (channel, peer):
            channel.watch(lambda: pytest.fail("heard a ticket"))
            peer.flush()
            await until(lambda: channel.tls.session.has_ticket)
            await turns()
            assert channel.probe() is Liveness.IDLE

    run(test())


def test_tickets_do_not_end_a_wait(run, server_context, trusting) -> None:
    async def test() -> None:
        async with secured(server_context, trusting) as (channel, peer):
            waiting = asyncio.create_task(channel.receive(10, PATIENCE))
            await turns()
            peer.flush()
            await until(lambda: channel.tls.session.has_ticket)
            assert not waiting.done()
            peer.send(b"pong")
            assert await waiting == b"pong"

    run(test())


def test_data_behind_tickets_is_data(run, server_context, trusting) -> None:
    async def test() -> None:
        async with secured(server_context, trusting) as (channel, peer):
            heard = asyncio.Event()
            channel.watch(heard.set)
            peer.send(b"unasked")
            assert channel.probe() is Liveness.DATA
            await heard.wait()

    run(test())


def test_a_goodbye_is_the_end(run, context, trusting) -> None:
    """Also while the peer's socket stays open."""

    async def test() -> None:
        async with secured(context, trusting) as (channel, peer):
            heard = asyncio.Event()
            channel.watch(heard.set)
            peer.sock.sendall(peer.sealed(b"bye"))
            peer.say_goodbye()
            await heard.wait()
            await until(lambda: channel.probe() is Liveness.CLOSED)
            assert await channel.receive(10, PATIENCE) == b"bye"
            assert await channel.receive(10, PATIENCE) == b""

    run(test())


def test_an_end_without_goodbye_is_an_error(run, context, trusting) -> None:
    async def test() -> None:
        async with secured(context, trusting) as (channel, peer):
            peer.send(b"cut sho")
            peer.sock.close()
            assert await channel.receive(10, PATIENCE) == b"cut sho"
            for _ in range(2):
                with pytest.raises(ssl.SSLEOFError):
                    await channel.receive(10, PATIENCE)
            assert channel.probe() is Liveness.CLOSED

    run(test())


def test_what_is_no_tls_is_an_error(run, context, trusting) -> None:
    async def test() -> None:
        async with secured(context, trusting) as (channel, peer):
            peer.send(b"good")
            peer.sock.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            assert await channel.receive(10, PATIENCE) == b"good"
            with pytest.raises(ssl.SSLError):
                await channel.receive(10, PATIENCE)

    run(test())


def test_closing_says_goodbye(run, context, trusting) -> None:
    async def test() -> None:
        async with secured(context, trusting) as (channel, peer):
            channel.close()
            assert await peer.read() == b""

    run(test())


def test_aborting_does_not(run, context, trusting) -> None:
    async def test() -> None:
        async with secured(context, trusting) as (channel, peer):
            channel.abort()
            with pytest.raises(ssl.SSLEOFError):
                await peer.read()

    run(test())


def test_bytes_right_behind_the_handshake_are_kept(run, server_context, trusting) -> None:
    """In TLS 1.2 the server's last flight is the last: what it says next may come with it."""

    async def test() -> None:
        async with secured(server_context, trusting, last=b"hello") as (channel, _):
            assert channel.probe() is Liveness.DATA
            assert await channel.receive(10, PATIENCE) == b"hello"

    server_context.maximum_version = ssl.TLSVersion.TLSv1_2
    server_context.num_tickets = 0
    run(test())


def test_accepted_counts_whole_records(run, context, trusting) -> None:
    async def test() -> None:
        async with secured(context, trusting) as (channel, peer):
            channel.write(bytes(HUGE))
            taken = channel.accepted
            assert 0 < taken < HUGE
            assert taken % TLS_RECORD <= 1
            reading = asyncio.create_task(count(peer, HUGE))
            while not await channel.drain(PATIENCE):
                pass
            assert channel.accepted == HUGE
            assert await reading == HUGE

    async def count(peer, wanted: int) -> int:
        got = 0
        while got < wanted:
            got += len(await peer.read())
        return got

    run(test())


def test_accepted_is_nothing_if_the_peer_was_gone(run, context, trusting) -> None:
    async def test() -> None:
        async with secured(context, trusting) as (channel, peer):
            reset(peer.sock)
            with pytest.raises(ConnectionError):
                channel.write(b"GET / HTTP/1.1\r\n\r\n")
            assert channel.accepted == 0

    run(test())


@pytest.fixture
def asks_late(server_context) -> ssl.SSLContext:
    """A server that asks for a certificate after the handshake, and goes on without one (RFC 8446 §4.6.2)."""
    server_context.post_handshake_auth = True
    server_context.verify_mode = ssl.CERT_OPTIONAL
    server_context.num_tickets = 0
    return server_context


@contextlib.asynccontextmanager
async def secured_to_depth(depth: int, context: ssl.SSLContext, identity):
    """A channel with so many layers of TLS, and the peer at the innermost."""
    async with secured(context, identity) as (channel, peer):
        if depth == 2:
            layer = TlsStore().layer_for(Origin(scheme="https", host="127.0.0.1", port=443), identity)
            outer, peer = peer, TlsPeerWithin(peer, context)
            shaking = asyncio.create_task(peer.shake())
            await drive(layer.handshake(), channel, Deadline(PATIENCE))
            channel.write(layer.outgoing())
            channel.secure(layer)
            await shaking
            assert outer.tls.version() == peer.tls.version() == "TLSv1.3"
        channel.reset_accepted()
        yield channel, peer


@pytest.mark.parametrize("depth", [1, 2])
def test_a_certificate_asked_for_after_the_handshake_is_sent_while_an_answer_is_awaited(
    run, asks_late, trusting, depth
) -> None:
    """Apache asks so for `SSLVerifyClient` in a `<Location>`, and answers nothing before it has one."""

    async def test() -> None:
        async with secured_to_depth(depth, asks_late, trusting) as (channel, peer):
            waiting = asyncio.create_task(channel.receive(10, PATIENCE))
            peer.tls.verify_client_post_handshake()
            peer.send(b"")
            await peer.hear_words()
            assert not waiting.done()
            assert channel.accepted == 0
            peer.send(b"answer")
            assert await waiting == b"answer"
            channel.write(b"next")
            assert await peer.read() == b"next"

    run(test())


@pytest.mark.parametrize("depth", [1, 2])
def test_words_of_tls_go_out_in_order_beside_an_upload(run, asks_late, trusting, depth) -> None:
    """Behind the record that is under way, before all that is not encrypted yet; or the peer could read no more."""

    async def test() -> None:
        async with secured_to_depth(depth, asks_late, trusting) as (channel, peer):
            channel.write(b"x" * HUGE)
            assert channel.unsent
            peer.tls.verify_client_post_handshake()
            peer.send(b"")
            draining = asyncio.create_task(drained(channel))
            got = 0
            while got < HUGE:
                got += len(await peer.read())
            await draining
            assert channel.accepted == HUGE
            channel.write(b"last")
            assert await peer.read() == b"last"

    async def drained(channel) -> None:
        while not await channel.drain(PATIENCE):
            pass

    run(test())


def test_a_large_write_leaves_the_loop_to_others_after_a_burst(run, context, trusting) -> None:
    """A reader that is faster than our encryption never lets the kernel's buffer fill."""

    async def test() -> None:
        async with secured(context, trusting) as (channel, _):
            sizes: list[int] = []
            # What a fast reader brings about: the kernel takes everything.
            outbox = Outbox(channel.loop, EverOpen(sizes), [channel.tls])
            outbox.write(bytes(4 * BURST))
            assert outbox.accepted == BURST
            assert outbox.is_stopped
            assert outbox.unsent
            while outbox.is_stopped:
                assert outbox.is_burst()
                outbox.go_on()
            assert outbox.accepted == 4 * BURST
            assert len(sizes) == 4 * BURST // TLS_RECORD

    class EverOpen:
        """A socket whose buffer never fills."""

        def __init__(self, sizes: list[int]) -> None:
            self.sizes = sizes

        def send(self, data: bytes) -> int:
            self.sizes.append(len(data))
            return len(data)

    run(test())


def test_an_upload_that_stopped_after_a_burst_goes_on_by_draining(run, context, trusting) -> None:
    async def test() -> None:
        async with secured(context, trusting) as (channel, peer):
            reading = asyncio.create_task(count(peer))
            channel.write(bytes(HUGE))
            while not await channel.drain(PATIENCE):
                pass
            assert await reading == HUGE
            assert channel.accepted == HUGE
            assert not channel.unsent

    async def count(peer) -> int:
        got = 0
        while got < HUGE:
            got += len(await peer.read())
        return got

    run(test())
