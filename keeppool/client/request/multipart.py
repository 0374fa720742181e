"""Forms with files in them: multipart/form-data, by urllib3.

Decides: what is read into memory and what is sent from its file.
Knows: the forms requests takes for `files`. urllib3's `RequestField` renders each part's head, its `choose_boundary`
    makes the boundary.
Does not know: how the body is framed and sent (`wire.body`).

Source: RFC 7578 (multipart/form-data), RFC 2046 §5.1 (multipart); names are escaped as the WHATWG's HTML standard has
    it, "multipart/form-data encoding algorithm", which is what browsers send.
"""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final

from keeppool.deferred import have_urllib3
from keeppool.errors import (
    InvalidBody,
    InvalidHeader,
    quoted,
)

if TYPE_CHECKING:
    from urllib3.fields import RequestField

#: Bytes from which on a file is sent from where it is. Below, one read and one send of bytes in memory are quicker than
#: reading it in pieces, and a body in memory can be sent again after the file was closed.
STREAMED_SIZE: Final = 1 << 20

_LINE_BREAKERS: Final = frozenset("\r\n\0")


class MultipartStream:
    """A form whose large files are read while it is sent: a file to read from, of known size, never held in memory.

    The files stay their owner's: they are not closed, but moved. They must be open until the form is sent.

    Args:
        pieces: Bytes, and sections of files, in order.

    Attributes:
        len: Bytes in all; the name requests-toolbelt gave it.

    Thread safety: one thread at a time.
    """

    __slots__ = ("_ends", "_pieces", "_position", "len")

    def __init__(self, pieces: list[bytes | FileSection]) -> None:
        self._pieces = pieces
        self._ends = list(accumulate(len(piece) for piece in pieces))
        self._position = 0
        self.len = self._ends[-1] if pieces else 0

    @property
    def closed(self) -> bool:
        """True if one of the files is: the form cannot be read any more."""
        return any(piece.is_closed for piece in self._pieces if isinstance(piece, FileSection))

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position, counted from the start, from here, or from the end; the files follow when they are read."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.len}[whence]
        self._position = max(0, base + offset)
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """Read up to `size` bytes, all if it is negative or `None`; fewer only at the end, or where a file has shrunk.

        Raises:
            OSError, ValueError: A file cannot be read, or was closed.
        """
        wanted = self.len - self._position if size is None or size < 0 else size
        found = []
        while wanted > 0 and self._position < self.len:
            piece = self._next(wanted)
            if not piece:
                break
            found.append(piece)
            wanted -= len(piece)
            self._position += len(piece)
        return b"".join(found)

    def _next(self, size: int) -> bytes:
        index = bisect_right(self._ends, self._position)
        piece = self._pieces[index]
        start = self._position - (self._ends[index] - len(piece))
        return piece[start : start + size] if isinstance(piece, bytes) else piece.read(start, size)


class FileSection:
    """A file from where it stood to its end."""

    __slots__ = ("_file", "_size", "_start")

    def __init__(self, file: Any, start: int, size: int) -> None:
        self._file = file
        self._start = start
        self._size = size

    def __len__(self) -> int:
        return self._size

    @property
    def is_closed(self) -> bool:
        """True if it cannot be read any more."""
        return bool(getattr(self._file, "closed", False))

    def read(self, start: int, size: int) -> bytes:
        """Read from a position within the section, never beyond it."""
        # Each time, because the same file may stand in two places of the form.
        self._file.seek(self._start + start)
        data: bytes = self._file.read(min(size, self._size - start))
        return data


def encode_files(data: Any, files: Any) -> tuple[bytes | MultipartStream, str]:
    """Write fields and files as multipart/form-data.

    Files are read from where they stand. A seekable one of `STREAMED_SIZE` or more is read while it is sent, others
    now.

    Args:
        data: The other fields: a mapping or pairs; a list of values repeats its name, `None` is left out.
        files: A mapping or pairs from a field's name to a file, or to its content as bytes or text, or to a tuple
            (filename, one of those[, content type[, mapping of part headers]]). Without a tuple a file's own name is
            sent, else the field's. `None` as a file is left out.

    Returns:
        The body, and the content type with its boundary.

    Raises:
        InvalidBody: `data` is text, bytes or a stream, which cannot be combined with files; there are no files; or one
            of the two is in none of these forms.
        InvalidHeader: A part's content type or header holds a line break.

    Source: RFC 7578 §4.
    """
    have_urllib3()
    from urllib3.filepost import choose_boundary

    if not files:
        raise InvalidBody("there are no files")
    boundary = choose_boundary()
    pieces: list[bytes | FileSection] = []
    for head, content in (*_fields(data), *_files(files)):
        pieces += [f"--{boundary}\r\n".encode(), head, content, b"\r\n"]
    pieces.append(f"--{boundary}--\r\n".encode())
    content_type = f"multipart/form-data; boundary={boundary}"
    in_memory = [piece for piece in pieces if isinstance(piece, bytes)]
    if len(in_memory) == len(pieces):
        return b"".join(in_memory), content_type
    return MultipartStream(pieces), content_type


def _fields(data: Any) -> Iterator[tuple[bytes, bytes]]:
    if data and not isinstance(data, (Mapping, list, tuple)):
        raise InvalidBody(f"data must be a mapping or pairs where there are files, not {type(data).__name__}")
    for name, values in _pairs("data", data):
        for value in [values] if isinstance(values, (str, bytes)) or not isinstance(values, Iterable) else values:
            if value is not None:
                yield _head(name, None), value if isinstance(value, bytes) else _encoded(str(value))


def _files(files: Any) -> Iterator[tuple[bytes, bytes | FileSection]]:
    for name, value in _pairs("files", files):
        filename, file, content_type, headers = _described(name, value)
        if file is not None:
            yield _head(name, filename, content_type, headers), _content(name, file)


def _pairs(what: str, fields: Any) -> list[tuple[str, Any]]:
    if not fields:
        return []
    try:
        pairs = [(name, value) for name, value in (fields.items() if isinstance(fields, Mapping) else fields)]
    except (TypeError, ValueError) as error:
        raise InvalidBody(f"{what} must be a mapping or (name, value) pairs where there are files") from error
    return [(_text(name), value) for name, value in pairs]


def _described(name: str, value: Any) -> tuple[str | None, Any, str | None, Mapping[str, str] | None]:
    """Read the forms a file may have."""
    if not isinstance(value, (tuple, list)):
        return _name_of(value) or name, value, None, None
    if not 2 <= len(value) <= 4:
        raise InvalidBody(f"file {name!r} must be (filename, file[, content type[, headers]]): {len(value)} were given")
    filename, file, content_type, headers = (*value, None, None)[:4]
    return None if filename is None else _text(filename), file, content_type, headers


def _name_of(file: object) -> str | None:
    """Return the last part of a file's own name; what stands in angle brackets, such as `<stdin>`, is none."""
    name = getattr(file, "name", None)
    if not isinstance(name, (str, bytes)) or not name:
        return None
    text = _text(name)
    return None if text.startswith("<") or text.endswith(">") else PurePath(text).name


def _head(
    name: str, filename: str | None, content_type: str | None = None, headers: Mapping[str, str] | None = None
) -> bytes:
    have_urllib3()
    from urllib3.fields import RequestField

    try:
        field = RequestField(name, b"", filename, headers)
    except (TypeError, ValueError) as error:
        raise InvalidBody(f"the headers of file {name!r} must be a mapping, not {headers!r}") from error
    field.make_multipart(content_type=content_type)
    _check(field)
    return _encoded(field.render_headers())


def _check(field: RequestField) -> None:
    """Refuse what would end a part's header, or its head, early: urllib3 escapes names, and takes the rest as it is."""
    for name, value in field.headers.items():
        if not _LINE_BREAKERS.isdisjoint(f"{name}{value}"):
            raise InvalidHeader(f"a part's header {quoted(name)} holds a line break", name=name)


def _content(name: str, file: Any) -> bytes | FileSection:
    if hasattr(file, "read"):
        section = _section(file)
        if section is not None:
            return section
        file = file.read()
    if isinstance(file, (bytes, bytearray, memoryview)):
        return bytes(file)
    if isinstance(file, (str, int)):  # requests takes a number for its digits.
        return _encoded(str(file))
    raise InvalidBody(f"file {name!r} must be bytes, text or have a `read` that gives them, not {type(file).__name__}")


def _section(file: Any) -> FileSection | None:
    """Measure a file by seeking; `None` if it is small, of text, or cannot be measured or had again."""
    try:
        if isinstance(file, io.TextIOBase) or not isinstance(file.read(0), bytes):
            return None
        start = file.tell()
        size = file.seek(0, io.SEEK_END) - start
        file.seek(start)
    except (AttributeError, TypeError, OSError, ValueError):
        return None
    return FileSection(file, start, size) if size >= STREAMED_SIZE else None


def _text(name: object) -> str:
    return name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else str(name)


def _encoded(text: str) -> bytes:
    # A file's name that is no UTF-8 comes from Python with its bytes as lone surrogates, and goes out as they were.
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise InvalidBody(f"{text[:100]!r} holds a lone surrogate, which UTF-8 cannot write") from error
