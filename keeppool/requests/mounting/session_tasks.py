"""`AsyncSession`: our session for tasks, changed by programs from inside as requests' can be.

Awaits: the network, in the caller's task.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from typing import Any, cast

from keeppool.adapters.cassettes_tasks import recorded
from keeppool.client.call import Call, Send
from keeppool.client.request.prepared import PreparedRequest
from keeppool.client.response.pending import Pending, awaited, closed, pending
from keeppool.client.response.response_tasks import AsyncResponse as OwnResponse
from keeppool.client.session_tasks import AsyncSession as OwnSession
from keeppool.clock import clock
from keeppool.pools.manager_tasks import AsyncPoolManager
from keeppool.requests.mounting.adapter_tasks import AsyncHTTPAdapter, AsyncResponse
from keeppool.requests.mounting.caller import ChainSettings, Mounting
from keeppool.requests.mounting.flow import Follow, SendBy, with_history
from keeppool.requests.mounting.mounts import Checked, complete
from keeppool.requests.mounting.pooled import sent_by


class AsyncSession(Mounting[Pending[AsyncResponse], AsyncIterator[Any]], OwnSession):
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

    def _given_by(self, outcome: Any) -> Pending[AsyncResponse]:
        # What an `async def` gives can be awaited, but `async with` does not take it.
        is_bare = isinstance(outcome, Coroutine) and not isinstance(outcome, Pending)
        return pending(outcome) if is_bare else cast("Pending[AsyncResponse]", outcome)

    async def _hops(
        self, resp: OwnResponse, req: PreparedRequest, settings: ChainSettings, yield_requests: bool
    ) -> AsyncIterator[Any]:
        flow = self._begun(resp, req, settings)
        while (location := self.get_redirect_target(resp)) is not None:
            await self._give_up(resp)
            request, given = self._hop(flow, resp, location)
            if yield_requests:
                yield request
                return
            resp = flow.joined(resp, await self.send(request, allow_redirects=False, **given))
            yield resp

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

    async def _send_over(self, pool: AsyncPoolManager, step: Send, stream: bool) -> OwnResponse:
        return sent_by(cast("SendBy", step).adapter, await super()._send_over(recorded(pool), step, stream))

    async def _send_by(self, by: SendBy, call: Call) -> OwnResponse:
        with Checked(by) as sending:
            response: Any = await awaited(by.adapter.send(by.request, **self._settings_for(by, call)))
            complete(response, by.request, clock() - sending.began)
            if not call.stream:
                # Such an adapter leaves it to the session.
                await response.read() if isinstance(response, OwnResponse) else response.content
        return cast("OwnResponse", response)
