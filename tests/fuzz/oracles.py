"""What targets hold the code to, whatever the input: which errors, how much work, and that cuts change nothing."""

from __future__ import annotations

import gc
import pickle
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, TypeVar

from keeppool.errors import MOST_TEXT, KeepPoolError

T = TypeVar("T")

#: Inputs up to this length are cut in two at each place; of longer ones at a few.
_EVERYWHERE: Final = 24
_SOME_PLACES: Final = 4


class Outcome(NamedTuple):
    """What a call came to: a value, or an error of the tree.

    Attributes:
        value: What it returned; `None` if it failed.
        error: The error's class; `None` if there was none.
    """

    value: Any
    error: type[KeepPoolError] | None


def outcome(call: Callable[..., Any], *arguments: Any) -> Outcome:
    """Call; of errors only those of the tree are allowed, and those are looked at."""
    try:
        return Outcome(call(*arguments), None)
    except KeepPoolError as error:
        check_error(error)
        return Outcome(None, type(error))


def check_error(error: KeepPoolError) -> None:
    """Hold an error to what all of them promise: a text that fits a terminal, and facts that survive pickling."""
    text = str(error)
    assert text, f"{type(error).__name__} says nothing"
    assert text.isprintable(), f"not fit for a terminal: {text!r}"
    assert len(text) <= 2 * MOST_TEXT, f"a text of {len(text)} characters: {text[:100]!r}"
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == text


def cuts(data: bytes) -> Iterator[list[bytes]]:
    """Give the ways in which a connection may hand over the same bytes, the whole of them at once left out.

    Byte by byte, and in two at each place; of long data, which place it is depends on the data.
    """
    if len(data) < 2:
        return
    yield [data[at : at + 1] for at in range(len(data))]
    places = range(1, len(data))
    if len(data) > _EVERYWHERE:
        seed = zlib.crc32(data)
        places = sorted({1 + (seed >> 8 * number) % (len(data) - 1) for number in range(_SOME_PLACES)})
    for at in places:
        yield [data[:at], data[at:]]


def same_however_cut(read: Callable[[list[bytes]], Any], data: bytes) -> Any:
    """Read the data whole, then cut in every way: each must come to the same. Give what it is."""
    whole = read([data])
    for parts in cuts(data):
        other = read(parts)
        assert other == whole, f"whole: {whole!r:.300}\nas {shape(parts)}: {other!r:.300}"
    return whole


def shape(parts: list[bytes]) -> str:
    """Say how something was cut."""
    return f"{len(parts[0])} bytes and the rest" if len(parts) == 2 else f"{len(parts)} pieces of a byte"


def in_steps(per_byte: float, basis: int, size: int, call: Callable[[], T]) -> T:
    """Call, and hold the work to what the size of the input allows.

    A step is a call of a function, in Python or in C; what atheris adds to be told of branches is none.

    Args:
        per_byte: Steps each byte may take.
        basis: Steps that nothing at all may take.
        size: Bytes of the input.
        call: What to do.
    """
    most = per_byte * size + basis
    result, steps = _counted(call)
    if steps > most:
        # Once more: the first time may have imported, compiled a pattern, or met the garbage collector.
        _, steps = _counted(call)
        assert steps <= most, f"{steps} steps for {size} bytes: more than {per_byte} each and {basis}"
    return result


def _counted(call: Callable[[], T]) -> tuple[T, int]:
    """Call, and count the steps."""
    steps = 0

    def count(_frame: object, event: str, function: Any) -> None:
        nonlocal steps
        steps += event == "call" or (event == "c_call" and getattr(function, "__module__", "") != "atheris.native")

    before, collects = sys.getprofile(), gc.isenabled()
    gc.disable()
    sys.setprofile(count)
    try:
        return call(), steps
    finally:
        sys.setprofile(before)
        if collects:
            gc.enable()


def repeated(data: bytes, size: int = 16384) -> bytes | None:
    """Give the data many times behind each other, so that what is more than linear shows; for one input in sixteen.

    Args:
        data: The input.
        size: Bytes of the result, about.
    """
    if not data or zlib.crc32(data) % 16:
        return None
    return data * max(1, size // len(data))
