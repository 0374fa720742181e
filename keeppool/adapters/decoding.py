"""`DecodingResponse`: urllib3's response with keeppool's decoders, and reads that wait for no full buffer.

Decides: that a body whose coding stops short of its end is an error, and at which read it is raised: behind the last
    bytes, so that they are not lost.
Knows: how urllib3's response calls a decoder.
Does not know: the connection below, which the mount and the drop-in each have a file for.

urllib3's own decoders take a gzip stream that was cut short for a whole one, and know no `identity` in a list.

Source: RFC 9110 §8.4 (Content-Encoding).
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

from urllib3 import HTTPResponse
from urllib3.exceptions import DecodeError
from urllib3.response import ContentDecoder

from keeppool.errors import ContentDecodingError
from keeppool.wire.decode import Decoder, content_decoder

#: Bytes of output asked for in one step where the reader wants everything.
_STEP: Final = 262144


class DecodingResponse(HTTPResponse):
    """urllib3's response; a body that is read as it should be is decoded to its end, and known to be whole."""

    DECODER_ERROR_CLASSES = (*HTTPResponse.DECODER_ERROR_CLASSES, ContentDecodingError)

    def read(self, amt: int | None = None, decode_content: bool | None = None, cache_content: bool = False) -> bytes:
        """Read `amt` bytes, fewer only at the end; everything if `amt` is None or negative; see urllib3.

        Raises:
            urllib3.exceptions.HTTPError: As urllib3's; DecodeError also where the coding stops short of its end.
        """
        amt = _positive(amt)
        data = super().read(amt, decode_content, cache_content)
        if amt is None or (not data and amt):
            self._check_end()
        return data

    def read1(self, amt: int | None = None, decode_content: bool | None = None) -> bytes:
        """Read what comes next, at most `amt` bytes; none only at the end. Raises as `read`."""
        data = super().read1(_positive(amt), decode_content)
        if not data and amt != 0:
            self._check_end()
        return data

    def readinto(self, b: bytearray | memoryview) -> int:
        """Read what comes next into a buffer, for `io.BufferedReader`: a line of a live stream is not held back."""
        piece = self.read1(len(b))
        b[: len(piece)] = piece
        return len(piece)

    def stream(self, amt: int | None = 65536, decode_content: bool | None = None) -> Generator[bytes]:
        """Go through the body in pieces of at most `amt` bytes; see urllib3. Raises as `read`."""
        yield from super().stream(_positive(amt), decode_content)
        if amt != 0:
            self._check_end()

    def read_chunked(self, amt: int | None = None, decode_content: bool | None = None) -> Generator[bytes]:
        """Go through a chunked body, chunk by chunk; see urllib3. Raises as `read`."""
        yield from super().read_chunked(_positive(amt), decode_content)
        if amt != 0:
            self._check_end()

    def _init_decoder(self) -> None:
        """Make keeppool's decoder where urllib3 would make its own."""
        if self._decoder_initialized:
            return
        self._decoder_initialized = True
        if self._decoder is None and "content-encoding" in self.headers:
            try:
                decoder = content_decoder(self.headers["content-encoding"].encode("latin-1", "replace"))
            except ContentDecodingError as error:
                raise DecodeError(str(error), error) from error
            self._decoder = None if decoder is None else _WireDecoder(decoder)

    def _check_end(self) -> None:
        """Raise at the body's end if its coding has not come to one, unless the body was handed out as it was sent."""
        if self._has_decoded_content and isinstance(self._decoder, _WireDecoder):
            try:
                self._decoder.finish()
            except ContentDecodingError as error:
                raise DecodeError(str(error), error) from error


class _WireDecoder(ContentDecoder):
    """One of keeppool's decoders, called as urllib3 calls its own."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._held = b""

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Decode up to `max_length` bytes; everything if it is negative, nothing yet if it is 0."""
        if max_length == 0:
            self._held += data
            return b""
        data, self._held = self._held + data, b""
        output = self._decoder.feed(data, _STEP if max_length < 0 else max_length)
        if max_length > 0:
            while not output and self._decoder.pending:
                output = self._decoder.feed(b"", max_length)
            return output
        pieces = [output]
        while self._decoder.pending:
            pieces.append(self._decoder.feed(b"", _STEP))
        return b"".join(pieces)

    @property
    def has_unconsumed_tail(self) -> bool:
        """True if there may be more output without more input."""
        return bool(self._held) or self._decoder.pending

    def flush(self) -> bytes:
        """Give what is left: nothing. urllib3 calls this while decoded bytes may still have to be handed out."""
        return b""

    def finish(self) -> None:
        """Raise ContentDecodingError unless the data is complete."""
        self._decoder.finish()


def _positive(amt: int | None) -> int | None:
    """Read a size: a negative one means everything, as `None` does."""
    return None if amt is not None and amt < 0 else amt
