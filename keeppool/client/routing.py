"""By which proxy, and under which TLS settings, a session's requests go.

Decides: which of several settings wins: a call's over its session's, that over the configuration of the host, that over
    the environment.
Knows: requests' attributes and arguments for it, and their meaning.
Does not know: requests; an address is all it needs.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from keeppool.checks import bad
from keeppool.client.arguments import CertArgument, ProxiesArgument
from keeppool.client.environment import Environment, Settings, select_proxy
from keeppool.config import HOST_FIELDS, INHERIT, HostConfig, Inherit
from keeppool.deferred import Deferred
from keeppool.hosts import DEFAULT_PORTS
from keeppool.urls.address import Address

if TYPE_CHECKING:
    import ssl

    from keeppool.client.call import Call
    from keeppool.pools.manager import Manager
else:
    ssl = Deferred("ssl")

#: Origins whose way is remembered, and settings passed by hand: sets of proxies in rotation may be some hundreds.
_REMEMBERED = 1024


class Way(NamedTuple):
    """The settings that the environment may add to; `INHERIT` where a setting is made nowhere."""

    proxy: str | None | Inherit
    verify: bool | str | Inherit
    proxy_verify: bool | str | Inherit = INHERIT


class Routing:
    """A session's settings of proxies and TLS, and what follows from them for one address.

    Attributes:
        proxies: Proxies by scheme, or by scheme and host: `{"http": "http://proxy:3128", "https://a.example": None}`.
            `None` goes direct. They win over the configuration's and the environment's.
        stream: Whether bodies are left on their way where a call does not give it.
        trust_env: Whether proxies, trusted certificates and credentials are taken from the environment (`HTTP_PROXY`
            and its like, `REQUESTS_CA_BUNDLE`, `SSL_CERT_FILE`, netrc) where nothing else gives them.
    """

    pool: Manager
    stream: bool

    def __init__(self) -> None:
        self.proxies: dict[str, str | None] = {}
        self.trust_env = True
        self._verify: bool | str | Inherit = INHERIT
        self._cert: CertArgument | Inherit = INHERIT
        self._environment = Environment()
        self._note_tls()

    @property
    def verify(self) -> bool | str:
        """Whether certificates are checked, or where trusted ones are. Until it is set the configuration decides."""
        return True if isinstance(self._verify, Inherit) else self._verify

    @verify.setter
    def verify(self, verify: bool | str) -> None:
        override_of(verify, self._cert, INHERIT)  # Checks it.
        self._verify = verify
        self._note_tls()

    @property
    def cert(self) -> CertArgument:
        """The client's certificate, or (certificate, key) paths. Until it is set the configuration decides."""
        return None if isinstance(self._cert, Inherit) else self._cert

    @cert.setter
    def cert(self, cert: CertArgument) -> None:
        override_of(self._verify, cert, INHERIT)  # Checks it.
        self._cert = cert
        self._note_tls()

    def _note_tls(self) -> None:
        """Note the session's own TLS settings, and forget what followed from the earlier ones."""
        self._override = override_of(self._verify, self._cert, INHERIT)
        self._standing: tuple[Settings | None, dict[tuple[str, str, int], HostConfig | None]] = (None, {})

    def standing_override(self, address: Address, settings: Settings) -> HostConfig | None:
        """Tell what holds for a request whose call has no TLS settings and proxies; remembered by origin.

        An environment with trusted certificates in it is common, and must not cost each request a look at its URL.

        Args:
            address: Where the request goes.
            settings: The environment's.
        """
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
            found = self._from_environment(settings, address, INHERIT, self._verify)
            known[origin] = override = override_of(found.verify, self._cert, found.proxy, found.proxy_verify)
            return override

    def override_for(self, address: Address, call: Call) -> HostConfig | None:
        """Tell what holds for one request beyond what is configured for its host: TLS settings and a proxy.

        Args:
            address: Where the request goes.
            call: Its call.
        """
        return self._added(address, call.verify, call.cert, call.proxies)

    def _explained_override(self, address: Address) -> tuple[HostConfig | None, Mapping[str, str]]:
        """Tell what holds beyond the configuration for a call that says nothing, and where each setting is from."""
        override = self._added(address, None, None, None)
        own = {"verify": self._verify, "cert": self._cert, "proxy": chosen_proxy(address, self.proxies)}
        by = {name: f"session.{name}" for name, value in own.items() if value is not INHERIT}
        if "proxy" in by:
            by["proxy"] = "session.proxies"
        if self._verify is True and override is not None and override.verify is not True:
            del by["verify"]  # It asks for a check, and not for these roots.
        return override, dict.fromkeys(HOST_FIELDS, "environment") | by

    def _added(
        self, address: Address, verify: bool | str | None, cert: CertArgument, proxies: ProxiesArgument
    ) -> HostConfig | None:
        settings = self._settings()
        if verify is None and cert is None and not proxies and not self.proxies:
            return self._override if settings is None else self.standing_override(address, settings)
        checked = self._verify if verify is None else verify
        shown = self._cert if cert is None else cert
        proxy = chosen_proxy(address, self.proxies, proxies)
        if settings is None:
            return override_of(checked, shown, proxy)
        found = self._from_environment(settings, address, proxy, checked, proxies)
        return override_of(found.verify, shown, found.proxy, found.proxy_verify)

    def _config_for(self, address: Address) -> HostConfig:
        """Give what is configured for where a request goes; what is not configured is `INHERIT`."""
        return self.pool.config_for(address)

    def _from_environment(
        self,
        settings: Settings,
        address: Address,
        proxy: str | None | Inherit,
        verify: bool | str | Inherit,
        proxies: ProxiesArgument = None,
    ) -> Way:
        """Take from the environment what is set nowhere else; for http and https alone."""
        if address.scheme not in DEFAULT_PORTS:
            return Way(proxy, verify)
        configured = self._config_for(address)
        if proxy is INHERIT and configured.proxy is INHERIT:
            # As in requests: under this key a call names the hosts to reach without the environment's proxies.
            direct = (proxies or {}).get("no_proxy")
            proxy = settings.proxy_for(*address.origin, direct) or INHERIT
        bundle, has_context = settings.ca_bundle, configured.ssl_context not in (INHERIT, None)
        if bundle is None:
            return Way(proxy, verify)
        # As in requests: True asks for a check, not for certain roots.
        if (verify is INHERIT or verify is True) and configured.verify is INHERIT and not has_context:
            return Way(proxy, bundle)
        # The proxy is checked although the origin is not, or by a context: by the roots that the environment names.
        is_free = (
            configured.proxy_verify is INHERIT
            and not isinstance(verify, str)
            and not isinstance(configured.verify, str)
        )
        return Way(proxy, verify, bundle if is_free else INHERIT)

    def _checks_by_context(self, address: Address) -> bool:
        """Tell whether a host's own context checks certificates, so that being asked for a check says no more."""
        context = self._config_for(address).ssl_context if address.scheme == "https" else None
        return getattr(context, "verify_mode", None) == ssl.CERT_REQUIRED

    def _settings_of(self, address: Address, call: Call) -> dict[str, Any]:
        """List what holds for a request's sending by requests' names, for hooks."""
        merged = self._merged(address, call.proxies, call.stream, call.verify, call.cert)
        return {"timeout": call.given_timeout, **merged}

    def _merged(
        self,
        address: Address,
        proxies: ProxiesArgument,
        stream: bool | None,
        verify: bool | str | None,
        cert: CertArgument,
    ) -> dict[str, Any]:
        named = _all_of(self.proxies, proxies)
        settings = self._settings()
        effective: bool | str = self.verify if verify is None else verify
        if settings is not None:
            mine = self._verify if verify is None else verify
            chosen = chosen_proxy(address, named)
            found = self._from_environment(settings, address, chosen, mine, proxies)
            if isinstance(found.proxy, str):
                named.setdefault(address.scheme, found.proxy)
            effective = effective if isinstance(found.verify, Inherit) else found.verify
        return {
            "proxies": named,
            "stream": self.stream if stream is None else stream,
            "verify": effective,
            "cert": self.cert if cert is None else cert,
        }

    def _settings(self) -> Settings | None:
        return self._environment.read() if self.trust_env else None


def chosen_proxy(address: Address, *given: ProxiesArgument) -> str | None | Inherit:
    """Choose among proxies given by hand for a URL: a proxy, `None` to go direct, INHERIT for nothing.

    Args:
        address: Where the request goes.
        *given: Proxies by scheme, or by scheme and host; what comes later wins.
    """
    named = _all_of(*given)
    if not named:
        return INHERIT
    return select_proxy(address.scheme, address.host, named)


def _all_of(*given: ProxiesArgument) -> dict[str, str | None]:
    """Put proxies given by hand into one mapping; what comes later wins.

    Raises:
        ConfigError: They are no mappings.
    """
    named: dict[str, str | None] = {}
    for proxies in given:
        if proxies and not isinstance(proxies, Mapping):
            rule = (
                "must map a scheme, or a scheme and host, to the URL of a proxy, such as {'http': 'http://proxy:3128'}"
            )
            raise bad("proxies", proxies, rule)
        named.update(proxies or {})
    return named


def override_of(
    verify: bool | str | Inherit,
    cert: CertArgument | Inherit,
    proxy: str | None | Inherit,
    proxy_verify: bool | str | Inherit = INHERIT,
) -> HostConfig | None:
    """Make the override once for each setting: the pool remembers routes by it.

    Raises:
        ConfigError: A setting is of the wrong type.
    """
    try:
        return _remembered(verify, cert, proxy, proxy_verify)
    except TypeError:  # Not hashable, so none of the forms; the error for that is raised here.
        return HostConfig(verify=verify, cert=cert, proxy=proxy, proxy_verify=proxy_verify)


@functools.lru_cache(maxsize=_REMEMBERED, typed=True)
def _remembered(
    verify: bool | str | Inherit,
    cert: CertArgument | Inherit,
    proxy: str | None | Inherit,
    proxy_verify: bool | str | Inherit,
) -> HostConfig | None:
    if verify is INHERIT and cert is INHERIT and proxy is INHERIT and proxy_verify is INHERIT:
        return None
    return HostConfig(verify=verify, cert=cert, proxy=proxy, proxy_verify=proxy_verify)
