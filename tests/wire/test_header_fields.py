"""Header fields on their way out: nothing that could end a line early gets through."""

from __future__ import annotations

import traceback

import pytest

from keeppool.errors import InvalidHeader
from keeppool.wire.fields import EMPTY, field_block, is_token

CONTROLS = [bytes([byte]) for byte in [*range(0x09), *range(0x0A, 0x20), 0x7F]]


def test_fields_keep_their_order_and_case():
    """Servers and fingerprints see the fields as the caller wrote them."""
    block = field_block([("X-b", "1"), (b"accept", b"*/*"), ("Host", "a")])
    assert block.lines == b"X-b: 1\r\naccept: */*\r\nHost: a\r\n"
    assert block.names == {b"x-b", b"accept", b"host"}
    assert block.pairs == ((b"X-b", b"1"), (b"accept", b"*/*"), (b"Host", b"a"))


def test_no_pairs_make_the_empty_block():
    """Nothing to send is one shared block."""
    assert field_block([]) is EMPTY
    assert EMPTY.lines == b""
    assert EMPTY.get(b"host") is None


def test_a_block_cannot_be_changed():
    """Blocks are shared between requests."""
    with pytest.raises(AttributeError):
        field_block([("A", "b")]).lines = b""  # type: ignore[misc]


def test_get_finds_by_lower_case_name_and_joins_repeats():
    """RFC 9110 §5.3: several lines are one list."""
    block = field_block([("Accept", "a"), ("X", "y"), ("ACCEPT", "b")])
    assert block.get(b"accept") == b"a, b"
    assert block.get(b"x") == b"y"
    assert block.get(b"absent") is None


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("plain", b"plain"),
        ("", b""),
        ("  both sides\t", b"both sides"),
        ("in\tside", b"in\tside"),
        ("caf\xe9", b"caf\xe9"),
        ("snow \u2603", "snow \u2603".encode()),
        (b"\x80\xff", b"\x80\xff"),
    ],
)
def test_values_are_encoded_and_trimmed(given, sent):
    """ISO 8859-1 where it can hold the text, UTF-8 elsewhere, white space around dropped."""
    assert field_block([("X", given)]).pairs == ((b"X", sent),)


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("template", [b"a%bb", b"%ba", b"a%b", b"a%b\nSet-Cookie: x=y"])
def test_a_control_character_in_a_value_is_refused(control, template):
    """A line end would begin a field of the attacker's, also at the value's edge where stripping could hide it."""
    for value in (template % control, (template % control).decode("latin-1")):
        with pytest.raises(InvalidHeader) as caught:
            field_block([("X", value)])
        assert (caught.value.name, caught.value.value) == ("X", None)


@pytest.mark.parametrize(
    "name",
    ["", " ", "a b", "a:", "a: b", "a\r\nb", "a\n", "\x00", "a\x7f", "(a)", "caf\xe9", "\u2603", "a\t", *CONTROLS],
)
def test_a_name_that_is_no_token_is_refused(name):
    """RFC 9110 §5.1."""
    with pytest.raises(InvalidHeader) as caught:
        field_block([("Fine", "a"), (name, "b")])
    assert caught.value.name == name


@pytest.mark.parametrize("name", ["Authorization", "Cookie", "X-Api-Key", "Accept"])
@pytest.mark.parametrize(
    ("value", "character", "position"),
    [("Bearer SECRET\n", "\n", 13), (b"SECRET\x00", "\x00", 6), ("SECRET\ud800", "\ud800", 6)],
)
def test_a_value_that_cannot_be_sent_is_not_shown(name, value, character, position):
    """Row X2: a token read from a file ends with a line end; the error tells where, and not the token."""
    with pytest.raises(InvalidHeader) as caught:
        field_block([("Fine", "a"), (name, value)])
    error = caught.value
    assert (error.name, error.character, error.position, error.value) == (name, character, position, None)
    shown = "".join(traceback.format_exception(error)).partition("keeppool.errors.InvalidHeader")[2]
    assert "SECRET" not in shown + repr(error) + repr(error.__dict__)
    assert name in str(error)
    assert f"position {position}" in str(error)


@pytest.mark.parametrize("value", [None, 5, 1.5, ["a"], bytearray(b"a")])
def test_a_value_of_another_type_is_named(value):
    """Silently written as text, `None` and numbers have surprised people before."""
    with pytest.raises(InvalidHeader, match=f"header 'X': .* not {type(value).__name__}"):
        field_block([("X", value)])


def test_a_name_of_another_type_is_refused():
    """The same for names."""
    with pytest.raises(InvalidHeader, match="must be text or bytes, not int"):
        field_block([(5, "x")])  # type: ignore[list-item]


def test_a_lone_surrogate_is_refused():
    """No encoding can write it; the error is ours, not the codec's."""
    with pytest.raises(InvalidHeader, match="surrogate"):
        field_block([("X", "\ud800")])


def test_token_characters_are_those_of_the_rfc():
    """RFC 9110 §5.6.2, written out."""
    allowed = {
        *b"!#$%&'*+-.^_`|~0123456789",
        *range(ord("a"), ord("z") + 1),
        *range(ord("A"), ord("Z") + 1),
    }
    assert {byte for byte in range(256) if is_token(bytes([byte]))} == allowed
