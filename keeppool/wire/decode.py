"""Content codings: gzip, deflate, br, zstd, and several of them on top of each other.

Decides: which codings are offered, and that no step of decoding makes much more output than asked for.
Knows: the decompressors of the standard library, and those of Brotli and Zstandard where they are installed.
Does not know: framing, and what the content is.

These are our own few lines around the decompressors because urllib3's decoders do not tell a stream that stopped
short from a complete one, and can leave the last bytes behind when the output is bounded: zlib may hold output when
its input is used up.

Source: RFC 9110 §8.4 (Content-Encoding), §8.4.1 (codings), §12.5.3 (Accept-Encoding); RFC 1950, 1951, 1952 (zlib,
deflate, gzip); RFC 7932 (br); RFC 8878, 9659 (zstd).
"""

from __future__ import annotations

import functools
import sys
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final

from keeppool.errors import ContentDecodingError

#: Codings one body may have. curl and urllib3 stop at 5 too; nobody means more than two.
MAX_CODINGS: Final = 5
#: Zstandard may ask for memory of its window's size. 8 MiB is the most an HTTP sender may ask for (RFC 9659 §3).
_ZSTD_WINDOW_LOG: Final = 23

_GZIP_MAGIC: Final = b"\x1f\x8b"


class Decoder:
    """Undoes the content codings of one body, in steps of bounded size.

    Attributes:
        pending: True if more output waits: call `feed(b"", limit)` until it is false.
    """

    __slots__ = ("_stages",)

    def __init__(self, stages: list[_Stage]) -> None:
        self._stages = stages  # the coding applied last comes first

    @property
    def pending(self) -> bool:
        """True if `feed(b"", limit)` may give more output."""
        return any(stage.pending for stage in self._stages)

    def feed(self, data: bytes, limit: int) -> bytes:
        """Take encoded bytes and return decoded ones; none only if there are none without more input.

        Args:
            data: Encoded bytes; they are all taken, also where not all of their output is returned at once.
            limit: Bytes of output after which to stop, at least 1. Brotli may give up to one of its blocks (32 KiB)
                more.

        Raises:
            ContentDecodingError: The data is damaged; `coding` names the coding. The decoder is of no further use.
        """
        limit = max(1, limit)  # zlib would read 0 as "no limit"
        output = self._step(data, limit)
        while not output and self.pending:
            output = self._step(b"", limit)
        return output

    def _step(self, data: bytes, limit: int) -> bytes:
        start = 0
        for number, stage in enumerate(self._stages):
            if stage.pending:
                start = number
        if start:
            # A later stage has output waiting. Feeding the ones before it would only make it hold more.
            self._stages[0].hold(data)
            data = b""
        for stage in self._stages[start:]:
            data = stage.feed(data, limit)
        return data

    def finish(self) -> None:
        """Check that the data is complete. Call it behind the body's end, once nothing is pending.

        An empty body is complete: a HEAD or 304 has the field but no content.

        Raises:
            ContentDecodingError: The data stopped short; `coding` names the coding.
        """
        for stage in self._stages:
            if stage.started and not stage.ended:
                raise ContentDecodingError(f"the {stage.coding} data stops short of its end", coding=stage.coding)


class _Stage(ABC):
    """One coding. `_decode` is given all input not yet used, and says what of it is left in `_held`."""

    __slots__ = ("_held", "ended", "pending", "started")

    coding = ""

    def __init__(self) -> None:
        self._held = b""
        self.started = False
        self.ended = False
        self.pending = False

    def hold(self, data: bytes) -> None:
        """Take input without decoding it yet."""
        self._held += data
        self.pending = self.pending or bool(data)

    def feed(self, data: bytes, limit: int) -> bytes:
        data, self._held = self._held + data, b""
        self.started = self.started or bool(data)
        self.pending = False
        try:
            return self._decode(data, limit)
        except self._errors() as error:
            raise ContentDecodingError(f"the {self.coding} data is damaged: {error}", coding=self.coding) from error

    def _errors(self) -> type[Exception]:
        return zlib.error

    @abstractmethod
    def _decode(self, data: bytes, limit: int) -> bytes:
        """Decode what can be, up to `limit` bytes."""


class _Inflating(_Stage):
    """What gzip and deflate share."""

    __slots__ = ("_inflater",)

    def __init__(self) -> None:
        super().__init__()
        self._inflater: Any = None

    def _start(self, window_bits: int) -> None:
        self._inflater = zlib.decompressobj(window_bits)
        self.ended = False

    def _inflate(self, data: bytes, limit: int) -> bytes:
        output: bytes = self._inflater.decompress(data, limit)
        self.ended = self._inflater.eof
        self._held = self._inflater.unused_data if self.ended else self._inflater.unconsumed_tail
        # Output as long as the limit: there may be more of it inside, even if all input is used up.
        self.pending = not self.ended and (bool(self._held) or len(output) == limit)
        return output


class _Gzip(_Inflating):
    """gzip: one member or several (RFC 1952 §2.2). Other bytes behind a member are ignored, as gzip(1) does."""

    __slots__ = ("_padded",)

    coding = "gzip"

    def __init__(self) -> None:
        super().__init__()
        self._padded = False
        self._start(16 + zlib.MAX_WBITS)

    def _decode(self, data: bytes, limit: int) -> bytes:
        if self.ended and not self._next_member(data):
            return b""
        output = self._inflate(data, limit)
        self.pending = self.pending or bool(self._held)
        return output

    def _next_member(self, data: bytes) -> bool:
        self._padded = self._padded or not _GZIP_MAGIC.startswith(data[:2])
        if self._padded:
            return False
        if len(data) < len(_GZIP_MAGIC):
            self._held = data
            return False
        self._start(16 + zlib.MAX_WBITS)
        return True


class _Deflate(_Inflating):
    """deflate: meant is zlib's format, sent by some is the bare one (RFC 9110 §8.4.1.2 has the warning)."""

    __slots__ = ()

    coding = "deflate"

    def _decode(self, data: bytes, limit: int) -> bytes:
        if self.ended:
            return b""
        if self._inflater is None:
            if len(data) < 2:
                self._held = data
                return b""
            self._start(zlib.MAX_WBITS if _has_zlib_header(data) else -zlib.MAX_WBITS)
        output = self._inflate(data, limit)
        if self.ended:
            self._held = b""
        return output


def _has_zlib_header(data: bytes) -> bool:
    """Tell zlib's two header bytes (RFC 1950 §2.2) from bare deflate.

    No encoder's bare stream passes for one: it would begin with a stored block whose padding bits are not zero.
    """
    return data[0] & 0x0F == 8 and (data[0] << 8 | data[1]) % 31 == 0


class _Brotli(_Stage):
    """br (RFC 7932)."""

    __slots__ = ("_decompressor", "_error")

    coding = "br"

    def __init__(self) -> None:
        super().__init__()
        module = brotli_module()
        self._decompressor = module.Decompressor()
        self._error: type[Exception] = module.error

    def _errors(self) -> type[Exception]:
        return self._error

    def _decode(self, data: bytes, limit: int) -> bytes:
        if not self._decompressor.can_accept_more_data():
            data, self._held = b"", data
        output = bytearray(self._block(data))
        while len(output) < limit and (block := self._block(b"")):
            output += block
        self.ended = self._decompressor.is_finished()
        full = not self._decompressor.can_accept_more_data() or len(output) >= limit
        self.pending = bool(self._held) or (full and not self.ended)
        return bytes(output)

    def _block(self, data: bytes) -> bytes:
        """Decompress one block. Asked for more, the library rounds up to its next size: as much as four times."""
        block: bytes = self._decompressor.process(data, output_buffer_limit=1)
        return block


class _Zstd(_Stage):
    """zstd: one frame or several (RFC 8878 §3.1)."""

    __slots__ = ("_decompressor", "_module")

    coding = "zstd"

    def __init__(self) -> None:
        super().__init__()
        self._module = zstd_module()
        self._decompressor = self._fresh()

    def _fresh(self) -> Any:
        window = self._module.DecompressionParameter.window_log_max
        return self._module.ZstdDecompressor(options={window: _ZSTD_WINDOW_LOG})

    def _errors(self) -> type[Exception]:
        error: type[Exception] = self._module.ZstdError
        return error

    def _decode(self, data: bytes, limit: int) -> bytes:
        if self.ended:
            if not data:
                return b""
            self._decompressor = self._fresh()
        output: bytes = self._decompressor.decompress(data, limit)
        self.ended = self._decompressor.eof
        self._held = self._decompressor.unused_data if self.ended else b""
        self.pending = bool(self._held) if self.ended else not self._decompressor.needs_input
        return output


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
    named = [coding for coding in codings if coding not in (b"", b"identity")]
    if len(named) > MAX_CODINGS:
        raise ContentDecodingError(
            f"more than {MAX_CODINGS} content codings: {content_encoding[:80]!r}",
            coding=content_encoding[:80].decode("latin-1"),
        )
    stages = [_STAGES.get(coding) for coding in reversed(named)]
    if not stages or not all(stage and _is_installed(stage) for stage in stages):
        return None
    return Decoder([stage() for stage in stages if stage])


@functools.cache
def accept_encoding() -> str:
    """Return the Accept-Encoding value that offers what can be decoded here."""
    codings = ["gzip", "deflate"]
    codings += [stage.coding for stage in (_Brotli, _Zstd) if _is_installed(stage)]
    return ", ".join(codings)


# RFC 9110 §8.4.1.3: x-gzip is gzip.
_STAGES: Final[dict[bytes, Callable[[], _Stage]]] = {
    b"gzip": _Gzip,
    b"x-gzip": _Gzip,
    b"deflate": _Deflate,
    b"br": _Brotli,
    b"zstd": _Zstd,
}


def _is_installed(stage: Callable[[], _Stage]) -> bool:
    if stage is _Brotli:
        return brotli_module() is not None
    return stage is not _Zstd or zstd_module() is not None


@functools.cache
def brotli_module() -> Any:
    """Return the Brotli library, or `None` if there is none that can bound its output (added in 1.2)."""
    try:
        import brotli
    except ImportError:
        try:
            import brotlicffi as brotli
        except ImportError:
            return None
    return brotli if hasattr(brotli.Decompressor, "can_accept_more_data") else None


@functools.cache
def zstd_module() -> Any:
    """Return the Zstandard library, which is part of Python from 3.14 on, or `None`."""
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
    except ImportError:
        return None
    return zstd
