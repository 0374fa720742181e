"""`PooledResponse`: urllib3's response over a `ResponseFile`.

Decides: in which pieces a chunked body is handed out: chunk by chunk as urllib3 does, but whole ones at once.
Knows: how urllib3's response reads, and when it closes.
Does not know: the wire; its file does. Nor the pool: what is closed there, `hosts.py` sees.

Source: RFC 9112 §7.1.
"""

from __future__ import annotations

from collections.abc import Generator

from keeppool.adapters.decoding import DecodingResponse
from keeppool.adapters.urllib3.response import ResponseFile


class PooledResponse(DecodingResponse):
    """urllib3's response. Closed, it gives its slot back at once; dropped, it leaves that to the pool."""

    #: What a whole chunk carries, of which `chunk_left` bytes were not handed out yet.
    _chunk = b""

    def close(self) -> None:
        """Give up the rest of the body, and the connection with it, unless all of the body has come."""
        file = self._fp
        if isinstance(file, ResponseFile) and file.is_complete:
            # Released first: what `close` closes after that is the body alone.
            self.release_conn()
        super().close()
        self.release_conn()

    def stream(self, amt: int | None = 65536, decode_content: bool | None = None) -> Generator[bytes]:
        """Go through the body in pieces of at most `amt` bytes, a chunked one chunk by chunk; see urllib3."""
        return self.read_chunked(amt, decode_content) if self.chunked else super().stream(amt, decode_content)

    def read_chunked(self, amt: int | None = None, decode_content: bool | None = None) -> Generator[bytes]:
        """Go through a chunked body, chunk by chunk; see urllib3."""
        self._init_decoder()
        if self._decoder is None and isinstance(self._fp, ResponseFile) and self._fp.chunked and amt != 0:
            return self._chunk_by_chunk(self._fp, None if amt is None or amt < 0 else amt)
        return super().read_chunked(amt, decode_content)

    def _chunk_by_chunk(self, file: ResponseFile, amt: int | None) -> Generator[bytes]:
        """Do as urllib3, but take whole chunks as one: small ones cost more than their bytes."""
        self._uncached_read_occurred = True
        with self._error_catcher():
            while self.chunk_left != 0 and not file.isclosed():
                while self.chunk_left:
                    yield self._handle_chunk(amt)
                chunks = file.whole_chunks()
                while chunks and (amt is None or len(chunks[-1]) <= amt):
                    yield chunks.pop()
                self._update_chunk_length()
        # The trailer section, and the end.
        yield from super().read_chunked(amt)

    def _update_chunk_length(self) -> None:
        """Find the next chunk: a whole one that is here, or one that urllib3 takes off the wire by itself."""
        if self.chunk_left is None and isinstance(self._fp, ResponseFile):
            self._chunk = self._fp.next_chunk()
            self.chunk_left = len(self._chunk) or None
        super()._update_chunk_length()

    def _handle_chunk(self, amt: int | None) -> bytes:
        """Give the next piece of a chunk, at most `amt` bytes."""
        chunk, left = self._chunk, self.chunk_left
        if not chunk or left is None:
            return super()._handle_chunk(amt)
        if amt is None or amt >= left:
            self._chunk, self.chunk_left = b"", None
            return chunk[-left:]
        self.chunk_left = left - amt
        return chunk[-left : amt - left]

    def __del__(self) -> None:
        """Not `io.IOBase`'s: it would close, which takes the pool's lock, and a finalizer may run inside that."""
