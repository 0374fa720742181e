"""By which proxy, and under which TLS settings, a session's requests go.

Decides: which of several voices wins. A call is heard before its session, the session before the configuration of the
    host, that before the environment.
Knows: requests' attributes and arguments for it, and their meaning.
Does not know: requests; a URL is all it is asked about.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from keeppool.client.environment import Environment, Settings, select_proxy
from keeppool.client.urls import Address, addressed
from keeppool.config import INHERIT, HostConfig, Inherit
from keeppool.hosts import DEFAULT_PORTS

if TYPE_CHECKING:
    from keeppool.client.flow import Call
    from keeppool.pools.manager import Manager

#: Origins whose way is remembered, and settings passed by hand: sets of proxies in rotation may be some hundreds.
_REMEMBERED = 1024

CertArgument = str | tuple[str, str] | None
ProxiesArgument = Mapping[str, str | None] | None


class Routing:
    """What a session says of proxies and TLS, and what follows from it for one URL.

    Attributes:
        proxies: Proxies by scheme, or by scheme and host: `{"http": "http://proxy:3128", "https://a.example": None}`.
            `None` goes direct. They win over the configuration's and the environment's.
        stream: Whether bodies are left on their way where a call does not say it.
        trust_env: Whether proxies, trusted certificates and credentials are taken from the environment (`HTTP_PROXY`
            and its like, `REQUESTS_CA_BUNDLE`, `SSL_CERT_FILE`, netrc) where nothing else says them.
    """

    pool: Manager

    def __init__(self) -> None:
        self.proxies: dict[str, str | None] = {}
        self.stream = False
        self.trust_env = True
        self._verify: bool | str | Inherit = INHERIT
        self._cert: CertArgument | Inherit = INHERIT
        self._environment = Environment()
        self._said_of_tls()

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
            if len(known) >= _REMEMBERED:
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
            proxy, verify = self._from_environment(settings, address, proxy, verify, call.proxies)
        return override_of(verify, cert, proxy)

    def pool_for(self, address: Address) -> Manager:
        """Tell which pool's configuration holds for a URL."""
        return self.pool

    def _from_environment(
        self,
        settings: Settings,
        address: Address,
        proxy: str | None | Inherit,
        verify: bool | str | Inherit,
        proxies: ProxiesArgument = None,
    ) -> tuple[str | None | Inherit, bool | str | Inherit]:
        """Let the environment speak where nobody else has."""
        said = self.pool_for(address).config_for(address.sent)
        parts = urlsplit(address.sent)
        if proxy is INHERIT and said.proxy is INHERIT:
            port = parts.port or DEFAULT_PORTS[parts.scheme]
            # As in requests: under this key a call names the hosts to reach without the environment's proxies.
            direct = (proxies or {}).get("no_proxy")
            proxy = settings.proxy_for(parts.scheme, parts.hostname or "", port, direct) or INHERIT
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

    def _settings(self) -> Settings | None:
        return self._environment.read() if self.trust_env else None


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


def override_from(
    address: Address, verify: bool | str, cert: CertArgument, proxies: Mapping[str, str] | None
) -> HostConfig | None:
    """Read what adapters are told, where `True` and `None` mean that nothing was said."""
    proxy = chosen_proxy(address, proxies)
    return override_of(INHERIT if verify is True else verify, INHERIT if cert is None else cert, proxy)


@functools.lru_cache(maxsize=_REMEMBERED, typed=True)
def override_of(
    verify: bool | str | Inherit, cert: CertArgument | Inherit, proxy: str | None | Inherit
) -> HostConfig | None:
    """Make the override once for each setting: the pool remembers routes by it."""
    if verify is INHERIT and cert is INHERIT and proxy is INHERIT:
        return None
    return HostConfig(verify=verify, cert=cert, proxy=proxy)
