"""The functions of `requests.utils` that programs call, on the parts this client is made of.

Which ones: those found in programs and libraries that use requests; what only requests itself calls is not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from http.cookiejar import CookieJar as StandardCookieJar
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from keeppool.client.auth.netrc import credentials_for
from keeppool.client.environment import Environment
from keeppool.client.environment import select_proxy as _select
from keeppool.client.request.headers import Headers
from keeppool.client.response.links import parse_links
from keeppool.client.response.text import stated_encoding
from keeppool.pools.request import default_fields
from keeppool.requests.cookies import cookiejar_from_dict
from keeppool.wire.body import request_body


def default_headers() -> Headers:
    """Make the header fields a session begins with."""
    fields = Headers((name.decode(), value.decode()) for name, value in default_fields().pairs)
    fields["Accept"] = "*/*"
    return fields


def default_user_agent() -> str:
    """Tell how this client calls itself."""
    return str(default_headers()["User-Agent"])


def dict_from_cookiejar(cj: StandardCookieJar) -> dict[str, str | None]:
    """Read a jar as values by name."""
    return {cookie.name: cookie.value for cookie in cj}


def add_dict_to_cookiejar(cj: StandardCookieJar, cookie_dict: Mapping[str, str]) -> StandardCookieJar:
    """Put values by name into a jar."""
    return cookiejar_from_dict(cookie_dict, cj)


def get_auth_from_url(url: str) -> tuple[str, str]:
    """Read user and password from a URL, unquoted; two empty texts if there are none."""
    parts = urlsplit(url)
    return (unquote(parts.username or ""), unquote(parts.password or "")) if parts.username else ("", "")


def get_encoding_from_headers(headers: Mapping[str, str]) -> str | None:
    """Tell the encoding that a Content-Type states or implies."""
    return stated_encoding(headers.get("content-type"))


def get_environ_proxies(url: str, no_proxy: str | None = None) -> dict[str, str]:
    """Tell which proxies the environment names for a URL; none if it is one to be reached direct."""
    settings = Environment().read()
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    if settings is None or settings.proxy_for(parts.scheme, parts.hostname or "", port, no_proxy) is None:
        return {}
    return dict(settings.proxies)


def get_netrc_auth(url: str, raise_errors: bool = False) -> tuple[str, str] | None:
    """Find the netrc file's credentials for a URL.

    Args:
        url: Its host is looked up.
        raise_errors: Accepted as in requests; a file that cannot be read counts as none.
    """
    settings = Environment().read()
    return credentials_for(urlsplit(url).hostname or "", None if settings is None else settings.netrc)


def parse_header_links(value: str) -> list[dict[str, str]]:
    """Read a Link field, one dictionary for each link."""
    return list(parse_links(value).values())


def select_proxy(url: str, proxies: Mapping[str, str | None] | None) -> str | None:
    """Choose the proxy for a URL; `None` to go direct."""
    parts = urlsplit(url)
    chosen = _select(parts.scheme, parts.hostname or "", proxies)
    return chosen if isinstance(chosen, str) else None


def super_len(o: Any) -> int:
    """Tell how many bytes of a body are still to be sent; 0 if nobody can know."""
    return request_body(o).length or 0


__all__ = [
    "add_dict_to_cookiejar",
    "default_headers",
    "default_user_agent",
    "dict_from_cookiejar",
    "get_auth_from_url",
    "get_encoding_from_headers",
    "get_environ_proxies",
    "get_netrc_auth",
    "parse_header_links",
    "quote",
    "select_proxy",
    "super_len",
    "unquote",
]
