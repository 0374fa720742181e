"""`Session`: requests' comfort on a pool of its own.

Decides: which way a call takes. One that asks for nothing special is sent with what was prepared before; everything
    else is made only for a call that needs it.
Knows: what a session holds: the pool, headers, parameters, cookies, TLS settings.
Does not know: connections; how requests, redirects and cookies are made (the modules beside this one).

Source: RFC 9110 §15.4 (following redirects), RFC 6265 §5 (keeping cookies).
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from keeppool.client import redirect
from keeppool.client.headers import Headers, HeadersArgument
from keeppool.client.prepare import AuthArgument, ParamsArgument, prepare
from keeppool.client.request import Request
from keeppool.client.response import Response
from keeppool.client.urls import parse, text_of
from keeppool.client.verbs import Verbs
from keeppool.config import INHERIT, Config, HostConfig, Inherit, Limits, Timeout, TimeoutArgument
from keeppool.errors import InvalidRequest, KeepPoolError, TooManyRedirects
from keeppool.pools.clock import clock
from keeppool.pools.request import FRAMING, default_fields, prepare_body
from keeppool.pools.threads import PoolManager
from keeppool.wire.fields import EMPTY

if TYPE_CHECKING:
    from http.cookiejar import CookieJar as StandardCookieJar

    from keeppool.client.cookies import CookieJar, CookiesArgument
    from keeppool.client.retries import RetriesArgument, Retrying
    from keeppool.events import Event
    from keeppool.stats import Stats
    from keeppool.wire.body import RequestBody

#: What follows the head of a call without a body: the methods that expect one say that it is empty (RFC 9110 §8.6).
_NO_BODY: Mapping[bytes, RequestBody | None] = {
    method: prepare_body(None, EMPTY, method) for method in (b"POST", b"PUT", b"PATCH")
}
#: requests' figure. Browsers give up after 20, curl after 50.
_MAX_REDIRECTS = 30
#: Timeouts and TLS settings a program passes by hand are a handful.
_REMEMBERED = 64


class Session(Verbs):
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
        params: Query parameters of every request.
        max_redirects: How many redirects one call follows.

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
        self.params: ParamsArgument = {}
        self.max_redirects = _MAX_REDIRECTS
        self._headers = Headers((name.decode(), value.decode()) for name, value in default_fields().pairs)
        self._headers["Accept"] = "*/*"
        self._verify: bool | str | Inherit = INHERIT
        self._cert: str | tuple[str, str] | Inherit | None = INHERIT
        self._override: HostConfig | None = None
        self._jar: StandardCookieJar | None = None
        self.retries = retries
        #: Guards the first making of `_jar`.
        self._making = threading.Lock()

    @property
    def headers(self) -> Headers:
        """Header fields of every request; change them or assign a mapping. `None` as a value sends none."""
        return self._headers

    @headers.setter
    def headers(self, headers: HeadersArgument) -> None:
        self._headers = headers if isinstance(headers, Headers) else Headers(headers)

    @property
    def cookies(self) -> CookieJar:
        """The cookies kept from answers and sent with requests. Any `http.cookiejar` jar, or a mapping, may be set."""
        if self._jar is None:
            from keeppool.client.cookies import CookieJar

            with self._making:
                if self._jar is None:
                    self._jar = CookieJar()
        return self._jar  # type: ignore[return-value]  # whoever sets another kind of jar knows what he gets

    @cookies.setter
    def cookies(self, cookies: CookiesArgument) -> None:
        from keeppool.client.cookies import jar_of

        self._jar = jar_of(cookies) if isinstance(cookies, Mapping) else cookies

    @property
    def verify(self) -> bool | str:
        """Whether certificates are checked, or where trusted ones are. Until it is set the configuration decides."""
        return True if isinstance(self._verify, Inherit) else self._verify

    @verify.setter
    def verify(self, verify: bool | str) -> None:
        self._verify = verify
        self._override = _override(self._verify, self._cert)

    @property
    def cert(self) -> str | tuple[str, str] | None:
        """The client's certificate, or (certificate, key) paths. Until it is set the configuration decides."""
        return None if isinstance(self._cert, Inherit) else self._cert

    @cert.setter
    def cert(self, cert: str | tuple[str, str] | None) -> None:
        self._cert = cert
        self._override = _override(self._verify, self._cert)

    @property
    def retries(self) -> Retrying | None:
        """How calls are tried again; a number or a `urllib3.util.Retry` may be set, `None` or 0 for not at all."""
        return self._retrying

    @retries.setter
    def retries(self, retries: RetriesArgument) -> None:
        self._retrying = _retrying_of(retries)

    def stats(self) -> Stats:
        """Take a snapshot of the pool's gauges and counters."""
        return self.pool.stats()

    def close(self) -> None:
        """Close the pool: idle connections now, busy ones when they are done."""
        self.pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} on {self.pool!r}>"

    def _call(
        self,
        method: bytes,
        url: str | bytes,
        params: ParamsArgument,
        data: Any,
        json: Any,
        headers: HeadersArgument | None,
        cookies: CookiesArgument | None,
        auth: AuthArgument,
        timeout: TimeoutArgument | Inherit,
        follow: bool,
        stream: bool,
        verify: bool | str | None,
        cert: str | tuple[str, str] | None,
        retries: RetriesArgument | Inherit,
    ) -> Response:
        """Send a request and follow where it leads: the way every call takes.

        The first branch is what a program does thousands of times; each test in it is one the general way can do
        without.
        """
        address = parse(url if type(url) is str else text_of(url))
        if (
            params is None
            and data is None
            and json is None
            and headers is None
            and cookies is None
            and auth is None
            and address.credentials is None
            and not self.params
            and not self._jar
            and FRAMING.isdisjoint((block := self._headers.block()).names)
        ):
            request = Request(method, address, block, _NO_BODY.get(method))
        else:
            request = prepare(method, address, self._headers, headers, self.params, params, data, json, auth)
            request = self._with_cookies(request, cookies)
        override = self._override if verify is None and cert is None else self._overridden(verify, cert)
        limit = None if timeout is INHERIT else self._timeout(timeout)
        retrying = self._retrying if retries is INHERIT else _retrying_of(retries)
        if retrying is None:
            began, answer = None, self._send(request, limit, stream, override)
        else:
            began, answer = clock(), self._retry(request, limit, stream, override, retrying)
        index = answer.raw.head.index
        if b"set-cookie" in index:
            self._keep_cookies(answer)
        if follow and b"location" in index and answer.status_code in redirect.STATUSES:
            return self._follow(answer, began, limit, stream, override, retrying)
        return answer

    def _send(self, request: Request, limit: Timeout | None, stream: bool, override: HostConfig | None) -> Response:
        try:
            raw = self.pool.exchange(
                request.verb,
                request.address.sent,
                request.fields,
                request.payload,
                limit,
                stream,
                override,
            )
        except KeepPoolError as error:
            error.request = request
            raise
        return Response(raw, request, stream)

    def _retry(
        self, request: Request, limit: Timeout | None, stream: bool, override: HostConfig | None, retrying: Retrying
    ) -> Response:
        """Send a request until its answer or its error is one to keep; nothing is held during a pause.

        Raises:
            RetryError, UnrewindableBodyError: See `retries.py`. Any other error is the last try's own.
        """
        from keeppool.client.retries import Tries, rewind

        tries = Tries(retrying, request)
        left = limit
        while True:
            try:
                answer = self._send(request, left, stream, override)
            except InvalidRequest:
                raise  # The caller's mistake: another try would only repeat it.
            except KeepPoolError as error:
                timeout = limit or self.pool.timeout_for(request.address.sent, override)
                pause = tries.after_error(error, timeout.total)
                if pause is None:
                    raise
                rewind(request, error=error)
            else:
                timeout = limit or self.pool.timeout_for(request.address.sent, override)
                pause = tries.after_answer(answer, timeout.total)
                if pause is None:
                    return answer
                answer.drain()
                rewind(request, answer=answer)
            tries.wait(pause)
            left = timeout if timeout.total is None else replace(timeout, total=tries.left_of(timeout.total))

    def _follow(
        self,
        answer: Response,
        began: float | None,
        limit: Timeout | None,
        stream: bool,
        override: HostConfig | None,
        retrying: Retrying | None,
    ) -> Response:
        """Go where an answer leads, until one leads nowhere.

        Raises:
            TooManyRedirects, InvalidURL, UnrewindableBodyError, TotalTimeout: `response` is the redirect that was not
                followed; its connection is free.
        """
        history: list[Response] = []
        total = (limit or self.pool.timeout_for(answer.request.address.sent, override)).total
        if began is None:
            began = answer.raw.started_at
        while (location := redirect.location_of(answer.raw.head)) is not None:
            answer.drain()
            try:
                if len(history) >= self.max_redirects:
                    raise TooManyRedirects(f"{answer.request.url} leads on after {len(history)} redirects")
                request = redirect.next_request(answer.request, answer.status_code, location)
                if request.payload is not None:
                    request.payload.rewind()
                left = redirect.left_of(limit, total, clock() - began)
                if left is None and total is not None:
                    # A total that was configured, not passed, is meant for the whole call too; the other waits stay
                    # each host's own.
                    own = self.pool.timeout_for(request.address.sent, override)
                    left = redirect.left_of(own, total, clock() - began)
            except KeepPoolError as error:
                error.request, error.response = answer.request, answer
                raise
            history.append(answer)
            request = self._with_cookies(request)
            if retrying is None:
                answer = self._send(request, left, stream, override)
            else:
                answer = self._retry(request, left, stream, override, retrying)
            answer.history = history.copy()
            if b"set-cookie" in answer.raw.head.index:
                self._keep_cookies(answer)
        return answer

    def _with_cookies(self, request: Request, cookies: CookiesArgument | None = None) -> Request:
        """Add the Cookie header, if there are cookies at all; a call's own are remembered for its redirects."""
        if cookies is None and request.cookies is None and not self._jar:
            return request
        from keeppool.client.cookies import jar_of, with_cookies

        if cookies is not None:
            request.cookies = jar_of(cookies)
        return with_cookies(request, self._jar)

    def _keep_cookies(self, answer: Response) -> None:
        from keeppool.client.cookies import keep_cookies

        keep_cookies(self.cookies, answer.request, answer.raw.head)

    def __getstate__(self) -> dict[str, Any]:
        # The lock cannot be pickled; the pool knows for itself what of it travels.
        return {name: value for name, value in self.__dict__.items() if name != "_making"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _making=threading.Lock())

    def _timeout(self, value: TimeoutArgument) -> Timeout:
        if isinstance(value, Timeout):
            return value
        base = self.pool.config.timeout
        try:
            return _timeout_of(value, base)
        except TypeError:  # Not hashable, so none of the forms; the error for that comes from there.
            return Timeout.of(value, base)

    def _overridden(self, verify: bool | str | None, cert: str | tuple[str, str] | None) -> HostConfig | None:
        """Lay one call's TLS settings over the session's; as an override they make a pool key of their own."""
        return _override(self._verify if verify is None else verify, self._cert if cert is None else cert)


def _retrying_of(retries: RetriesArgument) -> Retrying | None:
    if retries is None:
        return None
    # Imported late: most programs do without.
    from keeppool.client.retries import retrying_of

    return retrying_of(retries)


@functools.lru_cache(maxsize=_REMEMBERED, typed=True)
def _timeout_of(value: TimeoutArgument, base: Timeout) -> Timeout:
    return Timeout.of(value, base)


@functools.lru_cache(maxsize=_REMEMBERED, typed=True)
def _override(verify: bool | str | Inherit, cert: str | tuple[str, str] | Inherit | None) -> HostConfig | None:
    """Make the override once for each setting: the pool remembers routes by it."""
    if verify is INHERIT and cert is INHERIT:
        return None
    return HostConfig(verify=verify, cert=cert)
