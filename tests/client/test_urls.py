"""URLs: what is quoted, kept, refused, and where a Location leads."""

from __future__ import annotations

import pickle
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from keeppool.client.request.urls import quoted_query, resolved, text_of
from keeppool.errors import InvalidSchema, InvalidURL, MissingSchema
from keeppool.urls import address as urls
from keeppool.urls.address import addressed, is_same_origin, parse, parse_as_given

PARTS = ("url", "scheme", "host", "port", "target", "credentials")


@pytest.mark.parametrize(
    ("given_url", "sent"),
    [
        ("http://example.com", "http://example.com/"),
        ("HTTP://EXAMPLE.com/A", "http://example.com/A"),
        ("  http://example.com/", "http://example.com/"),
        ("http://example.com/a b", "http://example.com/a%20b"),
        ("http://example.com/ä?ö=ü", "http://example.com/%C3%A4?%C3%B6=%C3%BC"),
        ("http://example.com/%e4%20%7Ea", "http://example.com/%E4%20~a"),
        ("http://example.com/100%", "http://example.com/100%25"),
        ("http://example.com/a/../b/./c", "http://example.com/b/c"),
        ("http://example.com/.well-known/x", "http://example.com/.well-known/x"),
        ("http://example.com/?", "http://example.com/"),
        ("http://example.com?q=1", "http://example.com/?q=1"),
        ("http://example.com:8080/x?a=b&c=d", "http://example.com:8080/x?a=b&c=d"),
        ("https://bücher.example/x", "https://xn--bcher-kva.example/x"),
        ("http://[::1]:8080/x", "http://[::1]:8080/x"),
        ("http://my_host.example/", "http://my_host.example/"),
        ("http://example.com/[x]?[y]", "http://example.com/%5Bx%5D?%5By%5D"),
    ],
)
def test_a_url_is_sent_quoted_once(given_url, sent):
    address = parse(given_url)
    assert (address, address.url) == (sent, sent)


def test_the_fragment_is_shown_and_not_sent():
    address = parse("http://example.com/a#b c")
    assert (address, address.url) == ("http://example.com/a", "http://example.com/a#b%20c")


def test_credentials_are_taken_out_of_the_url():
    address = parse("http://us%40er:pass%3Aword@example.com/x#f")
    assert (address, address.url) == ("http://example.com/x", "http://example.com/x#f")
    assert address.credentials == ("us@er", "pass:word")


def test_a_user_without_a_password_has_an_empty_one():
    assert parse("http://token@example.com/").credentials == ("token", "")


@pytest.mark.parametrize(
    ("bad", "kind", "word"),
    [
        ("", MissingSchema, "no scheme"),
        ("example.com/x", MissingSchema, "https://example.com/x perhaps"),
        ("//example.com/x", MissingSchema, "https://example.com/x perhaps"),
        ("/just/a/path", MissingSchema, "no scheme"),
        ("localhost:8080/x", InvalidSchema, "'https://localhost:8080/x' perhaps"),
        ("localhost:8080", InvalidSchema, "no scheme"),
        ("ftp://example.com/", InvalidSchema, "not ftp"),
        ("file:///etc/passwd", InvalidSchema, "not file"),
        ("mailto:someone@example.com", InvalidSchema, "not mailto"),
        ("http+unix://socket/x", InvalidSchema, "not http+unix"),
        ("http://", InvalidURL, "no host"),
        ("http:///x", InvalidURL, "no host"),
        ("http://:80/x", InvalidURL, "no host"),
        ("http:example.com", InvalidURL, "no host"),
        ("http://*.example.com/", InvalidURL, "no name can be"),
        ("http://.example.com/", InvalidURL, "no name can be"),
        ("http://example.com/a\nb", InvalidURL, "control character"),
        ("http://example.com/\r\nX: y", InvalidURL, "control character"),
        ("http://exa\x00mple.com/", InvalidURL, "control character"),
        ("http://example.com/\x7f", InvalidURL, "control character"),
        ("http://example.com/\udcff", InvalidURL, "lone surrogate"),
        ("http://example.com:99999/", InvalidURL, "malformed"),
        ("http://example.com:port/", InvalidURL, "malformed"),
        ("http://[::1/", InvalidURL, "malformed"),
        ("http://exa mple.com/", InvalidURL, "malformed"),
        (f"http://{'ä' * 100}.example/", InvalidURL, "cannot be a host's name"),
    ],
)
def test_what_is_no_url_is_refused_by_name(bad, kind, word):
    with pytest.raises(kind, match=None) as caught:
        parse(bad)
    assert type(caught.value) is kind
    assert word in str(caught.value)
    assert caught.value.url == bad


@pytest.mark.parametrize(
    ("url", "origin", "target"),
    [
        ("http://example.com/a?b=c#d", ("http", "example.com", 80), "/a?b=c"),
        ("HTTPS://Example.com:8443", ("https", "example.com", 8443), "/"),
        ("http://me:secret@[::1]:8080/%7Ex", ("http", "::1", 8080), "/~x"),
        ("http+unix://%2Frun%2Fd.sock/info?x", ("http+unix", "%2Frun%2Fd.sock", 0), "/info?x"),
        ("mock://Example.com:1/x#y", ("mock", "example.com", 1), "/x"),
        ("mailto:someone@example.com", ("mailto", "", 0), "someone@example.com"),
        ("mock://[::1/x", ("mock", "", 0), "/"),
    ],
)
def test_an_address_knows_the_parts_of_its_url(url, origin, target):
    address = addressed(url)
    assert (address.origin, address.target) == (origin, target)


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("http://a.example:80/", "a.example"),
        ("http://a.example:443/", "a.example:443"),
        ("https://[2001:DB8::1]:8443/", "[2001:db8::1]:8443"),
    ],
)
def test_the_authority_names_a_port_only_where_the_scheme_has_another(url, authority):
    assert parse(url).authority == authority


def test_an_address_is_pickled_with_all_its_parts():
    address = parse("http://us:pw@a.example:81/x?y#z")
    again = pickle.loads(pickle.dumps(address))
    assert again == address
    assert [getattr(again, name) for name in PARTS] == [getattr(address, name) for name in PARTS]


def test_a_url_read_as_given_keeps_its_escapes_and_is_refused_for_the_same_faults():
    assert parse_as_given("http://a.example/%7Ex?%41").target == "/%7Ex?%41"
    for bad in ("", "a.example", "ftp://a.example/", "http://", "http://a.example:0/", "http://a\nb/"):
        with pytest.raises(InvalidURL) as one:
            parse_as_given(bad)
        with pytest.raises(InvalidURL) as other:
            parse(bad)
        assert (type(one.value), str(one.value)) == (type(other.value), str(other.value))
    with pytest.raises(InvalidURL, match="text"):
        parse_as_given(b"http://a.example/")  # type: ignore[arg-type]


def test_bytes_and_objects_with_a_text_are_urls():
    class Link:
        def __str__(self):
            return "http://example.com/l"

    assert text_of(b"http://example.com/\xc3\xa4") == "http://example.com/ä"
    assert text_of(Link()) == "http://example.com/l"


@pytest.mark.parametrize("bad", [None, b"http://example.com/\xff"])
def test_what_cannot_be_read_as_text_is_no_url(bad):
    with pytest.raises(InvalidURL):
        text_of(bad)


def test_without_the_idna_package_pythons_own_codec_serves(monkeypatch):
    """A host name both standards read alike needs no package; one they read differently is refused."""
    monkeypatch.setitem(sys.modules, "idna", None)
    assert parse.__wrapped__("http://bücher.example/") == "http://xn--bcher-kva.example/"
    with pytest.raises(InvalidURL, match="package idna"):
        parse.__wrapped__("http://straße.example/")


URL_CHARACTERS = st.text(st.sampled_from("abz09-._~!$&'()*+,;=:@/?#%[] \"<>\\^`{|}äß€2fE"), max_size=20)


@given(URL_CHARACTERS)
@example("a/.?b")
@example("//")
@example("a?b?c")
def test_the_short_way_for_plain_urls_changes_nothing(rest):
    """What the regular expression lets pass is what the careful way would have made of it."""
    url = f"http://example.com/{rest}"
    if urls._PLAIN.fullmatch(url):
        short, careful = parse(url), urls._parse_careful(url, urls._unquoted)
        assert [getattr(short, name) for name in PARTS] == [getattr(careful, name) for name in PARTS]
        assert short == careful == url


@given(URL_CHARACTERS)
def test_quoting_twice_is_quoting_once(rest):
    once = parse(f"http://example.com/{rest}")
    assert parse(once.url) == once


@given(URL_CHARACTERS)
def test_what_is_sent_is_visible_ascii(rest):
    sent = parse(f"http://example.com/{rest}")
    assert all("!" <= character <= "~" for character in sent)
    assert "#" not in sent


@pytest.mark.parametrize(
    ("url", "query", "shown"),
    [
        ("http://a.example/x", "", "http://a.example/x"),
        ("http://a.example/x", "a=1", "http://a.example/x?a=1"),
        ("http://a.example/x?a=1", "b=2", "http://a.example/x?a=1&b=2"),
        ("http://a.example/x?a=1#f", "b=2", "http://a.example/x?a=1&b=2#f"),
        ("http://a.example/x#f", "b=2", "http://a.example/x?b=2#f"),
    ],
)
def test_parameters_go_behind_the_urls_own_query(url, query, shown):
    address = parse(url).with_query(query)
    assert address.url == shown
    assert address == shown.partition("#")[0]


@pytest.mark.parametrize(
    ("query", "quoted"),
    [("a b", "a%20b"), ("a%20b", "a%20b"), ("100%", "100%25"), ("a=ä", "a=%C3%A4"), (b"\xff", "%FF"), ("a#b", "a%23b")],
)
def test_a_query_by_hand_is_quoted_where_it_must_be(query, quoted):
    assert quoted_query(query) == quoted


@pytest.mark.parametrize(
    ("base", "location", "leads_to"),
    [
        ("http://a.example/x/y", b"z", "http://a.example/x/z"),
        ("http://a.example/x/y", b"/z", "http://a.example/z"),
        ("http://a.example/x/y", b"../z?q", "http://a.example/z?q"),
        ("http://a.example/x", b"//b.example/z", "http://b.example/z"),
        ("https://a.example/x", b"//b.example/z", "https://b.example/z"),
        ("http://a.example/x", b"https://b.example", "https://b.example/"),
        ("http://a.example/x", b"HTTP://B.example/Z", "http://b.example/Z"),
        ("http://a.example/x", b"?q=1", "http://a.example/x?q=1"),
        ("http://a.example/x", b"/a b", "http://a.example/a%20b"),
        ("http://a.example/x", "/ä".encode(), "http://a.example/%C3%A4"),
        ("http://a.example/x", b"/\xe4", "http://a.example/%C3%A4"),
        ("http://a.example/x", b"/%E4%2f", "http://a.example/%E4%2F"),
        ("http://a.example/x#f", b"/z", "http://a.example/z#f"),
        ("http://a.example/x#f", b"/z#g", "http://a.example/z#g"),
        ("http://a.example/x", b"#g", "http://a.example/x#g"),
        ("http://a.example/x", b"http://user:pass@a.example/z", "http://a.example/z"),
    ],
)
def test_a_location_is_read_from_where_it_was_given(base, location, leads_to):
    address = resolved(parse(base), location)
    assert address.url == leads_to
    assert address.credentials is None


@pytest.mark.parametrize(
    ("location", "kind"),
    [
        (b"ftp://b.example/", InvalidSchema),
        (b"javascript:alert(1)", InvalidSchema),
        (b"https://", InvalidURL),
        (b"http://[::1/", InvalidURL),
        (b"http://b.example:99999/", InvalidURL),
    ],
)
def test_a_location_that_is_no_http_url_is_refused(location, kind):
    with pytest.raises(kind):
        resolved(parse("http://a.example/"), location)


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("http://a.example/x", "http://a.example/y", True),
        ("http://a.example/", "http://a.example:80/", True),
        ("https://a.example:443/", "https://a.example/", True),
        ("http://a.example/", "https://a.example/", True),
        ("http://a.example:80/", "https://a.example:443/", True),
        ("https://a.example/", "http://a.example/", False),
        ("http://a.example:8080/", "https://a.example/", False),
        ("http://a.example/", "https://a.example:8443/", False),
        ("http://a.example/", "http://a.example:8080/", False),
        ("http://a.example/", "http://b.example/", False),
        ("http://a.example/", "http://www.a.example/", False),
    ],
)
def test_an_origin_is_scheme_host_and_port(old, new, same):
    assert is_same_origin(parse(old), parse(new)) is same


def test_long_urls_are_remembered_within_a_bound_and_short_ones_as_many_as_may_be():
    parse.cache_clear()
    for number in range(100):
        parse(f"http://a.example/{number}")
    assert parse.cache_info().currsize == 100
    for number in range(300):
        assert parse(f"http://a.example/{number}?{'q' * 100_000}").endswith("q")
    assert parse.cache_info().currsize < 25
    parse("http://a.example/again")
    hits = parse.cache_info().hits
    parse("http://a.example/again")
    assert parse.cache_info().hits == hits + 1
