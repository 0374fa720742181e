"""A body costs what it is worth: the total timeout, other tasks and memory while it is read and decoded.

Nothing here looks at a clock: a body that would take seconds meets a limit of a few hundredths, turns of other tasks
are counted, and memory is what the operating system says was most.
"""

from __future__ import annotations

import asyncio
import gzip
import os
import random
import resource
import signal
import struct
import subprocess
import sys
import threading
import zlib

import pytest
from on_a_loop import PoolOnALoop

from keeppool import PoolManager, Timeout
from keeppool.clock import clock
from keeppool.errors import ContentDecodingError, IncompleteBody, ReadTimeout, StreamConsumedError, TotalTimeout
from keeppool.pools.body import TURN
from keeppool.pools.manager_tasks import AsyncPoolManager
from keeppool.pools.whole import FIRST_ROOM, LEAST_MAPPED, STEP, Whole
from keeppool.testing import Answer, RawConnection, ScriptedServer, Site

#: Row W1: 267 bytes that unfold to a million members with nothing in them.
UNFOLDS = gzip.compress(gzip.compress(gzip.compress(b"", mtime=0) * 1_000_000))
THREE = (("Content-Encoding", "gzip, gzip, gzip"),)


def zeros(size: int) -> bytes:
    """Pack so many zeros, whole MiB; without the memory for them, nor the time: each MiB is packed like the first."""
    mib = bytes(1 << 20)
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(mib) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = 0
    for _ in range(size >> 20):
        checksum = zlib.crc32(mib, checksum)
    header = gzip.compress(b"", mtime=0)[:10]
    return header + packed * (size >> 20) + packer.flush() + struct.pack("<II", checksum, size & 0xFFFFFFFF)


@pytest.fixture(scope="module")
def gigabyte() -> bytes:
    return zeros(1 << 30)


@pytest.fixture(params=[PoolManager, PoolOnALoop], ids=["threads", "tasks"])
def make(request):
    return request.param


def site_with(body: bytes, *headers: tuple[str, str]) -> Site:
    return Site(handler=lambda _: Answer(headers=headers, body=body))


@pytest.mark.parametrize("stream", [False, True])
def test_members_without_content_end_in_an_error(make, stream):
    with site_with(UNFOLDS, *THREE) as site, make() as pool:
        with pytest.raises(ContentDecodingError, match="hardly any content"):
            _ = pool.request("GET", site.url, stream=stream).data
        assert pool.stats().busy == 0


def test_members_without_content_are_not_unfolded_for_a_redirect_nobody_reads(make):
    with site_with(UNFOLDS, *THREE) as site, make() as pool:
        response = pool.request("GET", site.url, stream=True)
        assert not response.preload_small()
        assert pool.stats().busy == 0


def test_a_body_nobody_wants_is_decoded_in_few_steps(make, gigabyte):
    small = gzip.compress(gigabyte)
    assert len(small) < 65536
    with site_with(small, ("Content-Encoding", "gzip, gzip")) as site, make() as pool:
        response = pool.request("GET", site.url, stream=True)
        assert not response.preload_small()
        with pytest.raises(StreamConsumedError, match="too large to be kept"):
            _ = response.data


@pytest.mark.parametrize("stream", [False, True])
def test_decoding_ends_with_the_total_timeout(make, stream, gigabyte):
    small = gzip.compress(gigabyte)
    with site_with(small, ("Content-Encoding", "gzip, gzip")) as site, make(timeout=Timeout(total=0.05)) as pool:
        with pytest.raises(TotalTimeout):
            pool.request("GET", site.url, stream=stream).read(1 << 31)
        assert pool.stats().busy == 0


@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_a_body_that_came_whole_in_time_is_given_whenever_it_is_read(make, coding):
    """The connection is back in the pool: the exchange is over, whatever the caller does in between."""
    body = gzip.compress(b"whole") if coding == "gzip" else b"whole"
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    script = [RawConnection.read_request, head + body, RawConnection.read_until_closed]
    with ScriptedServer(script) as server, make(timeout=Timeout(total=5)) as pool:
        response = pool.request("GET", server.url, stream=True)
        assert pool.stats().idle == 1
        exchange = getattr(response, "response", response)._exchange
        exchange.deadline = clock()  # As if five seconds had passed until now.
        assert response.read() == b"whole"
        assert pool.stats().idle == 1


def test_other_tasks_have_their_turn_while_a_body_is_decoded():
    """Row W7: bytes that are there already are decoded in steps, and between them the loop goes round."""
    size = 64 << 20
    packed = zeros(size)

    async def main() -> tuple[int, int]:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async with AsyncPoolManager() as pool:
            response = await pool.request("GET", site.url, stream=True)
            first = await response.read(1)
            counting = asyncio.create_task(count())
            await asyncio.sleep(0)
            turns, given = 0, len(first)
            async for piece in response.stream(65536):
                given += len(piece)
            counting.cancel()
            return turns, given

    with site_with(packed, ("Content-Encoding", "gzip")) as site:
        turns, given = asyncio.run(main())
    assert given == size
    assert turns >= size // (2 * TURN)


def test_a_task_that_decodes_can_be_cancelled(gigabyte):
    """Row W7: what waits for it waits no longer than a few steps."""

    async def main() -> None:
        async with AsyncPoolManager() as pool:
            reading = asyncio.create_task(pool.request("GET", site.url))
            # The body has come whole: all that is left is to decode it.
            while pool.stats().idle == 0:  # noqa: ASYNC110 - nobody says so
                await asyncio.sleep(0)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            assert pool.stats().busy == 0

    with site_with(gzip.compress(gigabyte), ("Content-Encoding", "gzip, gzip")) as site:
        asyncio.run(main())


def test_a_small_body_costs_no_turn_of_the_loop():
    async def main() -> int:
        async with AsyncPoolManager() as pool:
            response = await pool.request("GET", site.url, stream=True)
            await response.read(1)  # The whole body is here, behind the head.
            turns = 0

            async def count() -> None:
                nonlocal turns
                turns += 1

            counting = asyncio.create_task(count())
            assert len(await response.read()) == 99_999
            before, _ = turns, await counting
            return before

    with site_with(gzip.compress(bytes(100_000)), ("Content-Encoding", "gzip")) as site:
        assert asyncio.run(main()) == 0


# Large bodies, taken whole


def test_a_large_body_is_read_whole(make):
    body = os.urandom(5_000_003)
    with Site(handler=lambda _: Answer(body=body)) as site, make() as pool:
        assert pool.request("GET", site.url).data == body
        response = pool.request("GET", site.url, stream=True)
        assert response.read(70_000) + response.read() == body
        assert pool.stats().idle == 1


def test_a_large_body_that_stops_short_is_an_error(make):
    def answer(connection: RawConnection) -> None:
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n" + bytes(3_000_000))

    with ScriptedServer(answer) as server, make() as pool:
        with pytest.raises(Exception, match="3000000 of 5000000") as caught:
            pool.request("GET", server.url)
        assert (caught.value.expected, caught.value.actual) == (5_000_000, 3_000_000)
        assert pool.stats().open == 0


def test_a_large_body_that_comes_too_slowly_says_what_came(make):
    def answer(connection: RawConnection) -> None:
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n" + bytes(3_000_000))
        connection.read_until_closed()

    with ScriptedServer(answer) as server, make(timeout=Timeout(read=0.2)) as pool:
        with pytest.raises(ReadTimeout) as caught:
            pool.request("GET", server.url)
        assert caught.value.received > 3_000_000
        assert pool.stats().open == 0


#: Of a body whose memory is mapped ahead: two steps have come, and a part of the third.
ANNOUNCED = LEAST_MAPPED + STEP
CAME = 2 * STEP + 1_000_000


def part_of_a_large_body(connection: RawConnection) -> None:
    connection.read_request()
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % ANNOUNCED + bytes(CAME))


def test_a_body_that_is_mapped_ahead_and_breaks_off_is_an_error(make):
    def answer(connection: RawConnection) -> None:
        part_of_a_large_body(connection)
        for _ in range(100):
            connection.send(b"x")

    with ScriptedServer(answer) as server, make() as pool:
        with pytest.raises(IncompleteBody) as caught:
            pool.request("GET", server.url)
        assert (caught.value.expected, caught.value.actual) == (ANNOUNCED, CAME + 100)
        assert pool.stats().open == 0


def test_a_body_that_is_mapped_ahead_and_falls_silent_says_what_came(make):
    def answer(connection: RawConnection) -> None:
        part_of_a_large_body(connection)
        connection.read_until_closed()

    with ScriptedServer(answer) as server, make(timeout=Timeout(read=0.5)) as pool:
        with pytest.raises(ReadTimeout) as caught:
            pool.request("GET", server.url)
        assert caught.value.received > CAME
        assert pool.stats().open == 0


def test_ctrl_c_in_a_body_that_is_mapped_ahead_closes_its_connection():
    def answer(connection: RawConnection) -> None:
        part_of_a_large_body(connection)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        connection.read_until_closed()

    with ScriptedServer(answer) as server, PoolManager() as pool:
        with pytest.raises(KeyboardInterrupt):
            pool.request("GET", server.url)
        assert pool.stats().open == 0


def test_a_body_that_is_mapped_ahead_is_what_was_sent(make):
    """Each byte in its place, where the steps meet too."""
    body = random.Random(18).randbytes(1 << 20) * (ANNOUNCED >> 20) + b"the end"
    with site_with(body) as site, make() as pool:
        assert pool.request("GET", site.url).data == body


def test_a_large_body_comes_in_a_few_waits():
    """Each turn of a task costs more than the read it waits for."""
    size, waits = 16 << 20, 0

    async def main() -> None:
        nonlocal waits
        async with AsyncPoolManager() as pool:
            response = await pool.request("GET", site.url, stream=True)
            steps = response.preload().__await__()

            class Counted:
                def __await__(self):
                    nonlocal waits
                    for future in steps:
                        waits += 1
                        yield future

            await Counted()
            assert len(response.data) == size

    with site_with(bytes(size)) as site:
        asyncio.run(main())
    assert waits <= 3


def test_cancelling_a_large_body_closes_its_connection():
    def answer(connection: RawConnection) -> None:
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n" + bytes(3_000_000))
        connection.read_until_closed()

    async def main() -> None:
        async with AsyncPoolManager() as pool:
            response = await pool.request("GET", server.url, stream=True)
            reading = asyncio.create_task(response.preload())
            channel = response.lent_stream
            while channel.taken < 3_000_000:  # noqa: ASYNC110 - nobody says so
                await asyncio.sleep(0)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            assert pool.stats().open == 0

    with ScriptedServer(answer) as server:
        asyncio.run(main())


PEAK = """
import asyncio, sys, resource
from keeppool import AsyncSession, Session

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

async def by_tasks(url, small):
    async with AsyncSession() as session:
        await session.get(small)
        before = peak()
        return len((await session.get(url)).content), peak() - before

def by_threads(url, small):
    with Session() as session:
        session.get(small)
        before = peak()
        return len(session.get(url).content), peak() - before

url, front = sys.argv[1:]
small = url + "/small"
if front == "uvloop":
    import uvloop
    size, grown = uvloop.run(by_tasks(url, small))
else:
    size, grown = asyncio.run(by_tasks(url, small)) if front == "asyncio" else by_threads(url, small)
assert size == {size}
print(grown)
"""


@pytest.mark.parametrize("front", ["threads", "asyncio", "uvloop"])
def test_a_large_body_is_in_memory_once(front):
    """In a process of its own: 272 MiB take 272 MiB, and a tenth more at the most, though room has to be added."""
    if front == "uvloop":
        pytest.importorskip("uvloop")
    size = FIRST_ROOM + 4 * STEP
    body = bytes(size)
    with Site(handler=lambda asked: Answer(body=body if asked.path == "/" else b"")) as site:
        command = [sys.executable, "-c", PEAK.format(size=size), site.url, front]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)
    assert int(done.stdout) * 1024 <= 1.15 * size


def test_a_length_that_lies_takes_no_memory(make):
    """A terabyte is announced and a kilobyte sent: room is made for what has come, not for what was said."""

    def answer(connection: RawConnection) -> None:
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1099511627776\r\n\r\n" + bytes(1024))

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with ScriptedServer(answer) as server, make() as pool, pytest.raises(Exception, match="of 1099511627776"):
        pool.request("GET", server.url)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 << 10


def test_room_is_given_in_steps_and_grows_with_what_has_come():
    """Untouched, the first room takes no memory: it is passed over here."""
    whole = Whole()
    whole.add(b"a" * 1000)
    with whole.room(1 << 40) as room:
        assert len(room) == STEP
        room[:5] = b"bcdef"
    whole.filled(5)
    with whole.room(3) as room:
        assert len(room) == 3
    whole.filled(FIRST_ROOM + 1000 - whole.size - 10)
    with whole.room(1 << 40) as room:
        assert len(room) == 10
        room[:] = b"g" * 10
    whole.filled(10)
    with whole.room(1 << 40) as room:
        assert len(room) == STEP
        room[:2] = b"hi"
    whole.filled(2)
    value = whole.value()
    assert (value[:1006], value[-13:]) == (b"a" * 1000 + b"bcdef\0", b"\0" + b"g" * 10 + b"hi")
    assert len(value) == FIRST_ROOM + 1002


def test_smaller_bodies_have_all_their_room_at_once():
    whole = Whole()
    with whole.room(LEAST_MAPPED - 1) as room:
        assert len(room) == LEAST_MAPPED - 1


def test_one_piece_is_given_as_it_came():
    whole = Whole()
    assert whole.value() == b""
    piece = b"x" * 100
    whole.add(piece)
    assert whole.value() is piece
