"""From what requests says about a request's way to keeppool's own words: waits, TLS, proxies, headers, bodies.

Decides: which of urllib3's pool keywords have a counterpart in a `HostConfig`; the others are refused, never dropped.
Does not know: what is sent, and by whom.
"""

from __future__ import annotations

import io
import os
import ssl
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from requests.exceptions import InvalidProxyURL
from requests.utils import DEFAULT_CA_BUNDLE_PATH, prepend_scheme_if_needed
from urllib3.exceptions import LocationParseError
from urllib3.util import Timeout as TheirTimeout
from urllib3.util import parse_url

from keeppool.checks import bad
from keeppool.config import HostConfig, Timeout
from keeppool.wire.fields import FieldBlock, field_block

#: Characters of a text file encoded at a time; the pool sends pieces of the same size.
_PIECE = 65536


class PoolKeywords:
    """Stands where requests has urllib3's pool: `HTTPAdapter.cert_verify` writes its wishes on it."""

    cert_reqs: Any = None
    ca_certs: str | None = None
    ca_cert_dir: str | None = None
    cert_file: str | None = None
    key_file: str | None = None


def waits(timeout: Any, base: Timeout) -> Timeout | None:
    """Read requests' `timeout`; `None` leaves it to the adapter's configuration.

    Args:
        timeout: Seconds, a (connect, read) pair, urllib3's `Timeout`, a `keeppool.Timeout`, or `None`.
        base: Where the waits come from that requests has no word for.

    Raises:
        ValueError: None of these, or seconds that are none; the words are requests' and urllib3's.
    """
    if timeout is None or isinstance(timeout, Timeout):
        return timeout
    if isinstance(timeout, tuple) and len(timeout) != 2:
        raise ValueError(f"Invalid timeout {timeout}. Pass a (connect, read) timeout tuple, or a single float.")
    if not isinstance(timeout, TheirTimeout):
        connect, read = timeout if isinstance(timeout, tuple) else (timeout, timeout)
        timeout = TheirTimeout(connect=connect, read=read)
    # Of a `total` urllib3 gives to reading what connecting has left: asked now, that is nearly all of it.
    started = timeout.clone()
    started.start_connect()
    return Timeout(
        connect=_seconds(started.connect_timeout), read=_seconds(started.read_timeout), pool=base.pool, total=base.total
    )


def _seconds(value: Any) -> float | None:
    # urllib3's marker for "the system's default" is an enum member; that default is no limit.
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, TheirTimeout) else None


def host_config(keywords: Mapping[str, Any], proxy: str | None = None) -> HostConfig | None:
    """Turn urllib3's pool keywords into a `HostConfig`.

    Args:
        keywords: As `urllib3.PoolManager` takes them.
        proxy: URL of the proxy to go through.

    Returns:
        The configuration; `None` if there is nothing to configure.

    Raises:
        ConfigError: A keyword without a counterpart, or an invalid value.
    """
    given = {name: value for name, value in keywords.items() if value is not None}
    config = _trust(given) | _identity(given) | _names(given)
    if "source_address" in given:
        config["source_address"] = _source(given.pop("source_address"))
    config |= {name: given.pop(name) for name in ("ssl_context", "proxy_headers") if name in given}
    for name, value in given.items():
        raise bad(name, value, "has no counterpart in keeppool.HostConfig; say what you need by hosts= or defaults=")
    if proxy is not None:
        config["proxy"] = proxy
    return HostConfig(**config) if config else None


def _trust(given: dict[str, Any]) -> dict[str, Any]:
    """Take what says whom to trust. requests' own bundle is certifi's, which is what True means."""
    wanted = given.pop("cert_reqs", None)
    paths = [path for path in (given.pop("ca_certs", None), given.pop("ca_cert_dir", None)) if path]
    if wanted in ("CERT_NONE", "NONE", ssl.CERT_NONE):
        return {"verify": False}
    if not paths or paths == [DEFAULT_CA_BUNDLE_PATH]:
        return {}
    return {"verify": os.fspath(paths[0])}


def _identity(given: dict[str, Any]) -> dict[str, Any]:
    certificate, key = given.pop("cert_file", None), given.pop("key_file", None)
    if certificate is None:
        return {}
    return {"cert": os.fspath(certificate) if key is None else (os.fspath(certificate), os.fspath(key))}


def _names(given: dict[str, Any]) -> dict[str, Any]:
    """Take what says who must answer. One name is both asked for and checked."""
    names = {given.pop(keyword) for keyword in ("assert_hostname", "server_hostname") if keyword in given}
    if len(names) > 1 or False in names:
        rule = "must be one name, both asked for and checked; to check none, give an ssl_context that does not"
        raise bad("assert_hostname", sorted(names, key=str), rule)
    config = {"server_hostname": names.pop()} if names else {}
    if "assert_fingerprint" in given:
        config["fingerprint"] = given.pop("assert_fingerprint")
    return config


def _source(address: Any) -> str:
    host, port = address
    if port:
        raise bad("source_address", address, "cannot name a port: a pool holds several connections")
    return str(host)


def proxy_url(proxy: str) -> str:
    """Read a proxy as requests lets people write it, with or without a scheme.

    Raises:
        requests.exceptions.InvalidProxyURL: There is no host in it, or it cannot be read.
    """
    try:
        url = prepend_scheme_if_needed(proxy, "http")
        host = parse_url(url).host
    except LocationParseError as error:
        raise InvalidProxyURL("the proxy's URL cannot be read") from error
    if not host:
        raise InvalidProxyURL("the proxy's URL names no host")
    return url


def fields_of(pairs: Iterable[tuple[Any, Any]]) -> FieldBlock:
    """Check and render a prepared request's headers; whole numbers are allowed as in http.client.

    Raises:
        InvalidHeader: keeppool's: HTTP cannot carry it.
    """
    return field_block([(name, str(value) if isinstance(value, int) else value) for name, value in pairs])


def payload(body: Any) -> Any:
    """Give a prepared request's body as the pool takes it: text files are encoded on the way, as urllib3 does."""
    return _encoded(body) if isinstance(body, io.TextIOBase) else body


def _encoded(file: io.TextIOBase) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        yield piece.encode()
