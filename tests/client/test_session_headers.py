"""`Headers`: names in any case, bytes made once, and `None` for "do not send"."""

from __future__ import annotations

import copy
import pickle
import threading

import pytest

from keeppool.client.request.headers import Headers, merged
from keeppool.errors import InvalidHeader


def test_names_are_found_in_any_case_and_shown_as_last_written():
    headers = Headers({"User-Agent": "a", "Accept": "b"})
    headers["USER-agent"] = "c"
    assert list(headers.items()) == [("USER-agent", "c"), ("Accept", "b")]
    assert headers["user-AGENT"] == "c"
    assert "accept" in headers
    del headers["ACCEPT"]
    assert len(headers) == 1


def test_headers_equal_any_mapping_of_the_same_fields():
    assert Headers({"A": "1"}) == {"a": "1"}
    assert Headers({"A": "1"}) != {"a": "2"}
    assert Headers({"A": "1"}) != 5


def test_the_block_is_made_once_and_again_after_each_change():
    headers = Headers({"A": "1"})
    first = headers.block()
    assert headers.block() is first
    assert first.lines == b"A: 1\r\n"
    headers["B"] = "2"
    assert headers.block().lines == b"A: 1\r\nB: 2\r\n"
    headers.update({"a": "3"})
    assert headers.block().lines == b"a: 3\r\nB: 2\r\n"
    headers.pop("b")
    assert headers.block().lines == b"a: 3\r\n"
    headers.clear()
    assert headers.block().lines == b""


def test_none_stays_in_the_mapping_and_is_not_sent():
    headers = Headers({"A": None, "B": "2"})
    assert headers["a"] is None
    assert headers.block().lines == b"B: 2\r\n"


def test_a_value_that_cannot_be_sent_is_refused_when_it_would_be():
    headers = Headers({"A": "x\r\nB: y"})
    with pytest.raises(InvalidHeader):
        headers.block()
    headers["A"] = "fine"
    assert headers.block().lines == b"A: fine\r\n"


@pytest.mark.parametrize("bad", [5, "text", [("a",)], [5], {5: "x"}])
def test_what_is_no_mapping_and_no_pairs_makes_no_headers(bad):
    with pytest.raises(InvalidHeader):
        Headers(bad)


def test_copies_and_pickles_are_independent():
    headers = Headers([("A", "1"), ("B", None)])
    for other in (headers.copy(), copy.deepcopy(headers), pickle.loads(pickle.dumps(headers))):
        assert other == headers
        other["A"] = "2"
        assert headers["A"] == "1"
        assert other.block().lines == b"A: 2\r\n"


def test_a_calls_headers_take_the_place_of_the_sessions():
    base = Headers([("User-Agent", "s"), ("Accept", "*/*"), ("X-Off", None)])
    assert merged(base, {"accept": None, "USER-AGENT": "c", "New": "n"}) == [("USER-AGENT", "c"), ("New", "n")]


def test_pairs_may_repeat_a_name():
    assert merged(Headers({"A": "0"}), [("a", "1"), ("B", "x"), (b"A", b"2")]) == [
        ("a", "1"),
        (b"A", b"2"),
        ("B", "x"),
    ]


def test_a_write_while_the_block_is_made_is_in_the_next_one():
    class Interrupted(Headers):
        def pairs(self):
            seen = super().pairs()
            if len(seen) == 1:
                self["B"] = "2"
            return seen

    headers = Interrupted({"A": "1"})
    assert headers.block().lines == b"A: 1\r\n"
    assert headers.block().lines == b"A: 1\r\nB: 2\r\n"


def test_a_block_never_misses_a_finished_write():
    """Whoever asks after a write, in any thread, gets that write; many writers and readers at once."""
    headers = Headers({"N": "0"})
    stale: list[tuple[int, bytes]] = []
    barrier = threading.Barrier(4)

    def write_and_read(own: str) -> None:
        barrier.wait(10)
        for number in range(2000):
            headers[own] = str(number)
            block = headers.block()
            if block.get(own.lower().encode()) != str(number).encode():
                stale.append((number, block.lines))

    threads = [threading.Thread(target=write_and_read, args=(f"X-{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert stale == []
