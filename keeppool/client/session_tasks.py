"""`AsyncSession`: requests' comfort on a pool of its own, for tasks.

Awaits: the network, in the caller's task, by driving the steps of `flow.py`.
Does not know: which way a call takes (`caller.py`), what the settings are (`settings.py`), how requests, redirects and
    cookies are made (the modules beside this one). How programs change a session from inside, by adapters and methods
    of their own, `keeppool.requests` knows: it stands on `_send`.
"""

from __future__ import annotations

import asyncio
import time
from typing import ClassVar, TypeVar

from keeppool.client.call import Call, Pause, Run, Send, Steps
from keeppool.client.caller import Caller, Sending
from keeppool.client.request.prepared import Parts, request_of
from keeppool.client.response.pending import Pending, awaited, closed, pending, refused
from keeppool.client.response.response_tasks import AsyncResponse
from keeppool.closing import AsyncClosing
from keeppool.config import INHERIT, Inherit, TimeoutArgument
from keeppool.errors import KeepPoolError
from keeppool.pools.manager_tasks import AsyncPoolManager

_ResponseT = TypeVar("_ResponseT", bound=AsyncResponse)


class AsyncSession(Caller[Pending[AsyncResponse]], AsyncClosing):
    """Requests with everything they have in common: connections, headers, cookies.

    Use it as a context manager, or `aclose` it.

    Args:
        limits: How many connections, and for how long.
        timeout: How long calls wait that have no `timeout` of their own; see `keeppool.Timeout`.
        hosts: What is different for some hosts, by pattern.
        defaults: What holds for all hosts unless an entry says otherwise.
        resolver: Asked for the addresses of names instead of the system's resolver; see `keeppool.Config`.
        fleet: A `keeppool.fleet.Fleet` or its URL, to share caps and paces with the pools of other processes.
        config: All of the above in one; an argument given beside it wins.
        on_event: Called with each event of the pool.
        retries: How calls are tried again that have no `retries` of their own: a number, a `urllib3.util.Retry`, or not
            at all; see `request`. It has nothing to do with the pool's own resending.
        base_url: What the relative URLs of calls are appended to: "https://api.example.com/v1" makes
            "https://api.example.com/v1/items" of "/items". An absolute URL stands by itself.
        headers: Laid over the session's `headers`, as `session.headers.update` does.
        params: The session's `params`.
        cookies: The session's `cookies`, from name to value, or a jar.
        auth: The session's `auth`.
        verify: The session's `verify`.
        cert: The session's `cert`.
        proxy: The URL of the proxy for every request, whatever the environment says: `proxies` with the key "all".
        follow_redirects: Whether calls follow redirects that have neither `allow_redirects` nor `follow_redirects`.

    A session can be pickled: its settings and cookies travel, its connections do not.

    Attributes:
        pool: The `AsyncPoolManager`.

    The other attributes are those of `keeppool.client.settings.SessionSettings`.

    A method of a subclass's own that would never be called, such as `send`, is refused when the class is made:
    `keeppool.requests.AsyncSession` calls it, and has what else is requests': `mount`, `adapters`, `hooks`.

    Raises:
        ConfigError, InvalidRequest: An argument of the wrong type or out of range.
        AttributeError: See above.

    Thread safety:
        None. The first request binds the session's pool to the event loop it runs on.
    """

    pool: AsyncPoolManager
    _pool_kind = AsyncPoolManager
    _requests_kind = "keeppool.requests.AsyncSession"
    _response_kind: ClassVar[type[AsyncResponse]] = AsyncResponse
    _refused = staticmethod(refused)

    async def aclose(self) -> None:
        """Close the pool: idle connections now and busy ones when they are done."""
        await self.pool.aclose()

    def _quick(
        self,
        request: Parts,
        sending: Sending,
        follow: bool,
        timeout: TimeoutArgument | Inherit,
    ) -> Pending[AsyncResponse]:
        coroutine = self._ask(request, sending, follow, timeout)
        # What `pending` does; every call comes by here, and a function of its own would cost it 0.1 µs.
        made: Pending[AsyncResponse] = Pending()
        made.__await__, made.send, made.throw, made.close = (  # type: ignore[method-assign]  # they are slots
            *(coroutine.__await__, coroutine.send, coroutine.throw, coroutine.close),
        )
        return made

    async def _ask(
        self,
        request: Parts,
        sending: Sending,
        follow: bool,
        timeout: TimeoutArgument | Inherit,  # noqa: ASYNC109
    ) -> AsyncResponse:
        method, address, fields, body, _ = request
        limit, stream, override = sending
        try:
            raw = await self.pool._carry((method, address, fields, body, limit, stream, override, True))
        except KeepPoolError as error:
            error.request = request_of(request)
            raise
        response = self._response_kind(raw, request, stream, self.pool)
        index = raw.head.index
        if b"set-cookie" not in index and b"location" not in index:
            return response
        flow = self._flow(timeout, stream, None, None, None, follow, INHERIT, raw.started_at)
        return await self._driven(flow.resume(response), flow.call, response)

    def _drive(self, steps: Steps, call: Call) -> Pending[AsyncResponse]:
        return pending(self._driven(steps, call))

    async def _driven(self, steps: Steps, call: Call, held: AsyncResponse | None = None) -> AsyncResponse:
        """Run the steps of a flow, each in this task, until the response is there."""
        run = Run(steps, held)
        try:
            for step in run:
                with run:
                    run.outcome = await self._take(step, call)
        except BaseException:
            # A hook or a scheme has failed, no tries are left, or the task was cancelled: nobody will read what is
            # still on its way.
            if run.held is not None:
                await closed(run.held)
            raise
        return run.response

    async def _pause(self, step: Pause) -> None:
        own = step.retrying.sleep
        await (asyncio.sleep(step.seconds) if own is time.sleep else awaited(own(step.seconds)))

    def _brought(self, outcome: object) -> object:
        return awaited(outcome)

    async def _send_over(self, pool: AsyncPoolManager, step: Send, stream: bool) -> AsyncResponse:
        return await send_over(pool, step, stream, self._response_kind)

    async def _give_up(self, response: AsyncResponse) -> None:
        if isinstance(response, AsyncResponse):
            await response.drain()
        else:  # A hook's own, put in the place of one of ours.
            await closed(response)


async def send_over(pool: AsyncPoolManager, step: Send, stream: bool, kind: type[_ResponseT]) -> _ResponseT:
    """Send a prepared request over a pool; an error gets the request it belongs to."""
    verb, address, fields, payload = step.request.parts()
    try:
        raw = await pool.exchange(verb, address, fields, payload, step.limit, stream, step.override)
    except KeepPoolError as error:
        error.request = step.request
        raise
    return kind(raw, step.request, stream, pool)
