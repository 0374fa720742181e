"""By which proxy, and under which TLS settings, a session's requests go.

Decides: which of several voices wins. A call is heard before its session, the session before the configuration of the
    host, that before the environment.
Knows: requests' attributes and arguments for it, and their meaning.
Does not know: requests; a URL is all it is asked about.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from keeppool.client.arguments import CertArgument, ProxiesArgument
from keeppool.client.environment import Environment, Settings, select_proxy
from keeppool.config import INHERIT, HostConfig, Inherit
from keeppool.hosts import DEFAULT_PORTS
from keeppool.urls.address import Address, addressed

if TYPE_CHECKING:
    from keeppool.client.call import Call
    from keeppool.pools.manager import Manager

#: Origins whose way is remembered, and settings passed by hand: sets of proxies in rotation may be some hundreds.
_REMEMBERED = 1024


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
        self._standing: tuple[Settings | None, dict[tuple[str, str, int], HostConfig | None]] = (None, {})

    def standing_override(self, address: Address, settings: Settings | None) -> HostConfig | None:
        """Tell what holds for a request whose call says nothing of TLS and proxies; remembered by origin.

        An environment with trusted certificates in it is common, and must not cost each request a look at its URL.

        Args:
            address: Where the request goes.
            settings: What the environment says; `None` for nothing, and if it is not to be trusted.
        """
        if settings is None:
            return self._override
        known_for, known = self._standing
        if known_for is not settings:
            known = {}
            self._standing = (settings, known)
        origin = address.origin
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
        settings = self._settings()
        if call.verify is None and call.cert is None and not call.proxies and not self.proxies:
            return self.standing_override(address, settings)
        verify = self._verify if call.verify is None else call.verify
        cert = self._cert if call.cert is None else call.cert
        proxy: str | None | Inherit = chosen_proxy(address, self.proxies, call.proxies)
        if settings is not None:
            proxy, verify = self._from_environment(settings, address, proxy, verify, call.proxies)
        return override_of(verify, cert, proxy)

    def pool_for(self, address: Address) -> Manager | None:
        """Tell which pool sends the requests to a URL, and so whose configuration holds; `None` for none of ours."""
        return self.pool

    def _from_environment(
        self,
        settings: Settings,
        address: Address,
        proxy: str | None | Inherit,
        verify: bool | str | Inherit,
        proxies: ProxiesArgument = None,
    ) -> tuple[str | None | Inherit, bool | str | Inherit]:
        """Let the environment speak where nobody else has; of http and https alone."""
        if address.scheme not in DEFAULT_PORTS:
            return proxy, verify
        pool = self.pool_for(address)
        said = HostConfig() if pool is None else pool.config_for(address)
        if proxy is INHERIT and said.proxy is INHERIT:
            # As in requests: under this key a call names the hosts to reach without the environment's proxies.
            direct = (proxies or {}).get("no_proxy")
            proxy = settings.proxy_for(*address.origin, direct) or INHERIT
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
        merged = self._merged(addressed(url), proxies, stream, verify, cert)
        # As in requests. `told` leaves them in: who goes direct must not come to a proxy that is configured.
        merged["proxies"] = {name: proxy for name, proxy in merged["proxies"].items() if proxy is not None}
        return merged

    def told(self, address: Address, call: Call) -> dict[str, Any]:
        """List what hooks and programs' own adapters are told about a request's sending, by requests' names."""
        merged = self._merged(address, call.proxies, call.stream, call.verify, call.cert)
        return {"timeout": call.told_timeout, **merged}

    def _merged(
        self,
        address: Address,
        proxies: ProxiesArgument,
        stream: bool | None,
        verify: bool | str | None,
        cert: CertArgument,
    ) -> dict[str, Any]:
        named = {**self.proxies, **(proxies or {})}
        settings = self._settings()
        heard: bool | str = self.verify if verify is None else verify
        if settings is not None:
            mine = self._verify if verify is None else verify
            chosen = chosen_proxy(address, named)
            proxy, trusted = self._from_environment(settings, address, chosen, mine, proxies)
            if isinstance(proxy, str):
                named.setdefault(address.scheme, proxy)
            heard = heard if isinstance(trusted, Inherit) else trusted
        return {
            "proxies": named,
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
    return select_proxy(address.scheme, address.host, named)


def override_from(
    address: Address, verify: bool | str | Inherit, cert: CertArgument, proxies: ProxiesArgument
) -> HostConfig | None:
    """Read what adapters are told, where `None` means that nothing was said."""
    return override_of(verify, INHERIT if cert is None else cert, chosen_proxy(address, proxies))


@functools.lru_cache(maxsize=_REMEMBERED, typed=True)
def override_of(
    verify: bool | str | Inherit, cert: CertArgument | Inherit, proxy: str | None | Inherit
) -> HostConfig | None:
    """Make the override once for each setting: the pool remembers routes by it."""
    if verify is INHERIT and cert is INHERIT and proxy is INHERIT:
        return None
    return HostConfig(verify=verify, cert=cert, proxy=proxy)
