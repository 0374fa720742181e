"""`Caller`: the way of a call through a session, whoever waits for its response.

Decides: which way a call takes. One that asks for nothing special is sent with what was prepared before; everything
    else is made only for a call that needs it.
Does not know: waiting. `Session` and `AsyncSession` drive the steps of `flow.py`, in a thread or on an event loop.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, cast

from keeppool.client.arguments import (
    AuthArgument,
    CertArgument,
    ContentArgument,
    CookiesArgument,
    DataArgument,
    FilesArgument,
    HeadersArgument,
    HooksArgument,
    ParamsArgument,
    ProxiesArgument,
)
from keeppool.client.call import Ask, Call, Drain, Pause, Send, Step, Steps
from keeppool.client.flow import Flow
from keeppool.client.moved import OwnInterface
from keeppool.client.request.encode import body_of
from keeppool.client.request.prepare import with_body
from keeppool.client.request.prepared import Parts, PreparedRequest
from keeppool.client.request.urls import text_of
from keeppool.client.retries import RetriesArgument, retrying_of
from keeppool.client.settings import SessionSettings
from keeppool.client.verbs import ResponseT, Verbs
from keeppool.clock import clock
from keeppool.config import INHERIT, Config, HostConfig, Inherit, Limits, LookUp, Timeout, TimeoutArgument
from keeppool.errors import KeepPoolError, name_call
from keeppool.pools.request import FRAMING, prepare_body
from keeppool.urls.address import parse
from keeppool.wire.body import EXPECT_BODY, RequestBody
from keeppool.wire.fields import EMPTY
from keeppool.wire.request import check_method

if TYPE_CHECKING:
    from keeppool.events import Event
    from keeppool.explanation import Explanation
    from keeppool.fleet.membership import AnyFleet
    from keeppool.pools.manager import Manager
    from keeppool.stats import Stats

#: What follows the head of a call without a body: the methods that expect one say that it is empty (RFC 9110 §8.6).
_NO_BODY: Mapping[bytes, RequestBody | None] = {method: prepare_body(None, EMPTY, method) for method in EXPECT_BODY}

#: What the methods named after them pass: checked when it was written.
_VERBS: frozenset[bytes] = frozenset((b"GET", b"OPTIONS", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE"))

#: How a request is sent: its waits, whether its body is left on its way, and what is configured for it alone.
Sending: TypeAlias = tuple[Timeout | None, bool, HostConfig | None]


class Caller(SessionSettings, Verbs[ResponseT], OwnInterface):
    """A session, but for the waiting."""

    #: What makes the session's pool.
    _pool_kind: ClassVar[type[Manager]]
    #: What makes one call of its steps.
    _flow_kind: ClassVar[type[Flow]] = Flow
    #: Makes of an error what a call gives whose arguments make no request; `None` where it is raised at once.
    _refused: ClassVar[Any] = None

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        timeout: TimeoutArgument | Inherit = INHERIT,
        hosts: Mapping[str, HostConfig] | None = None,
        defaults: HostConfig | None = None,
        resolver: LookUp | None = None,
        fleet: AnyFleet | str | None = None,
        config: Config | None = None,
        on_event: Callable[[Event], None] | None = None,
        retries: RetriesArgument = None,
        base_url: str | None = None,
        headers: HeadersArgument | None = None,
        params: ParamsArgument = None,
        cookies: CookiesArgument | None = None,
        auth: AuthArgument = None,
        verify: bool | str | None = None,
        cert: CertArgument = None,
        proxy: str | None = None,
        follow_redirects: bool = True,
    ) -> None:
        self.pool = self._pool_kind(
            limits,
            timeout=timeout,
            hosts=hosts,
            defaults=defaults,
            resolver=resolver,
            fleet=fleet,
            config=config,
            on_event=on_event,
        )
        SessionSettings.__init__(self, retries)
        self.base_url = base_url
        self._begin_with(headers, params, cookies, auth, verify, cert, proxy, follow_redirects)

    def stats(self) -> Stats:
        """Take a snapshot of the pool's gauges and counters; from any thread.

        Raises:
            LoopError: The pool's event loop runs, and is blocked.
        """
        return self.pool.stats()

    def explain(self, url: str) -> Explanation:
        """Tell which entry decides what for a URL, what was learned of its host, and what a request would get now.

        What the session's own settings and the environment add is in it. Nothing is sent, and nothing is changed.
        Secrets are left out.

        Args:
            url: As for `request`.

        Raises:
            InvalidURL: As for `request`.
            LoopError: As for `stats`.
        """
        text = text_of(url)
        address = parse(text if self._base is None else self._base.joined(text))
        override, by = self._explained_override(address)
        return self.pool._explained(address, override, by)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} on {self.pool!r}>"

    def send(
        self,
        request: PreparedRequest,
        *,
        stream: bool | None = None,
        timeout: TimeoutArgument | Inherit = INHERIT,
        verify: bool | str | None = None,
        cert: CertArgument = None,
        proxies: ProxiesArgument = None,
        allow_redirects: bool | None = None,
        retries: RetriesArgument | Inherit = INHERIT,
        follow_redirects: bool | None = None,
    ) -> ResponseT:
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
            follow_redirects: As for `request`.

        Raises:
            KeepPoolError: As `request`.
            ValueError: `request` is a `Request` that was not prepared.
        """
        try:
            if not isinstance(request, PreparedRequest):
                raise ValueError(f"only a prepared request can be sent, not {request!r}: use prepare_request")
            if verify is True and self._checks_by_context(request.address):
                # The context does what is asked for. Programs that merge settings as requests does pass it unasked.
                verify = None
            follow = follow_redirects if allow_redirects is None else allow_redirects
            if follow is None:
                follow = self.follow_redirects
            flow = self._flow(timeout, stream, verify, cert, proxies, follow, retries)
            return self._drive(flow.run(request), flow.call)
        except Exception as error:
            if self._refused is None:
                raise
            return cast("ResponseT", self._refused(error))

    def _call(
        self,
        method: str | bytes,
        url: str | bytes,
        params: ParamsArgument = None,
        data: DataArgument = None,
        json: object = None,
        headers: HeadersArgument | None = None,
        cookies: CookiesArgument | None = None,
        files: FilesArgument = None,
        auth: AuthArgument = None,
        timeout: TimeoutArgument | Inherit = INHERIT,
        allow_redirects: bool | None = None,
        proxies: ProxiesArgument = None,
        hooks: HooksArgument = None,
        stream: bool | None = None,
        verify: bool | str | None = None,
        cert: CertArgument = None,
        retries: RetriesArgument | Inherit = INHERIT,
        content: ContentArgument = None,
        follow_redirects: bool | None = None,
    ) -> ResponseT:
        """Send a request and follow where it leads: the way every call takes.

        The first branch is what a program does thousands of times, with a body or without; each test in it is one the
        general way can do without.
        """
        try:
            if type(method) is not bytes or method not in _VERBS:
                method = check_method(method)
            text = url if type(url) is str else text_of(url)
            address = parse(text if self._base is None else self._base.joined(text))
            follow = follow_redirects if allow_redirects is None else allow_redirects
            if follow is None:
                follow = self.follow_redirects
            settings = self._environment.read() if self.trust_env else None
            if content is not None:
                data = body_of(content, data, json, files)
            if (
                params is None
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
                and self.auth is None
                and self._retrying is None
                and not self.proxies
                and not (self.trust_env and self._netrc.is_there(None if settings is None else settings.netrc))
                and FRAMING.isdisjoint((block := self._headers.block()).names)
                and (self._jar is None or not self._may_have_cookies(address, block))
            ):
                if data is None and json is None:
                    parts: Parts = (method, address, block, _NO_BODY.get(method), None)
                else:
                    parts = with_body(method, address, block, data, json)
                streams = self.stream if stream is None else stream
                limit = None if timeout is INHERIT else self._limit(timeout)
                override = self._override if settings is None else self.standing_override(address, settings)
                return self._quick(parts, (limit, streams, override), follow, timeout)
            request = self._prepared(method, address, params, data, json, headers, cookies, files, auth, hooks)
            flow = self._flow(timeout, stream, verify, cert, proxies, follow, retries)
        except Exception as error:
            if isinstance(error, KeepPoolError):
                name_call(error, method, url)
            if self._refused is None:
                raise
            return cast("ResponseT", self._refused(error))
        return self._drive(flow.run(request), flow.call)

    # An argument that nobody takes is told of in these words, as in requests.
    _call.__qualname__ = "Session.request"
    _call_verb = _call

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
            timeout=timeout,
            limit=self._limit(timeout),
            stream=self.stream if stream is None else stream,
            verify=verify,
            cert=cert,
            proxies=proxies,
            retrying=self._retrying if isinstance(retries, Inherit) else retrying_of(retries),
            follow=follow,
        )
        return self._flow_kind(self, call, clock() if began is None else began)

    @abstractmethod
    def _quick(self, request: Parts, sending: Sending, follow: bool, timeout: TimeoutArgument | Inherit) -> ResponseT:
        """Send a request over the session's pool, and start a flow only if its response asks for one."""

    @abstractmethod
    def _drive(self, steps: Steps, call: Call) -> ResponseT:
        """Run the steps of a flow until the response is there."""

    # Steps. What one gives is what it brings, or something to await for it.

    def _take(self, step: Step, call: Call) -> Any:
        """Take one step of a flow."""
        if isinstance(step, Send):
            return self._send(step, call)
        if isinstance(step, Pause):
            return self._pause(step)
        if isinstance(step, Ask):
            return self._brought(step.hook(step.response, **self._settings_of(step.request.address, call)))
        assert isinstance(step, Drain), "bug: a step that nobody takes"
        return self._give_up(step.response)

    def _send(self, step: Send, call: Call) -> Any:
        """Send one request over the session's pool. Who sends in another way does it here."""
        return self._send_over(self.pool, step, call.stream)

    @abstractmethod
    def _send_over(self, pool: Any, step: Send, stream: bool) -> Any:
        """Send one request over a pool."""

    @abstractmethod
    def _pause(self, step: Pause) -> Any:
        """Wait, holding nothing."""

    @abstractmethod
    def _brought(self, outcome: object) -> Any:
        """Take what a hook gave: an outcome, or on an event loop something to await for it."""

    @abstractmethod
    def _give_up(self, response: Any) -> Any:
        """Have the connection of this response free."""
