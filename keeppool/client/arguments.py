"""The forms in which a caller may write the arguments of a call.

Knows: what requests takes. Whoever reads an argument says what it means, and refuses what is in none of its forms.
Does not know: anything of the client, which imports this everywhere.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from http.cookiejar import CookieJar


class SupportsRead(Protocol):
    """A file, of bytes or of text."""

    def read(self, size: int, /) -> bytes | str:
        """Read up to `size` bytes or characters; nothing at the end."""


#: What a mapping or pairs may hold is for `str` to write; lists repeat their name, and `None` is left out.
Pairs = Mapping[Any, Any] | Iterable[tuple[Any, Any]]
ParamsArgument = Pairs | str | bytes | None

_Pieces: TypeAlias = Iterable[bytes] | Iterable[str] | AsyncIterable[bytes]
#: A form's fields, or a body: text, bytes, a file, pieces, or a function that makes one of these.
DataArgument: TypeAlias = (
    Pairs | str | bytes | bytearray | memoryview | SupportsRead | _Pieces | Callable[[], Any] | None
)
#: A body as it is, never a form: text, bytes, a file, pieces, or a function that makes one of these.
ContentArgument: TypeAlias = str | bytes | bytearray | memoryview | SupportsRead | _Pieces | Callable[[], Any] | None
_Content: TypeAlias = str | bytes | bytearray | SupportsRead
#: (file name, content[, media type[, header fields]])
_Described: TypeAlias = (
    tuple[str | None, _Content]
    | tuple[str | None, _Content, str | None]
    | tuple[str | None, _Content, str | None, Mapping[str, str]]
)
FilesArgument: TypeAlias = Mapping[str, _Content | _Described] | Iterable[tuple[str, _Content | _Described]] | None

#: (user, password), or what is called with the prepared request and gives the one to send.
AuthArgument = tuple[str | bytes, str | bytes] | Callable[[Any], object] | None
CookiesArgument: TypeAlias = "Mapping[str, str] | CookieJar"

HeaderValue = str | bytes | None
HeadersArgument = Mapping[str, HeaderValue] | Mapping[bytes, HeaderValue] | Iterable[tuple[str | bytes, HeaderValue]]

#: Called with the response and what holds for its sending; what it returns, unless it is `None`, is the response.
Hook = Callable[..., object]
HooksArgument = Mapping[str, Hook | Iterable[Hook]] | None

#: By scheme, or by scheme and host.
ProxiesArgument = Mapping[str, str | None] | None
#: A file with certificate and key, or (certificate, key).
CertArgument = str | tuple[str, str] | None
