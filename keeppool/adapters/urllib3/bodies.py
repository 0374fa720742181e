"""Request bodies that can be read once, and where the others began: what urllib3 needs to send a body again.

Decides: that a body which cannot be put back to its start is not sent again when a part of it has gone.
Knows: what urllib3 takes for a body, and that it winds files back by `body_pos`; its managers do not note that, and of
    an iterator it sends what is left.
Does not know: why a request goes out again; urllib3 decides on redirects and retries.

Source: RFC 9110 §15.4.8 (307), §15.4.9 (308): method and content stay the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from urllib3.exceptions import UnrewindableBodyError
from urllib3.util.request import set_file_position


class OneWayBody:
    """A body without a way back: an iterator, or a reader that cannot tell where it is.

    Attributes:
        is_begun: A part of it was taken.
    """

    def __init__(self, body: Any) -> None:
        self._body = body
        self.is_begun = False

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        self.is_begun = True
        return next(self._body)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)


class OneWayReader(OneWayBody):
    """One that is read as a file is."""

    def read(self, *size: int) -> Any:
        """Read on."""
        self.is_begun = True
        return self._body.read(*size)


def prepared_body(body: Any) -> Any:
    """Give a body as it can be sent: one that can be read once is marked, so that it is not sent by halves.

    Raises:
        UnrewindableBodyError: It was marked before, and a part of it has gone.
    """
    if isinstance(body, OneWayBody):
        if body.is_begun:
            raise UnrewindableBodyError("the body can be read only once, and a part of it has gone out already")
        return body
    if body is None or isinstance(body, (bytes, str, bytearray, memoryview)) or hasattr(body, "tell"):
        return body
    if hasattr(body, "read"):
        return OneWayReader(body)
    return OneWayBody(body) if isinstance(body, Iterator) else body


def starting_point(body: Any, noted: Any) -> Any:
    """Tell where a file begins, for `body_pos`; `noted` is what was told before, for it has been read since."""
    if body is None:
        return None
    return set_file_position(body, None) if noted is None else noted
