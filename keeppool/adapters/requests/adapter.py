"""`KeepPoolAdapter`: requests' sessions over keeppool's connections.

Decides: how a prepared request of requests is put to a `keeppool.PoolManager`, and what requests gets back.
Knows: requests' adapter interface and its hooks.
Does not know: redirects, cookies, authentication, hooks, decoding: those stay requests' own.

Source: RFC 9110 §7.6.1 and §11.7.2 (what is for the proxy alone).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import lru_cache
from typing import Any, ClassVar

import requests
from requests import PreparedRequest
from requests.adapters import DEFAULT_RETRIES, HTTPAdapter
from requests.utils import select_proxy
from urllib3 import Retry

from keeppool.adapters.cassettes import recorded
from keeppool.adapters.requests import retries as tries
from keeppool.adapters.requests.door import Door, FailedError
from keeppool.adapters.requests.errors import translated
from keeppool.adapters.requests.raw import RawResponse
from keeppool.adapters.requests.settings import (
    PoolKeywords,
    fields_of,
    host_config,
    payload,
    proxy_url,
    waits,
)
from keeppool.checks import Spelled
from keeppool.config import INHERIT, Config, HostConfig, Limits, Timeout, TimeoutArgument, check_config
from keeppool.errors import KeepPoolError
from keeppool.events import Event
from keeppool.fakers import refuse_httpretty
from keeppool.pools.manager_threads import PoolManager
from keeppool.pools.request import prepare_body
from keeppool.wire.request import check_method

#: Sets of request headers whose rendering is remembered. A session sends the same few again and again; an entry is
#: well under 1 KiB.
REMEMBERED_HEADERS = 64
#: Settings (TLS, proxy) remembered: a rotation over some hundred proxies, or as many certificates.
REMEMBERED_SETTINGS = 1024

#: requests waits without limit unless a timeout is given. The queue is ours, and a wait there says more as an error.
_THEIR_TIMEOUT = Timeout(connect=None, read=None)


#: As it is while nobody has put anything in its place; `None` if somebody had before this was imported.
_THEIR_SEND = HTTPAdapter.send if HTTPAdapter.send.__module__ == HTTPAdapter.__module__ else None


class KeepPoolAdapter(HTTPAdapter, metaclass=Spelled):
    """Sends what requests has prepared through a capped pool of persistent connections.

    Mount one adapter for as many prefixes as you like; all of them share its caps. Everything above an adapter is
    requests' own and means the same: redirects, cookies, hooks, authentication, proxies from the environment, streams.

    What a session says of a request holds over what is configured here for its host, as far as it says anything:
    `verify=True`, `cert=None`, `timeout=None` and no proxy are requests' defaults, and leave it to `hosts` and
    `defaults`. Where those say nothing either, there is no limit on connecting and reading, as in requests.

    Differences that can be seen:
        - A request waits while its host's connections are all in use, `limits.per_host` of them, 6 by
          default. requests would open one more. After `Timeout.pool` seconds (60) it gets `ConnectTimeout`.
        - Without `stream=True` the whole body is read, and its connection free, before hooks run. `elapsed` is still
          the time to the response's head.
        - A connection that died while idle is replaced and the request sent again, once, where that cannot do harm.
        - Pieces of a chunked body come as they arrive, not chunk by chunk.
        - `user:password` of a proxy's URL never reaches an origin, nor does a `Proxy-Authorization` header of the
          request itself where the connection is a tunnel.
        - No `User-Agent` and no `Accept-Encoding` are made up where the session's were taken out.
        - There is no `InsecureRequestWarning`.

    For subclasses: `send`, `build_response`, `add_headers`, `init_poolmanager`, `cert_verify`, `proxy_headers` and
    `build_connection_pool_key_attributes` are called, and what they say holds. There is nothing of urllib3's to give
    `get_connection_with_tls_context`, `get_connection` and `proxy_manager_for`: a class that has its own is refused
    with a `TypeError`. `request_url` is not called.

    Args:
        pool_connections: Taken for the sake of programs written for `HTTPAdapter`; a pool has room for any number of
            hosts.
        pool_maxsize: Most connections to one host, unless `limits` is given. There it is how many are kept, here how
            many there are; 0 is no limit.
        max_retries: As for `HTTPAdapter`: a number, or a `urllib3.util.Retry`.
        pool_block: Taken for the same reason; a request that finds no connection free always waits.
        limits: How many connections, and for how long; also a preset such as `keeppool.presets.CHROME`.
        timeout: Waits where a request brings none: a `Timeout`, seconds, or a (connect, read) pair.
        hosts: What is different for some hosts, by pattern.
        defaults: What holds for all hosts unless an entry of `hosts` says otherwise.
        config: All of the above in one, as `keeppool.load_config` returns it, its timeout included; an argument given
            beside it wins.
        on_event: Called with each `keeppool.events` event; see `keeppool.PoolManager`.

    Attributes:
        poolmanager: The `keeppool.PoolManager`; its `stats()` tell what goes on.

    Pickled, it becomes a new adapter with the same configuration and no connections.

    Raises:
        ConfigError: An argument is invalid.

    Thread safety: as `keeppool.PoolManager`: any number of threads.
    """

    _otherwise: ClassVar[Mapping[str, str]] = {
        **{name: f"limits=keeppool.Limits({name}=…)" for name in ("per_host", "per_proxy", "total", "idle_timeout")},
        **{name: f"defaults=keeppool.HostConfig({name}=…)" for name in ("unix_socket", "pace", "headers", "proxy")},
        "retries": "max_retries=…",
        "fleet": "config=keeppool.Config(fleet=…)",
    }

    __attrs__: ClassVar[list[str]] = [*HTTPAdapter.__attrs__, "_base", "_on_event"]  # type: ignore[misc]
    poolmanager: PoolManager  # type: ignore[assignment]

    #: Which of the hooks for TLS and proxies a subclass has. Asking them for each request costs more than most need.
    _own_hooks: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        for name in ("get_connection_with_tls_context", "get_connection", "proxy_manager_for"):
            if getattr(cls, name) is not getattr(KeepPoolAdapter, name):
                instead = "what init_poolmanager and proxy_headers say holds through proxies too; refuse in send"
                raise TypeError(f"{cls.__name__}.{name} would never be called, and what it says not hold: {instead}")
        hooks = ("cert_verify", "build_connection_pool_key_attributes", "proxy_headers")
        cls._own_hooks = frozenset(name for name in hooks if getattr(cls, name) is not getattr(HTTPAdapter, name))

    def __init__(
        self,
        pool_connections: int | None = None,
        pool_maxsize: int | None = None,
        max_retries: int | Retry = DEFAULT_RETRIES,
        pool_block: bool = True,
        *,
        limits: Limits | None = None,
        timeout: TimeoutArgument = None,
        hosts: Mapping[str, HostConfig] | None = None,
        defaults: HostConfig | None = None,
        config: Config | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        base = Config(timeout=_THEIR_TIMEOUT) if config is None else check_config(config)
        if limits is None and pool_maxsize is not None:
            limits = replace(base.limits, per_host=pool_maxsize or None)
        self._base = replace(
            base,
            limits=base.limits if limits is None else limits,
            timeout=base.timeout if timeout is None else Timeout.of(timeout, base.timeout),
            defaults=base.defaults if defaults is None else defaults,
            hosts=base.hosts if hosts is None else hosts,
        )
        self._on_event = on_event
        limit = self._base.limits.per_host
        super().__init__(pool_connections or 0, limit or 0, max_retries, pool_block)

    # What requests calls

    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: dict[str, str] | None = None,
    ) -> requests.Response:
        """Send a prepared request; see `requests.adapters.HTTPAdapter.send`.

        Args:
            request: What to send.
            stream: True leaves the body on its way.
            timeout: Seconds, a (connect, read) pair, urllib3's or keeppool's `Timeout`, or `None`: as configured here.
            verify: False to trust anyone, a path to trust what is there, True: as configured here.
            cert: Path of the client's certificate, or a (certificate, key) pair.
            proxies: URLs of proxies by scheme, or by scheme and host.

        Returns:
            The response, whatever its status.

        Raises:
            requests.exceptions.RequestException: Of the class requests would raise; the `__cause__` is keeppool's
                error, with all it knows.
            OSError: A certificate's path leads nowhere.
            ValueError: A timeout that is none.
        """
        refuse_httpretty()
        if HTTPAdapter.send is not _THEIR_SEND:
            # Somebody has put something in its place, to fake responses or to watch: it is to see this request too.
            if isinstance(timeout, Timeout):
                timeout = timeout.connect, timeout.read
            try:
                return super().send(request, stream, timeout, verify, cert, proxies)
            except FailedError as failure:
                raise failure.error from failure.error.__cause__
        self.add_headers(request, stream=stream, timeout=timeout, verify=verify, cert=cert, proxies=proxies)
        raw = self._raw(request, timeout, verify, cert, proxies)
        if not stream:
            raw.preload()
        return self.build_response(request, raw)

    def get_connection_with_tls_context(
        self, request: PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        """Give what requests' own `send` takes for a pool of urllib3's, where that was called; not to be overridden.

        Args:
            request: What is to be sent.
            verify: As for `send`.
            proxies: As for `send`.
            cert: As for `send`.
        """
        return Door(lambda timeout: self._raw(request, timeout, verify, cert, proxies))

    def _raw(self, request: PreparedRequest, timeout: Any, verify: Any, cert: Any, proxies: Any) -> RawResponse:
        """Send, and give what `requests.Response.raw` becomes. Raises as `send`."""
        limit = None if timeout is None else waits(timeout, self._base.timeout)
        try:
            return self._answer(request, limit, self._override(request, verify, cert, proxies))
        except KeepPoolError as error:
            raise translated(error, request) from error

    def build_response(self, req: PreparedRequest, resp: Any) -> requests.Response:
        """Make requests' response; see `requests.adapters.HTTPAdapter.build_response`."""
        response = super().build_response(req, resp)
        response.__class__ = MountedResponse
        return response

    def close(self) -> None:
        """Close idle connections now, and those in use when they are done.

        The adapter stays usable, as requests' does: a later request starts anew. Safe to repeat.
        """
        used, self.poolmanager = self.poolmanager, self._new_pool()
        used.close()

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = True, **pool_kwargs: Any) -> None:
        """Make the pool; called once, by the constructor and after unpickling.

        Args:
            connections: Not used.
            maxsize: Not used; `limits` say it.
            block: Not used.
            **pool_kwargs: urllib3's, from a subclass: `ssl_context`, `cert_reqs`, `ca_certs`, `ca_cert_dir`,
                `cert_file`, `key_file`, `assert_hostname`, `server_hostname`, `assert_fingerprint` and
                `source_address` hold for all hosts of which the configuration says nothing else.

        Raises:
            ConfigError: A keyword that has no counterpart.
        """
        self._pool_connections, self._pool_maxsize, self._pool_block = connections, maxsize, block
        own = host_config(pool_kwargs)
        defaults = self._base.defaults if own is None else self._base.defaults.over(own)
        self._config = replace(self._base, defaults=defaults)
        self._fields = lru_cache(REMEMBERED_HEADERS)(fields_of)
        self._settings = lru_cache(REMEMBERED_SETTINGS)(_settings)
        self.poolmanager = self._new_pool()

    def _new_pool(self) -> PoolManager:
        return PoolManager(config=self._config, on_event=self._on_event)

    # Sending

    def _answer(self, request: PreparedRequest, limit: Timeout | None, override: HostConfig | None) -> RawResponse:
        """Send, as often as `max_retries` wants, and give the response with its body on its way.

        Raises:
            KeepPoolError: The last try's.
            requests.exceptions.RetryError: See `retries.py`.
        """
        verb = check_method(request.method or "")
        url = request.url or ""
        fields = self._fields(tuple(_without_upgrade(request.headers.items())))
        body = prepare_body(payload(request.body), fields, verb)
        given = (verb, url, fields, body, limit, True, override, False)
        retry: Retry | None = self.max_retries
        if retry is None or tries.is_single(retry):
            answer = recorded(self.poolmanager).exchange(*given)
            return RawResponse(answer, verb.decode())
        while True:
            try:
                answer = recorded(self.poolmanager).exchange(*given)
            except KeepPoolError as error:
                left = tries.after_error(retry, request, verb, error)
                if left is None:
                    raise
            else:
                raw = RawResponse(answer, verb.decode(), retry)
                left = tries.after_answer(retry, request, raw)
                if left is None:
                    return raw
            retry = left
            if body is not None:
                body.rewind()

    def _has_context(self, url: str) -> bool:
        """Tell whether a context is configured for a URL's host."""
        context = self.poolmanager.config_for(url).ssl_context
        return context is not INHERIT and context is not None

    def _override(
        self, request: PreparedRequest, verify: Any, cert: Any, proxies: dict[str, str] | None
    ) -> HostConfig | None:
        """Say what holds for this request only; `None` if nothing does."""
        url = request.url or ""
        # An empty one is none, as in requests.
        proxy = (select_proxy(url, proxies) if proxies else None) or None
        if isinstance(verify, str) and _is_environments(verify) and self._has_context(url):
            verify = True  # The session has read it there; nobody has said it against the context.
        # Whom TLS is spoken to, if to anybody: the origin, or an https proxy before an http origin.
        peer = proxy if proxy is not None and not _is_https(url) else url
        if not self._own_hooks and ((verify is True and not cert) or not _is_https(peer)):
            return None if proxy is None else self._settings((), proxy)
        keywords: dict[str, Any] = {}
        if "build_connection_pool_key_attributes" in self._own_hooks:
            keywords |= self.build_connection_pool_key_attributes(request, verify, cert)[1]
        if proxy is not None and "proxy_headers" in self._own_hooks:
            keywords["proxy_headers"] = tuple(self.proxy_headers(proxy_url(proxy)).items())
        wishes = PoolKeywords()
        self.cert_verify(wishes, peer, verify, cert)
        return self._settings(tuple((keywords | vars(wishes)).items()), proxy)


def _is_environments(verify: str) -> bool:
    """Tell whether it is the environment that names these roots, by the variables a session of requests reads."""
    return verify in (os.environ.get("REQUESTS_CA_BUNDLE"), os.environ.get("CURL_CA_BUNDLE"))


def _without_upgrade(headers: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Leave out `Upgrade: tcp`, which the docker SDK sends: no pool can keep a connection that is HTTP no longer.

    Without it Docker answers with a raw stream that the close ends, which is a response like any other.

    Source: RFC 9110 §7.8 (a server may go on without an upgrade).
    """
    pairs = list(headers)
    named = {str(name).lower(): value for name, value in pairs}
    if named.get("upgrade") != "tcp":
        return pairs
    return [(name, value) for name, value in pairs if str(name).lower() not in ("upgrade", "connection")]


def _is_https(url: str) -> bool:
    return url[:6].lower() == "https:"


def _settings(keywords: tuple[tuple[str, Any], ...], proxy: str | None) -> HostConfig | None:
    return host_config(dict(keywords), None if proxy is None else proxy_url(proxy))


class MountedResponse(requests.Response):
    """A `requests.Response` whose `elapsed` leaves out the body, as requests means it.

    A session stops its watch when the adapter returns, and this one returns with the body read. Pickled, it becomes a
    plain `requests.Response`.
    """

    @property
    def elapsed(self) -> timedelta:
        """Time from sending the request to the end of the response's head."""
        return vars(self)["elapsed"]  # type: ignore[no-any-return]

    @elapsed.setter
    def elapsed(self, measured: timedelta) -> None:
        raw = self.raw
        late = getattr(raw, "late", 0.0)
        if late:
            # The first to say it is the session, which has counted the body's time too.
            raw.late = 0.0
            measured -= timedelta(seconds=late)
        vars(self)["elapsed"] = measured

    def __reduce__(self) -> tuple[Any, ...]:
        return requests.Response, (), self.__getstate__()
