"""`Request`: what is sent, and afterwards the record of it in `response.request` and `error.request`.

Knows: its parts, and how to show them as text.
Does not know: where they come from, and when it is sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keeppool.client.headers import Headers
from keeppool.client.urls import Address
from keeppool.wire.body import RequestBody
from keeppool.wire.fields import EMPTY, FieldBlock, field_block

if TYPE_CHECKING:
    from http.cookiejar import CookieJar


class Request:
    """One request. Read it, do not change it: it may be on its way.

    Pickled, it keeps its body only if that is bytes or text, and no cookies but those in its headers.

    Attributes:
        verb: The method as it goes on the wire.
        address: Where to.
        fields: The header fields, the body's framing apart.
        payload: The body, ready to be sent; `None` for none.
        body: The body as bytes where the client encoded it, else as the caller passed it.
        cookies: The call's own cookies, which are not the session's.
    """

    __slots__ = ("address", "body", "cookies", "fields", "payload", "verb")

    def __init__(
        self,
        verb: bytes,
        address: Address,
        fields: FieldBlock,
        payload: RequestBody | None = None,
        body: Any = None,
        cookies: CookieJar | None = None,
    ) -> None:
        self.verb = verb
        self.address = address
        self.fields = fields
        self.payload = payload
        self.body = body
        self.cookies = cookies

    @property
    def method(self) -> str:
        """The method."""
        return self.verb.decode("ascii")

    @property
    def url(self) -> str:
        """The URL, fragment included, credentials not."""
        return self.address.url

    @property
    def headers(self) -> Headers:
        """The fields this request carried, as a copy; without those the pool adds (Host, Connection)."""
        framing = EMPTY if self.payload is None else self.payload.framing
        shown = Headers()
        for name, value in (*self.fields.pairs, *framing.pairs):
            text = name.decode("latin-1")
            shown[text] = f"{shown[text]!s}, {value.decode('latin-1')}" if text in shown else value.decode("latin-1")
        return shown

    def with_fields(self, fields: FieldBlock) -> Request:
        """Make the same request with other header fields."""
        return Request(self.verb, self.address, fields, self.payload, self.body, self.cookies)

    def __reduce__(self) -> tuple[Any, ...]:
        framing = None if self.payload is None else self.payload.framing
        fields = self.fields if framing is None else joined(self.fields, framing)
        body = self.body if isinstance(self.body, (bytes, str)) else None
        return Request, (self.verb, self.address, fields, None, body)

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.url}>"


def joined(first: FieldBlock, second: FieldBlock) -> FieldBlock:
    """Put two checked blocks into one without checking again."""
    return FieldBlock(first.lines + second.lines, first.names | second.names, first.pairs + second.pairs)


def without(fields: FieldBlock, names: frozenset[bytes]) -> FieldBlock:
    """Leave out the fields with one of these names (lower case)."""
    if names.isdisjoint(fields.names):
        return fields
    return field_block([pair for pair in fields.pairs if pair[0].lower() not in names])
