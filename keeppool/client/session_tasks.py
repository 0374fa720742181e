"""`AsyncSession`: requests' comfort on a pool of its own, for tasks.

Awaits: the network, in the caller's task, by driving the steps of `flow.py`.
Does not know: which way a call takes (`caller.py`), what a session says (`settings.py`), how requests, redirects and
    cookies are made (the modules beside this one).
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Self

from keeppool.client.arguments import CertArgument, ProxiesArgument
from keeppool.client.call import Ask, Call, Follow, Pause, Send, Step, Steps, step_holds, with_history
from keeppool.client.caller import Caller
from keeppool.client.request.prepared import Parts, PreparedRequest, request_of
from keeppool.client.response.response_tasks import AsyncResponse
from keeppool.client.transports.adapter_tasks import AsyncHTTPAdapter, send_by
from keeppool.client.transports.mounts import Checked, adopted
from keeppool.clock import clock
from keeppool.config import INHERIT, Config, HostConfig, Inherit, Limits, LookUp, Timeout, TimeoutArgument
from keeppool.errors import KeepPoolError
from keeppool.pools.manager_tasks import AsyncPoolManager

if TYPE_CHECKING:
    from keeppool.client.retries.retrying import RetriesArgument
    from keeppool.events import Event


class AsyncSession(Caller[Coroutine[Any, Any, AsyncResponse]]):
    """Requests with everything they have in common: connections, headers, cookies.

    Use it as a context manager, or `aclose` it.

    Args:
        limits: How many connections, and for how long.
        timeout: How long calls wait where they do not say it themselves; see `keeppool.Timeout`.
        hosts: What is different for some hosts, by pattern.
        defaults: What holds for all hosts unless an entry says otherwise.
        resolver: Asked for the addresses of names instead of the system's resolver; see `keeppool.Config`.
        config: All of the above in one; an argument given beside it wins.
        on_event: Called with each event of the pool.
        retries: How calls that do not say it themselves are tried again: a number, a `urllib3.util.Retry`, or not at
            all; see `request`. It has nothing to do with the pool's own resending.

    A session can be pickled: its settings and cookies travel, its connections do not.

    Attributes:
        pool: The `AsyncPoolManager`.

    The other attributes are those of `keeppool.client.settings.SessionSettings`.

    Raises:
        ConfigError: An argument that cannot be meant.

    Thread safety:
        None. The first request binds the session's pool to the event loop it runs on.
    """

    pool: AsyncPoolManager
    _adapter_kind = AsyncHTTPAdapter

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        timeout: TimeoutArgument | Inherit = INHERIT,
        hosts: Mapping[str, HostConfig] | None = None,
        defaults: HostConfig | None = None,
        resolver: LookUp | None = None,
        config: Config | None = None,
        on_event: Callable[[Event], None] | None = None,
        retries: RetriesArgument = None,
    ) -> None:
        self.pool = AsyncPoolManager(
            limits, timeout=timeout, hosts=hosts, defaults=defaults, resolver=resolver, config=config, on_event=on_event
        )
        Caller.__init__(self, retries)

    async def aclose(self) -> None:
        """Close the pool, idle connections now and busy ones when they are done, and the mounted adapters."""
        await self.pool.aclose()
        for adapter in (self._mounts or {}).values():
            await _closed(adapter)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def resolve_redirects(
        self,
        resp: AsyncResponse,
        req: PreparedRequest,
        stream: bool | None = None,
        timeout: TimeoutArgument | Inherit = INHERIT,  # noqa: ASYNC109  # as Session's, and in four parts
        verify: bool | str | None = None,
        cert: CertArgument = None,
        proxies: ProxiesArgument = None,
        yield_requests: bool = False,
        retries: RetriesArgument | Inherit = INHERIT,
    ) -> AsyncIterator[Any]:
        """Follow a redirect step by step, each answer given before the next request is sent.

        Args:
            resp: The redirect.
            req: The request it answers.
            stream: As for `request`.
            timeout: As for `request`.
            verify: As for `request`.
            cert: As for `request`.
            proxies: As for `request`.
            yield_requests: Give the next request, and send nothing.
            retries: As for `request`.

        Raises:
            TooManyRedirects, InvalidURL, UnrewindableBodyError, TotalTimeout: When the next answer is asked for.
        """
        flow = self._flow(timeout, stream, verify, cert, proxies, False, retries)
        history: list[Any] = []
        followed = 0
        resp.request = req
        while (location := self.get_redirect_target(resp)) is not None:
            await self._give_up(resp)
            request, limit = flow.following(resp, location, followed)
            proxies = self._proxies_in_own_way(request, proxies)
            if yield_requests:
                yield request
                return
            followed += 1
            history.append(resp)
            resp = await self.send(request, allow_redirects=False, **self._said_of_hop(flow.call, proxies, limit))
            history += resp.history
            resp.history = history.copy()
            yield resp

    def _adapter_over_pool(self) -> AsyncHTTPAdapter:
        return AsyncHTTPAdapter.over(self.pool)

    async def _quick(
        self,
        request: Parts,
        limit: Timeout | None,
        stream: bool,
        override: HostConfig | None,
        follow: bool,
        timeout: TimeoutArgument | Inherit,  # noqa: ASYNC109
    ) -> AsyncResponse:
        method, address, fields, body = request
        try:
            raw = await self.pool.exchange(method, address, fields, body, limit, stream, override)
        except KeepPoolError as error:
            error.request = request_of(request)
            raise
        answer = AsyncResponse(raw, request, stream, self.pool)
        index = raw.head.index
        if b"set-cookie" not in index and (b"location" not in index or not follow):
            return answer
        flow = self._flow(timeout, stream, None, None, None, follow, INHERIT, raw.started_at)
        return await self._drive(flow.resume(answer), flow.call, answer)

    async def _drive(self, steps: Steps, call: Call, held: Any = None) -> AsyncResponse:
        """Run the steps of a flow, each in this task, until the answer is there."""
        try:
            step = next(steps)
            while True:
                try:
                    outcome = await self._take(step, call)
                except BaseException as error:
                    step = steps.throw(error)
                else:
                    held = step_holds(step, outcome, held)
                    step = steps.send(outcome)
        except StopIteration as end:
            answer: AsyncResponse = end.value
            return answer
        except BaseException:
            # A hook or a scheme has failed, no tries are left, or the task was cancelled: nobody will read what is
            # still on its way.
            if held is not None:
                await _closed(held)
            raise

    async def _take(self, step: Step, call: Call) -> Any:
        if isinstance(step, Send):
            return await self._send(step, call)
        if isinstance(step, Pause):
            own = step.retrying.sleep
            await (asyncio.sleep(step.seconds) if own is time.sleep else _awaited(own(step.seconds)))
        elif isinstance(step, Ask):
            return await _awaited(step.hook(step.answer, **self.told(step.request.address, call)))
        elif isinstance(step, Follow):
            return await self._follow(step, call)
        else:
            await self._give_up(step.answer)
        return None

    async def _give_up(self, answer: Any) -> None:
        await (answer.drain() if isinstance(answer, AsyncResponse) else _closed(answer))

    async def _follow(self, step: Follow, call: Call) -> Any:
        """Follow a redirect by `resolve_redirects`, whoever has written it."""
        answer, followed = step.answer, []
        try:
            async for hop in self.resolve_redirects(answer, answer.request, **self._said_by(step, call)):
                followed.append(answer)
                answer = hop
        except BaseException:
            await _closed(answer)
            raise
        return with_history(answer, step.answer.history, followed)

    async def _send(self, step: Send, call: Call) -> Any:
        """Send one request by what is mounted for it."""
        request = step.request
        adapter = step.adapter
        if adapter is None:
            return await send_by(self.pool, request, step.limit, call.stream, step.override)
        if self._is_pool_alone(adapter):
            return await send_by(adapter.pool, request, self._limit_by(step), call.stream, step.override)
        return await self._send_by_other(step, call)

    async def _send_by_other(self, step: Send, call: Call) -> Any:
        """Send one request by an adapter of the program's own, or one written for requests."""
        told = self._told_by(step, call)
        began = clock()
        with Checked(step):
            answer = await _awaited(step.adapter.send(step.request, **told))
        adopted(answer, step.request, clock() - began)
        if not call.stream:
            # Such an adapter leaves it to the session.
            await answer.read() if isinstance(answer, AsyncResponse) else answer.content
        return answer


async def _closed(held: Any) -> None:
    """Close an answer or an adapter, by the name it has for it."""
    await _awaited(held.aclose() if hasattr(held, "aclose") else held.close())


async def _awaited(outcome: Any) -> Any:
    """Take what a function of the caller's gave: an outcome, or something to await for it."""
    return await outcome if inspect.isawaitable(outcome) else outcome
