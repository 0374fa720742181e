"""A multipart/byteranges body that has neither length nor chunks: it ends with its own closing delimiter.

Decides: where the closing delimiter is.
Knows: how a delimiter is written. The body is delivered as it is, delimiters included.
Does not know: the parts.

Source: RFC 9110 §14.6 (multipart/byteranges), RFC 2046 §5.1.1 (delimiters), RFC 2616 §4.4 (the rule that gave such a
body its length).
"""

from __future__ import annotations

from keeppool.errors import IncompleteBody


class ByteRangesBody:
    """Complete with `--boundary--`. What was fed together with it, a CRLF or an epilogue, is payload too.

    It was sent as a part of the message, and nothing else can follow: the connection is closed.

    Args:
        boundary: As in the Content-Type field, unquoted.
    """

    __slots__ = ("_delimiter", "_seen", "complete", "received", "rest")

    failure = None
    remaining = None
    trailers = ()

    def __init__(self, boundary: bytes) -> None:
        # With its CRLF, and that strictly: a part may hold a line that looks like the delimiter behind a bare LF.
        self._delimiter = b"\r\n--" + boundary + b"--"
        # The end of what was fed, too short to hold a delimiter. The body's first line needs no CRLF before it.
        self._seen = b"\r\n"
        self.complete = False
        self.received = 0
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """Return `data`, until the body is complete. Nothing is held back: the delimiter is payload too."""
        if self.complete:
            self.rest += data
            return b""
        joined = self._seen + data
        start = joined.find(self._delimiter)
        self.complete = start >= 0
        self._seen = joined[-(len(self._delimiter) - 1) :]
        self.received += len(data)
        return data

    def eof(self) -> None:
        """Raise IncompleteBody if the closing delimiter did not come."""
        if not self.complete:
            raise IncompleteBody(
                f"the server closed after {self.received} bytes of a multipart/byteranges body, before its end",
                actual=self.received,
            )
