"""From a request to the response its caller gets: tries, authentication, hooks, cookies, redirects, in this order.

Decides: what is sent next, and when it is enough.
Knows: requests, responses, what a session knows about them.
Does not know: how anything is sent, and who waits. It yields steps; a driver takes each one, and brings its outcome
    back or throws the error in. Threads and asyncio run the same generators.

Source: RFC 9110 §11 (authentication), §15.4 (redirection); RFC 6265bis §5.7 (cookies are kept from every response).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, cast

from keeppool.checks import bad
from keeppool.client.call import Ask, Call, Drain, Pause, Send, Steps
from keeppool.client.response import redirect
from keeppool.clock import clock
from keeppool.config import HostConfig, Timeout
from keeppool.errors import InvalidRequest, KeepPoolError, TooManyRedirects, UnrewindableBodyError
from keeppool.forks import undivided

if TYPE_CHECKING:
    from keeppool.client.request.prepared import PreparedRequest
    from keeppool.client.response.base import BaseResponse
    from keeppool.client.retries.retrying import Retrying
    from keeppool.urls.address import Address

#: Responses to challenges one request may give: Digest needs two where the server's nonce has become stale meanwhile.
MOST_CHALLENGES = 2


class FlowSettings(Protocol):
    """What a flow needs of a session."""

    max_redirects: int

    def override_for(self, address: Address, call: Call) -> HostConfig | None:
        """Tell what holds for one request beyond what is configured for its host."""

    def timeout_for(self, address: Address, override: HostConfig | None) -> Timeout:
        """Tell which waits hold for a request that brings none of its own."""

    def with_cookies(self, request: PreparedRequest) -> PreparedRequest:
        """Add the Cookie header, if there are cookies at all."""

    def keep_cookies(self, response: BaseResponse) -> None:
        """Put the cookies a response sets into the jar."""

    def next_request(self, response: BaseResponse, location: str, *, is_sent: bool = False) -> PreparedRequest:
        """Make the request that follows a redirect."""


class Flow:
    """One call, from its first request to its last response.

    Args:
        session: Whose settings hold.
        call: Whose settings win.
        began: When the call began, on the pool's clock.
    """

    __slots__ = ("_began", "_session", "_total", "call")

    def __init__(self, session: FlowSettings, call: Call, began: float) -> None:
        self._session = session
        self.call = call
        self._began = began
        self._total: float | None = None

    def run(self, request: PreparedRequest) -> Steps:
        """Send a request, and follow where it leads."""
        response = yield from self._answered(request, self.call.limit)
        return (yield from self._followed(response))

    def resume(self, response: BaseResponse) -> Steps:
        """Go on with a first response that is there already."""
        response = yield from self._settled(response, self.call.limit)
        return (yield from self._followed(response))

    def _answered(self, request: PreparedRequest, limit: Timeout | None) -> Steps:
        response = yield from self._tried(request, limit)
        return (yield from self._settled(response, limit))

    def _settled(self, response: BaseResponse, limit: Timeout | None) -> Steps:
        """Keep a response's cookies, answer its challenge, show it to the hooks."""
        self._session.keep_cookies(response)
        challenged: list[BaseResponse] = []
        while len(challenged) < MOST_CHALLENGES and (again := _credentials(response)) is not None:
            yield Drain(response)
            _rewind(again, response)
            challenged.append(response)
            response = yield from self._tried(self._session.with_cookies(again), limit)
            self._session.keep_cookies(response)
        if challenged:
            response.history = challenged
        request = response.request
        for hook in request.answer_hooks:
            shown = yield Ask(hook, response, request)
            response = response if shown is None else shown
        return response

    def _tried(self, request: PreparedRequest, limit: Timeout | None) -> Steps:
        """Send a request until its response or its error is one to keep; nothing is held during a pause.

        Raises:
            RetryError, UnrewindableBodyError: See `retries.tries`. Any other error is the last try's own.
        """
        step = self._first_step(request, limit)
        retrying = self._retrying(step)
        if retrying is None:
            return _sent((yield step))
        # Imported late: it brings urllib3's `Retry`, and most programs do without.
        with undivided:
            from keeppool.client.retries.tries import Tries, rewind

        tries = Tries(retrying, request)
        while True:
            try:
                response = _sent((yield step))
            except InvalidRequest:
                raise  # The caller's mistake: another try would only repeat it.
            except KeepPoolError as error:
                timeout = limit or self._session.timeout_for(request.address, step.override)
                pause = tries.after_error(error, timeout.total)
                if pause is None:
                    raise
                rewind(request, error=error)
            else:
                timeout = limit or self._session.timeout_for(request.address, step.override)
                pause = tries.after_response(response, timeout.total)
                if pause is None:
                    return response
                yield Drain(response)
                rewind(request, response=response)
            tries.count()
            if pause:
                yield Pause(pause, retrying)
            if timeout.total is not None:
                step.limit = replace(timeout, total=tries.left_of(timeout.total))

    def _first_step(self, request: PreparedRequest, limit: Timeout | None) -> Send:
        """As `_step`; an error gets the request it belongs to."""
        try:
            return self._step(request, limit)
        except KeepPoolError as error:
            error.request = request
            raise

    def _step(self, request: PreparedRequest, limit: Timeout | None) -> Send:
        """Make the step that sends a request, for all its tries."""
        return Send(request, limit, self._session.override_for(request.address, self.call))

    def _retrying(self, step: Send) -> Retrying | None:
        """Tell how often a request is tried."""
        return self.call.retrying

    def _location(self, response: BaseResponse) -> str | None:
        """Tell where a response leads; `None` if it leads nowhere."""
        return redirect.target_of(response)

    def _followed(self, response: BaseResponse) -> Steps:
        """Go where a response leads, until one leads nowhere.

        Raises:
            TooManyRedirects, InvalidURL, UnrewindableBodyError, TotalTimeout: `response` is the redirect that was not
                followed; its connection is free.
        """
        if not self.call.follow or self._location(response) is None:
            return response
        history = [*response.history]
        followed = 0
        while (location := self._location(response)) is not None:
            yield Drain(response)
            request, limit = self.following(response, location, followed)
            followed += 1
            history.append(response)
            response = yield from self._answered(request, limit)
            history += response.history
            response.history = history.copy()
        return response

    def following(self, response: BaseResponse, location: str, followed: int) -> tuple[PreparedRequest, Timeout | None]:
        """Make the request a redirect asks for, and tell how long it may take.

        Args:
            response: The redirect.
            location: Where it leads.
            followed: Redirects followed so far.

        Raises:
            TooManyRedirects, InvalidURL, UnrewindableBodyError, TotalTimeout: It is not to be followed; `response` is
                the redirect.
        """
        if not followed:
            self._count_total(response)
        try:
            if followed >= (most := check_redirects(self._session.max_redirects)):
                raise TooManyRedirects(f"leads on after {followed} redirects (session.max_redirects = {most})")
            request = self._session.next_request(response, location, is_sent=True)
            return request, self._left_for(request)
        except KeepPoolError as error:
            error.request, error.response = response.request, response
            raise

    def _count_total(self, response: BaseResponse) -> None:
        first = response.request.address
        self._total = (self.call.limit or self._session.timeout_for(first, None)).total

    def _left_for(self, request: PreparedRequest) -> Timeout | None:
        used = clock() - self._began
        left = redirect.left_of(self.call.limit, self._total, used)
        if left is None and self._total is not None:
            # A total that was configured, not passed, is meant for the whole call too; the other waits stay each
            # host's own.
            override = self._session.override_for(request.address, self.call)
            left = redirect.left_of(self._session.timeout_for(request.address, override), self._total, used)
        return left


def check_redirects(most: object) -> float:
    """Let pass a number of redirects that a session may be told to follow.

    Raises:
        ConfigError: It is none.
    """
    if isinstance(most, bool) or not isinstance(most, (int, float)):
        raise bad("max_redirects", most, "must be a number")
    return most


def _sent(outcome: BaseResponse | None) -> BaseResponse:
    """Take what the step of sending brings: a response always."""
    return cast("BaseResponse", outcome)


def _credentials(response: BaseResponse) -> PreparedRequest | None:
    """Ask the scheme that signed a request for one that answers the challenge, if there was one."""
    scheme = response.request.auth
    return None if scheme is None else scheme.answered(response)


def _rewind(request: PreparedRequest, response: BaseResponse) -> None:
    """Put the body back to its start; an error says which response made it necessary."""
    if request.payload is None:
        return
    try:
        request.payload.rewind()
    except UnrewindableBodyError as error:
        error.request, error.response = request, response
        raise
