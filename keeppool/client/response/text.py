"""From a body's bytes to text: which encoding, which lines.

Decides: the encoding where the server names none, and where a line ends if the pieces cut it.
Knows: Content-Type, byte order marks.
Does not know: where the bytes come from.

Source: RFC 9110 §8.3.1, §8.3.2 (media type, charset); RFC 8259 §8.1 (JSON is UTF-8). ISO-8859-1 as the default of text
    types is RFC 2616 §3.7.1's; RFC 9110 dropped it, but requests and its callers count on it.
"""

from __future__ import annotations

import codecs
import functools
import sys
from collections.abc import Iterable, Iterator
from typing import AnyStr, Final, Generic

from keeppool.client.response.charsets import believed
from keeppool.deferred import late

#: Encodings remembered as known or not; the web uses a few dozen, and a hostile server must not fill the memory.
_REMEMBERED: Final = 64

# UTF-32's little-endian mark begins with UTF-16's, so it is looked for first.
_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def stated_encoding(content_type: str | None) -> str | None:
    """Read the encoding a Content-Type names or implies; `None` if it does neither.

    Args:
        content_type: The field's value: its charset if that is believed, else ISO-8859-1 for text, UTF-8 for JSON.
    """
    if not content_type:
        return None
    media_type, *parameters = content_type.split(";")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip(" '\"").lower() == "charset" and (encoding := believed(value.strip(" '\""))) is not None:
            return encoding
    media_type = media_type.lower()
    if "text" in media_type:
        return "ISO-8859-1"
    return "utf-8" if "application/json" in media_type else None


def apparent_encoding(content: bytes) -> str:
    """Guess an encoding from the bytes: a byte order mark, UTF-8 if they are that, else what statistics say.

    Returns:
        A name Python knows. ISO-8859-1, which reads any bytes, if charset_normalizer is not installed or at a loss.
    """
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return encoding
    try:
        content.decode()
    except UnicodeDecodeError:
        return _statistical_encoding(content)
    return "utf-8"


def _statistical_encoding(content: bytes) -> str:
    try:
        normalizer = late("charset_normalizer")
    except ImportError:
        return "ISO-8859-1"
    best = normalizer.from_bytes(content).best()
    return "ISO-8859-1" if best is None else str(best.encoding)


def decoded(content: bytes, encoding: str) -> str:
    """Decode for people: bytes the encoding does not know are replaced; an unknown encoding is read as UTF-8."""
    return str(content, _known(encoding), "replace")


class PieceDecoder:
    """Decodes piece by piece; a character cut in two comes with the second piece. Unknown encodings as in `decoded`."""

    __slots__ = ("_decoder", "_encoding")

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(_known(encoding))("replace")

    def feed(self, piece: bytes) -> str:
        """Take a piece, give the text that is whole."""
        try:
            return self._decoder.decode(piece)
        except UnicodeError:
            # UTF-16 and UTF-32 without a byte order mark: read as `str` reads them, in this machine's order.
            name = f"{codecs.lookup(self._encoding).name}-{sys.byteorder[0]}e"
            held, _ = self._decoder.getstate()
            self._decoder = codecs.getincrementaldecoder(name)("replace")
            return self._decoder.decode(held + piece)

    def finish(self) -> str:
        """Give what is left of a character that was not finished."""
        return self._decoder.decode(b"", final=True)


def decoded_pieces(pieces: Iterable[bytes], encoding: str) -> Iterator[str]:
    """Decode a stream; see `PieceDecoder`."""
    decoder = PieceDecoder(encoding)
    for piece in pieces:
        if text := decoder.feed(piece):
            yield text
    if text := decoder.finish():
        yield text


@functools.lru_cache(maxsize=_REMEMBERED)
def _known(encoding: str) -> str:
    """Return the encoding if it is one of text, else UTF-8: servers send any name, also Python's "zlib" and "idna"."""
    try:
        codecs.getincrementaldecoder(encoding)
        str(b"?", encoding, "replace")
    except (LookupError, ValueError):  # ValueError: a NUL in the name, or a codec that replaces nothing.
        return "utf-8"
    return encoding


class LineCutter(Generic[AnyStr]):
    """Cuts a stream into lines without their ends: the same lines however the stream was cut into pieces.

    Args:
        delimiter: What ends a line; `None` for all that `splitlines` knows, CR LF counting once.
    """

    __slots__ = ("_carried", "_delimiter", "_held")

    def __init__(self, delimiter: AnyStr | None) -> None:
        self._delimiter: AnyStr | None = delimiter
        #: The pieces of a line whose end has not come, joined once when it does.
        self._held: list[AnyStr] = []
        #: What follows them and may belong to a line end that was cut in two.
        self._carried: AnyStr | None = None

    def feed(self, piece: AnyStr) -> list[AnyStr]:
        """Take a piece of bytes or text, give the lines that are surely whole."""
        text = piece if self._carried is None else self._carried + piece
        if not text:
            return []
        whole: list[AnyStr] = self._split(text) if self._delimiter is None else self._split_at(text, self._delimiter)
        rest = whole.pop()
        if whole and self._held:
            self._held.append(whole[0])
            whole[0] = text[:0].join(self._held)
            self._held = []
        if rest:
            self._held.append(rest)
        return whole

    def finish(self) -> list[AnyStr]:
        """Give the last line, if it had no end."""
        if self._carried and self._delimiter is not None:
            self._held.append(self._carried)
            self._carried = None
        if self._held:
            return [self._held[0][:0].join(self._held)]
        return [self._carried[:0]] if self._carried else []

    def _split(self, text: AnyStr) -> list[AnyStr]:
        """Split at line ends; the last part is what has no end yet. A CR there may be the first half of CR LF."""
        last = text[-1:]
        if last[0] in ("\r", 13):  # Text gives "\r" here, bytes 13.
            text, self._carried = text[:-1], last
        else:
            self._carried = None
        parts: list[AnyStr] = text.splitlines()
        last = text[-1:]
        if not last or last.splitlines() != [last]:
            parts.append(text[:0])
        return parts

    def _split_at(self, text: AnyStr, delimiter: AnyStr) -> list[AnyStr]:
        """Split at a delimiter; the last part is what has none yet, but for what may be the first half of one."""
        parts: list[AnyStr] = text.split(delimiter)
        rest = parts[-1]
        at = max(0, len(rest) - len(delimiter) + 1)
        parts[-1], self._carried = rest[:at], rest[at:]
        return parts


def lines(pieces: Iterable[AnyStr], delimiter: AnyStr | None) -> Iterator[AnyStr]:
    """Cut a stream into lines; see `LineCutter`."""
    cutter = LineCutter(delimiter)
    for piece in pieces:
        yield from cutter.feed(piece)
    yield from cutter.finish()
