"""Hosts, domains and paths: which cookie belongs where.

Decides: in which spelling names are compared, what counts as a secure connection.
Knows: hosts and paths of requests, addresses among the hosts.
Does not know: cookies.

Source: RFC 6265bis §5.1.2 (canonical hosts), §5.1.3 (domains), §5.1.4 (paths); Secure Contexts §3.1 (loopback).
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from keeppool.errors import InvalidURL
from keeppool.urls.address import parse

if TYPE_CHECKING:
    from urllib.request import Request


#: Schemes over which a Secure cookie travels; `http` only to this machine itself.
SECURE: Final = frozenset(("https", "wss"))
_PLAIN_NAME: Final = re.compile(r"[a-z0-9_.-]*")
# As the reader of URLs has it: a host whose last label is a number can only be an IPv4 address.
_ADDRESS: Final = re.compile(r".*:.*|(?:.*\.)?[0-9]+\.?")
_PORTS: Final = {"http": "80", "https": "443", "ws": "80", "wss": "443"}
#: Hosts whose places in a jar are remembered: a crawler's current ones.
_REMEMBERED: Final = 1024


class Place(NamedTuple):
    """Where a request goes, as cookies see it.

    Attributes:
        scheme: In lower case.
        host: In lower case and A-labels; an IPv6 address without brackets.
        port: As text, the scheme's own where the URL names none.
        path: Without the query; at least "/".
        secure: Nobody on the way can read it: by TLS, or because it does not leave this machine.
    """

    scheme: str
    host: str
    port: str
    path: str
    secure: bool


def place_of(request: Request) -> Place:
    """Tell where a request goes that is written as those of `urllib.request`."""
    place = getattr(request, "place", None)
    if isinstance(place, Place):
        return place
    parts = urlsplit(request.get_full_url())
    host = canonical(parts.hostname or "")
    port = str(parts.port or _PORTS.get(parts.scheme, ""))
    return Place(parts.scheme, host, port, parts.path or "/", parts.scheme in SECURE or is_loopback(host))


def canonical(host: str) -> str:
    """Bring a host or domain into the spelling in which names are compared; a first dot stays.

    Source: RFC 6265bis §5.1.2.
    """
    lower = host.lower()
    if lower == "localhost.local":
        return "localhost"  # http.cookiejar's name for it, found in files it has written.
    if _PLAIN_NAME.fullmatch(lower):
        return lower
    dot, name = ("." if lower.startswith(".") else ""), lower.removeprefix(".")
    name = name.removeprefix("[").removesuffix("]")
    try:
        return dot + parse(f"http://[{name}]/" if ":" in name else f"http://{name}/").host
    except InvalidURL:
        return lower  # No host has this name, so it is met by none.


def is_address(host: str) -> bool:
    """Tell whether a host is an IP address, which no other host's name can be the end of."""
    return _ADDRESS.fullmatch(host) is not None


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine itself.

    Source: Secure Contexts §3.1, steps 4 and 5.
    """
    name = host.removesuffix(".")
    return name == "localhost" or name.endswith(".localhost") or name == "::1" or _is_loopback_v4(name)


def domain_matches(host: str, domain: str) -> bool:
    """Tell whether a domain, without its first dot, is a host itself or the end of its name.

    Source: RFC 6265bis §5.1.3.
    """
    return host == domain or (host.endswith(f".{domain}") and not is_address(host))


def path_matches(path: str, prefix: str) -> bool:
    """Tell whether a cookie's path is a request's path, or one of the folders it lies in.

    Source: RFC 6265bis §5.1.4.
    """
    if not path.startswith(prefix):
        return False
    return len(path) == len(prefix) or prefix.endswith("/") or path[len(prefix)] == "/"


def default_path(path: str) -> str:
    """Give the path of a cookie that names none: the folder of what was asked.

    Source: RFC 6265bis §5.1.4.
    """
    return path[: path.rfind("/")] or "/" if path.startswith("/") else "/"


@functools.lru_cache(_REMEMBERED)
def domains_of(host: str) -> tuple[str, ...]:
    """List the domains under which a host's cookies may be kept: with and without a dot, itself first, "" last.

    As many as its name has labels, however many cookies there are.
    """
    names = [host]
    if not is_address(host):
        names += [host[place + 1 :] for place, character in enumerate(host) if character == "."]
    return *(key for name in names if name for key in (name, f".{name}")), ""


def _is_loopback_v4(name: str) -> bool:
    return name.startswith("127.") and is_address(name)
