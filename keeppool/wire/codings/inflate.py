"""gzip and deflate.

Decides: which of two formats "deflate" means.
Knows: zlib, which may hold output when its input is used up, and hands back as a copy what it did not use.

These are our own few lines around the decompressors because urllib3's decoders do not tell a stream that stopped
short from a complete one, and can leave the last bytes behind when the output is bounded.

Source: RFC 1950, 1951, 1952 (zlib, deflate, gzip).
"""

from __future__ import annotations

import zlib
from typing import Any, Final

from keeppool.wire.codings.stage import STEP, Members, Stage

_GZIP_MAGIC: Final = b"\x1f\x8b"


class Gzip(Members):
    """gzip: one member or several (RFC 1952 §2.2)."""

    __slots__ = ("_inflater",)

    coding = "gzip"

    def __init__(self) -> None:
        super().__init__()
        self._inflater: Any = zlib.decompressobj(16 + zlib.MAX_WBITS)

    def _begun(self) -> bool:
        if not self.ended:
            return True
        lead = self._held[self._at : self._at + 2]
        if not _GZIP_MAGIC.startswith(lead):
            self._is_junk = True
        elif lead == _GZIP_MAGIC:
            self._inflater = zlib.decompressobj(16 + zlib.MAX_WBITS)
            self.ended = False
            return True
        self.pending = False
        return False

    def _decode_piece(self, limit: int) -> tuple[bytes, bool]:
        before = None if self._is_first or self._is_sure else self._inflater.copy()
        try:
            output, ended, self.pending = _inflate(self, self._inflater, self._piece, limit)
        except zlib.error:
            self._is_sure = before is None or _gives_a_byte(before, self._next_piece(self._piece))
            raise
        self._grow_piece()
        return output, ended


class Deflate(Stage):
    """deflate: meant is zlib's format, sent by some is the bare one (RFC 9110 §8.4.1.2 has the warning)."""

    __slots__ = ("_inflater",)

    coding = "deflate"

    def __init__(self) -> None:
        super().__init__()
        self._inflater: Any = None

    def _decode(self, limit: int) -> bytes:
        if self._inflater is None and not self.ended:
            if self._left < 2:
                return b""
            lead = self._held[self._at : self._at + 2]
            self._inflater = zlib.decompressobj(zlib.MAX_WBITS if _has_zlib_header(lead) else -zlib.MAX_WBITS)
        if self.ended:
            self._drop_rest()
            return b""
        output, self.ended, self.pending = _inflate(self, self._inflater, STEP, limit)
        if self.ended:
            self._drop_rest()
        return output


def _inflate(stage: Stage, inflater: Any, most: int, limit: int) -> tuple[bytes, bool, bool]:
    """Inflate a piece of what a stage holds; give the output, whether that was the end, whether there is more to do."""
    piece = stage._next_piece(most)
    output: bytes = inflater.decompress(piece, limit)
    ended: bool = inflater.eof
    stage._take(len(piece) - len(inflater.unused_data if ended else inflater.unconsumed_tail))
    # Output as long as the limit: there may be more of it inside, even if all input is used up.
    return output, ended, not ended and (stage._left > 0 or len(output) == limit)


def _gives_a_byte(inflater: Any, data: bytes) -> bool:
    """Tell whether something is decoded before the fault in `data`."""
    try:
        return any(inflater.decompress(data[at : at + 1]) for at in range(len(data)))
    except zlib.error:
        return False


def _has_zlib_header(data: bytes) -> bool:
    """Tell zlib's two header bytes (RFC 1950 §2.2) from bare deflate.

    No encoder's bare stream passes for one: it would begin with a stored block whose padding bits are not zero.
    """
    return data[0] & 0x0F == 8 and (data[0] << 8 | data[1]) % 31 == 0
