"""`Session`: requests' comfort on a pool of its own.

Decides: which way a call takes. One that asks for nothing special is sent with what was prepared before; everything
    else is made only for a call that needs it.
Waits: for the network, in the caller's thread, by driving the steps of `flow.py`.
Does not know: connections; how requests, redirects and cookies are made (the modules beside this one).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from keeppool.client.flow import Ask, Call, Flow, Pause, Send, Step, Steps
from keeppool.client.prepare import AuthArgument, ParamsArgument
from keeppool.client.prepared import PreparedRequest
from keeppool.client.response import Response
from keeppool.client.settings import CertArgument, ProxiesArgument, SessionSettings, retrying_from
from keeppool.client.transport import HTTPAdapter, Mounts, send_by
from keeppool.client.urls import addressed, parse, text_of
from keeppool.client.verbs import Verbs
from keeppool.config import INHERIT, Config, HostConfig, Inherit, Limits, TimeoutArgument
from keeppool.pools.clock import clock
from keeppool.pools.request import FRAMING, prepare_body
from keeppool.pools.threads import PoolManager
from keeppool.wire.fields import EMPTY

if TYPE_CHECKING:
    from keeppool.client.cookies import CookiesArgument
    from keeppool.client.headers import HeadersArgument
    from keeppool.client.hooks import HooksArgument
    from keeppool.client.retries import RetriesArgument, Retrying
    from keeppool.events import Event
    from keeppool.stats import Stats
    from keeppool.wire.body import RequestBody

#: What follows the head of a call without a body: the methods that expect one say that it is empty (RFC 9110 §8.6).
_NO_BODY: Mapping[bytes, RequestBody | None] = {
    method: prepare_body(None, EMPTY, method) for method in (b"POST", b"PUT", b"PATCH")
}


class Session(SessionSettings, Verbs[Response]):
    """Requests with everything they have in common: connections, headers, cookies.

    Use it as a context manager, or `close` it.

    Args:
        limits: How many connections, and for how long.
        timeout: How long calls wait where they do not say it themselves; see `keeppool.Timeout`.
        hosts: What is different for some hosts, by pattern.
        defaults: What holds for all hosts unless an entry says otherwise.
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

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        timeout: TimeoutArgument | Inherit = INHERIT,
        hosts: Mapping[str, HostConfig] | None = None,
        defaults: HostConfig | None = None,
        config: Config | None = None,
        on_event: Callable[[Event], None] | None = None,
        retries: RetriesArgument = None,
    ) -> None:
        self.pool = PoolManager(
            limits, timeout=timeout, hosts=hosts, defaults=defaults, config=config, on_event=on_event
        )
        SessionSettings.__init__(self, retries)
        self._mounts: Mounts | None = None
        #: Whether a subclass looks for redirects where there is none.
        self._reads_redirects = type(self).get_redirect_target is not SessionSettings.get_redirect_target

    def stats(self) -> Stats:
        """Take a snapshot of the pool's gauges and counters."""
        return self.pool.stats()

    def close(self) -> None:
        """Close the pool, idle connections now and busy ones when they are done, and the mounted adapters."""
        self.pool.close()
        for adapter in (self._mounts or {}).values():
            adapter.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} on {self.pool!r}>"

    # What sends

    @property
    def adapters(self) -> Mounts:
        """What sends the requests, by prefix; the session's own pool is one of them."""
        if self._mounts is None:
            mounts = Mounts()
            for prefix in ("https://", "http://"):
                mounts.mount(prefix, HTTPAdapter.over(self.pool))
            self._mounts = mounts
        return self._mounts

    @adapters.setter
    def adapters(self, adapters: Mapping[str, Any]) -> None:
        self._mounts = Mounts()
        for prefix, adapter in adapters.items():
            self._mounts.mount(prefix, adapter)

    def mount(self, prefix: str, adapter: Any) -> None:
        """Let an adapter send the requests to URLs that begin with `prefix`; the longest prefix wins.

        Args:
            prefix: Such as "https://api.example.com/".
            adapter: An `HTTPAdapter`, which has limits of its own, or any object with `send` and `close` as
                `BaseAdapter` has them, those for requests included.
        """
        self.adapters.mount(prefix, adapter)

    def get_adapter(self, url: str) -> Any:
        """Find what sends the requests to a URL.

        Raises:
            InvalidSchema: Nothing does.
        """
        return self.adapters.find(url)

    # Sending

    def send(
        self,
        request: PreparedRequest,
        *,
        stream: bool | None = None,
        timeout: TimeoutArgument | Inherit = INHERIT,
        verify: bool | str | None = None,
        cert: CertArgument = None,
        proxies: ProxiesArgument = None,
        allow_redirects: bool = True,
        retries: RetriesArgument | Inherit = INHERIT,
    ) -> Response:
        """Send a prepared request as it stands; nothing of this session's headers and cookies is added.

        Args:
            request: Made by `prepare_request`, or by hand.
            stream: As for `request`.
            timeout: As for `request`.
            verify: As for `request`.
            cert: As for `request`.
            proxies: As for `request`.
            allow_redirects: As for `request`.
            retries: As for `request`.

        Raises:
            KeepPoolError: As `request`.
            ValueError: `request` is a `Request` that was not prepared.
        """
        if not isinstance(request, PreparedRequest):
            raise ValueError(f"only a prepared request can be sent, not {request!r}: use prepare_request")
        flow = self._flow(timeout, stream, verify, cert, proxies, allow_redirects, retries)
        return self._drive(flow.run(request), flow.call)

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

        Raises:
            TooManyRedirects, InvalidURL, UnrewindableBodyError, TotalTimeout: When the next answer is asked for.
        """
        flow = self._flow(timeout, stream, verify, cert, proxies, False, INHERIT)
        history: list[Response] = []
        resp.request = req
        while (location := self.get_redirect_target(resp)) is not None:
            resp.drain()
            request, _ = flow.following(resp, location, len(history))
            if yield_requests:
                yield request
                return
            history.append(resp)
            resp = self._drive(flow.run(request), flow.call)
            resp.history = history.copy()
            yield resp

    def _call(
        self,
        method: bytes,
        url: str | bytes,
        params: ParamsArgument = None,
        data: Any = None,
        json: Any = None,
        headers: HeadersArgument | None = None,
        cookies: CookiesArgument | None = None,
        files: Any = None,
        auth: AuthArgument = None,
        timeout: TimeoutArgument | Inherit = INHERIT,
        allow_redirects: bool = True,
        proxies: ProxiesArgument = None,
        hooks: HooksArgument = None,
        stream: bool | None = None,
        verify: bool | str | None = None,
        cert: CertArgument = None,
        retries: RetriesArgument | Inherit = INHERIT,
    ) -> Response:
        """Send a request and follow where it leads: the way every call takes.

        The first branch is what a program does thousands of times; each test in it is one the general way can do
        without.
        """
        address = parse(url if type(url) is str else text_of(url)) if self._mounts is None else addressed(text_of(url))
        if (
            params is None
            and data is None
            and json is None
            and headers is None
            and cookies is None
            and files is None
            and auth is None
            and proxies is None
            and hooks is None
            and verify is None
            and cert is None
            and retries is INHERIT
            and address.credentials is None
            and not self.params
            and not self._jar
            and self.auth is None
            and self._is_plain()
            and FRAMING.isdisjoint((block := self._headers.block()).names)
        ):
            request = PreparedRequest(method, address, block, _NO_BODY.get(method))
            streams = self.stream if stream is None else stream
            limit = None if timeout is INHERIT else self._limit(timeout)
            began = clock()
            answer = send_by(self.pool, request, limit, streams, self.standing_override(address))
            index = answer.raw.head.index
            if b"set-cookie" not in index and (b"location" not in index or not allow_redirects):
                return answer
            flow = self._flow(timeout, stream, verify, cert, proxies, allow_redirects, retries, began)
            return self._drive(flow.resume(answer), flow.call)
        request = self._prepared(method, address, params, data, json, headers, cookies, files, auth, hooks)
        flow = self._flow(timeout, stream, verify, cert, proxies, allow_redirects, retries)
        return self._drive(flow.run(request), flow.call)

    def _is_plain(self) -> bool:
        """Tell whether the session itself asks for nothing that a request without arguments would need."""
        return (
            self._retrying is None
            and self._mounts is None
            and not self.proxies
            and not self.hooks.get("response")
            and not self._reads_redirects
            and not (self.trust_env and self._netrc.is_there())
        )

    def _flow(
        self,
        timeout: TimeoutArgument | Inherit,
        stream: bool | None,
        verify: bool | str | None,
        cert: CertArgument,
        proxies: ProxiesArgument,
        follow: bool,
        retries: RetriesArgument | Inherit,
        began: float | None = None,
    ) -> Flow:
        call = Call(
            timeout=None if timeout is INHERIT else timeout,
            limit=self._limit(timeout),
            stream=self.stream if stream is None else stream,
            verify=verify,
            cert=cert,
            proxies=proxies,
            retrying=self._retrying if isinstance(retries, Inherit) else retrying_from(retries),
            follow=follow,
        )
        return Flow(self, call, clock() if began is None else began)

    def retrying_of_adapter(self, url: str) -> Retrying | None:
        """Tell how often the adapter mounted for a URL wants its requests tried; `None` for once."""
        if self._mounts is None:
            return None
        adapter = self._mounts.find(url)
        # What an adapter for requests tries again is its own business.
        return adapter.max_retries if isinstance(adapter, HTTPAdapter) else None

    def _drive(self, steps: Steps, call: Call) -> Response:
        """Run the steps of a flow, each in this thread, until the answer is there."""
        try:
            step = next(steps)
            while True:
                try:
                    outcome = self._take(step, call)
                except BaseException as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(outcome)
        except StopIteration as end:
            answer: Response = end.value
            return answer

    def _take(self, step: Step, call: Call) -> Any:
        if isinstance(step, Send):
            return self._send(step, call)
        if isinstance(step, Pause):
            step.retrying.sleep(step.seconds)
        elif isinstance(step, Ask):
            return step.hook(step.answer, **call.told())
        elif isinstance(step.answer, Response):
            step.answer.drain()
        else:
            step.answer.close()
        return None

    def _send(self, step: Send, call: Call) -> Any:
        """Send one request by what is mounted for it."""
        request = step.request
        if self._mounts is None:
            return send_by(self.pool, request, step.limit, call.stream, step.override)
        adapter = self._mounts.find(request.address.sent)
        if type(adapter) is HTTPAdapter:
            return send_by(adapter.pool, request, step.limit, call.stream, step.override)
        said = self.merge_environment_settings(request.address.sent, call.proxies, call.stream, call.verify, call.cert)
        return adapter.send(request, timeout=call.timeout, **said)
