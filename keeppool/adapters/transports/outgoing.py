"""From a client's request to what a pool sends: address, fields, body and waits.

Decides: which bodies may be sent a second time: those that are bytes. Any other is the caller's, and is asked once.
Knows: the requests of httpx's kind, and their extensions.
Does not know: who sends.

Source: RFC 9112 §3.2 (the target goes out as the client has it).
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from types import ModuleType
from typing import Any, Final, NamedTuple

from keeppool.config import Timeout
from keeppool.errors import ConnectError, InvalidSchema, InvalidURL, MissingSchema, quoted
from keeppool.hosts import DEFAULT_PORTS
from keeppool.pools.request import prepare_body
from keeppool.urls.address import Address, authority, checked_host
from keeppool.wire.body import RequestBody
from keeppool.wire.fields import FieldBlock, field_block
from keeppool.wire.request import check_method

#: Sets of fields whose rendering is remembered, and of waits. A client sends the same few again and again.
REMEMBERED: Final = 64
#: Seconds for a wait of none: it is tried, and ends at once.
SHORTEST: Final = 0.001

#: A WebSocket begins as a request for another protocol (RFC 6455 §3, §4.1).
WEBSOCKETS: Final = {"ws": "http", "wss": "https"}


class Outgoing(NamedTuple):
    """A request as a pool takes it."""

    method: bytes
    address: Address
    fields: FieldBlock
    body: RequestBody | None
    timeout: Timeout | None


class Preparing:
    """Makes requests ready; remembers what they have in common.

    Args:
        module: The client's.
        base: Where waits come from for which the client has no word.
    """

    def __init__(self, module: ModuleType, base: Timeout) -> None:
        self._byte_stream = module.ByteStream
        self._total = base.total
        self._fields = lru_cache(REMEMBERED)(field_block)
        self._timeout = lru_cache(REMEMBERED)(self._make_timeout)

    def prepare(self, request: Any, *, is_async: bool) -> Outgoing:
        """Make a request ready.

        Raises:
            InvalidRequest, ConfigError: It cannot be sent.
        """
        method = check_method(request.method)
        url, extensions = request.url, request.extensions
        target = extensions.get("target")
        address = address_of(url.raw_scheme, url.raw_host, url.port, url.raw_path, target)
        fields = self._fields(tuple(request.headers.raw))
        stream = request.stream
        if isinstance(stream, self._byte_stream):
            content: Any = b"".join(stream) or None
        else:
            content = aiter(stream) if is_async else iter(stream)
        waits = extensions.get("timeout")
        timeout = None if waits is None else self._timeout(*map(waits.get, ("connect", "read", "write", "pool")))
        return Outgoing(method, address, fields, prepare_body(content, fields, method), timeout)

    def _make_timeout(
        self, connect: float | None, read: float | None, write: float | None, pool: float | None
    ) -> Timeout:
        """Read the client's waits, each for what it is there: none of them is for the whole request.

        Raises:
            ConfigError: One is no number of seconds.
        """
        connect, read, write, pool = (SHORTEST if seconds == 0 else seconds for seconds in (connect, read, write, pool))
        waits = Timeout(connect=connect, read=read, write=write, pool=pool, stall=None)
        return waits if self._total is None else replace(waits, total=self._total)


@lru_cache(maxsize=1024)
def address_of(scheme: bytes, host: bytes, port: int | None, path: bytes, target: bytes | None = None) -> Address:
    """Make the address of a URL whose parts a client has read; nothing in its path is quoted anew.

    Args:
        scheme: Lower case: http, https, or the schemes of WebSockets.
        host: As in the DNS; an IPv6 address without brackets.
        port: `None` for the scheme's own.
        path: With the query.
        target: What stands in the request line instead of the path.

    Raises:
        MissingSchema, InvalidSchema, InvalidURL, ConnectError: A pool cannot go there.
    """
    name = scheme.decode("latin-1")
    name = WEBSOCKETS.get(name, name)
    place = host.decode("latin-1")
    text = f"{name}://{place}"
    if name not in DEFAULT_PORTS:
        if not name:
            raise MissingSchema("Request URL is missing an 'http://' or 'https://' protocol.", url=text)
        raise InvalidSchema(f"Request URL has an unsupported protocol {quoted(name + '://')}.", url=text)
    if not host:
        raise InvalidURL("the URL has no host", url=text)
    place = checked_host(text, f"[{place}]" if ":" in place else place).strip("[]")
    number = DEFAULT_PORTS[name] if port is None else port
    if not 0 < number < 65536:
        raise ConnectError(f"the URL's port {quoted(number)} cannot be dialled", origin=text)
    asked = (path if target is None else target).decode("latin-1")
    sent = f"{name}://{authority(name, place, number)}"
    shown = sent + path.decode("latin-1")
    # Text of its own for a target of its own: a pool remembers ways by this text. A space stands in no other URL.
    return Address(shown if target is None else f"{sent} {asked}", shown, name, place, number, asked)
