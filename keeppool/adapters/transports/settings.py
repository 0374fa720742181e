"""From a transport's arguments to a pool's configuration, and from the environment to what it adds for one request.

Decides: what stands in keeppool's words for what httpx's transports take; what has no counterpart is refused.
Does not know: requests.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any
from urllib.parse import quote

from keeppool.checks import bad
from keeppool.client.environment import Environment
from keeppool.client.routing import Routing
from keeppool.config import INHERIT, Config, HostConfig, Limits, check_config
from keeppool.pools.manager import Manager
from keeppool.presets import SDK_CONFIG
from keeppool.urls.address import Address


def pool_config(
    module: ModuleType,
    *,
    limits: Any,
    hosts: Mapping[str, HostConfig] | None,
    defaults: HostConfig | None,
    config: Config | None,
    proxy: Any,
    verify: Any,
    cert: Any,
    uds: str | None,
    local_address: str | None,
) -> Config:
    """Put a transport's arguments together; one that is given wins over `config`.

    Raises:
        ConfigError: An argument of the wrong type, or without a counterpart.
    """
    base = SDK_CONFIG if config is None else check_config(config)
    own = _trust(verify) | _proxied(module, proxy)
    given = {"cert": cert, "unix_socket": uds, "source_address": local_address}
    own |= {name: value for name, value in given.items() if value is not None}
    least = base.defaults if defaults is None else defaults
    if not isinstance(least, HostConfig):
        raise bad("defaults", least, "must be a HostConfig")
    return Config(
        limits=base.limits if limits is None else _limits(module, limits, base.limits),
        timeout=base.timeout,
        defaults=HostConfig(**own).over(least) if own else least,
        hosts=base.hosts if hosts is None else hosts,
        resolver=base.resolver,
        fleet=base.fleet,
    )


def _limits(module: ModuleType, limits: Any, base: Limits) -> Limits:
    """Read the module's own limits too. It has one for all hosts together, which ours is then as well."""
    if not isinstance(limits, module.Limits):
        return limits  # type: ignore[no-any-return]  # Config checks it.
    most = limits.max_connections
    return replace(base, per_host=most, per_proxy=most, total=most, idle_timeout=limits.keepalive_expiry)


def _trust(verify: Any) -> dict[str, Any]:
    if verify is True:
        return {}
    return {"ssl_context": verify} if isinstance(verify, ssl.SSLContext) else {"verify": verify}


def _proxied(module: ModuleType, proxy: Any) -> dict[str, Any]:
    """Read a proxy as the module's clients take it: a URL as text or of its own class, or its `Proxy`."""
    if proxy is None:
        return {}
    if isinstance(proxy, str):
        return {"proxy": proxy}
    if isinstance(proxy, module.URL):
        return {"proxy": str(proxy)}
    if not isinstance(proxy, module.Proxy):
        raise bad("proxy", proxy, f"must be a URL, or a {module.__name__}.Proxy")
    if proxy.ssl_context is not None:
        rule = "cannot bring an ssl_context: HostConfig(proxy_verify=) says how the proxy is checked"
        raise bad("proxy", proxy, rule)
    scheme, mark, place = str(proxy.url).partition("://")
    if proxy.auth is not None:
        user, password = (quote(part, safe="") for part in proxy.auth)
        place = f"{user}:{password}@{place}"
    headers = tuple(proxy.headers.multi_items())
    return {"proxy": f"{scheme}{mark}{place}"} | ({"proxy_headers": headers} if headers else {})


class Surroundings:
    """What the environment says of a request beyond what is configured for its host: a proxy, trusted certificates.

    httpx reads it when a client makes its own transports, and leaves it out where one is given.

    Args:
        pool: Whose configuration wins over the environment.
        trust_env: Whether the environment is looked at.
    """

    def __init__(self, pool: Manager, trust_env: bool) -> None:
        self._environment = Environment() if trust_env else None
        self._routing = Routing()
        self._routing.pool = pool

    def override(self, address: Address) -> HostConfig | None:
        """Tell what holds for a request to an address; `None` if nothing is said."""
        settings = None if self._environment is None else self._environment.read()
        return None if settings is None else self._routing.standing_override(address, settings)


def with_name(override: HostConfig | None, name: Any) -> HostConfig:
    """Have a server asked, and checked, by another name than its URL's.

    Raises:
        ConfigError: The name is none.
    """
    named = HostConfig(server_hostname=name.decode("ascii", "replace") if isinstance(name, bytes) else name)
    return named if override is None else named.over(override)


def check_alone(pool: object, kind: type[Manager], **others: object) -> None:
    """Refuse a pool that is none, and what would have to change one that is given.

    Raises:
        ConfigError: See there.
    """
    if not isinstance(pool, kind):
        raise bad("pool", pool, f"must be a {kind.__name__}")
    for name, value in others.items():
        if value is not None and value is not INHERIT:
            raise bad(name, value, "cannot be given beside a pool, which has its own configuration")
