"""From a URL to its origin, its request target and its Host line: read once, and by everybody alike."""

from __future__ import annotations

import re
import socket
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import h11

from keeppool.config import Config
from keeppool.errors import InvalidSchema, InvalidURL, MissingSchema
from keeppool.hosts import normal_ipv6
from keeppool.pools.routes import Locator
from keeppool.urls.address import Address, addressed, authority, parse, parse_as_given
from keeppool.wire.fields import EMPTY
from tests.fuzz.oracles import in_steps, outcome, repeated
from tests.fuzz.peers import pycurl
from tests.fuzz.target import target


@cache
def locator() -> Locator:
    """Make it once, and import what reading a URL needs, so that neither counts as work for an input."""
    parse("HTTP://u@[::1]/%41")
    return Locator(Config())


@target(covers=("urls/address.py", "pools/routes.py"))
def addresses(data: bytes) -> None:
    """A URL in UTF-8, or in ISO 8859-1 if it is none."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    locator()
    for read in (parse, parse_as_given, addressed):
        made = in_steps(150, 3000, len(data), lambda read=read: outcome(read, text))
        if made.error is not None:
            assert issubclass(made.error, (InvalidURL, InvalidSchema, MissingSchema))
        elif made.value.scheme in ("http", "https"):
            check_address(made.value, read)
    if more := repeated(data, 8192):
        long = more.decode("latin-1")
        in_steps(150, 3000, 2 * len(more), lambda: outcome(parse, long))
        in_steps(150, 3000, 2 * len(more), lambda: outcome(parse, f"http://{long}"))
        in_steps(150, 3000, 2 * len(more), lambda: outcome(parse, f"http://a/{long}"))
    check_curl(text)


def check_address(address: Address, read: Any) -> None:
    """Hold an address to itself, to what goes on the wire, and to how others read it."""
    host = address.host
    assert host.partition("%")[0] == host.partition("%")[0].lower()
    assert host.isascii()
    assert not re.search(r"[\x00-\x20\x7f/?#@\\]", host), host
    assert 0 < address.port < 65536
    assert re.fullmatch(r"[!-~]+", address.target)
    assert "#" not in address
    assert address.target.startswith("/")
    # Read again it is what it is, and nothing of the credentials is in what is sent or shown.
    assert read(str(address)) == address
    assert read(str(address)).origin == address.origin
    assert "@" not in address.url.partition("://")[2].partition("/")[0].partition("?")[0]
    # Whoever reads what is sent finds the same host and port: a filter of addresses must not see another one.
    parts = urlsplit(str(address))
    zoned = host.replace("%", "%25", 1)  # RFC 6874 §2
    assert parts.hostname == zoned, f"{parts.hostname!r} for others, {zoned!r} for us"
    assert (parts.port or {"http": 80, "https": 443}[address.scheme]) == address.port
    where = locator().locate(address)
    assert (where.route.origin.host, where.route.origin.port) == (host, address.port)
    assert where.target == address.target.encode()
    lines, closes = where.route.tail(EMPTY)
    assert not closes
    check_head(b"GET " + where.target + lines + b"\r\n", address)


def check_head(head: bytes, address: Address) -> None:
    """Have a server read the head: one request, for this target, with this one Host."""
    server = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    server.receive_data(head)
    request = server.next_event()
    assert isinstance(request, h11.Request)
    assert request.target == address.target.encode()
    hosts = [value for name, value in request.headers if name == b"host"]
    assert hosts == [authority(*address.origin).encode()]
    assert isinstance(server.next_event(), h11.EndOfMessage)


def curls_host(text: str) -> tuple[str, int] | None:
    """Give host and port that curl would ask; `None` if it refuses the URL."""
    curl, asked = pycurl(), []
    handle = curl.Curl()
    near, far = socket.socketpair()
    with near:
        near.shutdown(socket.SHUT_WR)
        try:
            handle.setopt(curl.URL, text.encode())
            handle.setopt(curl.OPENSOCKETFUNCTION, lambda _purpose, _address: far)
            handle.setopt(curl.SOCKOPTFUNCTION, lambda _descriptor, _purpose: curl.SOCKOPT_ALREADY_CONNECTED)
            handle.setopt(curl.CONNECT_TO, ["::127.0.0.1:80"])
            handle.setopt(curl.NOPROXY, "*")
            handle.setopt(curl.TIMEOUT, 10)
            handle.perform()
        except (curl.error, UnicodeError, ValueError, TypeError):
            pass
        finally:
            handle.close()
            far.close()
        near.setblocking(False)
        try:
            asked = re.findall(rb"\r\nHost: ([^\r\n]*)", near.recv(65536))
        except BlockingIOError:
            return None
    if not asked:
        return None
    host, colon, port = asked[0].decode("latin-1").rpartition(":")
    return (host, int(port)) if colon and port.isdecimal() else (asked[0].decode("latin-1"), 80)


#: Where curl asks another host than we do, and why we ask ours.
READ_OTHERWISE_BY_CURL = [
    (
        re.compile(r"http://[^/?#]*\\"),
        "a backslash ends the authority, as in browsers (URL Standard); curl takes it for userinfo",
    ),
    (
        re.compile(r"(?i)http://(?:[^/?#]*[.@])?0x(?:[.:/?#]|\Z)"),
        "0x is the number 0 (URL Standard, IPv4 parser); curl looks for a name",
    ),
]


def check_curl(text: str) -> None:
    """Compare the host with the one curl would ask: two readings of one URL are how filters are passed by."""
    if pycurl() is None or not text.startswith("http://") or not text.isascii() or "\x00" in text or len(text) > 500:
        return
    ours, theirs = outcome(parse, text).value, curls_host(text)
    if ours is None or theirs is None or any(found.match(text) for found, _ in READ_OTHERWISE_BY_CURL):
        return
    # curl writes a host as it was given, and a zone is nobody else's business.
    mine, (name, port) = ours.host.partition("%")[0], theirs
    name = normal_ipv6(name[1:-1]) if name.startswith("[") else name.lower()
    assert (mine.removesuffix("."), ours.port) == (name.removesuffix("."), port), f"curl asks {theirs}"
