"""References: where a relative URL leads, dot segments, and escapes that are each judged alone."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import keeppool
import keeppool.testing
from keeppool.client.request.urls import resolved
from keeppool.errors import InvalidURL
from keeppool.testing import Answer
from keeppool.urls.address import parse, parse_as_given
from keeppool.urls.reference import resolve, without_dot_segments

#: RFC 3986 §5.4.1.
NORMAL = {
    "g:h": "g:h",
    "g": "http://a/b/c/g",
    "./g": "http://a/b/c/g",
    "g/": "http://a/b/c/g/",
    "/g": "http://a/g",
    "//g": "http://g",
    "?y": "http://a/b/c/d;p?y",
    "g?y": "http://a/b/c/g?y",
    "#s": "http://a/b/c/d;p?q#s",
    "g#s": "http://a/b/c/g#s",
    "g?y#s": "http://a/b/c/g?y#s",
    ";x": "http://a/b/c/;x",
    "g;x": "http://a/b/c/g;x",
    "g;x?y#s": "http://a/b/c/g;x?y#s",
    "": "http://a/b/c/d;p?q",
    ".": "http://a/b/c/",
    "./": "http://a/b/c/",
    "..": "http://a/b/",
    "../": "http://a/b/",
    "../g": "http://a/b/g",
    "../..": "http://a/",
    "../../": "http://a/",
    "../../g": "http://a/g",
}
#: RFC 3986 §5.4.2; the last one as a strict parser has it.
ABNORMAL = {
    "../../../g": "http://a/g",
    "../../../../g": "http://a/g",
    "/./g": "http://a/g",
    "/../g": "http://a/g",
    "g.": "http://a/b/c/g.",
    ".g": "http://a/b/c/.g",
    "g..": "http://a/b/c/g..",
    "..g": "http://a/b/c/..g",
    "./../g": "http://a/b/g",
    "./g/.": "http://a/b/c/g/",
    "g/./h": "http://a/b/c/g/h",
    "g/../h": "http://a/b/c/h",
    "g;x=1/./y": "http://a/b/c/g;x=1/y",
    "g;x=1/../y": "http://a/b/c/y",
    "g?y/./x": "http://a/b/c/g?y/./x",
    "g?y/../x": "http://a/b/c/g?y/../x",
    "g#s/./x": "http://a/b/c/g#s/./x",
    "g#s/../x": "http://a/b/c/g#s/../x",
    "http:g": "http:g",
}
#: What the tables leave out.
MORE = [
    ("http://a", "g", "http://a/g"),
    ("http://a?q", "", "http://a?q"),
    ("http://a/b#f", "", "http://a/b"),
    ("http://a/b", "?", "http://a/b?"),
    ("http://a/b", "#", "http://a/b#"),
    ("http://a/b", "//", "http://"),
    ("http://a/b", "///c", "http:///c"),
    ("http://a/dir/a", "b//c", "http://a/dir/b//c"),
    ("http://a/d2//e/", "../../g", "http://a/d2/g"),
    ("http://a/b//", "../c", "http://a/b/c"),
    ("http://a/b", "/..//c", "http://a//c"),
    ("http://a/b", "1:x", "http://a/1:x"),
    ("http://a/b", "c d%zz", "http://a/c d%zz"),
    ("mailto:x/y", "./z", "mailto:x/z"),
    ("g:h", "../i/./j", "g:i/j"),
]


@pytest.mark.parametrize(("reference", "target"), [*NORMAL.items(), *ABNORMAL.items()])
def test_a_reference_is_resolved_as_the_tables_of_the_rfc_have_it(reference, target):
    assert resolve("http://a/b/c/d;p?q", reference) == target


@pytest.mark.parametrize(("base", "reference", "target"), MORE)
def test_parts_that_are_empty_are_there(base, reference, target):
    assert resolve(base, reference) == target


def word_by_word(path: str) -> str:
    """Follow the steps of RFC 3986 §5.2.4 as they are written."""
    output = ""
    while path:
        if path.startswith("../"):
            path = path[3:]
        elif path.startswith(("./", "/./")):
            path = path[2:]
        elif path == "/.":
            path = "/"
        elif path.startswith("/../") or path == "/..":
            path = "/" + path[4:]
            output = output[: max(output.rfind("/"), 0)]
        elif path in (".", ".."):
            path = ""
        else:
            segment = re.match(r"/?[^/]*", path)[0]
            output, path = output + segment, path[len(segment) :]
    return output


@given(st.text(st.sampled_from("../a"), max_size=14))
def test_dot_segments_are_removed_as_the_steps_of_the_rfc_do(path):
    assert without_dot_segments(path) == word_by_word(path)


def test_a_path_of_a_million_dot_segments_is_done_at_once():
    assert without_dot_segments("/a/.." * 300_000 + "/x") == "/x"


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/a%20b/100%zz", "/a%20b/100%25zz"),
        ("/%", "/%25"),
        ("/%2", "/%252"),
        ("/%%20", "/%25%20"),
        ("/%2f%7e%", "/%2F~%25"),
        ("/x?a=%zz&b=%20c d", "/x?a=%25zz&b=%20c%20d"),
        ("/ä%20%q", "/%C3%A4%20%25q"),
        ("/a/%2e%2e/b/%2E", "/b/"),
        ("/..//x", "//x"),
        ("/a//../b", "/a/b"),
        ("/a//b/", "/a//b/"),
    ],
)
def test_each_escape_of_a_url_is_judged_alone(path, sent):
    address = parse(f"http://a.example{path}#%zz%20")
    assert (address.target, address.url) == (sent, f"http://a.example{sent}#%25zz%20")
    assert parse(address.url).url == address.url


def test_a_url_read_as_given_keeps_an_escaped_dot():
    assert parse_as_given("http://a.example/a/%2e%2e/%zz%7e").target == "/a/%2e%2e/%25zz%7e"


@pytest.mark.parametrize(
    "location", ["http:///x", "https:///x", "//", "///x", "http:x", "http:", "http://:80/", "//?x"]
)
def test_a_location_with_an_empty_host_is_refused(location):
    with pytest.raises(InvalidURL):
        resolved(parse("http://a.example/dir/b"), location)


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/z", "http://a.example/z#f"),
        ("/z#", "http://a.example/z"),
        ("#", "http://a.example/x?q"),
        ("?", "http://a.example/x#f"),
        ("?#g", "http://a.example/x#g"),
        ("//b.example", "http://b.example/#f"),
        ("http://bücher.example/ä", "http://xn--bcher-kva.example/%C3%A4#f"),
        ("//BÜCHER.example", "http://xn--bcher-kva.example/#f"),
        ("/a\tb", "http://a.example/ab#f"),
    ],
)
def test_a_fragment_is_inherited_unless_the_location_has_one(location, url):
    assert resolved(parse("http://a.example/x?q#f"), location).url == url


@pytest.mark.parametrize(
    ("asked", "location", "target"),
    [
        ("/dir/a", "b//c", "/dir/b//c"),
        ("/d2//e/", "../../g", "/d2/g"),
        ("/x", "/a%20b/100%zz", "/a%20b/100%25zz"),
    ],
)
def test_a_redirect_leads_where_the_rfc_says(asked, location, target):
    def answer(request):
        return Answer(status=302, headers=(("Location", location),)) if request.target == asked else None

    with keeppool.testing.Site() as site, keeppool.Session() as session:
        site.handler = answer
        session.get(f"{site.url}{asked}")
        assert site.log[-1].target == target


def test_a_redirect_to_an_empty_host_is_an_error_and_nothing_is_asked():
    with keeppool.testing.Site() as site, keeppool.Session() as session:
        site.handler = lambda request: Answer(status=302, headers=(("Location", "http:///x"),))
        with pytest.raises(InvalidURL, match="no host"):
            session.get(f"{site.url}/a")
        assert len(site.log) == 1
