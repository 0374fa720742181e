"""From a proxy's URL to the proxy: where it is, how it is spoken to, and who says to be asking.

Decides: which schemes there are, and what is a usable URL of one.
Knows: where credentials stand in a URL. They are taken out before anything else reads it, so that no error shows them.
Does not know: which requests go through a proxy.

Source: RFC 3986 §3.2 (authority), RFC 7617 §2 (Basic), RFC 1929 §2 (user and password over SOCKS 5).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

from keeppool.core.origin import Proxy
from keeppool.deferred import have_urllib3
from keeppool.errors import (
    InvalidProxyURL,
    InvalidURL,
    quoted,
)
from keeppool.hosts import DEFAULT_PORTS
from keeppool.urls.address import checked_host

#: The schemes, with their ports where the URL has none. 1080 is registered for SOCKS (RFC 1928 §3).
PROXY_PORTS: Final[Mapping[str, int]] = {
    **DEFAULT_PORTS,
    "socks4": 1080,
    "socks4a": 1080,
    "socks5": 1080,
    "socks5h": 1080,
}

#: A scheme and what follows it (RFC 3986 §3.1). Without one it is http, as in curl and requests.
_SCHEMED: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)\Z")

#: `http:/host` would be read as the host `http`.
_SLIPPED: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/")


def proxy_at(url: str | None, headers: tuple[tuple[str, str], ...] = (), verify: bool | str = True) -> Proxy | None:
    """Read a proxy's URL.

    Args:
        url: `[scheme://][user[:password]@]host[:port]`, credentials percent-encoded; `None` for no proxy.
        headers: What an http or https proxy is to be sent; their Proxy-Authorization wins over the URL's credentials.
        verify: How an https proxy's certificate is checked.

    Raises:
        InvalidProxyURL: Malformed, or of a scheme that is not supported. The text shows no credentials.
    """
    if url is None:
        return None
    schemed = _SCHEMED.match(url)
    scheme, rest = (schemed[1].lower(), schemed[2]) if schemed else ("http", url)
    if _SLIPPED.match(rest):
        raise _unusable("***", "behind the scheme and its colon stand two slashes")
    secret, at, place = rest.rpartition("@")
    shown = f"{scheme}://***@{place}" if at else f"{scheme}://{place}"
    if scheme not in PROXY_PORTS:
        raise _unusable(shown, f"the scheme is none of {', '.join(PROXY_PORTS)}")
    if not url.isprintable():
        raise _unusable(shown, "it holds a control character or a lone surrogate")
    if set(secret) & set("/?#\\"):
        raise _unusable(shown, "/, ?, # and \\ in user and password are written %2F, %3F, %23 and %5C")
    host, port = _host_and_port(shown, place)
    port = port or PROXY_PORTS[scheme]
    if scheme.startswith("socks"):
        return Proxy(scheme=scheme, host=host, port=port, credentials=_credentials(shown, scheme, secret))
    checked = verify if scheme == "https" else True
    return Proxy(scheme=scheme, host=host, port=port, authorization=_basic(secret), headers=headers, verify=checked)


def _host_and_port(shown: str, place: str) -> tuple[str, int | None]:
    """Split host and port by urllib3's grammar, which knows http's; an IPv6 address comes without brackets."""
    have_urllib3()
    from urllib3.exceptions import LocationParseError
    from urllib3.util import parse_url

    try:
        parsed = parse_url(f"http://{place}")
    except (LocationParseError, UnicodeError) as error:
        raise _unusable(shown, str(error)) from error
    if not parsed.host:
        raise _unusable(shown, "it has no host")
    if parsed.port == 0:
        raise _unusable(shown, "port 0 cannot be dialled")
    try:
        return checked_host(shown, parsed.host).strip("[]"), parsed.port
    except InvalidURL as error:
        raise _unusable(shown, "its host is neither a name nor an address") from error


def _basic(secret: str) -> str | None:
    """Write credentials for Proxy-Authorization; an empty password still has its colon."""
    if not secret:
        return None
    pair = secret if ":" in secret else f"{secret}:"
    return f"Basic {base64.b64encode(unquote_to_bytes(pair)).decode()}"


def _credentials(shown: str, scheme: str, secret: str) -> tuple[bytes, bytes] | None:
    """Read credentials for SOCKS, which gives each its length in one byte; version 4 ends the user with a NUL."""
    if not secret:
        return None
    user, _, password = secret.partition(":")
    pair = unquote_to_bytes(user), unquote_to_bytes(password)
    if max(map(len, pair)) > 255:
        raise _unusable(shown, "SOCKS takes user and password of 255 bytes at most")
    if scheme.startswith("socks4") and (b"\0" in pair[0] or not pair[0].isascii()):
        raise _unusable(shown, "SOCKS 4 takes an ASCII user without NUL")
    return pair


def _unusable(shown: str, reason: str) -> InvalidProxyURL:
    return InvalidProxyURL(f"the proxy's URL {quoted(shown)} cannot be used: {reason}", url=shown)
