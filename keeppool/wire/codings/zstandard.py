"""zstd, where the Zstandard library is installed or part of Python.

Decides: how much memory a sender may ask for.

Source: RFC 8878 (format), RFC 9659 (window).
"""

from __future__ import annotations

import functools
import sys
from typing import Any, Final

from keeppool.forks import undivided
from keeppool.wire.codings.stage import Members

#: Zstandard may ask for memory of its window's size. 8 MiB is the most an HTTP sender may ask for (RFC 9659 §3).
_ZSTD_WINDOW_LOG: Final = 23
#: RFC 8878 §3.1.1; §3.1.2, where the first byte is 50 to 5F.
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE: Final = b"\x2a\x4d\x18"
#: Bytes in a frame's header: of the dictionary's number, by the lowest two bits of the fifth byte, and of the content's
#: size, by the highest two (RFC 8878 §3.1.1.1).
_NUMBER_BYTES: Final = (0, 1, 2, 4)
_SIZE_BYTES: Final = (0, 2, 4, 8)


class Zstd(Members):
    """zstd: one frame or several, skippable ones among them (RFC 8878 §3.1)."""

    __slots__ = ("_decompressor", "_header", "_module", "_skipped")

    coding = "zstd"

    def __init__(self) -> None:
        super().__init__()
        self._module = zstd_module()
        self._decompressor: Any = None
        self._header = 0  # bytes of the frame's header, until they are fed
        self._skipped = 0  # bytes of a skippable frame that are still to come

    def _errors(self) -> type[Exception]:
        error: type[Exception] = self._module.ZstdError
        return error

    def _begun(self) -> bool:
        if self._decompressor is not None or self._skipped:
            return True
        lead = self._held[self._at : self._at + 8]
        if not lead:
            return False
        if lead[1:4] == _ZSTD_SKIPPABLE[: len(lead) - 1] and lead[0] & 0xF0 == 0x50:
            if len(lead) < 8:
                return False
            # A decompressor for each would cost a hundred times what there is to do.
            self._take(8)
            self._skipped = int.from_bytes(lead[4:], "little")
            self.ended = False
            return True
        if not self._is_first and not _ZSTD_MAGIC.startswith(lead[:4]):
            self._is_junk = True
            return False
        if len(lead) < 4:
            return False
        self.ended = False
        if len(lead) < 5 or self._left < _header_size(lead[4]):
            return False
        self._header = _header_size(lead[4])
        window = self._module.DecompressionParameter.window_log_max
        self._decompressor = self._module.ZstdDecompressor(options={window: _ZSTD_WINDOW_LOG})
        return True

    def _decode_piece(self, limit: int) -> tuple[bytes, bool]:
        if self._decompressor is None:
            size = min(self._skipped, self._left)
            self._take(size)
            self._skipped -= size
            return b"", not self._skipped
        if self._header:
            self._feed_header()
        piece = self._next_piece(self._piece) if self._decompressor.needs_input else b""
        self._grow_piece()
        output: bytes = self._decompressor.decompress(piece, limit)
        ended = self._decompressor.eof
        self._take(len(piece))
        if ended:
            # More than this piece, where the last ones gave more output than the limit.
            self._give_back(self._decompressor.unused_data)
            self._decompressor = None
        else:
            self.pending = self._left > 0 or not self._decompressor.needs_input
        return output, ended

    def _feed_header(self) -> None:
        """Feed the header apart, its last byte alone.

        What the library gets together with a header's last byte it takes for a whole frame if it looks like one; if it
        is one, it is decoded at once, by stricter rules, and a fault at its end takes all of it. So a frame would be
        read otherwise when it is cut.
        """
        header = self._held[self._at : self._at + self._header]
        self._header = 0
        self._take(len(header))
        self._module.get_frame_info(header)  # Fails where this is none.
        self._is_sure = True  # Also if we refuse the frame, for its window or a dictionary.
        self._decompressor.decompress(header[:-1])
        self._decompressor.decompress(header[-1:])


def _header_size(descriptor: int) -> int:
    """Count the bytes of a frame's header by its fifth byte, magic number included (RFC 8878 §3.1.1.1)."""
    size = _SIZE_BYTES[descriptor >> 6]
    # A single segment has no window, and always a size.
    window_or_size = 0 if descriptor & 0x20 and size else 1
    return 5 + window_or_size + _NUMBER_BYTES[descriptor & 3] + size


@functools.cache
def zstd_module() -> Any:
    """Return the Zstandard library, which is part of Python from 3.14 on, or `None`."""
    try:
        with undivided:
            if sys.version_info >= (3, 14):
                from compression import zstd
            else:
                from backports import zstd
    except ImportError:
        return None
    return zstd
