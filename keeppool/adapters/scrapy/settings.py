"""From Scrapy's settings and a request's meta to keeppool's own words: caps, hosts, waits, TLS, proxies, addresses.

Decides: which of Scrapy's words and keeppool's wins where both speak; `KEEPPOOL_…` is the nearer one.
Knows: the names of the settings and of the keys in `meta`.
Does not know: the pool, and what is sent.
"""

from __future__ import annotations

import base64
import itertools
import logging
import os
import ssl
import sys
from collections.abc import Mapping
from dataclasses import fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from scrapy import Request
from scrapy.settings import BaseSettings

from keeppool.checks import bad, presentable
from keeppool.config import INHERIT, Config, HostConfig, Limits, Timeout
from keeppool.config_file import load_config, read_table
from keeppool.errors import ConfigError
from keeppool.fleet import Fleet
from keeppool.hosts import HostTable

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)

#: Only `download_timeout` bounds a request, unless something of keeppool's own says more.
_NO_LIMIT: Final = Timeout(None)
#: Connections a crawl holds at the most unless a setting says otherwise. Over TLS one takes 100 KiB (measured: 380 of
#: them, CPython 3.11, OpenSSL 3), so these are 0.4 GB, if so many hosts are visited within an idle timeout.
MOST_SOCKETS: Final = 4096
#: The share of the process's descriptors that may be connections; the rest is for files, look-ups and all else. A shell
#: gives 1024 on most systems: that is 768 hosts.
DESCRIPTOR_SHARE: Final = 0.75
#: Windows has no such limit; `select`, which its event loops of old build on, takes 512.
MOST_SOCKETS_ELSEWHERE: Final = 384
#: Combinations of proxy, credentials and source address that are remembered: a rotation over some hundreds.
_REMEMBERED: Final = 1024

_TLS_VERSIONS: Final = {
    "TLSv1.0": ssl.TLSVersion.TLSv1,
    "TLSv1.1": ssl.TLSVersion.TLSv1_1,
    "TLSv1.2": ssl.TLSVersion.TLSv1_2,
    "TLSv1.3": ssl.TLSVersion.TLSv1_3,
}

_SETTINGS: Final = tuple(f"KEEPPOOL_{name}" for name in ("LIMITS", "HOSTS", "CONFIG", "FLEET", "FLEET_PER_HOST"))
#: What `KEEPPOOL_FLEET` may say as a dict.
_FLEET_ARGUMENTS: Final = ("url", "name", "ttl", "when_down", "timeout")

#: Numbers the requests that want a connection of their own.
_fresh = itertools.count(1)


def configuration(settings: BaseSettings) -> Config:
    """Read what a crawler's settings say of its pool.

    Raises:
        ConfigError: A value is invalid; names setting, value and rule.
        ValueError: A TLS version that there is not.
    """
    _warn_of_unknown(settings)
    config = _from_file(settings)
    hosts = dict(config.hosts)
    for pattern, entry in _table(settings, "KEEPPOOL_HOSTS").items():
        hosts[pattern] = _host_config(f'KEEPPOOL_HOSTS["{pattern}"]', entry)
    try:
        HostTable(hosts)
    except ConfigError as error:
        raise bad("KEEPPOOL_HOSTS", error.value, error.rule, kind=error.field) from error
    return Config(
        limits=_limits(config.limits, _table(settings, "KEEPPOOL_LIMITS")),
        timeout=config.timeout,
        defaults=_fleets_cap(settings, _with_own_tls(config.defaults).over(_scrapys_defaults(settings))),
        hosts={pattern: _with_own_tls(entry) for pattern, entry in hosts.items()},
        fleet=_fleet(settings, config.fleet),
    )


def _warn_of_unknown(settings: BaseSettings) -> None:
    """Tell of settings that look like keeppool's and are looked at by nobody here; Scrapy lets any name pass."""
    for name in settings:
        if isinstance(name, str) and name.startswith("KEEPPOOL_") and name not in _SETTINGS:
            logger.warning("%s is no setting of keeppool's; there are %s", name, ", ".join(_SETTINGS))


def _from_file(settings: BaseSettings) -> Config:
    """Read the file, if there is one; for what it has no table of, Scrapy's settings hold."""
    scrapys = Config(limits=_scrapys_limits(settings), timeout=_NO_LIMIT)
    path = settings.get("KEEPPOOL_CONFIG")
    if path is None:
        return scrapys
    if not isinstance(path, (str, os.PathLike)):
        raise bad("KEEPPOOL_CONFIG", path, "must be the path of a TOML file")
    config = load_config(path)
    given = read_table(path)
    return replace(
        config,
        limits=config.limits if {"limits", "preset"} & set(given) else scrapys.limits,
        timeout=config.timeout if "timeout" in given else scrapys.timeout,
    )


def _scrapys_limits(settings: BaseSettings) -> Limits:
    """Take Scrapy's word for the cap per host. Of the others, none is to be below what Scrapy may ask for at a time.

    `CONCURRENT_REQUESTS` bounds requests under way and nothing else. A crawl goes round its hosts; with fewer
    connections than hosts it closes, each time, the one it needs next, as the least recently used. So the total is what
    the process has room for.
    """
    usual = Limits()
    at_once = settings.getint("CONCURRENT_REQUESTS")
    slots = settings.getdict("DOWNLOAD_SLOTS").values()
    per_host = [settings.getint("CONCURRENT_REQUESTS_PER_DOMAIN"), *(slot.get("concurrency") or 0 for slot in slots)]
    return Limits(
        per_host=max(per_host) or None,
        per_proxy=max(usual.per_proxy or 0, at_once),
        total=max(_room_for_sockets(), at_once),
    )


def _room_for_sockets() -> int:
    """Count the connections a crawl may hold: a share of the descriptors that the process may have open."""
    if resource is None:
        return MOST_SOCKETS_ELSEWHERE
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MOST_SOCKETS if soft == resource.RLIM_INFINITY else max(1, min(MOST_SOCKETS, int(soft * DESCRIPTOR_SHARE)))


def _scrapys_defaults(settings: BaseSettings) -> HostConfig:
    """Give what Scrapy says for all hosts; of certificates it says one thing, for origins and https proxies alike."""
    source = settings.get("DOWNLOAD_BIND_ADDRESS")
    return HostConfig(
        ssl_context=tls_context(settings),
        proxy_verify=settings.getbool("DOWNLOAD_VERIFY_CERTIFICATES"),
        source_address=None if source is None else _host_of(source, "DOWNLOAD_BIND_ADDRESS"),
    )


def _with_own_tls(entry: HostConfig) -> HostConfig:
    """Let an entry's own word on trust or certificates stand above the context made from Scrapy's settings."""
    if (entry.verify is INHERIT and entry.cert is INHERIT) or entry.ssl_context is not INHERIT:
        return entry
    checks_proxies = entry.verify is not False and entry.proxy_verify is INHERIT
    return replace(entry, ssl_context=None, proxy_verify=entry.verify if checks_proxies else entry.proxy_verify)


def _table(settings: BaseSettings, name: str) -> dict[str, Any]:
    """Read a setting that is a dict, or JSON as the command line gives it."""
    try:
        return settings.getdict(name)
    except (TypeError, ValueError) as error:
        raise bad(name, settings.get(name), "must be a dict, or one as JSON") from error


def _limits(base: Limits, given: Mapping[str, Any]) -> Limits:
    _check_names("KEEPPOOL_LIMITS", given, Limits)
    try:
        return replace(base, **given)
    except ConfigError as error:
        raise bad(f'KEEPPOOL_LIMITS["{error.field}"]', error.value, error.rule, kind=error.field) from error


def _host_config(place: str, entry: object) -> HostConfig:
    if isinstance(entry, HostConfig):
        return entry
    if not isinstance(entry, Mapping):
        raise bad(place, entry, "must be a dict of HostConfig's fields, or a HostConfig")
    _check_names(place, entry, HostConfig)
    given: dict[str, Any] = {name: tuple(value) if _is_pair(name, value) else value for name, value in entry.items()}
    try:
        return HostConfig(**given)
    except ConfigError as error:
        raise bad(f'{place}["{error.field}"]', error.value, error.rule, kind=error.field) from error


def _fleet(settings: BaseSettings, from_file: Any) -> Any:
    """Read the fleet the crawler's pool is to be a member of: a `Fleet`, a URL, or a dict of arguments."""
    given = settings.get("KEEPPOOL_FLEET")
    if given is None or given == "":
        return from_file
    if isinstance(given, Fleet):
        return given
    if isinstance(given, str) and not given.lstrip().startswith("{"):
        given = {"url": given}
    elif not isinstance(given, (str, Mapping)):
        raise bad("KEEPPOOL_FLEET", given, "must be the URL of a Redis, a dict of arguments with one, or a Fleet")
    given = dict(_table(settings, "KEEPPOOL_FLEET") if isinstance(given, str) else given)
    for name, value in given.items():
        if name not in _FLEET_ARGUMENTS:
            place, known = f'KEEPPOOL_FLEET["{name}"]', ", ".join(_FLEET_ARGUMENTS)
            raise bad(place, presentable(name, value), f"no such argument; there are {known}")
    if given.get("url") is None:
        raise bad('KEEPPOOL_FLEET["url"]', None, "must be there, such as redis://host:6379/0")
    try:
        return Fleet.from_url(**given)
    except ConfigError as error:
        place = "KEEPPOOL_FLEET" if error.field == "url" else f'KEEPPOOL_FLEET["{error.field}"]'
        raise bad(place, error.value, error.rule, kind=error.field) from error


def _fleets_cap(settings: BaseSettings, entry: HostConfig) -> HostConfig:
    """Let a setting of its own say what all members may have of each host."""
    given = settings.get("KEEPPOOL_FLEET_PER_HOST")
    if given is None:
        return entry
    try:
        return replace(entry, fleet_per_host=int(given) if isinstance(given, str) else given)
    except ValueError as error:  # A ConfigError is one.
        raise bad("KEEPPOOL_FLEET_PER_HOST", given, "must be a whole number, 1 or more") from error


def _is_pair(name: str, value: object) -> bool:
    """Tell a pair that JSON, or a queue on disk, has made a list of."""
    return name in ("timeout", "cert") and isinstance(value, list)


def _check_names(place: str, given: Mapping[str, Any], kind: type[Limits | HostConfig]) -> None:
    known = [f.name for f in fields(kind) if f.init]
    for name, value in given.items():
        if name not in known:
            raise bad(f'{place}["{name}"]', presentable(name, value), f"no such field; there are {', '.join(known)}")


# TLS


def tls_context(settings: BaseSettings) -> ssl.SSLContext:
    """Make the context for all hosts that have nothing of their own.

    Raises:
        ValueError: A version that there is not.
        ssl.SSLError: Ciphers that there are not.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if settings.getbool("DOWNLOAD_VERIFY_CERTIFICATES"):
        context.load_default_certs()
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if (lowest := _tls_version(settings, "DOWNLOAD_TLS_MIN_VERSION")) is not None:
        context.minimum_version = lowest
    if (highest := _tls_version(settings, "DOWNLOAD_TLS_MAX_VERSION")) is not None:
        context.maximum_version = highest
    if ciphers := settings.get("DOWNLOADER_CLIENT_TLS_CIPHERS"):
        context.set_ciphers(ciphers)
    if keys := _key_log():
        context.keylog_filename = keys
    # A server that speaks HTTP/2 too is told that we do not (RFC 7301).
    context.set_alpn_protocols(["http/1.1"])
    return context


def _tls_version(settings: BaseSettings, name: str) -> ssl.TLSVersion | None:
    value = settings.get(name)
    if value is None:
        return None
    if value not in _TLS_VERSIONS:
        raise ValueError(f"Unknown {name} value: {value}; there are {', '.join(_TLS_VERSIONS)}")
    return _TLS_VERSIONS[value]


def _key_log() -> str | None:
    """Give the file for TLS secrets that the environment names, unless it cannot be written."""
    path = None if sys.flags.ignore_environment else os.environ.get("SSLKEYLOGFILE")
    if not path:
        return None
    try:
        with Path(path).open("ab"):
            return path
    except OSError as error:
        logger.warning("Cannot write TLS session keys to %s: %s", path, error)
        return None


# One request


def override_for(request: Request) -> HostConfig | None:
    """Read what a request's meta says of its way: `proxy`, `bindaddress` and `keeppool`; `None` if nothing.

    Raises:
        ConfigError: A value is invalid.
    """
    meta = request.meta
    own = meta.get("keeppool")
    way = None
    if "proxy" in meta or "bindaddress" in meta:
        source = meta.get("bindaddress")
        way = _way(
            meta.get("proxy") or None,
            "proxy" in meta,
            request.headers.get(b"Proxy-Authorization"),
            None if source is None else _host_of(source, 'meta["bindaddress"]'),
        )
    if own is None:
        return way
    chosen = _own_word(own)
    return chosen if way is None else way.over(chosen)


@lru_cache(_REMEMBERED)
def _way(proxy: str | None, says_proxy: bool, authorization: bytes | None, source: str | None) -> HostConfig:
    given: dict[str, Any] = {}
    if says_proxy:
        given["proxy"] = proxy
    if proxy and authorization is not None:
        if proxy.lower().startswith("socks"):
            given["proxy"] = _with_credentials(proxy, authorization)
        else:
            given["proxy_headers"] = (("Proxy-Authorization", authorization.decode("latin-1")),)
    if source is not None:
        given["source_address"] = source
    return HostConfig(**given)


def _with_credentials(proxy: str, authorization: bytes) -> str:
    """Write user and password back into a SOCKS proxy's URL. Scrapy has made a header of them, which SOCKS has not."""
    scheme, _, token = authorization.partition(b" ")
    try:
        if scheme.lower() != b"basic":
            raise ValueError("not Basic")
        user, _, password = base64.b64decode(token, validate=True).partition(b":")
    except ValueError as error:
        raise bad("Proxy-Authorization", "***", "must be Basic: a SOCKS proxy takes user and password") from error
    way, mark, place = proxy.partition("://")
    return f"{way}{mark}{quote(user, safe='')}:{quote(password, safe='')}@{place}"


def _own_word(own: object) -> HostConfig:
    """Read `meta["keeppool"]`: fields of a `HostConfig`, and `fresh`."""
    place = 'meta["keeppool"]'
    if not isinstance(own, Mapping):
        return _with_own_tls(_host_config(place, own))
    given = dict(own)
    fresh = given.pop("fresh", False)
    if not isinstance(fresh, bool):
        raise bad(f'{place}["fresh"]', fresh, "must be True or False")
    entry = _with_own_tls(_host_config(place, given))
    if not fresh:
        return entry
    # No other request has this tag, so no connection is there to be reused, no TLS session to be resumed; and none is
    # kept, as nobody will come for it.
    tag = "" if entry.tag is INHERIT else entry.tag
    return replace(entry, tag=f"{tag} fresh {next(_fresh)}", keep_alive=False)


def _host_of(address: Any, place: str) -> str:
    """Take the host of an address to bind to. A port cannot be kept: connections of a pool need one each."""
    if isinstance(address, str):
        return address
    try:
        host, port = address
    except (TypeError, ValueError) as error:
        raise bad(place, address, "must be a host, or a pair of host and port 0") from error
    if port:
        _warn_of_port(place, host, port)
    return str(host)


@lru_cache(_REMEMBERED)
def _warn_of_port(place: str, host: str, port: int) -> None:
    """Say it once for each address."""
    logger.warning("%s names port %s, which connections of a pool cannot share; only %s is bound", place, port, host)


def waits(base: Timeout, seconds: float) -> Timeout:
    """Bound a whole request by its `download_timeout`, and by what is configured where that is shorter."""
    return _bounded(base, float(seconds))


@lru_cache(_REMEMBERED)
def _bounded(base: Timeout, seconds: float) -> Timeout:
    return replace(base, total=seconds if base.total is None else min(base.total, seconds))
