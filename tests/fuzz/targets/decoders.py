"""Content codings: what is decoded is what was encoded, however it is cut, and no input costs more than it holds."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from typing import Any

from keeppool.errors import ContentDecodingError
from keeppool.wire.codings.br import brotli_module
from keeppool.wire.codings.zstandard import zstd_module
from keeppool.wire.decode import content_decoder, decoded_whole
from tests.fuzz.oracles import check_error, cuts, in_steps, outcome, repeated
from tests.fuzz.target import target

#: Chains by an input's first byte: the field's value, and whether something of it must decode.
FIELDS = [
    *(
        b"gzip",
        b"deflate",
        b"br",
        b"zstd",
        b"x-gzip",
        b"gzip, gzip",
        b"deflate, gzip",
        b"br, zstd",
        b"gzip,",
        b"identity",
    ),
    *(
        b"identity, GZIP",
        b"gzip, deflate, br, zstd, gzip",
        b"gzip,gzip,gzip,gzip,gzip,gzip",
        b"nobody",
        b"gzip, nobody",
    ),
]
LIMITS = [65536, 1, 7, 1024]
#: Bytes of output after which a target stops reading: the input may be a bomb.
MOST_OUTPUT = 1 << 17
#: Brotli gives one of its blocks beyond the limit.
BLOCK = 32768

brotli, zstd = brotli_module(), zstd_module()
ENCODERS: dict[bytes, Callable[[bytes], bytes]] = {
    b"gzip": lambda data: gzip.compress(data, mtime=0),
    b"x-gzip": lambda data: gzip.compress(data, 1, mtime=0),
    b"deflate": zlib.compress,
    b"br": lambda data: brotli.compress(data, quality=1),
    b"zstd": zstd.compress,
    b"identity": lambda data: data,
    b"": lambda data: data,
}
CODINGS = {name.decode() for name in ENCODERS} - {""}


def codings_of(field: bytes) -> list[bytes]:
    """List a field's codings as they were applied."""
    return [part.strip(b" \t").lower() for part in field.split(b",")]


@target(
    most=2048,
    covers=(
        *("wire/decode.py", "wire/codings/br.py", "wire/codings/inflate.py", "wire/codings/stage.py"),
        "wire/codings/zstandard.py",
    ),
)
def decoders(data: bytes) -> None:
    """The first byte chooses the codings, the second the size of a step and what is done; then the data."""
    if len(data) < 2:
        return
    field, limit, doing = FIELDS[data[0] % len(FIELDS)], LIMITS[data[1] & 3], data[1] >> 2 & 3
    content = data[2:]
    made = outcome(content_decoder, field)
    if made.value is None:
        assert (made.error is ContentDecodingError) == (len(codings_of(field)) > 5)
        return
    if doing == 0:
        check_foreign(field, content, limit)
    else:
        encoded = content
        for coding in codings_of(field):
            encoded = ENCODERS[coding](encoded)
        if doing == 1:
            check_round(field, content, encoded, limit)
        elif doing == 2:
            check_cut_short(field, encoded, content)
        else:
            check_junk(field, encoded, content)


def decode(field: bytes, parts: list[bytes], limit: int) -> tuple[bytes, str]:
    """Decode parts; give what came, and "whole", "damaged", or "bomb" if reading was given up."""
    decoder = content_decoder(field)
    assert decoder is not None
    output, calls = bytearray(), 0
    fed = sum(map(len, parts))
    try:
        for part in parts:
            piece = decoder.feed(part, limit)
            while True:
                calls += 1
                assert len(piece) <= limit + BLOCK * field.count(b"br")
                output += piece
                # A step takes `STEP` bytes, gives output, or goes through members that count for more than they have;
                # br decodes a second time, byte by byte at the end.
                assert calls <= 2 * len(parts) + 40 + 4 * fed + 2 * len(output), "steps without progress"
                if len(output) > MOST_OUTPUT or (limit < 512 and len(output) > 2048):
                    return bytes(output), "bomb"
                if not decoder.pending:
                    break
                piece = decoder.feed(b"", limit)
        decoder.finish()
    except ContentDecodingError as error:
        check_error(error)
        damaged = error.coding
    else:
        damaged = ""
    if damaged:
        assert damaged in CODINGS, damaged
        return bytes(output), "damaged"
    assert decoder.feed(b"more", limit) == b"", "fed behind its end"
    return bytes(output), "whole"


def check_foreign(field: bytes, data: bytes, limit: int) -> None:
    """Decode what is perhaps no such data: the same however it is cut, and as the libraries decode it."""
    # A byte of input may be a thousand of output, of which a call gives one at the least; a call takes a hundred steps.
    whole, how = in_steps(300, 600_000, len(data), lambda: decode(field, [data], limit))
    for parts in cuts(data):
        other, then = decode(field, parts, limit)
        if "bomb" not in (how, then):
            assert then == how, f"{how}, but {then} as {len(parts)} parts"
            assert other == whole or how == "damaged"
        assert other.startswith(whole) or whole.startswith(other)
    if how == "bomb":
        return
    assert decoded_whole(data, field) == (whole if how == "whole" else None)
    wanted = reference(codings_of(field), data)
    if wanted is not None and data:
        assert how == "whole", f"the library reads it: {wanted[:100]!r}"
        assert whole == wanted
    check_nothing_held_back(field, data, limit)
    if more := repeated(data):
        in_steps(300, 600_000, len(more), lambda: decode(field, [more], 65536))


def check_nothing_held_back(field: bytes, data: bytes, limit: int) -> None:
    """Hold a stream that pauses to have given all that can be decoded of it: the caller may be waiting for that."""
    made = STREAMS.get(field)
    if made is None or not data:
        return
    start = data[: 1 + zlib.crc32(data) % len(data)]
    try:
        wanted, ended = made(start)
    except (zlib.error, brotli.error, zstd.ZstdError):
        return
    if ended or len(wanted) > MOST_OUTPUT or (limit < 512 and len(wanted) > 2048):
        return
    decoder = content_decoder(field)
    assert decoder is not None
    given = decoder.feed(start, limit)
    while decoder.pending:
        given += decoder.feed(b"", limit)
    assert given == wanted, f"{len(given)} of {len(wanted)} bytes, and nothing pending"


def _inflated(data: bytes, bits: int) -> tuple[bytes, bool]:
    inflater = zlib.decompressobj(bits)
    return inflater.decompress(data), inflater.eof


def _from_zstd(data: bytes) -> tuple[bytes, bool]:
    decompressor = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: 23})
    # Its header apart: see `keeppool.wire.codings.zstandard`.
    pieces = [decompressor.decompress(data[at : at + 1]) for at in range(min(18, len(data))) if not decompressor.eof]
    return b"".join(pieces) + (b"" if decompressor.eof else decompressor.decompress(data[18:])), decompressor.eof


#: What a library makes of a stream's start, and whether it has ended.
STREAMS: dict[bytes, Callable[[bytes], tuple[bytes, bool]]] = {
    b"gzip": lambda data: _inflated(data, 31),
    b"deflate": lambda data: _inflated(data, 15),
    b"br": lambda data: (brotli.Decompressor().process(data), False),
    b"zstd": _from_zstd,
}


def bits_of(data: bytes) -> int:
    """Tell whether deflate data is zlib's or bare, by what zlib says of the first two bytes."""
    try:
        zlib.decompressobj(15).decompress(data[:2])
    except zlib.error:
        return -15
    return 15


def reference(codings: list[bytes], data: bytes) -> bytes | None:
    """Decode by the libraries alone; `None` where they cannot, or where more than one member lies in it."""
    for coding in reversed(codings):
        try:
            if coding in (b"gzip", b"x-gzip", b"deflate"):
                wrapped = coding != b"deflate"
                inflater = zlib.decompressobj(31 if wrapped else bits_of(data))
                data = inflater.decompress(data)
                if not inflater.eof or (inflater.unused_data and wrapped):
                    return None
            elif coding == b"br":
                data = brotli.decompress(data)
            elif coding == b"zstd":
                window = zstd.DecompressionParameter.window_log_max
                data = zstd.decompress(data, options={window: 23})
        except (zlib.error, brotli.error, zstd.ZstdError):
            return None
    return data


def check_round(field: bytes, content: bytes, encoded: bytes, limit: int) -> None:
    """Hold what is decoded to what was encoded."""
    ways: list[list[bytes]] = [[encoded], *cuts(encoded)]
    for parts in ways:
        output, how = decode(field, parts, limit)
        assert how == "whole" or (how == "bomb" and len(content) > 1024)
        assert output == content or (how == "bomb" and content.startswith(output))
    assert decoded_whole(encoded, field) == content


def check_cut_short(field: bytes, encoded: bytes, content: bytes) -> None:
    """Hold data that stops short to be told from what is whole, wherever it stops."""
    if not any(codings_of(field)) or codings_of(field) == [b"identity"]:
        return
    for size in {1, 2, len(encoded) // 2, len(encoded) - 5, len(encoded) - 1} & set(range(1, len(encoded))):
        output, how = decode(field, [encoded[:size]], 65536)
        assert how == "damaged", f"{size} of {len(encoded)} bytes pass for whole"
        assert content.startswith(output)


def check_junk(field: bytes, encoded: bytes, content: bytes) -> None:
    """Hold bytes behind the end to spoil nothing: the content's own bytes serve as such."""
    if codings_of(field)[-1] == b"identity":
        return
    junk = content[:64] or b"\x00"
    ways: list[list[bytes]] = [[encoded + junk], [encoded, junk], [encoded[:-1], encoded[-1:] + junk]]
    results: list[Any] = [decode(field, parts, 65536) for parts in ways]
    assert results[0] == results[1] == results[2]
    output, how = results[0]
    if not junk.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd")) and junk[1:4] != b"\x2a\x4d\x18":
        assert (output, how) == (content, "whole")
    assert output.startswith(content)
