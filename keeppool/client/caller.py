"""`Caller`: the way of a call through a session, whoever waits for its answer.

Decides: which way a call takes. One that asks for nothing special is sent with what was prepared before; everything
    else is made only for a call that needs it. And what sends a request: the session's pool, or a mounted adapter.
Does not know: waiting. `Session` and `AsyncSession` drive the steps of `flow.py`, in a thread or on an event loop.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from types import MethodType
from typing import TYPE_CHECKING, Any, Final

from keeppool.client.flow import Call, Flow, Steps
from keeppool.client.mounts import Mounts
from keeppool.client.overridden import ThroughRequest
from keeppool.client.prepare import AuthArgument, ParamsArgument
from keeppool.client.prepared import Parts, PreparedRequest
from keeppool.client.routing import CertArgument, ProxiesArgument
from keeppool.client.settings import SessionSettings, retrying_from
from keeppool.client.urls import Address, addressed, parse, text_of
from keeppool.client.verbs import AnswerT, Verbs
from keeppool.config import INHERIT, HostConfig, Inherit, Timeout, TimeoutArgument
from keeppool.pools.clock import clock
from keeppool.pools.request import FRAMING, prepare_body
from keeppool.wire.fields import EMPTY

if TYPE_CHECKING:
    from keeppool.client.cookies import CookiesArgument
    from keeppool.client.environment import Settings
    from keeppool.client.headers import HeadersArgument
    from keeppool.client.hooks import HooksArgument
    from keeppool.client.retries import RetriesArgument, Retrying
    from keeppool.pools.manager import Manager
    from keeppool.stats import Stats
    from keeppool.wire.body import RequestBody

#: What follows the head of a call without a body: the methods that expect one say that it is empty (RFC 9110 §8.6).
_NO_BODY: Mapping[bytes, RequestBody | None] = {
    method: prepare_body(None, EMPTY, method) for method in (b"POST", b"PUT", b"PATCH")
}


class Caller(SessionSettings, Verbs[AnswerT]):
    """A session, but for the waiting.

    Where a program overrides `request`, `prepare_request` or `send`, in a subclass or on a session of its own, every
    call goes through them, as in requests. Redirects are followed below `send`.
    """

    #: Where a call goes whose session prepares or sends in a way of its own.
    _STEPS: Final = frozenset(("prepare_request", "send"))

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        if "request" in vars(cls):
            for verb in ThroughRequest.VERBS:
                if getattr(cls, verb) is getattr(Verbs, verb):
                    setattr(cls, verb, getattr(ThroughRequest, verb))
        if not cls._STEPS.isdisjoint(vars(cls)):
            cls._call = Caller._call_by_steps  # type: ignore[method-assign, assignment]

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name == "request":
            for verb in ThroughRequest.VERBS:
                super().__setattr__(verb, MethodType(getattr(ThroughRequest, verb), self))
        elif name in self._STEPS:
            super().__setattr__("_call", self._call_by_steps)

    def __init__(self, retries: RetriesArgument) -> None:
        SessionSettings.__init__(self, retries)
        self._mounts: Mounts | None = None
        #: Whether a subclass looks for redirects where there is none.
        self._reads_redirects = type(self).get_redirect_target is not SessionSettings.get_redirect_target

    def stats(self) -> Stats:
        """Take a snapshot of the pool's gauges and counters."""
        return self.pool.stats()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} on {self.pool!r}>"

    # What sends

    @property
    def adapters(self) -> Mounts:
        """What sends the requests, by prefix; the session's own pool is one of them."""
        if self._mounts is None:
            mounts = Mounts()
            for prefix in ("https://", "http://"):
                mounts.mount(prefix, self._adapter_over_pool())
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
        self._said_of_tls()  # What holds for a URL may be another pool's configuration from now on.

    def get_adapter(self, url: str) -> Any:
        """Find what sends the requests to a URL.

        Raises:
            InvalidSchema: Nothing does.
        """
        return self.adapters.find(url)

    def pool_for(self, address: Address) -> Manager | None:
        """Tell which pool sends the requests to a URL, and so whose configuration holds; `None` for none of ours."""
        if self._mounts is None:
            return self.pool
        pool: Manager | None = getattr(self._mounts.find(address.sent), "pool", None)
        return pool if hasattr(pool, "config_for") else None

    @abstractmethod
    def _adapter_over_pool(self) -> Any:
        """Make the adapter that stands for the session's own pool."""

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
    ) -> AnswerT:
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
    ) -> AnswerT:
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
            and self._is_plain(settings := self._environment.read() if self.trust_env else None)
            and FRAMING.isdisjoint((block := self._headers.block()).names)
        ):
            asked = (method, address, block, _NO_BODY.get(method))
            streams = self.stream if stream is None else stream
            limit = None if timeout is INHERIT else self._limit(timeout)
            override = self.standing_override(address, settings)
            return self._quick(asked, limit, streams, override, allow_redirects, timeout)
        request = self._prepared(method, address, params, data, json, headers, cookies, files, auth, hooks)
        flow = self._flow(timeout, stream, verify, cert, proxies, allow_redirects, retries)
        return self._drive(flow.run(request), flow.call)

    def _call_by_steps(
        self,
        method: bytes,
        url: str | bytes,
        params: ParamsArgument = None,
        *,
        data: Any = None,
        json: Any = None,
        headers: HeadersArgument | None = None,
        cookies: CookiesArgument | None = None,
        files: Any = None,
        auth: AuthArgument = None,
        hooks: HooksArgument = None,
        **settings: Any,
    ) -> AnswerT:
        """Prepare and send apart, each by the method that a program may have overridden."""
        from keeppool.client.request import Request

        asked = Request(method.decode(), url, headers, files, data, params, auth, cookies, hooks, json)
        return self.send(self.prepare_request(asked), **settings)

    def _is_plain(self, settings: Settings | None) -> bool:
        """Tell whether the session itself asks for nothing that a request without arguments would need."""
        return (
            self._retrying is None
            and self._mounts is None
            and not self.proxies
            and not self.hooks.get("response")
            and not self._reads_redirects
            and not (self.trust_env and self._netrc.is_there(None if settings is None else settings.netrc))
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
            timeout=timeout,
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
        # What an adapter of somebody else tries again is its own business.
        retrying: Retrying | None = getattr(self._mounts.find(url), "retrying", None)
        return retrying

    @abstractmethod
    def _quick(
        self,
        request: Parts,
        limit: Timeout | None,
        stream: bool,
        override: HostConfig | None,
        follow: bool,
        timeout: TimeoutArgument | Inherit,
    ) -> AnswerT:
        """Send a request over the session's pool, and start a flow only if its answer asks for one."""

    @abstractmethod
    def _drive(self, steps: Steps, call: Call) -> AnswerT:
        """Run the steps of a flow until the answer is there."""
