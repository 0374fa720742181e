"""Content codings: every cut decodes alike, damage is told, output is bounded."""

from __future__ import annotations

import gc
import gzip
import random
import sys
import tracemalloc
import zlib

import pytest
from cuts import every_cut

from keeppool.errors import ContentDecodingError
from keeppool.wire.codings.br import Brotli
from keeppool.wire.codings.stage import STEP
from keeppool.wire.decode import Decoder, accept_encoding, content_decoder, decoded_whole

brotli = pytest.importorskip("brotli")
zstd = pytest.importorskip("compression.zstd") if sys.version_info >= (3, 14) else pytest.importorskip("backports.zstd")

#: What a decoder may give beyond the limit: Brotli hands out whole blocks.
SLACK = 32768


def bare_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def gz(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


PACK = {
    "gzip": (b"gzip", gz),
    "x-gzip": (b"X-GZIP", gz),
    "zlib": (b"deflate", zlib.compress),
    "bare deflate": (b"deflate", bare_deflate),
    "br": (b"br", brotli.compress),
    "zstd": (b"zstd", zstd.compress),
    "gzip in br": (b"gzip, br", lambda data: brotli.compress(gz(data))),
    "zstd in gzip": (b"zstd ,identity,, gzip", lambda data: gz(zstd.compress(data))),
    "five": (b"deflate, gzip, br, zstd, gzip", lambda d: gz(zstd.compress(brotli.compress(gz(zlib.compress(d)))))),
}
#: Neither all alike nor all different, and longer than one step of the tests' limits.
TEXT = b"".join([b"%d bottles of beer, " % number for number in range(60)])
NOISE = random.Random(1).randbytes(300)


def decoder_for(value: bytes) -> Decoder:
    decoder = content_decoder(value)
    assert decoder is not None
    return decoder


def decoded(decoder: Decoder, parts: list[bytes], limit: int = 65536) -> bytes:
    """Decode all parts as a driver does, checking the bound on the way."""
    pieces = []
    for part in parts:
        pieces.append(decoder.feed(part, limit))
        while decoder.pending:
            pieces.append(decoder.feed(b"", limit))
    decoder.finish()
    assert max(map(len, pieces), default=0) <= limit + SLACK
    return b"".join(pieces)


@pytest.mark.parametrize("name", PACK)
@pytest.mark.parametrize("data", [b"", b"a", TEXT, NOISE], ids=["empty", "one byte", "text", "noise"])
def test_every_cut_decodes_to_the_same(name, data):
    """The cut of the input and the bound on the output change nothing."""
    value, pack = PACK[name]
    packed = pack(data)
    for parts in every_cut(packed):
        assert decoded(decoder_for(value), parts) == data
    for limit in (1, 2, 7, 100, len(data) or 1):
        assert decoded(decoder_for(value), [packed], limit) == data
        assert decoded(decoder_for(value), [packed[at : at + 1] for at in range(len(packed))], limit) == data


@pytest.mark.parametrize("name", PACK)
def test_data_that_stops_short_is_told(name):
    """Wherever it stops: a body whose framing was complete can still be cut."""
    value, pack = PACK[name]
    packed = pack(TEXT)
    for size in range(1, len(packed)):
        with pytest.raises(ContentDecodingError) as caught:
            decoded(decoder_for(value), [packed[:size]])
        assert caught.value.coding


@pytest.mark.parametrize("name", ["gzip", "zlib", "br", "zstd"])
def test_damaged_data_is_told(name):
    """With the coding's name and the library's own error as cause."""
    value, _ = PACK[name]
    with pytest.raises(ContentDecodingError, match="is damaged") as caught:
        decoded(
            decoder_for(value), [b"\x78\x9c\xff\xff\xff this is no compressed data at all, whatever the field says"]
        )
    assert caught.value.coding == value.decode()
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("name", ["gzip", "zlib", "zstd"])
def test_a_wrong_check_sum_is_damage(name):
    """A flipped bit does not go by in silence where the format can tell."""
    value, pack = PACK[name]
    packed = pack(TEXT)
    if name == "zstd":
        packed = zstd.compress(TEXT, options={zstd.CompressionParameter.checksum_flag: 1})
    broken = bytearray(packed)
    broken[-6 if name == "gzip" else -1] ^= 1
    for parts in ([bytes(broken)], [bytes(broken[:-1]), bytes(broken[-1:])]):
        with pytest.raises(ContentDecodingError, match="is damaged"):
            decoded(decoder_for(value), parts)


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_several_members_are_one_body(name):
    """RFC 1952 §2.2 and RFC 8878 §3.1; an empty member between them ends nothing."""
    value, pack = PACK[name]
    packed = pack(b"one ") + pack(b"") + pack(b"two")
    for parts in every_cut(packed):
        assert decoded(decoder_for(value), parts) == b"one two"
        assert decoded(decoder_for(value), parts, limit=1) == b"one two"
    with pytest.raises(ContentDecodingError):
        decoded(decoder_for(value), [packed[:-1]])


GARBAGE = [
    b"\x00",
    b"\x00" * 20,
    b"\r\n",
    b"\x1f",
    b"\x1fx",
    b"garbage",
    b"\x00\x1f\x8b",
    b"<!-- a comment -->",
    b"\x28",
]
ALMOST = {
    "gzip": [b"\x1f\x8bjunk", gz(b"")[:10] + b"\xff" * 20],
    "zstd": [b"\x28\xb5\x2f\xfd" + b"\xff" * 20],
}


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("name", ["gzip", "zlib", "bare deflate", "br", "zstd"])
def test_bytes_behind_the_data_are_ignored(name, garbage):
    """Servers pad, and what stands between adds a line of its own; browsers and gzip(1) ignore it. Row F2."""
    value, pack = PACK[name]
    for parts in every_cut(pack(b"data") + garbage):
        assert decoded(decoder_for(value), parts) == b"data"


@pytest.mark.parametrize(("name", "garbage"), [(name, garbage) for name in ALMOST for garbage in ALMOST[name]])
def test_junk_that_begins_like_another_member_is_junk(name, garbage):
    """It fails before it has given a byte; what was decoded before is whole. Row F2."""
    value, pack = PACK[name]
    for parts in every_cut(pack(b"data") + garbage):
        assert decoded(decoder_for(value), parts) == b"data"


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_a_second_member_that_is_damaged_after_it_gave_something_is_damage(name):
    """It was content, and a part of it is lost."""
    value, pack = PACK[name]
    text = random.Random(2).randbytes(200_000) + TEXT
    packed = bytearray(zstd.compress(text, options={zstd.CompressionParameter.checksum_flag: 1}))
    if name == "gzip":
        packed = bytearray(pack(text))
    packed[-6 if name == "gzip" else -1] ^= 1
    with pytest.raises(ContentDecodingError, match="is damaged"):
        decoded(decoder_for(value), [pack(b"data") + bytes(packed)])


def how_it_ends(name: str, parts: list[bytes]) -> tuple[str, bytes]:
    try:
        return "whole", decoded(decoder_for(name.encode()), parts)
    except ContentDecodingError:
        return "damaged", b""


#: Damage that a decompressor meets in the call in which it has decoded the bytes before it.
DAMAGED = {
    "gzip: a second member wrong behind its first byte": ("gzip", gz(TEXT) + gz(b"")[:10] + b"\xcbJ\x00R"),
    "zstd: a second frame wrong behind its first block": (
        "zstd",
        zstd.compress(TEXT) + bytes.fromhex("28b52ffd 2001 080000 61 ffffff"),
    ),
    "zstd: fewer bytes than the header says": ("zstd", bytes.fromhex("28b52ffd 2013 010000")),
    "zstd: a header that goes on like a frame": ("zstd", bytes.fromhex("28b52ffd 502a4d18 00000000")),
}


@pytest.mark.parametrize(("name", "data"), DAMAGED.values(), ids=DAMAGED)
def test_damage_is_the_same_however_it_is_cut(name, data):
    """What a decompressor decoded in the call in which it failed is lost, so where it fails is not where it was cut."""
    assert len({how_it_ends(name, parts) for parts in every_cut(data)}) == 1


@pytest.mark.parametrize("limit", [16, 700, 65536])
@pytest.mark.parametrize("name", ["gzip", "br", "zstd"])
def test_no_byte_is_lost_before_what_is_ignored(name, limit):
    """Whatever was decoded in the step that finds the end; brotli itself throws it away. Row F2."""
    value, pack = PACK[name]
    body = random.Random(3).randbytes(STEP + 5200) + TEXT * 100
    for tail in (b"\x00", b"\r\n", b"x" * 300):
        packed = pack(body) + tail
        for size in (1000, len(packed)):
            parts = [packed[at : at + size] for at in range(0, len(packed), size)]
            assert decoded(decoder_for(value), parts, limit) == body


@pytest.mark.parametrize("name", PACK)
def test_a_finished_decoder_keeps_no_memory(name):
    """It lives as long as its response, and a crawl may keep thousands of them."""
    value, pack = PACK[name]
    body = random.Random(5).randbytes(20_000)
    packed = pack(body)
    tracemalloc.start()
    try:
        decoder = decoder_for(value)
        assert decoded(decoder, [packed], 65536) == body
        gc.collect()
        here = [tracemalloc.Filter(True, f"*/keeppool/wire/{where}") for where in ("decode.py", "codings/*")]
        kept = sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces(here).traces)
    finally:
        tracemalloc.stop()
    assert kept < 2000
    assert (decoder.feed(b"more", 10), decoder.pending) == (b"", False)


def test_br_lets_go_of_its_input_at_its_end():
    """It is kept to find the end, up to 1 MiB of it."""
    stage = Brotli()
    assert stage.feed(brotli.compress(TEXT), 1 << 20) == TEXT
    assert (stage.ended, stage._fed) == (True, None)


@pytest.mark.parametrize("name", PACK)
def test_input_may_come_while_output_waits(name):
    """All of it is kept, in its order, and comes out in the end."""
    value, pack = PACK[name]
    decoder = decoder_for(value)
    packed = pack(TEXT)
    pieces = [decoder.feed(packed[at : at + 40], 3) for at in range(0, len(packed), 40)]
    while decoder.pending:
        pieces.append(decoder.feed(b"", 3))
    decoder.finish()
    assert b"".join(pieces) == TEXT


@pytest.mark.parametrize("wbits", [31, 15, -15])
def test_output_that_is_inside_zlib_is_not_forgotten(wbits):
    """Its input may be used up while a long match is only half given out: a stream that pauses there must not hang."""
    packer = zlib.compressobj(wbits=wbits)
    packed = packer.compress(b"\0" * 100_000) + packer.flush()
    for size in range(20, len(packed) - 8):
        decoder = decoder_for(b"gzip" if wbits == 31 else b"deflate")
        total = len(decoder.feed(packed[:size], 1000))
        while decoder.pending:
            total += len(decoder.feed(b"", 1000))
        assert total == len(zlib.decompressobj(wbits).decompress(packed[:size]))


BOMB = b"\0" * 5_000_000


@pytest.mark.parametrize("name", PACK)
def test_a_bomb_is_given_out_in_bounded_steps(name):
    """A kilobyte may stand for gigabytes; no step makes more than asked for, whatever coding."""
    value, pack = PACK[name]
    packed = pack(BOMB)
    decoder = decoder_for(value)
    total = 0
    for at in range(0, len(packed), 1024):
        piece = decoder.feed(packed[at : at + 1024], 10_000)
        assert len(piece) <= 10_000 + SLACK
        total += len(piece)
    assert total < len(BOMB)
    assert decoder.pending
    while decoder.pending:
        piece = decoder.feed(b"", 100_000)
        assert len(piece) <= 100_000 + SLACK
        total += len(piece)
    decoder.finish()
    assert total == len(BOMB)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_not_no_limit(limit):
    """To zlib, 0 stands for "all of it"; that must not be one subtraction away."""
    decoder = decoder_for(b"gzip")
    assert len(decoder.feed(gz(BOMB), limit)) == 1


def test_a_zstd_window_beyond_what_http_allows_is_refused():
    """RFC 9659 §3: 8 MiB. The window is memory asked of us by the server."""
    level = {zstd.CompressionParameter.window_log: 24, zstd.CompressionParameter.enable_long_distance_matching: 1}
    packer = zstd.ZstdCompressor(options=level)
    packed = packer.compress(NOISE) + packer.flush()
    with pytest.raises(ContentDecodingError):
        decoded(decoder_for(b"zstd"), [packed])
    # Nor is it taken for junk behind another frame: the rest of the content would be lost in silence.
    for parts in every_cut(zstd.compress(b"data") + packed[:40]):
        with pytest.raises(ContentDecodingError):
            decoded(decoder_for(b"zstd"), parts)


@pytest.mark.parametrize(
    "value", [b"", b"identity", b" Identity ,", b"compress", b"gzip, unknown", b"gzip;q=1", b"utf-8"]
)
def test_nothing_to_decode_or_not_known(value):
    """The body is then given as it is, with its Content-Encoding for the caller to see."""
    assert content_decoder(value) is None


def test_too_many_codings_are_refused():
    """Each may multiply by a thousand."""
    with pytest.raises(ContentDecodingError) as caught:
        content_decoder(b", ".join([b"gzip"] * 6))
    assert caught.value.coding == "gzip, gzip, gzip, gzip, gzip, gzip"


@pytest.mark.parametrize("name", PACK)
def test_no_data_at_all_is_complete(name):
    """HEAD, 204 and 304 carry the field and no content."""
    value, _ = PACK[name]
    assert decoded(decoder_for(value), []) == b""
    assert decoded(decoder_for(value), [b""]) == b""


def test_what_is_offered_can_be_decoded():
    """Each coding offered has a decoder, and the newer ones are offered where their libraries are."""
    assert accept_encoding() == "gzip, deflate, br, zstd"
    assert all(content_decoder(coding.strip().encode()) for coding in accept_encoding().split(","))


@pytest.mark.parametrize(
    ("data", "codings", "expected"),
    [
        (b"plain", b"", b"plain"),
        (b"plain", b"identity, ", b"plain"),
        (gz(b"x" * 5_000_000), b"gzip", b"x" * 5_000_000),
        (gz(zlib.compress(b"two")), b"deflate, gzip", b"two"),
        (b"", b"gzip", b""),
        (b"", b"unknown", b""),
        (b"plain", b"gzip", None),
        (gz(b"cut")[:-3], b"gzip", None),
        (b"abc", b"unknown", None),
        (b"abc", b"gzip," * 9, None),
    ],
)
def test_a_whole_body_is_decoded_at_once(data, codings, expected):
    assert decoded_whole(data, codings) == expected
