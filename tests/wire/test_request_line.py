"""Methods, targets and the head they are joined into."""

from __future__ import annotations

import pytest

from keeppool.errors import InvalidMethod, InvalidURL
from keeppool.wire.fields import field_block
from keeppool.wire.request import check_method, check_target, render_head

NOT_VISIBLE = [chr(code) for code in [*range(0x21), 0x7F, 0xE9, 0x2603]]


@pytest.mark.parametrize("name", ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"])
def test_standard_methods_go_out_in_upper_case(name):
    """People write them in any case and mean the standard one."""
    assert check_method(name) == check_method(name.lower()) == check_method(name.title()) == name.encode()


def test_a_method_may_be_bytes():
    assert (check_method(b"get"), check_method(b"M-SEARCH")) == (b"GET", b"M-SEARCH")


@pytest.mark.parametrize("name", ["purge", "M-SEARCH", "PropFind", "X!#$%&'*+.^_`|~9"])
def test_other_methods_keep_their_case(name):
    """RFC 9110 §9.1: methods are case-sensitive."""
    assert check_method(name) == name.encode()


@pytest.mark.parametrize(
    "name", ["", "G T", "GET ", "GET\r\n", "GET\x00", "GÉT", "\ud800", "GET:", "(GET)", b"G T", None, 5]
)
def test_a_method_that_is_no_token_is_refused(name):
    """A space or line end in the method would be a request of the attacker's."""
    with pytest.raises(InvalidMethod) as caught:
        check_method(name)
    assert caught.value.method == name


@pytest.mark.parametrize(
    "target", ["/", "*", "/a?b=c&d=%20", "http://a/b", "example.com:443", "/!$&'()*+,;=:@~-._{}|^"]
)
def test_visible_ascii_is_a_target(target):
    """Percent-encoding is done before; what is visible passes unchanged."""
    assert check_target(target) == target.encode()


@pytest.mark.parametrize("character", NOT_VISIBLE)
def test_anything_else_in_a_target_is_refused(character):
    """A space ends the target, a line end the line, and beyond ASCII nobody agrees on the encoding."""
    for target in (f"/a{character}b", f"{character}/", f"/{character}"):
        with pytest.raises(InvalidURL) as caught:
            check_target(target)
        assert caught.value.url == target


def test_an_empty_target_is_refused():
    """The line would have two spaces in a row."""
    with pytest.raises(InvalidURL):
        check_target("")


def test_a_head_is_the_parts_in_order():
    """Host first, then the blocks as given, then the empty line."""
    common = field_block([("User-Agent", "keeppool")])
    own = field_block([("Accept", "*/*"), ("X", "1")])
    assert render_head(b"GET", b"/a?b", b"Host: c\r\n", common, own) == (
        b"GET /a?b HTTP/1.1\r\nHost: c\r\nUser-Agent: keeppool\r\nAccept: */*\r\nX: 1\r\n\r\n"
    )


def test_a_head_of_http_1_0_without_fields():
    """Both the version and the Host line can be left to the caller."""
    assert render_head(b"GET", b"/", b"", version=b"HTTP/1.0") == b"GET / HTTP/1.0\r\n\r\n"
