"""What a session says about all its requests: headers, cookies, authentication, proxies, TLS.

Decides: which of several voices wins. A call is heard before its session, the session before the configuration of the
    host, that before the environment.
Knows: requests' attributes and their meaning.
Does not know: how anything is sent. `Session` and `AsyncSession` are built on this.

Source: RFC 9110 §15.4 (following redirects), RFC 6265 §5 (keeping cookies).
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from keeppool.client import redirect
from keeppool.client.environment import Environment, Settings, select_proxy
from keeppool.client.headers import Headers, HeadersArgument
from keeppool.client.hooks import Hook, default_hooks, hooks_of
from keeppool.client.netrc import Netrc
from keeppool.client.prepare import AuthArgument, ParamsArgument, authenticated, prepare
from keeppool.client.prepared import PreparedRequest
from keeppool.client.urls import Address, addressed, is_same_origin, text_of
from keeppool.config import INHERIT, HostConfig, Inherit, Timeout, TimeoutArgument
from keeppool.hosts import DEFAULT_PORTS
from keeppool.pools.request import default_fields
from keeppool.wire.request import check_method

if TYPE_CHECKING:
    from http.cookiejar import CookieJar as StandardCookieJar

    from keeppool.client.cookies import CookieJar, CookiesArgument
    from keeppool.client.flow import Call
    from keeppool.client.hooks import HooksArgument
    from keeppool.client.request import Request
    from keeppool.client.retries import RetriesArgument, Retrying
    from keeppool.pools.threads import PoolManager

#: requests' figure. Browsers give up after 20, curl after 50.
MAX_REDIRECTS = 30
#: Timeouts, TLS settings and proxies a program passes by hand are a handful.
_REMEMBERED = 64
#: Sets of proxies in rotation may be some hundreds.
_REMEMBERED_OVERRIDES = 1024

#: What a session makes for itself wherever it is.
_MADE_ANEW = frozenset(("_environment", "_making", "_netrc"))

CertArgument = str | tuple[str, str] | None
ProxiesArgument = Mapping[str, str | None] | None


class SessionSettings:
    """The settings of a session, and what follows from them for one request.

    Attributes:
        auth: Signs every request that brings no `auth` of its own: a (user, password) pair or a function.
        hooks: Functions that see every answer, by event; see `keeppool.client.hooks`.
        max_redirects: How many redirects one call follows.
        params: Query parameters of every request.
        proxies: Proxies by scheme, or by scheme and host: `{"http": "http://proxy:3128", "https://a.example": None}`.
            `None` goes direct. They win over the configuration's and the environment's.
        stream: Whether bodies are left on their way where a call does not say it.
        trust_env: Whether proxies, trusted certificates and credentials are taken from the environment (`HTTP_PROXY`
            and its like, `REQUESTS_CA_BUNDLE`, `SSL_CERT_FILE`, netrc) where nothing else says them.
    """

    pool: PoolManager

    def __init__(self, retries: RetriesArgument) -> None:
        self.auth: AuthArgument = None
        self.hooks: dict[str, list[Hook]] = default_hooks()
        self.max_redirects = MAX_REDIRECTS
        self.params: ParamsArgument = {}
        self.proxies: dict[str, str | None] = {}
        self.stream = False
        self.trust_env = True
        self._headers = Headers((name.decode(), value.decode()) for name, value in default_fields().pairs)
        self._headers["Accept"] = "*/*"
        self._verify: bool | str | Inherit = INHERIT
        self._cert: CertArgument | Inherit = INHERIT
        self._said_of_tls()
        self._jar: StandardCookieJar | None = None
        self._environment = Environment()
        self._netrc = Netrc()
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
        from http.cookiejar import CookieJar as StandardCookieJar

        from keeppool.client.cookies import jar_of

        self._jar = cookies if isinstance(cookies, StandardCookieJar) else jar_of(cookies)

    @property
    def verify(self) -> bool | str:
        """Whether certificates are checked, or where trusted ones are. Until it is set the configuration decides."""
        return True if isinstance(self._verify, Inherit) else self._verify

    @verify.setter
    def verify(self, verify: bool | str) -> None:
        self._verify = verify
        self._said_of_tls()

    @property
    def cert(self) -> CertArgument:
        """The client's certificate, or (certificate, key) paths. Until it is set the configuration decides."""
        return None if isinstance(self._cert, Inherit) else self._cert

    @cert.setter
    def cert(self, cert: CertArgument) -> None:
        self._cert = cert
        self._said_of_tls()

    @property
    def retries(self) -> Retrying | None:
        """How calls are tried again; a number or a `urllib3.util.Retry` may be set, `None` or 0 for not at all."""
        return self._retrying

    @retries.setter
    def retries(self, retries: RetriesArgument) -> None:
        self._retrying = retrying_from(retries)

    # From arguments to a request

    def prepare_request(self, request: Request) -> PreparedRequest:
        """Make a request ready to be sent, with everything this session adds to it.

        Args:
            request: As its caller wrote it.

        Returns:
            The request, to be looked at, changed, and given to `send`.

        Raises:
            InvalidRequest: One of its children: something cannot be put into HTTP. Nothing was sent.
        """
        method = check_method((request.method or "").upper())
        address = addressed(text_of(request.url))
        return self._prepared(
            method,
            address,
            request.params or None,
            request.data,
            request.json,
            request.headers or None,
            request.cookies,
            request.files,
            request.auth,
            request.hooks,
        )

    def _prepared(
        self,
        method: bytes,
        address: Address,
        params: ParamsArgument,
        data: Any,
        json: Any,
        headers: HeadersArgument | None,
        cookies: CookiesArgument | None,
        files: Any,
        auth: AuthArgument,
        hooks: HooksArgument,
    ) -> PreparedRequest:
        request = prepare(method, address, self._headers, headers, self.params, params, data, json, files)
        if cookies is not None:
            from keeppool.client.cookies import jar_of

            request.jar = jar_of(cookies)
        request = self.with_cookies(request)
        # As in requests: a call's own hooks stand in place of the session's.
        request.prepare_hooks({"response": hooks_of(hooks) or hooks_of(self.hooks)})
        # The call's word is heard first, then the URL's, then the session's.
        signer = next((one for one in (auth, address.credentials, self.auth) if one is not None), None)
        if signer is None:
            return self.signed_by_netrc(request)
        return authenticated(request, signer)

    def with_cookies(self, request: PreparedRequest) -> PreparedRequest:
        """Add the Cookie header, if there are cookies at all."""
        if request.jar is None and not self._jar:
            return request
        from keeppool.client.cookies import with_cookies

        return with_cookies(request, self._jar)

    def keep_cookies(self, answer: Any) -> None:
        """Put the cookies an answer sets into the jar."""
        from keeppool.client.cookies import keep_cookies

        raw = getattr(answer, "raw", None)
        head = getattr(raw, "head", None)
        if head is None:
            # An adapter of somebody else has read its own cookies.
            self.cookies.update(answer.cookies)
        elif b"set-cookie" in head.index:
            keep_cookies(self.cookies, answer.request, head)

    def signed_by_netrc(self, request: PreparedRequest) -> PreparedRequest:
        """Add the credentials the netrc file has for a host, unless the request brings a header of its own."""
        if not self.trust_env or b"authorization" in request.fields.names:
            return request
        settings = self._environment.read()
        host = urlsplit(request.address.sent).hostname or ""
        credentials = self._netrc.credentials_for(host, None if settings is None else settings.netrc)
        return request if credentials is None else authenticated(request, credentials)

    # What a redirect changes. Programs override these, as in requests.

    def get_redirect_target(self, resp: Any) -> str | None:
        """Tell where an answer leads; `None` if it leads nowhere."""
        return redirect.target_of(resp)

    def should_strip_auth(self, old_url: str, new_url: str) -> bool:
        """Tell whether what authenticates a request to one URL must not be sent to another."""
        return not is_same_origin(addressed(old_url), addressed(new_url))

    def rebuild_method(self, prepared_request: PreparedRequest, response: Any) -> None:
        """Set the method with which a redirect is followed.

        Args:
            prepared_request: A copy of the request that was answered.
            response: The redirect.
        """
        prepared_request.verb = redirect.method_after(response.status_code, prepared_request.verb)

    def rebuild_auth(self, prepared_request: PreparedRequest, response: Any) -> None:
        """Take off credentials that are not for where a redirect leads, and put on those of the netrc file that are.

        Args:
            prepared_request: The request that follows, with the answered one's Authorization field.
            response: The redirect.
        """
        if self.should_strip_auth(response.request.url, prepared_request.url or ""):
            prepared_request.become(redirect.unsigned(prepared_request))
        prepared_request.become(self.signed_by_netrc(prepared_request))

    def rebuild_proxies(self, prepared_request: PreparedRequest, proxies: ProxiesArgument) -> dict[str, str]:
        """Tell which proxies hold for a request, those of the environment included.

        Args:
            prepared_request: Its URL counts.
            proxies: The call's own.
        """
        merged = self.merge_environment_settings(prepared_request.url or "", proxies, None, None, None)
        found: dict[str, str] = merged["proxies"]
        return found

    # From a request to where and how it is sent

    def _said_of_tls(self) -> None:
        """Note what the session itself says of TLS, and forget what followed from other words."""
        self._override = override_of(self._verify, self._cert, INHERIT)
        self._standing: tuple[Settings | None, dict[str, HostConfig | None]] = (None, {})

    def standing_override(self, address: Address) -> HostConfig | None:
        """Tell what holds for a request whose call says nothing of TLS and proxies; remembered by origin.

        An environment with trusted certificates in it is common, and must not cost each request a look at its URL.
        """
        settings = self._environment.read() if self.trust_env else None
        if settings is None:
            return self._override
        known_for, known = self._standing
        if known_for is not settings:
            known = {}
            self._standing = (settings, known)
        origin = address.sent[: address.sent.find("/", 8)]
        try:
            return known[origin]
        except KeyError:
            if len(known) >= _REMEMBERED_OVERRIDES:
                known.clear()
            proxy, verify = self._from_environment(settings, address, INHERIT, self._verify)
            known[origin] = override = override_of(verify, self._cert, proxy)
            return override

    def override_for(self, address: Address, call: Call) -> HostConfig | None:
        """Tell what holds for one request beyond what is configured for its host: TLS settings and a proxy.

        Args:
            address: Where the request goes.
            call: What its call says.
        """
        if call.verify is None and call.cert is None and not call.proxies and not self.proxies:
            return self.standing_override(address)
        settings = self._settings()
        verify = self._verify if call.verify is None else call.verify
        cert = self._cert if call.cert is None else call.cert
        proxy: str | None | Inherit = chosen_proxy(address, self.proxies, call.proxies)
        if settings is not None:
            proxy, verify = self._from_environment(settings, address, proxy, verify)
        return override_of(verify, cert, proxy)

    def _from_environment(
        self, settings: Settings, address: Address, proxy: str | None | Inherit, verify: bool | str | Inherit
    ) -> tuple[str | None | Inherit, bool | str | Inherit]:
        """Let the environment speak where nobody else has."""
        said = self.pool.config_for(address.sent)
        parts = urlsplit(address.sent)
        if proxy is INHERIT and said.proxy is INHERIT:
            port = parts.port or DEFAULT_PORTS[parts.scheme]
            proxy = settings.proxy_for(parts.scheme, parts.hostname or "", port) or INHERIT
        # As in requests: True asks for a check, not for certain roots.
        speaks = (verify is INHERIT or verify is True) and said.verify is INHERIT and said.ssl_context is INHERIT
        if settings.ca_bundle is not None and speaks:
            verify = settings.ca_bundle
        return proxy, verify

    def merge_environment_settings(
        self,
        url: str,
        proxies: ProxiesArgument,
        stream: bool | None,
        verify: bool | str | None,
        cert: CertArgument,
    ) -> dict[str, Any]:
        """Tell what holds for a request to `url`, as arguments for `send`; for programs that prepare and send apart.

        Args:
            url: Where the request goes.
            proxies: The call's own.
            stream: The call's own; `None` for nothing.
            verify: The call's own; `None` for nothing.
            cert: The call's own; `None` for nothing.
        """
        address = addressed(url)
        named = {**self.proxies, **(proxies or {})}
        settings = self._settings()
        heard: bool | str = self.verify if verify is None else verify
        if settings is not None:
            mine = self._verify if verify is None else verify
            proxy, trusted = self._from_environment(settings, address, chosen_proxy(address, named), mine)
            if isinstance(proxy, str):
                named.setdefault(urlsplit(address.sent).scheme, proxy)
            heard = heard if isinstance(trusted, Inherit) else trusted
        return {
            "proxies": {name: proxy for name, proxy in named.items() if proxy is not None},
            "stream": self.stream if stream is None else stream,
            "verify": heard,
            "cert": self.cert if cert is None else cert,
        }

    def retrying_of_adapter(self, url: str) -> Retrying | None:
        """Tell how often what sends to a URL wants its requests tried; `None` for once."""
        raise NotImplementedError

    def timeout_for(self, address: Address, override: HostConfig | None) -> Timeout:
        """Tell which waits hold for a request that brings none of its own."""
        return self.pool.timeout_for(address.sent, override)

    def _settings(self) -> Settings | None:
        return self._environment.read() if self.trust_env else None

    def _limit(self, timeout: TimeoutArgument | Inherit) -> Timeout | None:
        if isinstance(timeout, Inherit):
            return None
        if isinstance(timeout, Timeout):
            return timeout
        base = self.pool.config.timeout
        try:
            return _timeout_of(timeout, base)
        except TypeError:  # Not hashable, so none of the forms; the error for that comes from there.
            return Timeout.of(timeout, base)

    def __getstate__(self) -> dict[str, Any]:
        # The lock cannot be pickled, and another process has an environment of its own; the pool knows for itself
        # what of it travels.
        return {name: value for name, value in self.__dict__.items() if name not in _MADE_ANEW}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _making=threading.Lock(), _environment=Environment(), _netrc=Netrc())


def retrying_from(retries: RetriesArgument) -> Retrying | None:
    """Read the forms `retries=` takes; `None` for not at all.

    Raises:
        ConfigError: None of these.
    """
    if retries is None:
        return None
    # Imported late: most programs do without.
    from keeppool.client.retries import retrying_of

    return retrying_of(retries)


@functools.lru_cache(maxsize=_REMEMBERED, typed=True)
def _timeout_of(value: TimeoutArgument, base: Timeout) -> Timeout:
    return Timeout.of(value, base)


def chosen_proxy(address: Address, *spoken: ProxiesArgument) -> str | None | Inherit:
    """Find what proxies given by hand say of a URL: a proxy, `None` to go direct, INHERIT for nothing.

    Args:
        address: Where the request goes.
        *spoken: Proxies by scheme, or by scheme and host; what comes later wins.
    """
    named = {name: proxy for proxies in spoken for name, proxy in (proxies or {}).items()}
    if not named:
        return INHERIT
    parts = urlsplit(address.sent)
    return select_proxy(parts.scheme, parts.hostname or "", named)


@functools.lru_cache(maxsize=_REMEMBERED_OVERRIDES, typed=True)
def override_of(
    verify: bool | str | Inherit, cert: CertArgument | Inherit, proxy: str | None | Inherit
) -> HostConfig | None:
    """Make the override once for each setting: the pool remembers routes by it."""
    if verify is INHERIT and cert is INHERIT and proxy is INHERIT:
        return None
    return HostConfig(verify=verify, cert=cert, proxy=proxy)
