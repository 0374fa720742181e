"""The head of a response: when it is whole, and what is in it.

Decides: what is accepted as a status line and as a field. Forgiving where RFC 9112 allows it without doubt about the
    message's end (bare LF, folded lines), strict everywhere else.
Knows: the syntax of a head and how large one may be.
Does not know: what any field means; `framing.py` reads the ones that frame the body.

Two parsers, one result: one that takes heads as servers send them (CRLF, nothing folded) and knows most of their lines
already, and a loop over lines that takes everything allowed and words the errors. A test holds them together.

Source: RFC 9112 §2.2 (line ends), §4 (status line), §5 (fields), §5.2 (folding).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Final

from keeppool.errors import HeadTooLarge, InvalidHead, quoted
from keeppool.wire.fields import PRIVATE, TOKEN_CHARS

#: Bytes one head may have, if nothing else is configured. Chrome takes 256 KiB, the most of the browsers; Node takes
#: 16 KiB and http.client no line beyond 64 KiB, which pages with many large cookies and policies pass.
MAX_HEAD_BYTES: Final = 262144
#: Fields one head may have. Browsers do not count them: this many ordinary ones (128 bytes each) are their 256 KiB.
#: http.client stops at 100, which real pages with many Set-Cookie and Link fields pass.
MAX_HEAD_FIELDS: Final = 2048

#: How much of an offending line an error carries.
_SHOWN = 100

# RFC 9110 §5.5: CR, LF and NUL make a value dangerous; another control character may be kept, and every client does.
_DANGEROUS_CHARS: Final = rb"\x00\r\n"
_STATUS_LINE = re.compile(rb"HTTP/1\.([0-9]) ([1-9][0-9]{2})(?: ([^%b]*+))?" % _DANGEROUS_CHARS)
_FIELD_LINE = re.compile(rb"([%b]++):[ \t]*+([^%b]*+)" % (TOKEN_CHARS, _DANGEROUS_CHARS))
_DANGEROUS = re.compile(rb"[%b]" % _DANGEROUS_CHARS)
_HEAD_END = re.compile(rb"\n\r?\n")

#: Field lines that are remembered: those of a few dozen servers, in half a megabyte at the most.
_MOST_LINES = 1024
#: Bytes of the longest line that is remembered. Longer ones hardly come twice.
_LONGEST_LINE = 128


class _NotPlainError(Exception):
    """A line is no field, or folded: `_parse_lines` knows what to make of it."""


class _FieldLines(dict[bytes, tuple[bytes, bytes]]):
    """What field lines mean, by the line: its name in lower case, and its value.

    A server sends the same lines over and over; of a head's eight to twenty, a handful are new. To look one up costs a
    sixth of parsing it (measured 2026-11, Python 3.11), so a head costs a third of what it would. What a line means
    depends on nothing else, so it does not matter which server sent it first.

    Thread safety: any thread.
    """

    __slots__ = ()

    def __missing__(self, line: bytes) -> tuple[bytes, bytes]:
        match = _FIELD_LINE.fullmatch(line)
        if match is None:
            raise _NotPlainError
        field = match[1].lower(), match[2].rstrip(b" \t")
        if len(line) <= _LONGEST_LINE and not PRIVATE.search(field[0]):
            if len(self) >= _MOST_LINES:
                self.clear()
            self[line] = field
        return field


_field_of = _FieldLines().__getitem__


class ResponseHead:
    """A parsed response head. Bytes stay bytes: text is made by whoever wants to look.

    Args:
        status_line: Version, status and reason.
        lines: The fields as received, in order; folded ones made one line.
        size: As the attribute.

    Attributes:
        version: 10 or 11.
        status: 100 to 999.
        reason: The reason phrase, perhaps empty.
        index: Lower-case name to value; of a repeated field only the last, so ask `get` where `repeated` is true.
        repeated: True if some name occurs more than once.
        size: Bytes of the head.
    """

    __slots__ = ("_lines", "index", "reason", "repeated", "size", "status", "version")

    def __init__(self, status_line: tuple[int, int, str], lines: list[bytes], size: int) -> None:
        self.version, self.status, self.reason = status_line
        self._lines = lines
        self.index = index = dict(map(_field_of, lines))
        self.repeated = len(index) < len(lines)
        self.size = size

    @property
    def lines(self) -> Sequence[bytes]:
        """The fields as received, in order, one a line; folded ones made one line. Not to be changed."""
        return self._lines

    @property
    def names(self) -> list[bytes]:
        """The fields' names as received, in order."""
        return [line.partition(b":")[0] for line in self._lines]

    @property
    def values(self) -> list[bytes]:
        """The fields' values in the same order, without white space around them."""
        return [value for _, value in map(_field_of, self._lines)]

    def get(self, name: bytes) -> bytes | None:
        """Return the value of `name` (lower case), repeated ones joined by a comma; `None` if absent.

        Source: RFC 9110 §5.3.
        """
        if self.repeated and name in self.index:
            return b", ".join(self.get_all(name))
        return self.index.get(name)

    def get_all(self, name: bytes) -> list[bytes]:
        """Return every value of `name` (lower case), in order."""
        return [value for field, value in map(_field_of, self._lines) if field == name]

    def __repr__(self) -> str:
        return f"<ResponseHead {self.status} {self.reason!r}, {len(self._lines)} fields>"


def plain_head(
    data: bytes, start: int = 0, max_bytes: int = MAX_HEAD_BYTES, max_fields: int = MAX_HEAD_FIELDS
) -> ResponseHead | None:
    """Parse the head that begins at `start`, if all of it is there and it is as servers send it.

    Returns:
        `None` if it is not whole, folded, too large, wrong, or begins with a long line: `HeadReader` finds out.
    """
    end = data.find(b"\r\n\r\n", start)
    if end < 0 or end - start > max_bytes - 4:
        return None
    lines = data[start:end].split(b"\r\n")
    status_line = _status(lines[0]) if len(lines[0]) <= _LONGEST_LINE else None
    if status_line is None or len(lines) > max_fields + 1:
        return None
    del lines[0]
    try:
        return ResponseHead(status_line, lines, end - start + 4)
    except _NotPlainError:
        return None


def parse_head(head: bytes) -> ResponseHead:
    """Parse one response head.

    Args:
        head: From `HTTP/` to the empty line, that included.

    Raises:
        InvalidHead: `line` is the start of the offending line.

    Source: RFC 9112 §4, §5.
    """
    plain = plain_head(head)
    return _parse_lines(head) if plain is None or plain.size < len(head) else plain


def _parse_lines(head: bytes) -> ResponseHead:
    first, *lines = head.split(b"\n")
    if lines[-1:] != [b""] or lines[-2:-1] not in ([b""], [b"\r"]):
        raise _invalid("the head does not end with an empty line", first)
    status_line = _parse_status(first.removesuffix(b"\r"))
    if status_line is None:
        raise _invalid("not a status line of HTTP/1.0 or HTTP/1.1", first)
    names, values = parse_field_lines(lines[:-2])
    return ResponseHead(status_line, list(map(b"%b: %b".__mod__, zip(names, values, strict=True))), len(head))


def parse_field_lines(lines: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Parse the field lines of a head or a trailer section, one CR at a line's end allowed.

    Returns:
        Names as received, and values without white space around them.

    Raises:
        InvalidHead: A line is no field, or the first one is folded; `line` is its start.

    Source: RFC 9112 §5.1 (no white space before the colon), §5.2 (a fold becomes a space).
    """
    names: list[bytes] = []
    values: list[list[bytes]] = []
    for ended in lines:
        line = ended.removesuffix(b"\r")
        match = _FIELD_LINE.fullmatch(line)
        if match is not None:
            names.append(match[1])
            values.append([match[2].rstrip(b" \t")])
        elif line[:1] in (b" ", b"\t") and names and not _DANGEROUS.search(line):
            # Joined at the end: each fold would copy all of them before it.
            values[-1].append(line.strip(b" \t"))
        else:
            raise _invalid(_what_is_wrong(line), line)
    return names, [parts[0] if len(parts) == 1 else b" ".join(filter(None, parts)) for parts in values]


def _what_is_wrong(line: bytes) -> str:
    name, colon, value = line.partition(b":")
    if line[:1] in (b" ", b"\t"):
        return "a folded line with nothing before it, or with a CR or NUL in it"
    if not colon:
        return "a line without a colon"
    if not name:
        return "a field without a name"
    if _DANGEROUS.search(value):
        return "a CR or NUL in a field's value"
    if name != name.rstrip(b" \t"):
        return "white space before a field's colon"
    return "a field's name is not a token"


def _invalid(what: str, line: bytes) -> InvalidHead:
    return InvalidHead(f"invalid response head: {what}: {quoted(line, _SHOWN)}", line=line[:_SHOWN])


def _parse_status(line: bytes) -> tuple[int, int, str] | None:
    """Parse a status line into version, status and reason; `None` if it is none."""
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        return None
    minor, status, reason = match.groups(b"")
    # A minor version above ours is read as the highest we know (RFC 9110 §2.5).
    return (10 if minor == b"0" else 11), int(status), reason.rstrip(b" \t").decode("latin-1")


# A connection sees the same two or three lines over and over; to read one anew takes 0.5 µs of a GET's 40.
_status = functools.lru_cache(maxsize=64)(_parse_status)


class HeadReader:
    """Collects bytes until a head is whole, and goes on behind it where that was an interim response.

    Args:
        max_bytes: Largest head taken; also the most that all heads before the last one may have together.
        max_fields: Most fields taken.

    Attributes:
        size: All bytes fed so far.
    """

    __slots__ = ("_at", "_behind", "_held", "_max_bytes", "_max_fields", "_searched", "_whole", "size")

    def __init__(self, max_bytes: int = MAX_HEAD_BYTES, max_fields: int = MAX_HEAD_FIELDS) -> None:
        self._whole = b""  # the first feed, as long as no other is needed
        self._held: bytearray | None = None
        self._at = 0  # where the next head begins, in one or the other
        self._behind = 0  # bytes of the heads before it
        self._searched = 0  # up to where in `_held` there is no head's end
        self._max_bytes = max_bytes
        self._max_fields = max_fields
        self.size = 0

    @property
    def rest(self) -> bytes:
        """The bytes fed that follow the last head found."""
        return self._whole[self._at :] if self._held is None else bytes(self._held[self._at :])

    def feed(self, data: bytes) -> ResponseHead | None:
        """Take bytes from the connection.

        Returns:
            The head as soon as its last byte is there, else `None`.

        Raises:
            InvalidHead: Not HTTP; told from the first bytes where they show it already.
            HeadTooLarge: More bytes or fields than allowed; `limit` is the bound.
        """
        self.size += len(data)
        if self._held is None:
            if not self._whole:
                self._whole = data
                return self._next()
            self._held, self._at = bytearray(self._whole[self._at :]), 0
        self._held += data
        return self._next_held(self._held)

    def following(self) -> ResponseHead | None:
        """Go on behind the head that was found: it was an interim response (RFC 9110 §15.2).

        Returns:
            The next head, if it is in the bytes that were fed already; else `None`, and `feed` goes on.

        Raises:
            InvalidHead, HeadTooLarge: As `feed`; HeadTooLarge also if interim responses do not come to an end.
        """
        if self._behind > self._max_bytes:
            text = f"interim responses of more than {self._max_bytes} bytes and no final one"
            raise HeadTooLarge(text, limit=self._max_bytes)
        return self._next() if self._held is None else self._next_held(self._held)

    def _next(self) -> ResponseHead | None:
        head = plain_head(self._whole, self._at, self._max_bytes, self._max_fields)
        if head is None:
            self._held, self._at = bytearray(self._whole[self._at :]), 0
            return self._next_held(self._held)
        return self._found(head)

    def _next_held(self, held: bytearray) -> ResponseHead | None:
        """Find the end the careful way: over several feeds, and with bare LFs."""
        start = self._at
        lead = bytes(held[start : start + 5])
        if not b"HTTP/".startswith(lead):
            raise _invalid("it does not start with HTTP/", bytes(held[start : start + _SHOWN]).partition(b"\n")[0])
        end = _HEAD_END.search(held, max(start, self._searched - 2))
        self._searched = len(held)
        if (end.end() if end else len(held)) - start > self._max_bytes:
            raise HeadTooLarge(f"the response head has more than {self._max_bytes} bytes", limit=self._max_bytes)
        if end is None:
            return None
        self._searched = end.end()
        head = parse_head(bytes(held[start : end.end()]))
        if len(head.names) > self._max_fields:
            raise HeadTooLarge(f"the response head has more than {self._max_fields} fields", limit=self._max_fields)
        return self._found(head)

    def _found(self, head: ResponseHead) -> ResponseHead:
        self._at += head.size
        self._behind += head.size
        return head
