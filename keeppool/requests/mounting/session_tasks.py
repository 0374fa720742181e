"""`AsyncSession`: our session for tasks, changed by programs from inside as requests' can be.

Awaits: the network, in the caller's task.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from typing import Any, cast

from keeppool.client.arguments import CertArgument, ProxiesArgument
from keeppool.client.call import Call, Send, Step
from keeppool.client.request.prepared import PreparedRequest
from keeppool.client.response.response_tasks import AsyncResponse as OwnResponse
from keeppool.client.retries.retrying import RetriesArgument
from keeppool.client.session_tasks import AsyncSession as OwnSession
from keeppool.client.session_tasks import awaited, closed, send_over
from keeppool.clock import clock
from keeppool.config import INHERIT, Inherit, TimeoutArgument
from keeppool.pools.manager_tasks import AsyncPoolManager
from keeppool.requests.mounting.adapter_tasks import AsyncHTTPAdapter, AsyncResponse
from keeppool.requests.mounting.caller import Mounting
from keeppool.requests.mounting.flow import Follow, MountedFlow, SendBy, with_history
from keeppool.requests.mounting.mounts import Checked, complete


class AsyncSession(Mounting[Coroutine[Any, Any, OwnResponse]], OwnSession):
    """A `keeppool.AsyncSession` in which adapters can be mounted and methods overridden, with hooks, as in requests.

    Its arguments, and what else it does, are that session's.

    Attributes:
        hooks: Functions that see every response, by event; a call's own stand in their place.

    Methods to override, in a subclass, by a mixin, on one session or by patching the class: `request`,
    `prepare_request`, `send`, `get_adapter`, `merge_environment_settings`, `resolve_redirects`,
    `get_redirect_target`, `rebuild_method`, `rebuild_auth`, `rebuild_proxies`, `should_strip_auth`.

    Thread safety:
        None. The first request binds the session's pool to the event loop it runs on.
    """

    _adapter_kind = AsyncHTTPAdapter
    _response_kind = AsyncResponse

    async def aclose(self) -> None:
        """Close the pool, idle connections now and busy ones when they are done, and the mounted adapters."""
        await super().aclose()
        for adapter in (self._mounts or {}).values():
            await closed(adapter)

    async def resolve_redirects(
        self,
        resp: OwnResponse,
        req: PreparedRequest,
        stream: bool | None = None,
        timeout: TimeoutArgument | Inherit = INHERIT,  # noqa: ASYNC109  # as Session's, and in four parts
        verify: bool | str | None = None,
        cert: CertArgument = None,
        proxies: ProxiesArgument = None,
        yield_requests: bool = False,
        retries: RetriesArgument | Inherit = INHERIT,
    ) -> AsyncIterator[Any]:
        """Follow a redirect step by step, each response given before the next request is sent.

        Args:
            resp: The redirect.
            req: Its request.
            stream: As for `request`.
            timeout: As for `request`.
            verify: As for `request`.
            cert: As for `request`.
            proxies: As for `request`.
            yield_requests: Give the next request, and send nothing.
            retries: As for `request`.

        Raises:
            TooManyRedirects, InvalidURL, UnrewindableBodyError, TotalTimeout: While iterating.
        """
        flow = cast("MountedFlow", self._flow(timeout, stream, verify, cert, proxies, False, retries))
        history: list[OwnResponse] = []
        resp.request = req
        while (location := self.get_redirect_target(resp)) is not None:
            await self._give_up(resp)
            request, given = self._hop(flow, resp, location)
            if yield_requests:
                yield request
                return
            history.append(resp)
            resp = await self.send(request, allow_redirects=False, **given)
            history += resp.history
            resp.history = history.copy()
            yield resp

    async def _take(self, step: Step, call: Call) -> OwnResponse | None:
        return await (self._follow(step, call) if isinstance(step, Follow) else super()._take(step, call))

    async def _follow(self, step: Follow, call: Call) -> OwnResponse:
        """Follow a redirect by `resolve_redirects`, whoever has written it."""
        response = first = cast("OwnResponse", step.response)
        followed = []
        try:
            async for hop in self.resolve_redirects(first, first.request, **self._arguments_of(step.limit, call)):
                followed.append(response)
                response = hop
        except BaseException:
            await closed(response)
            raise
        return with_history(response, first.history, followed)

    async def _send(self, step: Send, call: Call) -> OwnResponse:
        """Send one request by what is mounted for it."""
        by = cast("SendBy", step)
        pool = self._over_pool(by)
        if pool is not None:
            return await send_over(cast("AsyncPoolManager", pool), step, call.stream, AsyncResponse)
        given = self._settings_for(by, call)
        began = clock()
        with Checked(step):
            response: Any = await awaited(by.adapter.send(step.request, **given))
        complete(response, step.request, clock() - began)
        if not call.stream:
            # Such an adapter leaves it to the session.
            await response.read() if isinstance(response, OwnResponse) else response.content
        return cast("OwnResponse", response)
