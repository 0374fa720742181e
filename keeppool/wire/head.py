"""The head of a response: when is it whole, and what does it say.

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
from typing import Final

from keeppool.errors import HeadTooLarge, InvalidHead
from keeppool.wire.fields import CONTROL_CHARS, TOKEN_CHARS

#: Bytes one head may have. http.client takes no line beyond 65536 bytes and Node no head beyond 16384; Chrome's
#: 256 KiB is the most generous of the field, and no head of that size was ever meant.
MAX_HEAD_BYTES: Final = 65536
#: Fields one head may have. http.client stops at 100, which real pages with many Set-Cookie and Link fields pass.
MAX_HEAD_FIELDS: Final = 200

#: How much of an offending line an error carries.
_SHOWN = 100

_STATUS_LINE = re.compile(rb"HTTP/1\.([0-9]) ([1-9][0-9]{2})(?: ([^%b]*+))?" % CONTROL_CHARS)
_FIELD_LINE = re.compile(rb"([%b]++):[ \t]*+([^%b]*+)" % (TOKEN_CHARS, CONTROL_CHARS))
_CONTROL = re.compile(rb"[%b]" % CONTROL_CHARS)
_HEAD_END = re.compile(rb"\n\r?\n")

#: Field lines that are remembered: those of a few dozen servers, in half a megabyte at the most.
_MOST_LINES = 1024
#: Bytes of the longest line that is remembered. Longer ones hardly come twice.
_LONGEST_LINE = 128
#: Names whose values may be secrets, which shall not outlive their answer.
_PRIVATE = re.compile(rb"cookie|auth|token|secret|session|csrf|key|location|link")


class _NotPlainError(Exception):
    """A line is no field, or folded: `_parse_lines` knows what to make of it."""


class _FieldLines(dict[bytes, tuple[bytes, bytes]]):
    """What field lines say, by the line: its name in lower case, and its value.

    A server says the same lines over and over; of a head's eight to twenty, a handful are new. To look one up costs a
    sixth of parsing it (measured 2026-11, Python 3.11), so a head costs a third of what it would. What a line says
    depends on nothing else, so it does not matter who said it first.

    Thread safety: any thread.
    """

    __slots__ = ()

    def __missing__(self, line: bytes) -> tuple[bytes, bytes]:
        match = _FIELD_LINE.fullmatch(line)
        if match is None:
            raise _NotPlainError
        field = match[1].lower(), match[2].rstrip(b" \t")
        if len(line) <= _LONGEST_LINE and not _PRIVATE.search(field[0]):
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


def plain_head(data: bytes) -> ResponseHead | None:
    """Parse the head that `data` begins with, if all of it is there and it is as servers send it.

    Returns:
        `None` if it is not whole, folded, too large or wrong: `HeadReader` finds out.
    """
    head, end, _ = data.partition(b"\r\n\r\n")
    if not end or len(head) > MAX_HEAD_BYTES - 4:
        return None
    lines = head.split(b"\r\n")
    status_line = _status(lines[0])
    if status_line is None or len(lines) > MAX_HEAD_FIELDS + 1:
        return None
    del lines[0]
    try:
        return ResponseHead(status_line, lines, len(head) + 4)
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
    status_line = _status(first.removesuffix(b"\r"))
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
    values: list[bytes] = []
    for ended in lines:
        line = ended.removesuffix(b"\r")
        match = _FIELD_LINE.fullmatch(line)
        if match is not None:
            names.append(match[1])
            values.append(match[2].rstrip(b" \t"))
        elif line[:1] in (b" ", b"\t") and names and not _CONTROL.search(line.replace(b"\t", b" ")):
            values[-1] = (values[-1] + b" " + line.strip(b" \t")).strip(b" ")
        else:
            raise _invalid(_what_is_wrong(line), line)
    return names, values


def _what_is_wrong(line: bytes) -> str:
    name, colon, value = line.partition(b":")
    if line[:1] in (b" ", b"\t"):
        return "a folded line with nothing before it, or with a control character"
    if not colon:
        return "a line without a colon"
    if not name:
        return "a field without a name"
    if _CONTROL.search(value):
        return "a control character in a field's value"
    if name != name.rstrip(b" \t"):
        return "white space before a field's colon"
    return "a field's name is not a token"


def _invalid(what: str, line: bytes) -> InvalidHead:
    shown = line[:_SHOWN]
    return InvalidHead(f"invalid response head: {what}: {shown!r}", line=shown)


# A connection sees the same two or three lines over and over. 64 of them, each shorter than a head, cannot fill memory.
@functools.lru_cache(maxsize=64)
def _status(line: bytes) -> tuple[int, int, str] | None:
    """Parse a status line into version, status and reason; `None` if it is none."""
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        return None
    minor, status, reason = match.groups(b"")
    # A minor version above ours is read as the highest we know (RFC 9110 §2.5).
    return (10 if minor == b"0" else 11), int(status), reason.rstrip(b" \t").decode("latin-1")


class HeadReader:
    """Collects bytes until a head is whole. One reader reads one head.

    Args:
        max_bytes: Largest head taken.
        max_fields: Most fields taken.

    Attributes:
        rest: The bytes fed that follow the head.
        size: All bytes fed so far.
    """

    __slots__ = ("_held", "_max_bytes", "_max_fields", "rest", "size")

    def __init__(self, max_bytes: int = MAX_HEAD_BYTES, max_fields: int = MAX_HEAD_FIELDS) -> None:
        self._held: bytearray | None = None
        self._max_bytes = max_bytes
        self._max_fields = max_fields
        self.rest = b""
        self.size = 0

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
            head = plain_head(data)
            if head is not None and head.size <= self._max_bytes and len(head.names) <= self._max_fields:
                self.rest = data[head.size :]
                return head
        return self._feed_held(data)

    def _feed_held(self, data: bytes) -> ResponseHead | None:
        """Find the end the careful way: over several feeds, and with bare LFs."""
        held = self._held
        if held is None:
            held = self._held = bytearray()
        searched = max(0, len(held) - 2)
        held += data
        if not held.startswith(b"HTTP/"[: len(held)]):
            raise _invalid("it does not start with HTTP/", bytes(held[:_SHOWN]).partition(b"\n")[0])
        end = _HEAD_END.search(held, searched)
        if (end.end() if end else len(held)) > self._max_bytes:
            raise HeadTooLarge(f"the response head has more than {self._max_bytes} bytes", limit=self._max_bytes)
        if end is None:
            return None
        self.rest = bytes(held[end.end() :])
        return self._counted(parse_head(bytes(held[: end.end()])))

    def _counted(self, head: ResponseHead) -> ResponseHead:
        if len(head.names) > self._max_fields:
            raise HeadTooLarge(f"the response head has more than {self._max_fields} fields", limit=self._max_fields)
        return head
