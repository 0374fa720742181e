"""`Mounting`: a session in which programs mount adapters and override methods, but for the waiting.

Decides: when a call goes through what a program has put in the place of ours, and what that is given.
Knows: how requests' own session calls its methods, and which of them programs override.
Does not know: waiting.

The file is long for this house, because each of its methods looks at what the others have found to be a program's own.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from copy import copy
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeAlias, TypeVar, cast

from keeppool.client.arguments import (
    AuthArgument,
    CertArgument,
    CookiesArgument,
    DataArgument,
    FilesArgument,
    HeadersArgument,
    Hook,
    HooksArgument,
    ParamsArgument,
    ProxiesArgument,
)
from keeppool.client.call import Call, Send, Step
from keeppool.client.caller import Caller
from keeppool.client.request.encode import body_of
from keeppool.client.request.hooks import default_hooks, hooks_of
from keeppool.client.request.prepared import PreparedRequest
from keeppool.client.request.request import Request
from keeppool.client.response.base import BaseResponse
from keeppool.client.retries import RetriesArgument
from keeppool.client.verbs import ResponseT
from keeppool.config import INHERIT, HostConfig, Inherit, Timeout, TimeoutArgument
from keeppool.fakers import faker, is_any_active, refuse_httpretty
from keeppool.hosts import DEFAULT_PORTS
from keeppool.requests.mounting.flow import Follow, MountedFlow, SendBy
from keeppool.requests.mounting.mounts import Mounts, keep_foreign_cookies, plain_timeout
from keeppool.requests.mounting.overriding import (
    AT_REDIRECTS,
    NAMES,
    OF_ADAPTERS,
    OF_REQUESTS,
    TAKEN,
    ThroughRequest,
    changed,
    given_of,
    ways_of,
)
from keeppool.requests.mounting.pooled import PooledAdapter
from keeppool.requests.mounting.redirecting import Redirecting
from keeppool.requests.mounting.verbs import RequestsVerbs
from keeppool.urls.address import Address
from keeppool.wire.request import check_method

if TYPE_CHECKING:
    from keeppool.pools.manager import Manager

#: The waits of a pool that was given none.
_DEFAULT_WAITS = Timeout()

#: What `resolve_redirects` gives: an iterator over responses, to be awaited or not.
HopsT = TypeVar("HopsT")

#: The arguments of a flow, in their order, for redirects that a program follows itself.
ChainSettings: TypeAlias = (
    "tuple[TimeoutArgument | Inherit, bool | None, bool | str | None, CertArgument, ProxiesArgument, bool, "
    "RetriesArgument | Inherit]"
)


class Mounting(RequestsVerbs[ResponseT], Caller[ResponseT], Redirecting, Generic[ResponseT, HopsT]):
    """A session, but for the waiting.

    Where a program overrides `request`, `prepare_request`, `send`, `get_adapter`, `merge_environment_settings`,
    `resolve_redirects` or `rebuild_proxies`, in a subclass, by a mixin, on a session of its own or by patching the
    class, calls go through them, as in requests. Redirects are followed below `send`, unless one of `send`,
    `resolve_redirects` and `rebuild_proxies` is overridden: then each request of a chain goes through all three.
    """

    #: The names of a session's settings, by which programs written for requests copy one.
    __attrs__: ClassVar[list[str]] = [
        *("headers", "cookies", "auth", "proxies", "hooks", "params", "verify", "cert", "adapters", "stream"),
        *("trust_env", "max_redirects"),
    ]
    _may_override = True
    stream = False
    _flow_kind = MountedFlow
    #: What sends for such a session where a program has mounted nothing else.
    _adapter_kind: ClassVar[type[PooledAdapter]]
    #: The methods of a session whose program has none of its own, by name; `_plain_ways` is what a call compares.
    _plain: ClassVar[Mapping[str, object]]
    #: The methods of its adapters that a program may patch, as they were.
    _plain_adapter: ClassVar[tuple[object, ...]]
    _plain_ways: tuple[object, ...] | None

    _mounts: Mounts | None = None
    _hooks: dict[str, list[Hook]] | None = None

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        if "_adapter_kind" in vars(cls):
            cls._plain = {name: getattr(cls, name) for name in NAMES}
            cls._plain_adapter = _of_adapter(cls._adapter_kind)
            cls._plain_ways = ways_of(cls)

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name in NAMES:
            # No class has these ways, so every call looks for its own.
            self._plain_ways = None

    @property
    def hooks(self) -> dict[str, list[Hook]]:
        """Functions that see every response, by event; see `keeppool.client.request.hooks`."""
        if self._hooks is None:
            self._hooks = default_hooks()
        return self._hooks

    @hooks.setter
    def hooks(self, hooks: dict[str, list[Hook]]) -> None:
        self._hooks = hooks

    # What sends

    @property
    def adapters(self) -> Mounts:
        """What sends the requests, by prefix; the session's own pool is one of them."""
        if self._mounts is None:
            mounts = Mounts()
            for prefix in ("https://", "http://"):
                mounts.mount(prefix, self._adapter_kind.over(self.pool))
            self._mounts = mounts
        return self._mounts

    @adapters.setter
    def adapters(self, adapters: Mapping[str, Any]) -> None:
        mounts = Mounts()
        for prefix, adapter in adapters.items():
            mounts.mount(prefix, adapter)
        self._mounts = mounts

    def mount(self, prefix: str, adapter: Any) -> None:
        """Let an adapter send the requests to URLs that begin with `prefix`; the longest prefix wins.

        Args:
            prefix: Such as "https://api.example.com/".
            adapter: An `HTTPAdapter`, which has limits of its own, or any object with `send` and `close` as
                `BaseAdapter` has them, those for requests included.

        Raises:
            ConfigError: It is none, or the prefix no text. Nothing has changed.
        """
        self.adapters.mount(prefix, adapter)
        self._note_tls()  # What holds for a URL may be another pool's configuration from now on.

    def get_adapter(self, url: str) -> Any:
        """Find what sends the requests to a URL.

        Raises:
            InvalidSchema: Nothing does.
        """
        return self.adapters.find(url)

    def pool_for(self, address: Address) -> Manager | None:
        """Find the pool that sends the requests to a URL, whose configuration holds; `None` for none of ours."""
        if self._mounts is None:
            return self.pool
        pool: Manager | None = getattr(self._mounts.find(address), "pool", None)
        return pool if hasattr(pool, "config_for") else None

    def _config_for(self, address: Address) -> HostConfig:
        """Give what is configured for where a request goes; what is not configured is `INHERIT`."""
        pool = self.pool_for(address)
        return HostConfig() if pool is None else pool.config_for(address)

    def timeout_for(self, address: Address, override: HostConfig | None) -> Timeout:
        """Tell which waits hold for a request that brings none of its own."""
        pool = self.pool_for(address)
        return self.pool.config.timeout if pool is None else self.waits_of(pool, address, override)

    @property
    def has_own_waits(self) -> bool:
        """True if this session was given a timeout."""
        return self.pool.config.timeout != _DEFAULT_WAITS

    def waits_of(self, pool: Manager, address: Address, override: HostConfig | None) -> Timeout:
        """Tell which waits hold where a call gives none: those a pool was made with, if any, else the session's."""
        waits = pool.timeout_for(address, override)
        return self.pool.config.timeout if waits == _DEFAULT_WAITS else waits

    def adapter_for(self, url: Address) -> Any:
        """Find what sends one request; `None` for the session's own pool, as it is."""
        if self._is_own("get_adapter"):
            return self.get_adapter(url=url)
        is_untouched = self._mounts is None and _of_adapter(self._adapter_kind) == self._plain_adapter
        adapter = None if is_untouched and url.scheme in DEFAULT_PORTS else self.adapters.find(url)
        refuse_httpretty()
        return adapter if (tool := faker()) is None else self._faked_by(tool, adapter)

    def _faked_by(self, tool: str, adapter: Any) -> Any:
        """Give what lets a tool that has replaced a method of requests see a request; a program's own adapter stays."""
        if adapter is not None and not isinstance(adapter, self._adapter_kind):
            return adapter
        # Imported late: it needs requests, which only such a tool brings.
        from keeppool.requests.mounting.faking import Faked

        return Faked(self.pool if adapter is None else adapter.pool, tool)

    def _over_pool(self, step: SendBy) -> Manager | None:
        """Find the pool that sends a request; `None` where something of a program's stands in between."""
        adapter, kind = step.adapter, self._adapter_kind
        if adapter is None:
            return self.pool
        is_plain = type(adapter) is kind and _of_adapter(kind) == self._plain_adapter
        if not is_plain or any(name in vars(adapter) for name in OF_ADAPTERS):
            return None
        pool: Manager = adapter.pool
        if step.limit is None and pool is not self.pool:
            step.limit = self.waits_of(pool, step.request.address, step.override)
        return pool

    def _take(self, step: Step, call: Call) -> Any:
        return self._follow(step, call) if isinstance(step, Follow) else super()._take(step, call)

    @abstractmethod
    def _follow(self, step: Follow, call: Call) -> Any:
        """Follow a redirect by `resolve_redirects`, whoever has written it."""

    def _send(self, step: Send, call: Call) -> Any:
        """Send one request by what is mounted for it."""
        by = cast("SendBy", step)
        pool = self._over_pool(by)
        return self._send_by(by, call) if pool is None else self._send_over(pool, step, call.stream)

    @abstractmethod
    def _send_by(self, by: SendBy, call: Call) -> Any:
        """Send one request by an adapter of the program's own."""

    def _settings_for(self, step: SendBy, call: Call) -> dict[str, Any]:
        """List what an adapter of the program's own is given for a request's sending."""
        adapter, address, override = step.adapter, step.request.address, step.override
        given = self._settings_of(address, call)
        is_ours = isinstance(adapter, self._adapter_kind)
        if step.limit is not None and step.limit is not call.limit:
            given["timeout"] = step.limit  # What is left of a total.
        elif step.limit is None and self.has_own_waits:
            own = self.pool.config.timeout
            counts = not is_ours or self.waits_of(adapter.pool, address, override) is own
            given["timeout"] = own if counts else None
        if not is_ours:
            given["timeout"] = plain_timeout(given["timeout"])
        return given

    # From arguments to a request

    def _prepared(
        self,
        method: bytes,
        address: Address,
        params: ParamsArgument,
        data: DataArgument,
        json: object,
        headers: HeadersArgument | None,
        cookies: CookiesArgument | None,
        files: FilesArgument,
        auth: AuthArgument,
        hooks: HooksArgument,
    ) -> PreparedRequest:
        # As in requests a call's own hooks stand in place of the session's.
        # A subclass may have its own in the place of the property; the property would make a table for each session.
        own = self._hooks if type(self).hooks is Mounting.hooks else self.hooks
        given: HooksArgument = {"response": hooks_of(hooks) or hooks_of(own)}
        return super()._prepared(method, address, params, data, json, headers, cookies, files, auth, given)

    def keep_cookies(self, response: BaseResponse) -> None:
        """Put the cookies a response sets into the jar, whoever has made the response."""
        if hasattr(getattr(response, "raw", None), "head"):
            super().keep_cookies(response)
            return
        if isinstance(response, BaseResponse):
            response.belongs_to(self)
        keep_foreign_cookies(self._jar_for(response), response)

    def resolve_redirects(
        self,
        resp: Any,
        req: PreparedRequest,
        stream: bool | None = None,
        timeout: TimeoutArgument | Inherit = INHERIT,
        verify: bool | str | None = None,
        cert: CertArgument = None,
        proxies: ProxiesArgument = None,
        yield_requests: bool = False,
        retries: RetriesArgument | Inherit = INHERIT,
    ) -> HopsT:
        """Follow a redirect step by step, each response given before the next request is sent.

        Args:
            resp: The redirect.
            req: Its request.
            stream: As for `request`.
            timeout: As for `request`.
            verify: As for `request`.
            cert: As for `request`.
            proxies: As for `request`.
            yield_requests: Give the next request, and send nothing.
            retries: As for `request`.

        Raises:
            TooManyRedirects, InvalidURL, UnrewindableBodyError, TotalTimeout: While iterating.
        """
        return self._hops(resp, req, (timeout, stream, verify, cert, proxies, False, retries), yield_requests)

    @abstractmethod
    def _hops(self, resp: Any, req: PreparedRequest, settings: ChainSettings, yield_requests: bool) -> HopsT:
        """Do what `resolve_redirects` does; nothing before the first response is asked for."""

    def _begun(self, response: BaseResponse, request: PreparedRequest, settings: ChainSettings) -> MountedFlow:
        """Begin to follow redirects.

        Args:
            response: The first.
            request: What it is to be taken for a response to.
            settings: What `resolve_redirects` was given.
        """
        response.request = request
        return cast("MountedFlow", self._flow(*settings))

    # In ways of a program's own

    def follows_in_own_way(self) -> bool:
        """Tell whether redirects are to be followed by `resolve_redirects`, each request through `send`."""
        return any(map(self._is_own, AT_REDIRECTS))

    def _is_own(self, name: str) -> bool:
        """Tell whether this session's method of that name is not the one it was written with."""
        return name in self.__dict__ or getattr(type(self), name) is not self._plain[name]

    def _is_ours_alone(self) -> bool:
        """Tell whether a call can go the way of a session that nobody has changed."""
        return (
            ways_of(type(self)) == self._plain_ways
            and self._mounts is None
            and not (self._hooks and self._hooks.get("response"))
            and not is_any_active()
        )

    def _call(  # type: ignore[override]  # `Verbs` calls it so; nobody else does
        self, method: str | bytes, url: str | bytes, params: ParamsArgument = None, **options: Any
    ) -> ResponseT:
        if self._is_ours_alone():
            return super()._call(method, url, params, **options)
        return self._in_own_way(self._prepare_and_send, method, url, given_of({"params": params, **options}))

    def _call_verb(  # type: ignore[override]
        self, method: bytes, url: str | bytes, params: ParamsArgument = None, **options: Any
    ) -> ResponseT:
        if self._is_ours_alone():
            return super()._call(method, url, params, **options)
        given = given_of({"params": params, **options})
        if self._is_own("request"):
            return self._in_own_way(getattr(ThroughRequest, method.decode().lower()), self, url, **given)
        return self._in_own_way(self._prepare_and_send, method, url, given)

    def _in_own_way(self, way: Callable[..., Any], *arguments: Any, **given: Any) -> ResponseT:
        """Go a way with methods of a program's own on it, and give what a call gives, whatever they do."""
        try:
            return self._given_by(way(*arguments, **given))
        except Exception as error:
            if self._refused is None:
                raise
            return cast("ResponseT", self._refused(error))

    @abstractmethod
    def _given_by(self, outcome: Any) -> ResponseT:
        """Take what a method of a program's own has given for what a call gives."""

    def _prepare_and_send(self, method: str | bytes, url: str | bytes, given: dict[str, Any]) -> Any:
        """Prepare and send apart, each by the method that a program may have overridden.

        Args:
            method: As for `_call`.
            url: As for `_call`.
            given: The arguments that are not at their defaults.
        """
        if "content" in given:
            others = (given.get(name) for name in ("data", "json", "files"))
            given["data"] = body_of(given.pop("content"), *others)
        if "follow_redirects" in given:
            given.setdefault("allow_redirects", given.pop("follow_redirects"))
        for name in given:
            if name not in TAKEN:
                raise TypeError(f"Session.request() got an unexpected keyword argument {name!r}")
        parts = {name: given.pop(name) for name in OF_REQUESTS if name in given}
        request = self.prepare_request(Request(check_method(method).decode(), url, **parts))
        if self._is_own("merge_environment_settings"):
            given |= self._settings_in_own_way(request, given)
        return self.send(request, **given)

    def _settings_in_own_way(self, request: PreparedRequest, given: Mapping[str, Any]) -> dict[str, Any]:
        more = {name: given.get(name) for name in ("stream", "verify", "cert")}
        proxies = given.get("proxies") or {}
        plain = Mounting.merge_environment_settings(self, request.url or "", {**proxies}, **more)
        return changed(self.merge_environment_settings(request.url or "", {**proxies}, **more), plain)

    def _proxies_in_own_way(self, request: PreparedRequest, proxies: ProxiesArgument) -> ProxiesArgument:
        """Tell which proxies hold for a request that follows a redirect, and for those after it."""
        if not self._is_own("rebuild_proxies"):
            return proxies
        plain = Mounting.rebuild_proxies(self, request, proxies)
        found = changed({"proxies": self.rebuild_proxies(request, proxies)}, {"proxies": plain})
        rebuilt: ProxiesArgument = found.get("proxies", proxies)
        return rebuilt

    def _hop(self, flow: MountedFlow, response: BaseResponse, location: str) -> tuple[PreparedRequest, dict[str, Any]]:
        """Make the request that follows a redirect, and the arguments with which `send` sends it.

        Args:
            flow: What `resolve_redirects` was given.
            response: The redirect.
            location: Where it leads.
        """
        request, limit = flow.following(response, location, flow.followed)
        flow.followed += 1
        call = copy(flow.call)
        call.proxies = self._proxies_in_own_way(request, flow.call.proxies)
        flow.call = call
        return request, self._arguments_of(limit, call)

    def _arguments_of(self, limit: Timeout | None, call: Call) -> dict[str, Any]:
        """List what a call has given, as arguments for `resolve_redirects`.

        Args:
            limit: The waits that hold by now.
            call: Its settings.
        """
        given: dict[str, Any] = {"stream": call.stream}
        if limit is not None and limit is not call.limit:
            given["timeout"] = limit
        elif not isinstance(call.timeout, Inherit):
            given["timeout"] = call.timeout
        if call.retrying is not self._retrying:
            given["retries"] = call.retrying
        more = {"verify": call.verify, "cert": call.cert, "proxies": call.proxies}
        return given | {name: value for name, value in more.items() if value is not None}


#: Takes the methods of an adapter's class that a program may have patched.
_of_adapter = attrgetter(*OF_ADAPTERS)
