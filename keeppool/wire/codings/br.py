"""br, where a Brotli library is installed that can bound its output.

Decides: where the data ends, if bytes lie behind it.

Source: RFC 7932.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, Final

from keeppool.forks import undivided
from keeppool.wire.codings.stage import STEP, Stage

#: Bytes of br data that are kept, so that its end can be found if bytes behind it make the library fail. Pages are
#: that short; only a server that pads needs it.
MOST_REMEMBERED: Final = 1 << 20
#: Bytes of br data that one step decodes byte by byte. Each takes 1 µs.
BYTEWISE: Final = 1024


class Brotli(Stage):
    """br (RFC 7932). What lies behind its end is ignored.

    The library does not tell where the stream ends: given one byte too many, it fails and keeps what it has decoded.
    So what was fed is remembered while it is small, and decoded once more up to that place, the last piece byte by
    byte.
    """

    __slots__ = ("_again", "_decompressor", "_fed", "_flows", "_last", "_module", "_rounds_up", "_skip", "_step")

    coding = "br"

    def __init__(self) -> None:
        super().__init__()
        self._module = brotli_module()
        self._rounds_up = self._module.__name__ == "brotli"
        self._decompressor = self._module.Decompressor()
        self._fed: bytearray | None = bytearray()  # `None` if it has become too much to keep
        self._last = 0  # bytes of the last piece in it
        self._flows = False  # the last call gave a block, so there may be another
        self._again: Iterator[bytes] | None = None  # what is still to be decoded for the second time
        self._skip = 0  # bytes of output that were given before
        self._step = STEP

    def _errors(self) -> type[Exception]:
        error: type[Exception] = self._module.error
        return error

    def _decode(self, limit: int) -> bytes:
        if self.ended:
            self._drop_rest()
            return b""
        if self._again is not None:
            return self._repeat(self._again)
        try:
            return self._decode_pieces(limit)
        except self._errors():
            if self._fed is None or self._step == 1:
                raise
        self._begin_again(self._fed)
        return b""

    def _decode_pieces(self, limit: int) -> bytes:
        output = bytearray()
        if self._step == 1:
            self._budget = BYTEWISE
        # What was given before counts as done in this step too: it may be a gigabyte.
        to_skip = self._skip
        while len(output) < limit and to_skip - self._skip < STEP and not self.ended:
            piece = b""
            if self._is_dry():
                if not self._left or self._budget <= 0:
                    break
                piece = self._next_piece(self._step)
                self._remember(piece)
                self._take(len(piece))
            output += self._block(piece, limit - len(output))
            self.ended = self._decompressor.is_finished()
        if self.ended:
            self._fed = None
            self._drop_rest()
        else:
            self.pending = self._left > 0 or not self._is_dry()
        return bytes(output)

    def _is_dry(self) -> bool:
        """Tell whether everything that was fed has been decoded, and its output given."""
        return not self._flows and self._decompressor.can_accept_more_data()

    def _block(self, data: bytes, most: int) -> bytes:
        """Decompress one block, and give what of it was not given before.

        Asked for more than 1, brotli rounds up to its next size, as much as four times.
        """
        block: bytes = self._decompressor.process(data, output_buffer_limit=1 if self._rounds_up else most)
        self._flows = bool(block)
        if self._skip:
            skipped = min(self._skip, len(block))
            self._skip -= skipped
            block = block[skipped:]
        return block

    def _remember(self, piece: bytes) -> None:
        if self._fed is not None:
            self._fed += piece
            self._last = len(piece)
            if len(self._fed) > MOST_REMEMBERED:
                self._fed = None

    def _begin_again(self, fed: bytearray) -> None:
        """Start over; what has failed is the last piece that was fed."""
        self._decompressor, self._flows = self._module.Decompressor(), False
        good = len(fed) - self._last
        self._held, self._at = bytes(fed[good:]) + self._held[self._at :], 0
        self._again = iter([bytes(fed[at : min(at + STEP, good)]) for at in range(0, good, STEP)])
        self._skip, self._fed = self._given, None
        self.pending = True

    def _repeat(self, again: Iterator[bytes]) -> bytes:
        """Decode a piece for the second time."""
        self.pending = True
        piece: bytes | None = b""
        if self._is_dry():
            piece = next(again, None)
            if piece is None:
                self._again, self._step = None, 1
                return b""
        return self._block(piece or b"", STEP)


@functools.cache
def brotli_module() -> Any:
    """Return the Brotli library, or `None` if there is none that can bound its output (added in 1.2)."""
    with undivided:
        try:
            import brotli
        except ImportError:
            try:
                import brotlicffi as brotli
            except ImportError:
                return None
    return brotli if hasattr(brotli.Decompressor, "can_accept_more_data") else None
