"""From a request to the answer its caller gets: tries, authentication, hooks, cookies, redirects, in this order.

Decides: what is sent next, and when it is enough.
Knows: requests, answers, what a session has said.
Does not know: how anything is sent, and who waits. It yields steps; a driver takes each one, and brings its outcome
    back or throws the error in. Threads and asyncio run the same generators.

Source: RFC 9110 §11 (authentication), §15.4 (redirection); RFC 6265 §5.3 (cookies are kept from every answer).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from keeppool.client.call import Ask, Call, Drain, Follow, Pause, Send, Steps
from keeppool.client.response import redirect
from keeppool.clock import clock
from keeppool.config import Timeout
from keeppool.errors import InvalidRequest, KeepPoolError, TooManyRedirects, UnrewindableBodyError

if TYPE_CHECKING:
    from keeppool.client.request.prepared import PreparedRequest
    from keeppool.client.settings import SessionSettings

#: Answers to challenges one request may give: Digest needs two where the server's nonce has become stale meanwhile.
MOST_CHALLENGES = 2


class Flow:
    """One call, from its first request to its last answer.

    Args:
        session: What the session says.
        call: What the call says.
        began: When the call began, on the pool's clock.
    """

    __slots__ = ("_began", "_session", "_total", "call")

    def __init__(self, session: SessionSettings, call: Call, began: float) -> None:
        self._session = session
        self.call = call
        self._began = began
        self._total: float | None = None

    def run(self, request: PreparedRequest) -> Steps:
        """Send a request, and follow where it leads."""
        answer = yield from self._answered(request, self.call.limit)
        return (yield from self._followed(answer))

    def resume(self, answer: Any) -> Steps:
        """Go on with a first answer that is there already."""
        answer = yield from self._settled(answer, self.call.limit)
        return (yield from self._followed(answer))

    def _answered(self, request: PreparedRequest, limit: Timeout | None) -> Steps:
        answer = yield from self._tried(request, limit)
        return (yield from self._settled(answer, limit))

    def _settled(self, answer: Any, limit: Timeout | None) -> Steps:
        """Keep an answer's cookies, answer its challenge, show it to the hooks."""
        self._session.keep_cookies(answer)
        challenged: list[Any] = []
        while len(challenged) < MOST_CHALLENGES and (again := _credentials(answer)) is not None:
            yield Drain(answer)
            _rewind(again, answer)
            challenged.append(answer)
            answer = yield from self._tried(self._session.with_cookies(again), limit)
            self._session.keep_cookies(answer)
        if challenged:
            answer.history = challenged
        request = answer.request
        for hook in request.answer_hooks:
            shown = yield Ask(hook, answer, request)
            answer = answer if shown is None else shown
        return answer

    def _tried(self, request: PreparedRequest, limit: Timeout | None) -> Steps:
        """Send a request until its answer or its error is one to keep; nothing is held during a pause.

        Raises:
            RetryError, UnrewindableBodyError: See `retries.py`. Any other error is the last try's own.
        """
        override = self._session.override_for(request.address, self.call)
        # Asked once for each request, as in requests: a `get_adapter` of the program's own may take turns.
        adapter = self._session.adapter_for(request.address)
        # What an adapter of somebody else tries again is its own business.
        retrying = self.call.retrying or getattr(adapter, "retrying", None)
        if retrying is None:
            return (yield Send(request, limit, override, adapter))
        # Imported late: it brings urllib3's `Retry`, and most programs do without.
        from keeppool.client.retries.tries import Tries, rewind

        tries = Tries(retrying, request)
        left = limit
        while True:
            try:
                answer = yield Send(request, left, override, adapter)
            except InvalidRequest:
                raise  # The caller's mistake: another try would only repeat it.
            except KeepPoolError as error:
                timeout = limit or self._session.timeout_for(request.address, override)
                pause = tries.after_error(error, timeout.total)
                if pause is None:
                    raise
                rewind(request, error=error)
            else:
                timeout = limit or self._session.timeout_for(request.address, override)
                pause = tries.after_response(answer, timeout.total)
                if pause is None:
                    return answer
                yield Drain(answer)
                rewind(request, response=answer)
            tries.count()
            if pause:
                yield Pause(pause, retrying)
            if timeout.total is not None:
                left = replace(timeout, total=tries.left_of(timeout.total))

    def _followed(self, answer: Any) -> Steps:
        """Go where an answer leads, until one leads nowhere.

        Raises:
            TooManyRedirects, InvalidURL, UnrewindableBodyError, TotalTimeout: `response` is the redirect that was not
                followed; its connection is free.
        """
        if not self.call.follow or self._session.get_redirect_target(answer) is None:
            return answer
        if self._session.follows_in_own_way():
            return (yield Follow(answer, self._left_after(answer)))
        history: list[Any] = [*answer.history]
        followed = 0
        while (location := self._session.get_redirect_target(answer)) is not None:
            yield Drain(answer)
            request, limit = self.following(answer, location, followed)
            followed += 1
            history.append(answer)
            answer = yield from self._answered(request, limit)
            history += answer.history
            answer.history = history.copy()
        return answer

    def following(self, answer: Any, location: str, followed: int) -> tuple[PreparedRequest, Timeout | None]:
        """Make the request a redirect asks for, and tell how long it may take.

        Args:
            answer: The redirect.
            location: Where it leads.
            followed: Redirects followed so far.

        Raises:
            TooManyRedirects, InvalidURL, UnrewindableBodyError, TotalTimeout: It is not to be followed; `response` is
                the redirect.
        """
        if not followed:
            self._count_total(answer)
        try:
            if followed >= self._session.max_redirects:
                raise TooManyRedirects(f"{answer.request.url} leads on after {followed} redirects")
            request = self._session.next_request(answer, location, is_sent=True)
            return request, self._left_for(request)
        except KeepPoolError as error:
            error.request, error.response = answer.request, answer
            raise

    def _left_after(self, answer: Any) -> Timeout | None:
        """Tell how long following a redirect may take, all requests together."""
        self._count_total(answer)
        try:
            return self._left_for(answer.request)
        except KeepPoolError as error:
            error.request, error.response = answer.request, answer
            raise

    def _count_total(self, answer: Any) -> None:
        first = answer.request.address
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


def _credentials(answer: Any) -> PreparedRequest | None:
    """Ask the scheme that signed a request for one that answers the challenge, if there was one."""
    scheme = answer.request.auth
    return None if scheme is None else scheme.answered(answer)


def _rewind(request: PreparedRequest, answer: Any) -> None:
    """Put the body back to its start; an error tells which answer asked for it."""
    if request.payload is None:
        return
    try:
        request.payload.rewind()
    except UnrewindableBodyError as error:
        error.request, error.response = request, answer
        raise
