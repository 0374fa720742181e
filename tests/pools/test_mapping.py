"""Memory whose pages are mapped ahead: they are there, what was in it stays; where it cannot be, it is as good."""

from __future__ import annotations

import io
import resource
import sys

import pytest

from keeppool.pools import mapping
from keeppool.pools.mapping import map_ahead

#: Large enough that the C library maps it by itself, so that it has no pages.
SIZE = 40 << 20


@pytest.fixture(autouse=True)
def anew(monkeypatch):
    """Let the C library be loaded anew, so that a test can be in its way."""
    monkeypatch.setattr(mapping, "_ask", None)
    monkeypatch.setattr(mapping, "_is_loaded", False)


def faults() -> int:
    """Count the times this process was stopped for a page."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def pages_written(memory: memoryview) -> int:
    """Write to each page, and count the stops that this took."""
    before = faults()
    for offset in range(0, len(memory), 4096):
        memory[offset] = 1
    return faults() - before


def is_asked() -> bool:
    map_ahead(memoryview(bytearray(1 << 20)))
    return mapping._ask is not None


def test_its_pages_are_there():
    if not (sys.platform == "linux" and is_asked()):
        pytest.skip("this kernel maps nothing ahead")
    file = io.BytesIO(bytes(SIZE))
    with file.getbuffer() as memory, memory[1 << 20 : 9 << 20] as part:
        map_ahead(part)
        assert pages_written(part) < 100  # Of 2048.


def test_what_is_in_it_stays_and_nothing_holds_on_to_it():
    file = io.BytesIO(b"a" * 100_000)
    with file.getbuffer() as memory, memory[5:99_999] as part:
        map_ahead(part)
        assert part == b"a" * 99_994
    file.write(b"b" * 200_000)  # A BufferError where a view is still held.
    assert file.getvalue() == b"b" * 200_000


@pytest.mark.parametrize("size", [1, 4095, 4096, 8191])
def test_memory_without_a_whole_page_is_left_alone(size):
    memory = memoryview(bytearray(3 * 4096))[1 : 1 + size]
    map_ahead(memory)
    assert memory == bytes(size)


@pytest.mark.parametrize("name", ["ctypes", "mmap"])
def test_without_the_modules_it_is_good_as_it_is(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    assert not is_asked()
    assert not is_asked()


def test_a_kernel_that_does_not_know_the_advice_is_asked_once(monkeypatch):
    monkeypatch.setattr(mapping, "_POPULATE_WRITE", 12345)
    assert not is_asked()
    monkeypatch.setattr(mapping, "_POPULATE_WRITE", 23)
    assert not is_asked()


def test_elsewhere_nobody_is_asked(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not is_asked()
