"""`Headers`: header fields as people write them, and `ResponseHeaders`: as they read them; by name in any case.

Decides: when the rendered block is stale; how a call's headers are laid over a session's; what a repeated field reads
    as.
Knows: that names are case-insensitive and that `None` stands for "do not send".
Does not know: which names and values are legal; `wire.fields` does.

Source: RFC 9110 §5.1 (names are case-insensitive), §5.3 (order and repetition).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Final

from keeppool.client.arguments import HeadersArgument, HeaderValue
from keeppool.errors import InvalidHeader, quoted
from keeppool.wire.fields import EMPTY, FieldBlock, field_block

if TYPE_CHECKING:
    from _typeshed import SupportsKeysAndGetItem


class Headers(MutableMapping[str, HeaderValue]):
    """A mapping from header name, in any case, to value. Iteration gives names as last written, in first order.

    A value of `None` stays in the mapping and is not sent: so a session can drop a default.

    Thread safety: any thread may read and write; each `block` is made of one consistent state.
    """

    __slots__ = ("_made", "_revision", "_store")

    def __init__(self, fields: HeadersArgument = ()) -> None:
        self._store: dict[str, tuple[str, HeaderValue]] = {}
        # A fresh object for each change, compared by identity: a counter could lose one of two threads' increments.
        self._revision = object()
        self._made: tuple[object, FieldBlock] = (None, EMPTY)
        for name, value in pairs_of(fields):
            self[text_name(name)] = value

    def __getitem__(self, name: str) -> HeaderValue:
        return self._store[name.lower()][1]

    def __setitem__(self, name: str, value: HeaderValue) -> None:
        self._store[text_name(name).lower()] = (text_name(name), value)
        self._revision = object()

    def __delitem__(self, name: str) -> None:
        del self._store[name.lower()]
        self._revision = object()

    def __iter__(self) -> Iterator[str]:
        return iter([name for name, _ in self.pairs()])

    def __len__(self) -> int:
        return len(self._store)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mapping):
            return NotImplemented
        mine = {name.lower(): value for name, value in self.pairs()}
        return mine == {text_name(name).lower(): value for name, value in other.items()}

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Headers({dict(self.pairs())!r})"

    def __getstate__(self) -> tuple[tuple[str, HeaderValue], ...]:
        return self.pairs()

    def __setstate__(self, state: tuple[tuple[str, HeaderValue], ...]) -> None:
        Headers.__init__(self, state)

    @property
    def revision(self) -> object:
        """An object that is another one after each change."""
        return self._revision

    def copy(self) -> Headers:
        """Make an independent mapping of the same fields."""
        return Headers(self.pairs())

    def pairs(self) -> tuple[tuple[str, HeaderValue], ...]:
        """Return the fields in order, as one consistent state even while other threads write."""
        return tuple(self._store.values())

    def block(self) -> FieldBlock:
        """Return the fields ready to be sent; made again only after a change.

        Raises:
            InvalidHeader: A name or value that cannot be sent; `name` tells which.
        """
        revision, block = self._made
        if revision is not self._revision:
            # The revision is read before the fields: a write in between is noticed at the next call. Revision and
            # block are stored as one tuple: another thread can never pair them wrongly.
            revision = self._revision
            block = field_block([(name, value) for name, value in self.pairs() if value is not None])
            self._made = (revision, block)
        return block

    if TYPE_CHECKING:  # The inherited `update` is right; its type would refuse plain dicts of text.

        def update(  # type: ignore[override]
            self, other: SupportsKeysAndGetItem[str, HeaderValue] | Iterable[tuple[str, HeaderValue]] = (), /
        ) -> None:
            """Set several fields."""


#: Fields of a response that hold one value and no list: a second one is a mistake (RFC 9110 §5.3), most often of two
#: layers that add the same. WWW-Authenticate, Set-Cookie and the like are lists, whatever else they are.
SINGLE: Final = frozenset(
    (
        "age",
        "content-length",
        "content-location",
        "content-range",
        "content-type",
        "date",
        "etag",
        "expires",
        "last-modified",
        "location",
        "retry-after",
        "server",
    )
)


def single_value(headers: Mapping[str, str], name: str) -> str | None:
    """Return the value of a field that is no list; `None` if it is absent. Of several values the last one counts.

    Args:
        headers: A response's, perhaps of somebody else's adapter.
        name: In any case.
    """
    values = headers.getlist(name) if hasattr(headers, "getlist") else []
    return values[-1] if values else headers.get(name)


class ResponseHeaders(MutableMapping[str, str]):
    """The fields of a response, by name in any case. A repeated field has one value: its values, joined by commas.

    One that is no list (`SINGLE`) is not joined: of several values the last one counts, as in browsers.

    Iteration gives each name once, as it first came. May be changed, as tests of programs do.

    Args:
        fields: Pairs; a name may be repeated.
    """

    __slots__ = ("_store",)

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        #: From a name in lower case to the name as it came and its values.
        self._store: dict[str, tuple[str, list[str]]] = {}
        for name, value in fields:
            self.add(name, value)

    def add(self, name: str, value: str) -> None:
        """Add a value to those that are there."""
        self._store.setdefault(name.lower(), (name, []))[1].append(value)

    if not TYPE_CHECKING:  # Or every name would pass for one of these.

        def __getattr__(self, name: str) -> object:
            each = "getlist(name), for each name"
            ways = {"get_list": "getlist(name)", "getall": "getlist(name)", "multi_items": each, "raw": each}
            text = f"{type(self).__name__!r} object has no attribute {name!r}"
            raise AttributeError(f"{text}: here it is {ways[name]}" if name in ways else text, name=name, obj=self)

    def getlist(self, name: str) -> list[str]:
        """Return a field's values one by one; none if it did not come. Set-Cookie can be read in no other way."""
        found = self._store.get(name.lower())
        return [] if found is None else found[1].copy()

    get_all = getlist

    def lower_items(self) -> Iterator[tuple[str, str]]:
        """Go through the fields with their names in lower case."""
        return ((name.lower(), value) for name, value in self.items())

    def copy(self) -> ResponseHeaders:
        """Make an independent mapping of the same fields."""
        return ResponseHeaders([(name, value) for name, values in self._store.values() for value in values])

    def __getitem__(self, name: str) -> str:
        lower = name.lower()
        values = self._store[lower][1]
        return values[-1] if lower in SINGLE else ", ".join(values)

    def __setitem__(self, name: str, value: str) -> None:
        self._store[name.lower()] = (name, [value])

    def __delitem__(self, name: str) -> None:
        del self._store[name.lower()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._store

    def __iter__(self) -> Iterator[str]:
        return iter([name for name, _ in self._store.values()])

    def __len__(self) -> int:
        return len(self._store)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mapping):
            return NotImplemented
        return dict(self.lower_items()) == {str(name).lower(): value for name, value in other.items()}

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(dict(self.items()))


def merged(base: Headers, extra: HeadersArgument | None) -> list[tuple[str | bytes, str | bytes]]:
    """Lay one call's headers over a session's: same names replaced in place, `None` removes.

    Args:
        base: The session's.
        extra: The call's; pairs may repeat a name, all of them are sent.

    Raises:
        InvalidHeader: `extra` is neither a mapping nor pairs, or a name is no text.
    """
    fields: dict[str, list[tuple[str | bytes, HeaderValue]]] = {
        name.lower(): [(name, value)] for name, value in base.pairs()
    }
    given: dict[str, list[tuple[str | bytes, HeaderValue]]] = {}
    for name, value in pairs_of(extra or ()):
        given.setdefault(text_name(name).lower(), []).append((name, value))
    fields.update(given)
    return [(name, value) for group in fields.values() for name, value in group if value is not None]


def shown_fields(pairs: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Write fields for people: a repeated one's values stand behind each other."""
    shown = Headers()
    for name, value in pairs:
        text = name.decode("latin-1")
        shown[text] = f"{shown[text]!s}, {value.decode('latin-1')}" if text in shown else value.decode("latin-1")
    return shown


def pairs_of(fields: HeadersArgument) -> list[tuple[str | bytes, HeaderValue]]:
    """Read headers given as a mapping or as pairs.

    Raises:
        InvalidHeader: They are neither.
    """
    try:
        return [(name, value) for name, value in (fields.items() if isinstance(fields, Mapping) else fields)]
    except (TypeError, ValueError):
        # Not its own words: they may show what was given.
        raise InvalidHeader(f"headers must be a mapping or (name, value) pairs, not {quoted(fields)}") from None


def text_name(name: str | bytes) -> str:
    """Return a header's name as text.

    Raises:
        InvalidHeader: It is neither text nor bytes.
    """
    if isinstance(name, bytes):
        return name.decode("latin-1")
    if not isinstance(name, str):
        raise InvalidHeader(f"header name {quoted(name)} must be text", name=name)
    return name
