"""Content codings, several of them on top of each other, undone step by step.

Decides: which codings are offered, and how far one step goes through a chain of them.
Knows: the field that names them.
Does not know: how one coding is undone (`codings/`), framing, and what the content is.

Source: RFC 9110 §8.4 (Content-Encoding), §8.4.1 (codings), §12.5.3 (Accept-Encoding).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Final

from keeppool.errors import ContentDecodingError, quoted
from keeppool.wire.codings.br import Brotli, brotli_module
from keeppool.wire.codings.inflate import Deflate, Gzip
from keeppool.wire.codings.stage import STEP, Stage
from keeppool.wire.codings.zstandard import Zstd, zstd_module

#: Codings one body may have. curl and urllib3 stop at 5 too; nobody means more than two.
MAX_CODINGS: Final = 5
#: What a field may say where there is none.
_NO_CODINGS: Final = (b"", b"identity")
#: Bytes of output asked for in one step where nobody waits for the first.
_WHOLE_STEP: Final = 1 << 20


class Decoder:
    """Undoes the content codings of one body, in steps that are bounded in what they take and in what they give.

    Attributes:
        pending: True if there is more to do with what was fed: call `feed(b"", limit)` until it is false.
    """

    __slots__ = ("_fed", "_stages")

    def __init__(self, stages: list[Stage]) -> None:
        self._stages = stages  # the coding applied last comes first
        self._fed = 0

    @property
    def pending(self) -> bool:
        """True if `feed(b"", limit)` has something left to do, and may give more output."""
        return any(stage.pending for stage in self._stages)

    def feed(self, data: bytes, limit: int) -> bytes:
        """Take encoded bytes, do one step, and return what was decoded by it.

        A step takes at most `STEP` bytes through each coding. It may give nothing although something is `pending`:
        between two steps it is the caller's turn to look at the clock, and at whoever else wants to run.

        Args:
            data: Encoded bytes; they are all taken, however few of them this step decodes. Fed while something is
                pending they are copied together with what is there.
            limit: Bytes of output after which to stop, at least 1. Brotli may give up to one of its blocks (32 KiB)
                more.

        Raises:
            ContentDecodingError: The data is damaged, or has far more bytes than content; `coding` names the coding.
                The decoder is of no further use.
        """
        if not self._stages:
            return b""
        limit = max(1, limit)  # zlib would read 0 as "no limit"
        self._fed += len(data)
        start = 0
        for number, stage in enumerate(self._stages):
            if stage.pending:
                start = number
        if start:
            # A later stage has work waiting. Feeding the ones before it would only make it hold more.
            self._stages[0].hold(data)
            data = b""
        last = self._stages[-1]
        for stage in self._stages[start:]:
            data = stage.feed(data, limit if stage is last else STEP)
            stage.check_worth(self._fed)
        return data

    def finish(self) -> None:
        """Check that the data is complete. Call it behind the body's end, once nothing is pending.

        An empty body is complete: a HEAD or 304 has the field but no content. What is complete lets go of its memory,
        tens of KiB that a response would keep for as long as the caller keeps that; whatever is fed then is ignored.

        Raises:
            ContentDecodingError: The data stopped short; `coding` names the coding.
        """
        for stage in self._stages:
            if stage.started and not stage.ended:
                raise ContentDecodingError(f"the {stage.coding} data stops short of its end", coding=stage.coding)
        self._stages = []


def content_decoder(content_encoding: bytes) -> Decoder | None:
    """Make the decoder for a body.

    Args:
        content_encoding: The value of the Content-Encoding field.

    Returns:
        `None` if there is nothing to decode, or a coding is not known or its library not installed: the body is then
        to be given as it is.

    Raises:
        ContentDecodingError: More than five codings: that is an attack, not a body.
    """
    codings = [coding.strip(b" \t").lower() for coding in content_encoding.split(b",")]
    named = [coding for coding in codings if coding not in _NO_CODINGS]
    if len(named) > MAX_CODINGS:
        raise ContentDecodingError(
            f"more than {MAX_CODINGS} content codings: {quoted(content_encoding, 80)}",
            coding=content_encoding[:80].decode("latin-1"),
        )
    stages = [_STAGES.get(coding) for coding in reversed(named)]
    if not stages or not all(stage and _is_installed(stage) for stage in stages):
        return None
    return Decoder([stage() for stage in stages if stage])


def decoded_whole(data: bytes, content_encoding: bytes) -> bytes | None:
    """Undo the content codings of a body that is there whole, however much comes of it.

    Args:
        data: The body.
        content_encoding: The value of the Content-Encoding field; empty for none.

    Returns:
        `None` if it is damaged, or a coding is not known or its library not installed.
    """
    try:
        decoder = content_decoder(content_encoding)
        if decoder is None:
            named = [coding for coding in content_encoding.lower().split(b",") if coding.strip() not in _NO_CODINGS]
            return None if named and data else data
        pieces = [decoder.feed(data, _WHOLE_STEP)]
        while decoder.pending:
            pieces.append(decoder.feed(b"", _WHOLE_STEP))
        decoder.finish()
    except ContentDecodingError:
        return None
    return b"".join(pieces)


@functools.cache
def accept_encoding() -> str:
    """Return the Accept-Encoding value that offers what can be decoded here."""
    codings = ["gzip", "deflate"]
    codings += [stage.coding for stage in (Brotli, Zstd) if _is_installed(stage)]
    return ", ".join(codings)


# RFC 9110 §8.4.1.3: x-gzip is gzip.
_STAGES: Final[dict[bytes, Callable[[], Stage]]] = {
    b"gzip": Gzip,
    b"x-gzip": Gzip,
    b"deflate": Deflate,
    b"br": Brotli,
    b"zstd": Zstd,
}


def _is_installed(stage: Callable[[], Stage]) -> bool:
    if stage is Brotli:
        return brotli_module() is not None
    return stage is not Zstd or zstd_module() is not None
