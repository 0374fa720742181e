"""`Session`: requests' comfort on a pool of its own, for threads.

Waits: for the network, in the caller's thread, by driving the steps of `flow.py`.
Does not know: which way a call takes (`caller.py`), what a session says (`settings.py`), how requests, redirects and
    cookies are made (the modules beside this one).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from keeppool.client.arguments import CertArgument, ProxiesArgument
from keeppool.client.call import Ask, Call, Follow, Pause, Send, Step, Steps, step_holds, with_history
from keeppool.client.caller import Caller
from keeppool.client.request.prepared import Parts, PreparedRequest, request_of
from keeppool.client.response.response import Response
from keeppool.client.transports.adapter import HTTPAdapter, send_by
from keeppool.client.transports.mounts import Checked, adopted
from keeppool.clock import clock
from keeppool.config import INHERIT, Config, HostConfig, Inherit, Limits, LookUp, Timeout, TimeoutArgument
from keeppool.errors import KeepPoolError
from keeppool.pools.manager_threads import PoolManager

if TYPE_CHECKING:
    from keeppool.client.retries.retrying import RetriesArgument
    from keeppool.events import Event


class Session(Caller[Response]):
    """Requests with everything they have in common: connections, headers, cookies.

    Use it as a context manager, or `close` it.

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
        pool: The `PoolManager`.

    The other attributes are those of `keeppool.client.settings.SessionSettings`.

    Raises:
        ConfigError: An argument that cannot be meant.

    Thread safety:
        Any number of threads may use one session, also while its headers and cookies are changed.
    """

    pool: PoolManager
    _adapter_kind = HTTPAdapter

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
        self.pool = PoolManager(
            limits, timeout=timeout, hosts=hosts, defaults=defaults, resolver=resolver, config=config, on_event=on_event
        )
        Caller.__init__(self, retries)

    def close(self) -> None:
        """Close the pool, idle connections now and busy ones when they are done, and the mounted adapters."""
        self.pool.close()
        for adapter in (self._mounts or {}).values():
            adapter.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def resolve_redirects(
        self,
        resp: Response,
        req: PreparedRequest,
        stream: bool | None = None,
        timeout: TimeoutArgument | Inherit = INHERIT,
        verify: bool | str | None = None,
        cert: CertArgument = None,
        proxies: ProxiesArgument = None,
        yield_requests: bool = False,
        retries: RetriesArgument | Inherit = INHERIT,
    ) -> Iterator[Any]:
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
            self._give_up(resp)
            request, limit = flow.following(resp, location, followed)
            proxies = self._proxies_in_own_way(request, proxies)
            if yield_requests:
                yield request
                return
            followed += 1
            history.append(resp)
            resp = self.send(request, allow_redirects=False, **self._said_of_hop(flow.call, proxies, limit))
            history += resp.history
            resp.history = history.copy()
            yield resp

    def _adapter_over_pool(self) -> HTTPAdapter:
        return HTTPAdapter.over(self.pool)

    def _quick(
        self,
        request: Parts,
        limit: Timeout | None,
        stream: bool,
        override: HostConfig | None,
        follow: bool,
        timeout: TimeoutArgument | Inherit,
    ) -> Response:
        method, address, fields, body = request
        try:
            raw = self.pool.exchange(method, address, fields, body, limit, stream, override)
        except KeepPoolError as error:
            error.request = request_of(request)
            raise
        answer = Response(raw, request, stream, self.pool)
        index = raw.head.index
        if b"set-cookie" not in index and (b"location" not in index or not follow):
            return answer
        flow = self._flow(timeout, stream, None, None, None, follow, INHERIT, raw.started_at)
        return self._drive(flow.resume(answer), flow.call, answer)

    def _drive(self, steps: Steps, call: Call, held: Any = None) -> Response:
        """Run the steps of a flow, each in this thread, until the answer is there."""
        try:
            step = next(steps)
            while True:
                try:
                    outcome = self._take(step, call)
                except BaseException as error:
                    step = steps.throw(error)
                else:
                    held = step_holds(step, outcome, held)
                    step = steps.send(outcome)
        except StopIteration as end:
            answer: Response = end.value
            return answer
        except BaseException:
            # A hook or a scheme has failed, or no tries are left: nobody will read what is still on its way.
            if held is not None:
                held.close()
            raise

    def _take(self, step: Step, call: Call) -> Any:
        if isinstance(step, Send):
            return self._send(step, call)
        if isinstance(step, Pause):
            step.retrying.sleep(step.seconds)
        elif isinstance(step, Ask):
            return step.hook(step.answer, **self.told(step.request.address, call))
        elif isinstance(step, Follow):
            return self._follow(step, call)
        else:
            self._give_up(step.answer)
        return None

    def _give_up(self, answer: Any) -> None:
        if isinstance(answer, Response):
            answer.drain()
        else:
            answer.close()

    def _follow(self, step: Follow, call: Call) -> Any:
        """Follow a redirect by `resolve_redirects`, whoever has written it."""
        answer, followed = step.answer, []
        try:
            for hop in self.resolve_redirects(answer, answer.request, **self._said_by(step, call)):
                followed.append(answer)
                answer = hop
        except BaseException:
            answer.close()
            raise
        return with_history(answer, step.answer.history, followed)

    def _send(self, step: Send, call: Call) -> Any:
        """Send one request by what is mounted for it."""
        request = step.request
        adapter = step.adapter
        if adapter is None:
            return send_by(self.pool, request, step.limit, call.stream, step.override)
        if self._is_pool_alone(adapter):
            return send_by(adapter.pool, request, self._limit_by(step), call.stream, step.override)
        return self._send_by_other(step, call)

    def _send_by_other(self, step: Send, call: Call) -> Any:
        """Send one request by an adapter of the program's own, or one written for requests."""
        told = self._told_by(step, call)
        began = clock()
        with Checked(step):
            answer = step.adapter.send(step.request, **told)
        adopted(answer, step.request, clock() - began)
        if not call.stream:
            answer.content  # noqa: B018  # read, which such an adapter leaves to the session
        return answer
