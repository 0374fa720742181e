"""Text from bytes: encodings named, implied and guessed; lines however the stream is cut."""

from __future__ import annotations

import itertools
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeppool.client.response import charsets
from keeppool.client.response.links import parse_links
from keeppool.client.response.text import apparent_encoding, decoded, decoded_pieces, lines, stated_encoding


@pytest.mark.parametrize(
    ("content_type", "encoding"),
    [
        (None, None),
        ("", None),
        ("text/html", "ISO-8859-1"),
        ("TEXT/html", "ISO-8859-1"),
        ("text/html; charset=utf-8", "utf-8"),
        ("text/html; Charset='utf-8'", "utf-8"),
        ('text/html; boundary=x; charset="koi8-r"', "koi8-r"),
        ("application/json", "utf-8"),
        ("application/json; charset=latin-1", "latin-1"),
        ("application/octet-stream", None),
        ("image/png; charset", None),
        ("text/html; charset=x-sjis", "cp932"),
        ("text/html; charset=Windows-949", "cp949"),
        ("text/html; charset=ISO-8859-8-I", "iso8859-8"),
        ("text/html; charset=punycode; charset=utf-8", "utf-8"),
        ("text/html; charset=nonsense", "nonsense"),
    ],
)
def test_the_content_type_names_or_implies_the_encoding(content_type, encoding):
    assert stated_encoding(content_type) == encoding


ABSURD = [
    *("punycode", "idna", "unicode_escape", "raw_unicode_escape", "rot13", "utf-7", "utf-32", "hex", "zlib", "bz2"),
    *("base64", "quopri", "uu", "undefined", "cp037", "cp500", "hz", "iso2022_kr", "x" * 5000),
]


@pytest.mark.parametrize("charset", ABSURD)
def test_a_charset_that_is_no_encoding_of_the_web_is_not_believed(charset):
    """Row W6: as if there were none."""
    assert stated_encoding(f"text/html; charset={charset}") == "ISO-8859-1"
    assert stated_encoding(f"application/json; charset={charset}") == "utf-8"
    assert stated_encoding(f"application/octet-stream; charset={charset}") is None


def test_every_charset_that_is_believed_reads_any_bytes():
    every = bytes(range(256)) * 4
    for name in sorted(charsets._OF_THE_WEB) + sorted(charsets._BY_LABEL):
        encoding = charsets.believed(name)
        assert encoding is not None
        assert decoded(every, encoding)
        assert "".join(decoded_pieces([every[:7], every[7:]], encoding)) == decoded(every, encoding)


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"], ids=["plain", "mark 8", "mark 16", "mark 32"]
)
def test_unicode_is_recognised_with_and_without_a_mark(encoding):
    assert apparent_encoding("Grüße".encode(encoding)) == encoding


def test_other_bytes_are_guessed_or_read_as_latin_1(monkeypatch):
    text = "Съешь же ещё этих мягких французских булок, да выпей чаю. " * 5
    assert text.encode("cp1251").decode(apparent_encoding(text.encode("cp1251"))) == text
    monkeypatch.setitem(sys.modules, "charset_normalizer", None)
    assert apparent_encoding(b"gr\xfc\xdfe") == "ISO-8859-1"


def test_what_cannot_be_decoded_is_replaced_and_unknown_encodings_are_utf_8():
    assert decoded(b"a\xffb", "utf-8") == "a\ufffdb"
    for unknown in ("no-such-encoding", "bad\x00name", "hex", "zlib", "idna", "undefined", "rot13", ""):
        assert decoded("ü".encode(), unknown) == "ü"
        assert list(decoded_pieces(["ü".encode()], unknown)) == ["ü"]


def test_a_character_cut_in_two_comes_whole():
    assert list(decoded_pieces([b"a\xc3", b"\xbc", b"\xe2\x82"], "utf-8")) == ["a", "ü", "\ufffd"]


def cut(data, places):
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@given(st.text(st.sampled_from("ab\r\n\x0b\u2028"), max_size=20), st.lists(st.integers(0, 100), max_size=8))
def test_lines_do_not_depend_on_the_cuts(text, places):
    data = text.encode()
    assert list(lines(cut(data, places), None)) == data.splitlines()
    assert list(lines(cut(text, places), None)) == text.splitlines()


@given(st.text(st.sampled_from("ab|"), max_size=20), st.lists(st.integers(0, 100), max_size=8))
def test_delimiters_do_not_depend_on_the_cuts(text, places):
    whole = text.split("||")
    expected = whole if whole[-1] else whole[:-1]
    assert list(lines(cut(text, places), "||")) == expected


def test_links_are_found_by_relation():
    value = (
        '<https://a.example/?page=2>; rel="next", <https://a.example/?a=1,2>; rel=last; title="x, \\"y\\""'
        ", </plain>;crossorigin"
    )
    assert parse_links(value) == {
        "next": {"url": "https://a.example/?page=2", "rel": "next"},
        "last": {"url": "https://a.example/?a=1,2", "rel": "last", "title": 'x, "y"'},
        "/plain": {"url": "/plain", "crossorigin": ""},
    }
    assert parse_links("") == {}
    assert parse_links("nonsense") == {}
