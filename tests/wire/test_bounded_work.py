"""The work of each loop that reads from the wire is bounded by what comes in: counted in steps and bytes, no clock.

Two questions, asked of each: how many steps does input take that yields nothing, and how many bytes are moved where the
same input comes in pieces of one byte? Twice the input may take twice of either, not four times.
"""

from __future__ import annotations

import gzip
import sys
import tracemalloc
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from cuts import every_cut

from keeppool.client.response.text import LineCutter
from keeppool.errors import ContentDecodingError
from keeppool.wire.byteranges import ByteRangesBody
from keeppool.wire.chunked import ChunkedBody
from keeppool.wire.codings.inflate import Gzip
from keeppool.wire.codings.stage import MEMBER_COST, STEP
from keeppool.wire.decode import Decoder, content_decoder
from keeppool.wire.head import HeadReader
from keeppool.wire.message import CloseBody, LengthBody

brotli = pytest.importorskip("brotli")

EMPTY_GZIP = gzip.compress(b"", mtime=0)
EMPTY_ZSTD = b"\x28\xb5\x2f\xfd\x20\x00\x01\x00\x00"
SKIPPED = b"\x50\x2a\x4d\x18\x00\x00\x00\x00"
#: A stored block without content: five bytes that yield nothing, and a stream of them never ends.
NO_BLOCK = b"\x00\x00\x00\xff\xff"
#: A field of a gzip header that has no end.
ENDLESS_NAME = b"\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\x03"


def moved(feed: Callable[[bytes], object], parts: Iterable[bytes]) -> int:
    """Sum up the memory that feeding took for a moment, or for good: what is copied passes through it."""
    total = 0
    tracemalloc.start()
    try:
        for part in parts:
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            feed(part)
            total += max(0, tracemalloc.get_traced_memory()[1] - before)
    finally:
        tracemalloc.stop()
    return total


# Content codings


def decoder_for(value: str) -> Decoder:
    decoder = content_decoder(value.encode())
    assert decoder is not None
    return decoder


def drive(decoder: Decoder, data: bytes, most: int) -> int:
    """Decode in no more than `most` steps; give how many it took."""
    decoder.feed(data, 65536)
    for count in range(1, most):
        if not decoder.pending:
            return count
        decoder.feed(b"", 65536)
    raise AssertionError(f"not done after {most} steps")


def steps(value: str, data: bytes) -> int:
    """Decode and count the steps."""
    return drive(decoder_for(value), data, 1_000_000)


BARREN = {
    "gzip": EMPTY_GZIP,
    "zstd": EMPTY_ZSTD,
    "zstd, skippable frames": SKIPPED,
    "deflate": NO_BLOCK,
}


@pytest.mark.parametrize("name", BARREN)
def test_input_that_yields_nothing_takes_steps_in_proportion(name):
    """Rows W1 and W2: many members, frames and blocks without content, each step no more than `STEP` bytes of them."""
    value, lead = name.partition(",")[0], b"\x78\x9c" if name == "deflate" else b""
    sizes = (STEP * 2, STEP * 4)
    counts = [steps(value, lead + BARREN[name] * (size // len(BARREN[name]))) for size in sizes]
    assert 2 <= counts[0] < counts[1] <= 2 * counts[0] + 1


@pytest.mark.parametrize("name", ["gzip", "zstd", "zstd, skippable frames"])
def test_a_member_does_not_copy_all_that_lie_behind_it(name):
    """Row W2: twice as many members move twice as many bytes."""
    value, unit = name.partition(",")[0], BARREN[name]

    def cost(count: int) -> int:
        decoder = decoder_for(value)
        parts = [unit * count] + [b""] * steps(value, unit * count)
        return moved(lambda part: decoder.feed(part, 65536), parts)

    assert cost(4000) <= 2.5 * cost(2000)


@pytest.mark.parametrize("limit", [1, 65536])
@pytest.mark.parametrize("junk", [b"\0" * 50, b"x" * 20_000], ids=["little", "much"])
def test_what_is_decoded_again_is_decoded_in_steps_too(junk, limit):
    """Row W1: bytes behind the end have everything decoded a second time, of which nothing is given."""
    size = 8 << 20 if limit > 1 else 1 << 20
    blocks = 0

    def count(_: object, event: str, function: object) -> None:
        nonlocal blocks
        blocks += event == "c_call" and getattr(function, "__name__", "") == "process"

    decoder, data = decoder_for("br"), brotli.compress(b"\0" * size) + junk
    given, most = 0, 0
    while data or decoder.pending:
        blocks = 0
        sys.setprofile(count)
        try:
            piece = decoder.feed(data, limit)
        finally:
            sys.setprofile(None)
        data, given, most = b"", given + len(piece), max(most, blocks)
    assert given == size
    assert most <= 20  # Brotli's blocks are small at first; not counted off, it is a block for each 32 KiB.


CHAINS = {
    "three gzips": ("gzip, gzip, gzip", gzip.compress(gzip.compress(EMPTY_GZIP * 1_000_000))),
    "zstd frames in gzip": ("zstd, gzip", gzip.compress(EMPTY_ZSTD * 1_000_000)),
    "skippable frames in br": ("zstd, br", brotli.compress(SKIPPED * 1_000_000)),
    "blocks in two gzips": ("deflate, gzip, gzip", gzip.compress(gzip.compress(b"\x78\x9c" + NO_BLOCK * 3_000_000))),
    "an endless name": ("gzip, gzip, gzip", gzip.compress(gzip.compress(ENDLESS_NAME + b"x" * 30_000_000))),
}


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_that_unfolds_to_nothing_is_refused(name):
    """Row W1: a few hundred bytes of wrapping around a million members that hold nothing."""
    value, packed = CHAINS[name]
    decoder = decoder_for(value)
    with pytest.raises(ContentDecodingError, match="hardly any content") as caught:
        drive(decoder, packed, 2000)
    assert caught.value.coding in value


class Watched(Gzip):
    """A gzip coding that says how much each of its steps took and gave."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[tuple[int, int]] = []

    def _decode(self, limit: int) -> bytes:
        output = super()._decode(limit)
        self.steps.append((STEP - self._budget, len(output)))
        return output


def test_each_of_five_codings_takes_and_gives_a_steps_share():
    """Row W1: however far the ones before it unfold."""
    packed = b"content" * 1_000_000
    for _ in range(5):
        packed = gzip.compress(packed)
    stages = [Watched() for _ in range(5)]
    decoder = Decoder(list(stages))
    given, count = len(decoder.feed(packed, 65536)), 1
    while decoder.pending:
        given += len(decoder.feed(b"", 65536))
        count += 1
    decoder.finish()
    assert given == 7_000_000
    for stage in stages:
        assert len(stage.steps) <= count
        assert max(taken for taken, _ in stage.steps) <= STEP + MEMBER_COST
    assert max(gave for stage in stages[:-1] for _, gave in stage.steps) <= STEP


def test_honest_members_without_content_are_no_attack():
    """A server that flushes nothing: alone a coding cannot hold less than it may, whatever is sent."""
    for value, unit in (("gzip", EMPTY_GZIP), ("zstd", EMPTY_ZSTD), ("zstd", SKIPPED)):
        assert steps(value, unit * 20_000) > 1


# Framing


READERS: dict[str, tuple[Callable[[], Any], bytes, bytes]] = {
    "a length": (lambda: LengthBody(1 << 40), b"", b"x" * 64),
    "a close": (CloseBody, b"", b"x" * 64),
    "byteranges": (lambda: ByteRangesBody(b"b" * 70), b"", b"\r\n--" + b"b" * 69 + b"x"),
    "chunks of one byte": (ChunkedBody, b"", b"1\r\nx\r\n"),
    "chunk extensions": (ChunkedBody, b"", b"1;" + b"x" * 400 + b"\r\nx\r\n"),
    "one long chunk": (ChunkedBody, b"ffffffff\r\n", b"x" * 64),
    "trailers": (ChunkedBody, b"0\r\n", b"A: " + b"b" * 1000 + b"\r\n"),
    "one long trailer": (ChunkedBody, b"0\r\nA: ", b"b" * 64),
    "a head": (HeadReader, b"HTTP/1.1 200 OK\r\n", b"A: " + b"b" * 1000 + b"\r\n"),
    "one long field": (HeadReader, b"HTTP/1.1 200 OK\r\nA: ", b"b" * 64),
    "a head's bare line ends": (lambda: HeadReader(max_fields=100_000), b"HTTP/1.1 200 OK\n", b"a:\n"),
    "interim responses": (HeadReader, b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    "a head's folded lines": (HeadReader, b"HTTP/1.1 200 OK\r\nA: b\r\n", b" c" * 32 + b"\r\n"),
    "one long line of bytes": (lambda: LineCutter(None), b"", b"x" * 64),
    "one long line, by delimiter": (lambda: LineCutter(b"ab"), b"", b"a" * 64),
    "many lines": (lambda: LineCutter(None), b"", b"x\r\n"),
}


@pytest.mark.parametrize("size", [1, 100, 10_000])
@pytest.mark.parametrize("name", READERS)
def test_pieces_of_any_size_are_moved_in_proportion(name, size):
    """What has come is never copied once more for each piece that follows. Row W3 among them."""
    make, lead, unit = READERS[name]

    def cost(total: int) -> int:
        reader = make()
        reader.feed(lead)
        data = unit * (total // len(unit))
        end = b"\r\n" if "head" in name else b""

        def feed(part: bytes) -> None:
            found = reader.feed(part)
            while name == "interim responses" and found is not None:
                found = reader.following()

        return moved(feed, [data[at : at + size] for at in range(0, len(data), size)] + [end])

    few = 8_000 if size == 1 else 30_000
    assert cost(2 * few) <= 2.5 * cost(few) + 20_000


def test_a_line_is_cut_alike_however_it_comes():
    """The faster way gives what the plain one does."""
    text = b"one\r\ntwo\n\nthree\rfour\x0bfive\r\n\r\n"
    for parts in every_cut(text):
        cutter = LineCutter(None)
        assert [line for part in parts for line in cutter.feed(part)] + cutter.finish() == text.splitlines()
        cutter = LineCutter(b"\n\n")
        assert [line for part in parts for line in cutter.feed(part)] + cutter.finish() == text.split(b"\n\n")
