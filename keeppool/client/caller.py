"""`Caller`: the way of a call through a session, whoever waits for its answer.

Decides: which way a call takes. One that asks for nothing special is sent with what was prepared before; everything
    else is made only for a call that needs it. And what sends a request: the session's pool, or a mounted adapter.
Does not know: waiting. `Session` and `AsyncSession` drive the steps of `flow.py`, in a thread or on an event loop.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from keeppool.client.arguments import AuthArgument, CertArgument, ParamsArgument, ProxiesArgument
from keeppool.client.call import Call, Follow, Send, Steps
from keeppool.client.flow import Flow
from keeppool.client.request.prepared import Parts, PreparedRequest
from keeppool.client.request.urls import text_of
from keeppool.client.retries.retrying import RetriesArgument, retrying_of
from keeppool.client.settings import SessionSettings
from keeppool.client.transports.mounts import Mounts, plain_timeout
from keeppool.client.transports.overridden import (
    AT_REDIRECTS,
    NAMES,
    OF_REQUESTS,
    ThroughRequest,
    changed,
    said_of,
    ways_of,
)
from keeppool.client.verbs import AnswerT, Verbs
from keeppool.clock import clock
from keeppool.config import INHERIT, HostConfig, Inherit, Timeout, TimeoutArgument
from keeppool.pools.request import FRAMING, prepare_body
from keeppool.urls.address import Address, addressed, parse
from keeppool.wire.fields import EMPTY

if TYPE_CHECKING:
    from keeppool.client.arguments import CookiesArgument, HeadersArgument, HooksArgument
    from keeppool.client.environment import Settings
    from keeppool.client.retries.retrying import RetriesArgument
    from keeppool.pools.manager import Manager
    from keeppool.stats import Stats
    from keeppool.wire.body import RequestBody

#: What follows the head of a call without a body: the methods that expect one say that it is empty (RFC 9110 §8.6).
_NO_BODY: Mapping[bytes, RequestBody | None] = {
    method: prepare_body(None, EMPTY, method) for method in (b"POST", b"PUT", b"PATCH")
}

#: Under this name a session's class notes what its adapters' `send` was.
_SENDING = "adapter's send"


class Caller(SessionSettings, Verbs[AnswerT]):
    """A session, but for the waiting.

    Where a program overrides `request`, `prepare_request`, `send`, `get_adapter`, `merge_environment_settings`,
    `resolve_redirects` or `rebuild_proxies`, in a subclass, by a mixin, on a session of its own or by patching the
    class, calls go through them, as in requests. Redirects are followed below `send`, unless one of `send`,
    `resolve_redirects` and `rebuild_proxies` is overridden: then each request of a chain goes through all three.
    """

    #: What sends for such a session where a program has mounted nothing else.
    _adapter_kind: ClassVar[type[Any]]
    #: The methods of a session whose program has none of its own, by name; `_plain_ways` is what a call compares.
    _plain: ClassVar[Mapping[str, object]]
    _plain_ways: tuple[object, ...] | None

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        if "_adapter_kind" in vars(cls):
            cls._plain = {name: getattr(cls, name) for name in NAMES} | {_SENDING: cls._adapter_kind.send}
            cls._plain_ways = ways_of(cls)

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name in NAMES:
            # No class has these ways, so every call looks for its own.
            self._plain_ways = None

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
        pool: Manager | None = getattr(self._mounts.find(address), "pool", None)
        return pool if hasattr(pool, "config_for") else None

    def adapter_for(self, url: str) -> Any:
        """Find what sends one request; `None` for the session's own pool, as it is."""
        if self._is_own("get_adapter"):
            return self.get_adapter(url=url)
        is_patched = self._adapter_kind.send is not self._plain[_SENDING]
        return None if self._mounts is None and not is_patched else self.adapters.find(url)

    def _is_pool_alone(self, adapter: Any) -> bool:
        """Tell whether an adapter does nothing that its pool does not do."""
        kind = self._adapter_kind
        return type(adapter) is kind and kind.send is self._plain[_SENDING] and "send" not in vars(adapter)

    def _limit_by(self, step: Send) -> Timeout | None:
        """Tell which waits an adapter's pool is given; `None` for its own."""
        if step.limit is not None or step.adapter.pool is self.pool:
            return step.limit
        return self.waits_of(step.adapter.pool, step.request.address, step.override)

    def _told_by(self, step: Send, call: Call) -> dict[str, Any]:
        """List what an adapter of the program's own is told about a request's sending."""
        adapter = step.adapter
        told = self.told(step.request.address, call)
        is_ours = isinstance(adapter, self._adapter_kind)
        if step.limit is not None and step.limit is not call.limit:
            told["timeout"] = step.limit  # What is left of a total.
        elif step.limit is None and self.has_own_waits:
            own = self.pool.config.timeout
            address, override = step.request.address, step.override
            is_heard = not is_ours or self.waits_of(adapter.pool, address, override) is own
            told["timeout"] = own if is_heard else None
        if not is_ours:
            told["timeout"] = plain_timeout(told["timeout"])
        return told

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
        through: bool = True,
    ) -> AnswerT:
        """Send a request and follow where it leads: the way every call takes.

        The first branch is what a program does thousands of times; each test in it is one the general way can do
        without.
        """
        if ways_of(type(self)) != self._plain_ways:
            return self._call_in_own_way(method, url, said_of(locals()), through)
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

    # In ways of a program's own

    def _is_own(self, name: str) -> bool:
        """Tell whether this session's method of that name is not the one it was written with."""
        return name in self.__dict__ or getattr(type(self), name) is not self._plain[name]

    def follows_in_own_way(self) -> bool:
        """Tell whether redirects are to be followed by `resolve_redirects`, each request through `send`."""
        return any(map(self._is_own, AT_REDIRECTS))

    def _call_in_own_way(self, method: bytes, url: str | bytes, said: dict[str, Any], through: bool) -> AnswerT:
        """Prepare and send apart, each by the method that a program may have overridden.

        Args:
            method: As for `_call`.
            url: As for `_call`.
            said: The arguments that were given.
            through: A verb was called, and `request` comes first.
        """
        if through and self._is_own("request"):
            answer: AnswerT = getattr(ThroughRequest, method.decode().lower())(self, url, **said)
            return answer
        from keeppool.client.request.request import Request

        asked = Request(method.decode(), url, **{name: said.pop(name) for name in OF_REQUESTS if name in said})
        request = self.prepare_request(asked)
        if self._is_own("merge_environment_settings"):
            said |= self._settings_in_own_way(request, said)
        return self.send(request, **said)

    def _settings_in_own_way(self, request: PreparedRequest, said: Mapping[str, Any]) -> dict[str, Any]:
        told = {name: said.get(name) for name in ("stream", "verify", "cert")}
        proxies = said.get("proxies") or {}
        plain = SessionSettings.merge_environment_settings(self, request.url or "", {**proxies}, **told)
        return changed(self.merge_environment_settings(request.url or "", {**proxies}, **told), plain)

    def _proxies_in_own_way(self, request: PreparedRequest, proxies: ProxiesArgument) -> ProxiesArgument:
        """Tell which proxies hold for a request that a redirect has asked for, and for those after it."""
        if not self._is_own("rebuild_proxies"):
            return proxies
        plain = SessionSettings.rebuild_proxies(self, request, proxies)
        found = changed({"proxies": self.rebuild_proxies(request, proxies)}, {"proxies": plain})
        rebuilt: ProxiesArgument = found.get("proxies", proxies)
        return rebuilt

    def _said_of_hop(self, call: Call, proxies: ProxiesArgument, limit: Timeout | None) -> dict[str, Any]:
        """List what was said to `resolve_redirects`, as arguments for `send`."""
        return self._said_by(Follow(None, limit), replace(call, proxies=proxies))

    def _said_by(self, step: Follow, call: Call) -> dict[str, Any]:
        """List what a call has said, as arguments for `resolve_redirects`."""
        said: dict[str, Any] = {"stream": call.stream}
        if step.limit is not None and step.limit is not call.limit:
            said["timeout"] = step.limit
        elif not isinstance(call.timeout, Inherit):
            said["timeout"] = call.timeout
        if call.retrying is not self._retrying:
            said["retries"] = call.retrying
        given = {"verify": call.verify, "cert": call.cert, "proxies": call.proxies}
        return said | {name: value for name, value in given.items() if value is not None}

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
            retrying=self._retrying if isinstance(retries, Inherit) else retrying_of(retries),
            follow=follow,
        )
        return Flow(self, call, clock() if began is None else began)

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
