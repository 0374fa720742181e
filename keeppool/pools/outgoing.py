"""`Outgoing`: a request as it is just before it is sent, for a listener's `before_send`.

Decides: which fields may be added: none that says where the request ends, or which host it is for.
Knows: fields. Does not know: what they are for; a signature, or the trace that the request belongs to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from keeppool.errors import InvalidHeader
from keeppool.wire.fields import FieldBlock, field_block

if TYPE_CHECKING:
    from keeppool.pools.routes import Located

#: They are settled with the body, and with the connection.
_SETTLED = frozenset((b"content-length", b"transfer-encoding", b"host", b"connection", b"expect", b"upgrade", b"te"))

#: What is called before each sending.
BeforeSend = Callable[["Outgoing"], object]


class Outgoing:
    """A request that is about to be sent, and to which fields may be added. It is of use until the call ends.

    Attributes:
        request: Its number, the one in all events of it.
        method: As it will be sent.
        url: As the caller wrote it, without user and password.
        origin: As in events.
        note: What is left here stands on the request's `RequestDone`.

    Thread safety: none; it belongs to the call.
    """

    __slots__ = ("_fields", "method", "note", "origin", "request", "url")

    def __init__(self, request: int, method: bytes, located: Located, fields: FieldBlock) -> None:
        self.request = request
        self.method = method.decode()
        self.url = without_user(located.url)
        self.origin = located.route.name
        self.note: object = None
        self._fields = fields

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The request's own fields as they will be sent; those of its host's configuration come to them."""
        return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self._fields.pairs]

    @property
    def fields(self) -> FieldBlock:
        """The same, rendered."""
        return self._fields

    def set(self, name: str, value: str) -> None:
        """Add a field, in the place of those of its name.

        Raises:
            InvalidHeader: HTTP cannot carry it, or it is settled: how the body ends, Host, Connection, Expect, Upgrade.
        """
        (pair,) = field_block([(name, value)]).pairs
        key = pair[0].lower()
        if key in _SETTLED:
            raise InvalidHeader(f"{name} is settled when a request is about to be sent", name=name)
        self._fields = field_block([*(old for old in self._fields.pairs if old[0].lower() != key), pair])

    def __repr__(self) -> str:
        return f"<Outgoing {self.request}: {self.method} {self.url}>"


def without_user(url: str) -> str:
    """Take user and password out of a URL: all before the last @ of what comes before the path."""
    if "@" not in url:
        return url
    before, mark, rest = url.partition("://")
    end = min(at for at in (*map(rest.find, "/?#"), len(rest)) if at >= 0)
    return f"{before}{mark}{rest[:end].rpartition('@')[2]}{rest[end:]}" if mark else url
