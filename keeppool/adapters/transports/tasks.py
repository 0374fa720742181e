"""The transport for tasks: `httpx.AsyncClient` over an `AsyncPoolManager` for each event loop.

Decides: which pool a request belongs to: its event loop's. When a pool is let go of: with its loop.
Awaits the network, in the pool.
Does not know: redirects, cookies, authentication, decoding: those are the client's own.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator
from typing import Any, ClassVar, NamedTuple

from keeppool.adapters.transports.bodies import AwaitedBody, TracedAwaitedBody
from keeppool.adapters.transports.common import Transport, delays
from keeppool.adapters.transports.errors import refusal, translated
from keeppool.adapters.transports.network import AsyncNetworkStream, NetworkStream
from keeppool.adapters.transports.outgoing import Outgoing
from keeppool.adapters.transports.settings import Surroundings
from keeppool.adapters.transports.tracing import until_failure, until_head
from keeppool.config import HostConfig
from keeppool.errors import ConnectError, KeepPoolError
from keeppool.pools.manager_tasks import AsyncPoolManager
from keeppool.pools.response_tasks import AsyncResponse
from keeppool.stats import Stats


class _Here(NamedTuple):
    """What one event loop has."""

    pool: AsyncPoolManager
    surroundings: Surroundings
    #: Held: what the loop runs at its end.
    ending: AsyncGenerator[None, None] | None


class TaskTransport(Transport):
    """Sends what a client has built through a capped pool of persistent connections.

        client = httpx.AsyncClient(transport=AsyncKeepPoolTransport())

    Each event loop that it is used on gets a pool of its own, as no connection can move from one to another; asyncio's
    and uvloop's do. The pool is closed when its loop ends, by `asyncio.run` with its connections, and let go of at the
    latest when another loop comes. So one client may outlive any number of loops.

    Everything else is as for the transport for threads, whose differences and arguments are these too.

    Args:
        limits: See `KeepPoolTransport`; so for the others. Each event loop has so many connections.
        pool: A `keeppool.AsyncPoolManager` to use, which `aclose` does not close. It works on one event loop.

    Raises:
        ConfigError: An argument is invalid, or has no counterpart.
        UnsupportedProtocol: The module's, for `http2=True`.

    Thread safety: any number of clients, and of event loops in threads of their own.
    """

    _pool_kind: ClassVar[type[AsyncPoolManager]] = AsyncPoolManager
    _network_kind = AsyncNetworkStream
    _body_kind: ClassVar[type[AwaitedBody]]
    _traced_kind: ClassVar[type[TracedAwaitedBody]]

    def _open(self) -> None:
        self._loops: dict[asyncio.AbstractEventLoop, _Here] = {}

    @property
    def pool(self) -> AsyncPoolManager:
        """The running event loop's `keeppool.AsyncPoolManager`; its `stats()` tell what goes on.

        Raises:
            TransportError: The module's: no event loop of asyncio's kind runs here.
        """
        return self._here().pool

    async def handle_async_request(self, request: Any) -> Any:
        """Send a client's request and give the response; see the module's `AsyncBaseTransport.handle_async_request`.

        Raises:
            TransportError: The module's own, of the class its own transport would raise.
        """
        self._check(request)
        here, module, trace = self._here(), self.module, request.extensions.get("trace")
        try:
            call = self._preparing.prepare(request, is_async=True)
            override = self._override(call, here.surroundings.override(call.address), request)
            answer = await self._sent(here.pool, call, override)
        except KeepPoolError as error:
            if trace is not None:
                for name, info in until_failure(request, error):
                    await trace(name, info)
            raise translated(module, error) from error
        network = self._network(answer)
        if trace is not None:
            return await self._traced(answer, network, trace, request)
        whole = answer.come()
        body = self._body_kind(module, answer) if whole is None else module.ByteStream(whole)
        return self._response(answer, body, network)

    async def _traced(self, answer: AsyncResponse, network: NetworkStream, trace: Any, request: Any) -> Any:
        """Tell what has happened, and make the response; whatever ends the telling ends the response too."""
        try:
            for name, info in until_head(request, answer, network):
                await trace(name, info)
        except BaseException:
            await answer.aclose()
            raise
        return self._response(answer, self._traced_kind(self.module, answer, trace, request), network)

    async def _sent(self, pool: AsyncPoolManager, call: Outgoing, override: HostConfig | None) -> AsyncResponse:
        """Send, with a new dial as often as `retries` allows where one has failed."""
        left, waits = self._retries, delays()
        while True:
            try:
                return await pool.exchange(
                    call.method, call.address, call.fields, call.body, call.timeout, True, override, False
                )
            except ConnectError as error:
                if not left or not self._may_try_again(error):
                    raise
            left -= 1
            await asyncio.sleep(next(waits))

    def stats(self) -> Stats:
        """Take a snapshot of the running event loop's pool's gauges and counters.

        Raises:
            TransportError: As for `pool`.
        """
        return self.pool.stats()

    async def aclose(self) -> None:
        """Close idle connections now and busy ones when they are done, on every loop; a pool that was given stays open.

        Those of other loops that still run close by themselves, soon.
        """
        self._is_closed = True
        here = self._loops.pop(self._loop(), None)
        self._loops.clear()  # A pool that is dropped closes on its own loop, or without it once that is closed.
        if here is not None and self._given is None:
            await here.pool.aclose()
            if here.ending is not None:
                await here.ending.aclose()

    # Event loops

    def _loop(self) -> asyncio.AbstractEventLoop:
        try:
            return asyncio.get_running_loop()
        except RuntimeError:
            text = "this transport needs an event loop of asyncio's kind (asyncio, uvloop); trio has none"
            raise refusal(self.module, "TransportError", text) from None

    def _here(self) -> _Here:
        """Give what the running event loop has; make it, and let go of loops that are closed, where it is new."""
        loop = self._loop()
        here = self._loops.get(loop)
        return self._new_here(loop) if here is None else here

    def _new_here(self, loop: asyncio.AbstractEventLoop) -> _Here:
        for known in list(self._loops):
            if known.is_closed():
                self._loops.pop(known, None)
        if self._given is not None:
            here = _Here(self._given, Surroundings(self._given, self._trust_env), None)
        else:
            pool = AsyncPoolManager(config=self._config, on_event=self._on_event)
            here = _Here(pool, Surroundings(pool, self._trust_env), _begun(_until_loop_ends(weakref.ref(self), loop)))
        self._loops[loop] = here
        return here

    def _loop_ends(self, loop: asyncio.AbstractEventLoop) -> AsyncPoolManager | None:
        here = self._loops.pop(loop, None)
        return None if here is None else here.pool


async def _until_loop_ends(
    known: weakref.ref[TaskTransport], loop: asyncio.AbstractEventLoop
) -> AsyncGenerator[None, None]:
    """Close a loop's pool when the loop ends, while it can still say goodbye to its servers.

    There is no other way to hear of that: `asyncio.run`, and whoever else ends a loop with care, closes the
    asynchronous generators that were begun on it (`loop.shutdown_asyncgens`).
    """
    try:
        yield
    finally:
        transport = known()
        pool = None if transport is None else transport._loop_ends(loop)
        if pool is not None:
            await pool.aclose()


def _begun(generator: AsyncGenerator[None, None]) -> AsyncGenerator[None, None]:
    """Run a generator to its first `yield`, for which it does not wait, so that its event loop knows it."""
    try:
        generator.asend(None).send(None)
    except StopIteration:
        pass
    return generator
