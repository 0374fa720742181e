"""A response as its caller sees it, for tasks: status, headers, and a body that is there or still on its way.

Awaits the body's bytes. What is made of them, `body.py` decides.

The names are `response.py`'s. What may have to wait for the server is awaited; `close` is `aclose`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from keeppool.clock import clock
from keeppool.closing import AsyncClosing
from keeppool.errors import KeepPoolError
from keeppool.net.peer import Peer
from keeppool.net.stream_tasks import Channel
from keeppool.pools.body import READ_SIZE, TURN, AnyResponse
from keeppool.pools.lease_tasks import TaskLease
from keeppool.pools.whole import Whole


class AsyncResponse(AnyResponse, AsyncClosing):
    """An HTTP response.

    Without `stream` its body is whole: `data` and `json()` are plain. With it the body is read by `read` or `stream`,
    or loaded by `preload`. A task that is cancelled while it reads closes the connection: what it had read is lost.

    Attributes:
        head: The head as it was parsed: bytes.
        url: The URL that was requested.
        reused: True if the connection had carried a response before.
        started_at: When the request was begun, on the pool's clock.
        answered_at: When the head was complete, on the pool's clock.
        is_whole: True if all of the body came with the head, and is kept.

    Thread safety: one task at a time, on the event loop it was made on.
    """

    __slots__ = ()

    _lease: TaskLease | None

    @property
    def peer(self) -> Peer:
        """Who has responded: the address that was dialled and, over TLS, the certificate that was shown."""
        channel = self._exchange.connection.stream
        if channel is None:  # A recalled response: nobody is known to have sent it.
            return Peer(None)
        assert isinstance(channel, Channel), "bug: a response over no channel"
        return channel.peer

    @property
    def lent_stream(self) -> Channel | None:
        """What the body comes from, while it does; `None` once the connection was given back."""
        return None if self._lease is None else self._lease.stream

    @property
    def data(self) -> bytes:
        """The whole body, decoded, kept for the next look.

        Raises:
            StreamConsumedError: It was asked for with `stream`, and not loaded by `preload`.
            ExchangeError: What ended its loading.
        """
        if self._data is None:
            raise self._again("the body is not here: it is read by `await response.read()`")
        return self._data

    async def preload(self) -> None:
        """Read the whole body now, and give its connection back.

        Raises:
            StreamConsumedError: A part was already handed out by `read` or `stream`, or the body was given up.
            ExchangeError: The body broke off, was malformed, or came too slowly. The connection is closed.
            LoopError: This is another event loop than the response's. Nothing was read.
        """
        if self._data is None:
            self._check_kept()
            self._data = await self._gathered(None)

    async def read(self, amt: int | None = None, decode_content: bool | None = None) -> bytes:
        """Read `amt` bytes of the body, fewer only at its end; everything if `amt` is None or negative.

        Args:
            amt: Bytes wanted.
            decode_content: False for the bytes as they were sent; only before the first byte is read.

        Raises:
            ExchangeError: As for `preload`.
        """
        piece = self._at_hand(amt, decode_content)
        return await self._gathered(None if amt is None or amt < 0 else amt) if piece is None else piece

    async def stream(self, amt: int | None = 65536, decode_content: bool | None = None) -> AsyncIterator[bytes]:
        """Go through the body in pieces of at most `amt` bytes, as they arrive; None or a negative number: of any size.

        Raises:
            ExchangeError: As for `preload`.
        """
        self._begin_reading(decode_content)
        while piece := await self._some(amt if amt and amt > 0 else READ_SIZE):
            yield piece

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self.stream()

    async def aclose(self) -> None:
        """Give up the rest of the body. Safe to repeat.

        The connection is closed, unless the rest is small and has arrived already: then it is read away and the
        connection kept. Nothing is waited for. A body that was read whole, by `preload` or without `stream`, stays.
        """
        self._give_up()

    release_conn = aclose

    async def preload_small(self) -> bool:
        """As `preload`, for a body that is not wanted but is small: its connection can be reused, and it looked at.

        Returns:
            False if it was given up: it is large or slow, a part of it was read, or it cannot be decoded.
        """
        for is_kept in self._keeping(await self._drained()):
            if is_kept:
                return True
            await self._give_way()
        self._give_up()
        return False

    async def drain_conn(self) -> None:
        """Read a small unwanted rest so that the connection can be reused; close it if the rest is large or slow."""
        self._thrown_away(await self._drained())
        self._give_up()

    # Reading

    def _give_up(self) -> None:
        lease = self._lease
        if lease is not None:
            lease.check_loop(to_end=True)
            if lease.is_stranded:
                self._break_off()
        super()._give_up()

    async def _drained(self) -> bytes:
        """Read what is left if it is small, and give it as it was sent."""
        if self._lease is not None:
            self._lease.check_loop()
        rest = self._begin_draining()
        with suppress(OSError):  # Nobody wants these bytes; a connection that has failed is closed already.
            for most in self._draining(rest):
                await self._receive(most)
        return rest.value()

    def _begin_reading(self, decode: bool | None) -> None:
        if self._lease is not None:
            self._lease.check_loop()
        super()._begin_reading(decode)

    async def _gathered(self, amount: int | None) -> bytes:
        """Read `amount` bytes of the body, fewer only at its end; everything for `None`."""
        if self._lease is not None:
            self._lease.check_loop()
        whole = Whole()
        for most in self._gathering(whole, amount):
            if amount is None and self._is_worth_placing() and self._lease is not None and self._lease.may_fill:
                for room in self._rooms(whole):
                    whole.filled(size := await self._fill(room))
                    self._placed(size)
            else:
                await (self._receive(most) if most else self._give_way())
        return whole.value()

    async def _some(self, most: int) -> bytes:
        """Give up to `most` bytes of the body, at least one; none at its end."""
        if self._lease is not None:
            self._lease.check_loop()
        if self._worked > TURN:
            await self._give_way()
        while (piece := self._ready(most)) is None:
            if self._must_read:
                await self._receive(most)
            elif self._worked > TURN:
                await self._give_way()
        return piece

    async def _give_way(self) -> None:
        """Let other tasks run if decoding has kept them from it for a while."""
        if self._worked <= TURN:
            return
        self._worked = 0
        began = None if self._exchange.deadline is None else clock()
        try:
            await asyncio.sleep(0)
        except BaseException:
            self._break_off()
            raise
        if began is not None:
            self._count_decoding(began)

    async def _fill(self, room: memoryview) -> int:
        """Read until `room` is full or the connection has ended; tell how many bytes came."""
        assert self._lease is not None, "bug: nothing to read from"
        try:
            return await self._lease.fill(room)
        except KeepPoolError as error:
            raise self._failed(error) from error.__cause__
        except BaseException:
            self._break_off()
            raise

    async def _receive(self, most: int) -> None:
        assert self._lease is not None, "bug: nothing to read from"
        try:
            data = await self._lease.receive(self._wants(most))
        except KeepPoolError as error:
            raise self._failed(error) from error.__cause__
        except BaseException:
            self._break_off()
            raise
        self._fed(data)
