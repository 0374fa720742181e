"""Whole conversations over a socket, by both front ends: what each caller gets is what was sent for its request."""

from __future__ import annotations

import asyncio
import re
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

from keeppool import AsyncPoolManager, HostConfig, Limits, PoolManager
from keeppool.core.reuse import why_not_reusable
from keeppool.errors import KeepPoolError, ReadTimeout, ServerDisconnected, TruncatedHead
from keeppool.wire.framing import Kind, framing_of
from tests.fuzz.oracles import check_error, outcome
from tests.fuzz.player import Player, Served, Turn
from tests.fuzz.target import target
from tests.fuzz.targets.cookies import folder
from tests.fuzz.targets.heads import heads_in
from tests.fuzz.targets.messages import read_body

METHODS = ["GET", "POST", "HEAD", "GET"]
MOST_TURNS = 5


class Ask(NamedTuple):
    """One request of a conversation, and what the server does.

    Attributes:
        method: The request's.
        reading: How the response is read: 0 at once, 1 as a stream, 2 a part of it, 3 not at all.
        closes: The server closes behind it.
        bytewise: It comes byte by byte.
        wire: What the server sends; each `@` becomes the number of the request, in brackets. Behind a byte of FE comes
            what is sent late, if what is before it is a whole response.
    """

    method: str
    reading: int
    closes: bool
    bytewise: bool
    wire: bytes


class Got(NamedTuple):
    """What a caller got; the body as far as it was read."""

    status: int | None
    body: bytes
    error: type[KeepPoolError] | None
    told: bytes


@target(also=("heads", "messages"))
def conversations(data: bytes) -> None:
    """Turns between bytes of FF; the first byte of each chooses the request, what follows is what the server sends."""
    asks = [ask_of(part) for part in data.split(b"\xff")[:MOST_TURNS]]
    results = []
    for front in (by_threads, by_tasks):
        player().play(playing(asks))
        got = front(asks)
        check(asks, got, player().log)
        results.append(got)
    assert results[0] == results[1], f"threads {results[0]!r}\ntasks {results[1]!r}"


def ask_of(part: bytes) -> Ask:
    """Read a turn."""
    how, wire = (part[0] if part else 0), part[1:].replace(b"<", b"(")
    return Ask(METHODS[how & 3], how >> 2 & 3, bool(how & 16), bool(how & 32), wire)


def playing(asks: list[Ask]) -> Any:
    """Give the server's part; behind the last turn it answers as it should."""
    turns = iter(asks)

    def turn(method: bytes, number: int) -> Turn:
        ask = next(turns, None)
        if ask is None:
            wire, closes, bytewise = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n<%d>" % (number % 10), False, False
        else:
            wire, closes, bytewise = ask.wire.replace(b"@", b"<%d>" % number), ask.closes, ask.bytewise
        wire, _, late = wire.partition(b"\xfe")
        if not is_whole(wire, method):
            wire, late = wire + late, b""
        # What is not whole without it, ends with the close: nobody is to wait for more.
        closes = closes or not is_whole(wire, method)
        return Turn([wire[at : at + 1] for at in range(len(wire))] if bytewise else [wire], late, closes)

    return turn


def is_whole(wire: bytes, method: bytes) -> bool:
    """Tell whether a response ends without a close, or is an error that shows already."""
    heads, error, rest = heads_in([wire])
    if error is not None or rest is None:
        return error is not None
    framing = outcome(framing_of, method, heads[-1])
    if framing.error is not None:
        return True
    reader, _, failed = read_body(heads[-1], framing.value, [rest])
    return framing.value.kind is not Kind.CLOSE and (failed is None or reader.failure is not None)


@cache
def player() -> Player:
    path = folder() / "socket"
    path.unlink(missing_ok=True)
    return Player(path)


@cache
def loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def end() -> None:
    """Let go of what conversations share; the next one makes it anew."""
    if player.cache_info().currsize:
        player().close()
        player.cache_clear()
    if loop.cache_info().currsize:
        loop().close()
        loop.cache_clear()


def options() -> dict[str, Any]:
    return {"limits": Limits(per_host=1), "defaults": HostConfig(unix_socket=player().path), "timeout": 30}


def by_threads(asks: list[Ask]) -> list[Got]:
    """Have the conversation by the front end for threads."""
    got = []
    with PoolManager(**options()) as pool:
        for number, ask in enumerate(asks):
            got.append(asked(pool, number, ask))
            player().wait()
        assert pool.stats().busy == 0
    assert pool.stats().open == 0
    return got


def asked(pool: PoolManager, number: int, ask: Ask) -> Got:
    """Make one request."""
    status, body, told, body_sent = None, b"", b"", b"body" if ask.method == "POST" else None
    try:
        response = pool.request(
            ask.method, f"http://a/{number}", body=body_sent, stream=ask.reading > 0, decode_content=False
        )
        status, told = response.status, told_in(response)
        if ask.reading == 0:
            body = response.data
        elif ask.reading == 1:
            for piece in response.stream(7):
                body += piece
        elif ask.reading == 2:
            body = response.read(3)
        response.close()
    except KeepPoolError as error:
        check_error(error)
        return Got(status, body, type(error), told)
    return Got(status, body, None, told)


def by_tasks(asks: list[Ask]) -> list[Got]:
    """Have the conversation by the front end for tasks."""
    return loop().run_until_complete(_by_tasks(asks))


async def _by_tasks(asks: list[Ask]) -> list[Got]:
    got = []
    async with AsyncPoolManager(**options()) as pool:
        for number, ask in enumerate(asks):
            got.append(await asked_by_task(pool, number, ask))
            player().wait()
        assert pool.stats().busy == 0
    assert pool.stats().open == 0
    return got


async def asked_by_task(pool: AsyncPoolManager, number: int, ask: Ask) -> Got:
    """Make one request."""
    status, body, told, body_sent = None, b"", b"", b"body" if ask.method == "POST" else None
    try:
        response = await pool.request(
            ask.method, f"http://a/{number}", body=body_sent, stream=ask.reading > 0, decode_content=False
        )
        status, told = response.status, told_in(response)
        if ask.reading == 0:
            body = response.data
        elif ask.reading == 1:
            async for piece in response.stream(7):
                body += piece
        elif ask.reading == 2:
            body = await response.read(3)
        await response.aclose()
    except KeepPoolError as error:
        check_error(error)
        return Got(status, body, type(error), told)
    return Got(status, body, None, told)


def told_in(response: Any) -> bytes:
    """Give what a head says, apart from its status."""
    return response.head.reason.encode("latin-1") + b"\n".join(response.head.lines)


def check(asks: list[Ask], results: list[Got], log: list[Served]) -> None:
    """Hold what the callers got to what was sent for each."""
    for number, (ask, got) in enumerate(zip(asks, results, strict=True)):
        served = [one for one in log if one.number == number]
        assert served, "a request that did not come"
        assert {one.method for one in served} == {ask.method.encode()}
        for other in re.findall(rb"<(\d)>", got.told + got.body):
            assert int(other) == number, f"{number} got what was for {int(other)}: {got!r}"
        check_sent_again(served)
        assert got.error is not ReadTimeout, "it waits for what will not come"
        wanted = expected(served[-1], ask)
        assert got == wanted, f"number {number}: {got!r}, expected {wanted!r}, sent {served[-1]!r}"
    for before, after in pairwise(log):
        if before.connection == after.connection:
            assert may_be_kept(before), f"used again behind {before!r}"


def check_sent_again(served: list[Served]) -> None:
    """Hold a request to be sent again once at the most, and only where that cannot do harm."""
    assert len(served) <= 2
    for before in served[:-1]:
        heads, _, _ = heads_in([before.sent])
        refused = bool(heads) and heads[-1].status == 408
        assert refused or (before.sent == b"" and before.method != b"POST"), f"sent again behind {before!r}"


def expected(served: Served, ask: Ask) -> Got:
    """Read by the parsers alone what was sent for a request."""
    heads, error, rest = heads_in([served.sent])
    if error is not None:
        return Got(None, b"", error, b"")
    if rest is None:
        return Got(None, b"", TruncatedHead if served.sent else ServerDisconnected, b"")
    head = heads[-1]
    framing = outcome(framing_of, served.method, head)
    if framing.error is not None:
        return Got(None, b"", framing.error, b"")
    _, payload, failed = read_body(head, framing.value, [rest])
    told = head.reason.encode("latin-1") + b"\n".join(head.lines)
    if ask.reading == 0 and failed is not None:
        return Got(None, b"", failed, b"")
    if ask.reading == 1 or ask.reading == 0:
        return Got(head.status, payload, failed, told)
    # Where less is read than there is, what is wrong behind it is not seen.
    wanted = payload[:3] if ask.reading == 2 else b""
    is_short = ask.reading == 2 and len(payload) < 3
    return Got(head.status, wanted if not is_short or failed is None else b"", failed if is_short else None, told)


def may_be_kept(served: Served) -> bool:
    """Tell whether the connection may carry another request, by the parsers and the one rule."""
    heads, error, rest = heads_in([served.sent])
    if served.closed or served.late or error is not None or rest is None:
        return False
    head = heads[-1]
    framing = outcome(framing_of, served.method, head)
    if framing.error is not None:
        return False
    reader, _, failed = read_body(head, framing.value, [rest])
    why = why_not_reusable(framing.value.why_close, head.status, head.version, head.get(b"connection"), True, False)
    return failed is None and not reader.rest and why is None
