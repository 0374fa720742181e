"""`Stage`: one content coding, undone in bounded steps.

Decides: how much one step takes, when data is all wrapping, and what is junk behind the last of several members.
Does not know: any decompressor; that codings can lie on top of each other (`keeppool.wire.decode`).

Source: RFC 9110 §8.4.1 (codings).
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from typing import Final

from keeppool.errors import ContentDecodingError

#: Bytes one step takes through each coding. Of five codings on top of each other such a step takes about 1 ms
#: (measured 2026-11, two cores, Python 3.11); half as much costs an honest body a tenth of its rate.
STEP: Final = 16384
#: Bytes one more member or frame counts for in a step. To begin one takes 1 µs (zlib) to 17 µs (zstd), so 64 of them
#: are a step.
MEMBER_COST: Final = 256
#: Bytes of a member that are looked at first, and then twice as many each time: what it leaves is copied.
FIRST_PIECE: Final = 256
#: Bytes that may be decoded without giving a byte, and how much more for each byte that came or was given. One coding
#: alone cannot reach it, whatever is sent: the shortest frame has 8 bytes, which count for 33 times as many.
MOST_BARREN: Final = 1 << 20
BARREN_SHARE: Final = 64


class Stage(ABC):
    """One coding, fed with bytes of which it decodes a bounded number in each step.

    Attributes:
        started: A byte was fed.
        ended: What was fed is complete: the data may stop here.
        pending: Another step has something to do without more input.
    """

    __slots__ = ("_at", "_barren", "_budget", "_given", "_held", "ended", "pending", "started")

    coding = ""

    def __init__(self) -> None:
        self._held = b""
        self._at = 0  # how much of `_held` was decoded; it is cut when it is used up, not with each step
        self._budget = 0  # bytes this step may still take
        self._barren = 0  # bytes taken, in all, that gave nothing
        self._given = 0
        self.started = self.ended = self.pending = False

    def hold(self, data: bytes) -> None:
        """Take input without decoding it yet."""
        if data:
            self._held = self._held[self._at :] + data if self._at < len(self._held) else data
            self._at = 0
            self.started = self.pending = True

    def feed(self, data: bytes, limit: int) -> bytes:
        """Do one step; give its output, `limit` bytes of it at the most."""
        self.hold(data)
        if not self.pending:
            return b""
        self._budget = STEP
        self.pending = False
        try:
            output = self._decode(limit)
        except self._errors() as error:
            raise ContentDecodingError(f"the {self.coding} data is damaged: {error}", coding=self.coding) from error
        if output:
            self._given += len(output)
        else:
            self._barren += STEP - self._budget
        return output

    def check_worth(self, fed: int) -> None:
        """Refuse data that is all wrapping: a chain of codings can unfold a few bytes to any amount of it.

        Args:
            fed: Bytes that came over the wire.

        Raises:
            ContentDecodingError: Far more was decoded than came, and held hardly anything.
        """
        if self._barren > MOST_BARREN + BARREN_SHARE * (fed + self._given):
            raise ContentDecodingError(f"the {self.coding} data holds hardly any content", coding=self.coding)

    def _errors(self) -> type[Exception]:
        return zlib.error

    @abstractmethod
    def _decode(self, limit: int) -> bytes:
        """Decode until there is output, up to `limit` bytes, or the input or the step's budget is used up."""

    def _next_piece(self, most: int) -> bytes:
        """Give the next bytes to be decoded, without taking them."""
        return self._held[self._at : self._at + min(most, max(self._budget, 1))]

    def _take(self, size: int) -> None:
        self._at += size
        self._budget -= size
        if self._at >= len(self._held):
            self._held, self._at = b"", 0

    def _give_back(self, data: bytes) -> None:
        """Undo taking these bytes, the last that were taken."""
        if self._at >= len(data):
            self._at -= len(data)
        else:
            self._held, self._at = data + self._held[self._at :], 0
        self._budget += len(data)

    def _drop_rest(self) -> None:
        """Ignore what lies behind the end."""
        self._held, self._at, self.pending = b"", 0, False

    @property
    def _left(self) -> int:
        return len(self._held) - self._at


class Members(Stage):
    """What gzip and zstd share: several members (frames) behind each other, and junk behind the last one.

    Junk is what does not begin as a member does, and a second or later member that fails before it is beyond doubt:
    gzip(1) ignores both, with a warning, and so did every client that met such servers. When it is, must not depend on
    how the data was cut, though a decompressor that fails keeps what it has decoded in the same call.
    """

    __slots__ = ("_is_first", "_is_junk", "_is_sure", "_piece")

    def __init__(self) -> None:
        super().__init__()
        self._is_first = True
        self._is_junk = False
        self._is_sure = False  # beyond doubt, this is a member
        self._piece = STEP

    def _decode(self, limit: int) -> bytes:
        while not self._is_junk and self._begun():
            try:
                output, ended = self._decode_piece(limit)
            except self._errors():
                if self._is_first or self._is_sure:
                    raise
                self._is_junk = True
                break
            self._is_sure = self._is_sure or bool(output)
            if ended:
                self._end_member()
            if output:
                return output
            if self._budget <= 0:
                self.pending = self.pending or self._left > 0
                return b""
            if not self._left:
                return b""
        if self._is_junk:
            self.ended = True
            self._drop_rest()
        return b""

    def _end_member(self) -> None:
        self.ended = True
        self._is_first = self._is_sure = False
        self._budget -= MEMBER_COST
        # The decompressors hand back what they did not use as a copy: of short members behind each other it would be
        # a copy of everything for each.
        self._piece = FIRST_PIECE
        self.pending = self._left > 0

    def _grow_piece(self) -> None:
        self._piece = min(2 * self._piece, STEP)

    @abstractmethod
    def _begun(self) -> bool:
        """Begin the next member if one is due; False if there is nothing to decode, or not enough to tell."""

    @abstractmethod
    def _decode_piece(self, limit: int) -> tuple[bytes, bool]:
        """Decode a piece of the member; give the output, and whether the member has ended."""
