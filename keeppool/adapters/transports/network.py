"""`network_stream`: the connection below a response, as httpx's extensions have it.

Decides: who may read and write. A connection that is not HTTP any more, after 101 or CONNECT, is the caller's until it
    is closed, and keeps its slot so long. Any other may be looked at only: what somebody writes on a connection that
    the pool lends on is the beginning of another's request.
Waits for the network.

What goes wrong is told in httpcore's classes, where that package is there: those are what programs over a network
stream catch.

`start_tls` gives the stream it was called on: there is one connection, and one slot.

Source: RFC 9110 §7.8 (Upgrade), §9.3.6 (CONNECT).
"""

from __future__ import annotations

import asyncio
import importlib
import ssl
from types import ModuleType
from typing import Any, Final, cast

from keeppool.net.deadline import Deadline
from keeppool.net.dial_tasks import shake_hands
from keeppool.net.polls import READABLE, poller
from keeppool.net.stream import Stream
from keeppool.net.stream_tasks import Channel
from keeppool.net.tls_layer import TlsLayer
from keeppool.pools.body import AnyResponse
from keeppool.pools.response import Response
from keeppool.pools.response_tasks import AsyncResponse

#: Seconds between two looks whether the peer takes what is written, while something is there that nobody reads.
_PAUSE: Final = 0.01


class NetworkStream:
    """What can be done without waiting.

    Args:
        module: The client's.
        answer: The response.
        is_switched: The connection is not HTTP any more.
    """

    __slots__ = ("_answer", "_is_switched", "_leading", "_module")

    def __init__(self, module: ModuleType, answer: AnyResponse, is_switched: bool) -> None:
        self._module = module
        self._answer = answer
        self._is_switched = is_switched
        #: What has come behind the head, and is read first.
        self._leading = answer.come_behind() if is_switched else b""

    def get_extra_info(self, info: str) -> Any:
        """Tell `client_addr`, `server_addr`, `socket`, `ssl_object` or `is_readable`; `None` where it is not known."""
        stream = cast("Stream | Channel | None", self._answer.carrier)
        sock = None if stream is None else stream.sock
        if stream is None or sock is None or sock.fileno() < 0:
            return None
        if info == "client_addr":
            return sock.getsockname()
        if info == "server_addr":
            return sock.getpeername()
        if info == "socket":
            return sock
        if info == "ssl_object":
            return getattr(stream.tls, "layer", stream.tls)  # Of TLS within TLS the inner one.
        if info == "is_readable":
            poll = poller()
            poll.register(sock.fileno(), READABLE)
            return bool(poll.poll(0))
        return None

    def _take_leading(self, most: int) -> bytes:
        taken, self._leading = self._leading[:most], self._leading[most:]
        return taken

    def _failed(self, name: str, text: object) -> Exception:
        """Make an error of httpcore's, or the module's where there is no httpcore."""
        try:
            core: ModuleType = importlib.import_module(self._module.__name__.replace("httpx", "httpcore"))
        except ImportError:
            core = self._module
        return cast("Exception", getattr(core, name)(str(text)))

    def _lent(self, name: str) -> Any:
        """Give the connection, if it is the caller's.

        Raises:
            ReadError, WriteError: It is not, or not any more.
        """
        lent = cast("Response | AsyncResponse", self._answer).lent_stream if self._is_switched else None
        if lent is None:
            why = "was closed" if self._is_switched else "is the pool's: only 101 and CONNECT hand it over"
            raise self._failed(name, f"the connection {why}")
        return lent


class BlockingNetworkStream(NetworkStream):
    """The connection, for threads."""

    __slots__ = ()

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what comes next; none once the peer has closed."""
        if self._leading:
            return self._take_leading(max_bytes)
        stream: Stream = self._lent("ReadError")
        try:
            stream.set_timeout(timeout)
            return stream.receive(max_bytes)
        except (TimeoutError, BlockingIOError) as error:
            raise self._failed("ReadTimeout", f"nothing came for {timeout} s") from error
        except (OSError, ValueError) as error:
            raise self._failed("ReadError", error) from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write bytes as they are."""
        stream: Stream = self._lent("WriteError")
        unsent = memoryview(buffer)
        try:
            stream.set_timeout(timeout)
            while unsent:
                unsent = unsent[stream.send(unsent) :]
        except (TimeoutError, BlockingIOError) as error:
            raise self._failed("WriteTimeout", f"the peer took no byte for {timeout} s") from error
        except (OSError, ValueError) as error:
            raise self._failed("WriteError", error) from error

    def close(self) -> None:
        """Close the connection, if it is the caller's; give up the response's body otherwise."""
        self._answer.close()  # type: ignore[attr-defined]

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> BlockingNetworkStream:
        """Speak TLS on a connection that was handed over, and give this stream, which speaks it from now on."""
        stream: Stream = self._lent("ConnectError")
        try:
            stream.secure(ssl_context, server_hostname, Deadline(timeout))
        except TimeoutError as error:
            raise self._failed("ConnectTimeout", f"no TLS within {timeout} s") from error
        except (OSError, ValueError) as error:
            raise self._failed("ConnectError", error) from error
        return self


class AsyncNetworkStream(NetworkStream):
    """The connection, for tasks: one may read while another writes."""

    __slots__ = ("_news",)

    def __init__(self, module: ModuleType, answer: AnyResponse, is_switched: bool) -> None:
        super().__init__(module, answer, is_switched)
        self._news: asyncio.Future[None] | None = None

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        """Read what comes next; none once the peer has closed."""
        if self._leading:
            return self._take_leading(max_bytes)
        channel: Channel = self._lent("ReadError")
        try:
            async with asyncio.timeout(timeout):
                # Not by the channel's own wait, of which there is one at a time: it is the writer's.
                while (data := channel.received(max_bytes)) is None:
                    self._news = channel.loop.create_future()
                    channel.watch(self._tell)
                    await self._news
        except TimeoutError as error:
            raise self._failed("ReadTimeout", f"nothing came for {timeout} s") from error
        except OSError as error:
            raise self._failed("ReadError", error) from error
        finally:
            channel.watch(None)
        return data

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Write bytes as they are."""
        channel: Channel = self._lent("WriteError")
        try:
            channel.write(buffer)
            while not await channel.drain(timeout):
                self._tell()  # What has come has ended our wait in the reader's place.
                await asyncio.sleep(_PAUSE)
        except TimeoutError as error:
            raise self._failed("WriteTimeout", f"the peer took no byte for {timeout} s") from error
        except OSError as error:
            raise self._failed("WriteError", error) from error

    async def aclose(self) -> None:
        """Close the connection, if it is the caller's; give up the response's body otherwise."""
        await self._answer.aclose()  # type: ignore[attr-defined]

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> AsyncNetworkStream:
        """Speak TLS on a connection that was handed over, and give this stream, which speaks it from now on."""
        channel: Channel = self._lent("ConnectError")
        try:
            await shake_hands(TlsLayer(ssl_context, server_hostname or ""), channel, Deadline(timeout))
        except TimeoutError as error:
            raise self._failed("ConnectTimeout", f"no TLS within {timeout} s") from error
        except (OSError, ValueError) as error:
            raise self._failed("ConnectError", error) from error
        return self
