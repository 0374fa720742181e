"""`Session`: our session for threads, changed by programs from inside as requests' can be.

Waits: for the network, in the caller's thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from keeppool.adapters.cassettes import recorded
from keeppool.client.call import Call, Send
from keeppool.client.request.prepared import PreparedRequest
from keeppool.client.response.response import Response as OwnResponse
from keeppool.client.session import Session as OwnSession
from keeppool.clock import clock
from keeppool.pools.manager_threads import PoolManager
from keeppool.requests.mounting.adapter import HTTPAdapter, Response
from keeppool.requests.mounting.caller import ChainSettings, Mounting
from keeppool.requests.mounting.flow import Follow, SendBy, with_history
from keeppool.requests.mounting.mounts import Checked, complete
from keeppool.requests.mounting.pooled import sent_by


class Session(Mounting[Response, Iterator[Any]], OwnSession):
    """A `keeppool.Session` in which adapters can be mounted and methods overridden, with hooks, as in requests.

    Its arguments, and what else it does, are that session's.

    Attributes:
        hooks: Functions that see every response, by event; a call's own stand in their place.

    Methods to override, in a subclass, by a mixin, on one session or by patching the class: `request`,
    `prepare_request`, `send`, `get_adapter`, `merge_environment_settings`, `resolve_redirects`,
    `get_redirect_target`, `rebuild_method`, `rebuild_auth`, `rebuild_proxies`, `should_strip_auth`.

    Thread safety:
        Any number of threads may use one session, also while its headers and cookies are changed.
    """

    _adapter_kind = HTTPAdapter
    _response_kind = Response

    def close(self) -> None:
        """Close the pool, idle connections now and busy ones when they are done, and the mounted adapters."""
        super().close()
        for adapter in (self._mounts or {}).values():
            adapter.close()

    def _given_by(self, outcome: Any) -> Response:
        return cast("Response", outcome)

    def _hops(
        self, resp: OwnResponse, req: PreparedRequest, settings: ChainSettings, yield_requests: bool
    ) -> Iterator[Any]:
        flow = self._begun(resp, req, settings)
        while (location := self.get_redirect_target(resp)) is not None:
            self._give_up(resp)
            request, given = self._hop(flow, resp, location)
            if yield_requests:
                yield request
                return
            resp = flow.joined(resp, self.send(request, allow_redirects=False, **given))
            yield resp

    def _follow(self, step: Follow, call: Call) -> OwnResponse:
        """Follow a redirect by `resolve_redirects`, whoever has written it."""
        response = first = cast("OwnResponse", step.response)
        followed = []
        try:
            for hop in self.resolve_redirects(first, first.request, **self._arguments_of(step.limit, call)):
                followed.append(response)
                response = hop
        except BaseException:
            response.close()
            raise
        return with_history(response, first.history, followed)

    def _send_over(self, pool: PoolManager, step: Send, stream: bool) -> OwnResponse:
        return sent_by(cast("SendBy", step).adapter, super()._send_over(recorded(pool), step, stream))

    def _send_by(self, by: SendBy, call: Call) -> OwnResponse:
        with Checked(by) as sending:
            response = by.adapter.send(by.request, **self._settings_for(by, call))
            complete(response, by.request, clock() - sending.began)
            if not call.stream:
                response.content  # noqa: B018  # read, which such an adapter leaves to the session
        return cast("OwnResponse", response)
