"""`MountedFlow`: the steps of a call whose requests are sent by adapters, and whose redirects a program may follow.

Decides: which adapter sends a request: looked up once for it, whatever its tries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from keeppool.client.call import Call, Send, Step, Steps
from keeppool.client.flow import Flow, FlowSettings
from keeppool.errors import KeepPoolError

if TYPE_CHECKING:
    from keeppool.client.request.prepared import PreparedRequest
    from keeppool.client.response.base import BaseResponse
    from keeppool.client.retries.retrying import Retrying
    from keeppool.config import HostConfig, Timeout
    from keeppool.urls.address import Address


_ResponseT = TypeVar("_ResponseT", bound="BaseResponse")


class SendBy(Send):
    """Step: send this request by this adapter; `None` for the session's own pool, as it is."""

    __slots__ = ("adapter",)

    def __init__(
        self, request: PreparedRequest, limit: Timeout | None, override: HostConfig | None, adapter: Any
    ) -> None:
        super().__init__(request, limit, override)
        self.adapter = adapter


@dataclass(frozen=True, slots=True)
class Follow(Step):
    """Step: follow a redirect in the program's own way, and bring the last response."""

    response: BaseResponse
    limit: Timeout | None


class MountedSettings(FlowSettings, Protocol):
    """What such a flow needs of a session."""

    def adapter_for(self, url: Address) -> Any:
        """Find what sends one request; `None` for the session's own pool, as it is."""

    def follows_in_own_way(self) -> bool:
        """Tell whether redirects are to be followed by `resolve_redirects`."""

    def get_redirect_target(self, resp: Any) -> str | None:
        """Tell where a response leads; `None` if it leads nowhere."""


class MountedFlow(Flow):
    """One call, from its first request to its last response; see `Flow`.

    Attributes:
        followed: Redirects followed so far, where the program follows them.
        history: These redirects, and what came between them.
    """

    __slots__ = ("followed", "history")

    _session: MountedSettings

    def __init__(self, session: MountedSettings, call: Call, began: float) -> None:
        super().__init__(session, call, began)
        self.followed = 0
        self.history: list[Any] = []

    def _step(self, request: PreparedRequest, limit: Timeout | None) -> SendBy:
        # Asked once for each request, as in requests: a `get_adapter` of the program's own may take turns.
        override = self._session.override_for(request.address, self.call)
        return SendBy(request, limit, override, self._session.adapter_for(request.address))

    def _retrying(self, step: Send) -> Retrying | None:
        # What an adapter of somebody else tries again is its own business.
        return self.call.retrying or getattr(cast("SendBy", step).adapter, "retrying", None)

    def _location(self, response: BaseResponse) -> str | None:
        return self._session.get_redirect_target(response)

    def _followed(self, response: BaseResponse) -> Steps:
        if self.call.follow and self._session.follows_in_own_way() and self._location(response) is not None:
            return cast("BaseResponse", (yield Follow(response, self._left_after(response))))
        return (yield from Flow._followed(self, response))

    def joined(self, redirect: BaseResponse, response: _ResponseT) -> _ResponseT:
        """Put into a response which others have led to it, where the program follows redirects."""
        self.history += [redirect, *response.history]
        response.history = self.history.copy()
        return response

    def _left_after(self, response: BaseResponse) -> Timeout | None:
        """Tell how long following a redirect may take, all requests together."""
        self._count_total(response)
        try:
            return self._left_for(response.request)
        except KeepPoolError as error:
            error.request, error.response = response.request, response
            raise


def with_history(response: _ResponseT, challenged: list[_ResponseT], followed: list[_ResponseT]) -> _ResponseT:
    """Put into the last response of a chain which others led to it.

    Args:
        response: The last; its own history counts, if it has one.
        challenged: What came before the chain.
        followed: The redirects.
    """
    if followed:
        response.history = [*challenged, *(response.history or followed)]
    return response
