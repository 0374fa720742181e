"""Files of cookies: read as a whole or not at all, and written so that others can read them."""

from __future__ import annotations

import http.cookiejar
import pickle
import stat

import pytest

import keeppool.cookies
from keeppool import PreparedRequest
from keeppool.client.cookies import keep_lines, with_cookies
from keeppool.client.cookies.made import made_cookie
from keeppool.cookies import CookieJar, LWPCookieJar, MozillaCookieJar
from keeppool.errors import CookieFileError
from keeppool.urls.address import parse

KINDS = [MozillaCookieJar, LWPCookieJar]
STANDARD = {MozillaCookieJar: http.cookiejar.MozillaCookieJar, LWPCookieJar: http.cookiejar.LWPCookieJar}
LATER = 2**35
HEAD = "# Netscape HTTP Cookie File\n"


def filled(kind, path):
    jar = kind(path)
    request = PreparedRequest(b"GET", parse("https://www.a.example/dir/x"))
    lines = [
        "host=1",
        "domain=2; Domain=a.example; Path=/; Secure; HttpOnly",
        "a=3; Max-Age=1000",
        "nameless; Path=/",
        "v=\xe4",
    ]
    keep_lines(jar, request, lines)
    jar.set("hand", "4", domain="a.example", expires=LATER, discard=False)
    jar.set("stray", "5")
    return jar


def sent(jar, url):
    field = with_cookies(PreparedRequest(b"GET", parse(url)), jar).fields.get(b"cookie")
    return None if field is None else sorted(field.decode("latin-1").split("; "))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_saved_is_loaded(kind, tmp_path):
    jar = filled(kind, tmp_path / "cookies")
    jar.save(ignore_discard=True)
    twin = kind(tmp_path / "cookies")
    twin.load(ignore_discard=True)
    for url in (
        "https://www.a.example/dir/",
        "http://www.a.example/",
        "https://a.example/",
        "https://b.a.example/dir/",
        "http://z/",
    ):
        assert sent(twin, url) == sent(jar, url)
    assert stat.S_IMODE((tmp_path / "cookies").stat().st_mode) == 0o600


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_lasts_is_saved_and_loaded_unless_asked(kind, tmp_path):
    jar = filled(kind, tmp_path / "cookies")
    jar.set("ended", "6", domain="a.example", expires=1, discard=False)
    jar.save()
    twin = kind()
    twin.load(tmp_path / "cookies")
    assert sorted(twin.keys()) == ["a", "hand"]
    jar.save(ignore_discard=True, ignore_expires=True)
    twin.revert(tmp_path / "cookies")
    assert sorted(twin.keys()) == ["a", "hand"]
    twin.revert(tmp_path / "cookies", ignore_discard=True, ignore_expires=True)
    assert len(twin) == 8


@pytest.mark.parametrize("kind", KINDS)
def test_the_standard_library_reads_our_files_and_we_read_its(kind, tmp_path):
    jar = filled(kind, tmp_path / "ours")
    del jar["v"]  # It reads and writes text, so that octets of no encoding have no place there.
    jar.save(ignore_discard=True)
    theirs = STANDARD[kind](tmp_path / "ours")
    theirs.load(ignore_discard=True)
    assert {cookie.name for cookie in theirs} >= {"host", "domain", "a", "hand", "stray"}
    theirs.save(tmp_path / "theirs", ignore_discard=True)
    ours = kind(tmp_path / "theirs")
    ours.load(ignore_discard=True)
    assert {cookie.name for cookie in ours} >= {"host", "domain", "a", "hand", "stray"}
    assert isinstance(ours, STANDARD[kind])


def test_a_file_of_curl_is_read(tmp_path):
    lines = [
        "# Netscape HTTP Cookie File",
        "# https://curl.se/docs/http-cookies.html",
        "",
        "#HttpOnly_.a.example\tTRUE\t/\tTRUE\t0\tsession\t1",
        f"www.a.example\tFALSE\t/\tFALSE\t{LATER}\thost\t2",
        f"a.example\tTRUE\t/\tFALSE\t{LATER}.5\tnodot\t3",
        f".a.example\tFALSE\t/\tFALSE\t{LATER}\tdot\t4",
        f"a.example\tFALSE\t/\tFALSE\t{LATER}\tempty",
        "",
    ]
    (tmp_path / "cookies.txt").write_text("\r\n".join(lines))
    jar = MozillaCookieJar(tmp_path / "cookies.txt")
    jar.load(ignore_discard=True)
    assert sent(jar, "https://www.a.example/") == ["host=2", "nodot=3", "session=1"]
    assert sent(jar, "http://a.example/") == ["dot=4", "empty=", "nodot=3"]
    [session] = [cookie for cookie in jar if cookie.name == "session"]
    assert (session.discard, session.has_nonstandard_attr("HttpOnly")) == (True, True)
    jar.clear()
    jar.load()
    assert "session" not in jar


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "content", [b"", b"\n", b"rubbish", b"\x00\xff\xfe" * 100, b"<html>", b'{"cookies": []}', b"PK\x03\x04"]
)
def test_a_file_that_is_none_is_refused_and_the_jar_is_as_it_was(kind, content, tmp_path):
    path = tmp_path / "cookies"
    path.write_bytes(content)
    jar = filled(kind, path)
    before = jar.items()
    for way in (jar.load, jar.revert):
        with pytest.raises(CookieFileError, match="cookies' is no") as caught:
            way()
        assert (caught.value.file, isinstance(caught.value, http.cookiejar.LoadError)) == (str(path), True)
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    assert jar.items() == before


@pytest.mark.parametrize(
    "line",
    [
        "rubbish",
        "a.example\tTRUE\t/\tFALSE\t0",
        "a.example\tTRUE\t/\tFALSE\tsoon\tn\tv",
        "a.example\tyes\t/\tFALSE\t0\tn\tv",
        "a.example\tTRUE\t/\tno\t0\tn\tv",
        "a.example\tTRUE\t/\tFALSE\t0\tn\tv\tmore",
        "a.example\tTRUE\t/\tFALSE\tinf\tn\tv",
    ],
)
def test_one_line_that_is_none_and_nothing_is_loaded(line, tmp_path):
    path = tmp_path / "cookies"
    path.write_text(f"{HEAD}a.example\tTRUE\t/\tFALSE\t0\tgood\t1\n{line}\n")
    jar = MozillaCookieJar(path)
    with pytest.raises(CookieFileError, match="line 3"):
        jar.load(ignore_discard=True)
    assert len(jar) == 0


@pytest.mark.parametrize(
    "line", ["Set-Cookie3: ", "Set-Cookie3: a=1", 'Set-Cookie3: a=1; path="/"', "Set-Cookie3: a=1; domain; path"]
)
def test_one_line_of_lwp_that_is_none_and_nothing_is_loaded(line, tmp_path):
    path = tmp_path / "cookies"
    good = 'Set-Cookie3: good=1; path="/"; domain="a.example"; discard; version=0'
    path.write_text(f"#LWP-Cookies-2.0\n{good}\n{line}\n")
    jar = LWPCookieJar(path)
    if line.strip().endswith(":"):
        jar.load(ignore_discard=True)
        assert jar.keys() == ["good"]
        return
    with pytest.raises(CookieFileError, match="line 3"):
        jar.load(ignore_discard=True)
    assert len(jar) == 0


@pytest.mark.parametrize("attribute", [",", "a b", '"', "x=,", "Set-Cookie3:"])
def test_an_attribute_that_lwp_cannot_write_is_left_out(attribute, tmp_path):
    jar = LWPCookieJar(tmp_path / "cookies")
    keep_lines(jar, PreparedRequest(b"GET", parse("https://www.a.example/")), [f"a=b; {attribute}; c=d"])
    jar.save(ignore_discard=True)
    twin = LWPCookieJar(tmp_path / "cookies")
    twin.load(ignore_discard=True)
    (cookie,) = twin
    assert (cookie.name, cookie.value, cookie.get_nonstandard_attr("c")) == ("a", "b", "d")


def test_a_line_of_lwp_without_a_version_is_saved_again(tmp_path):
    path = tmp_path / "cookies"
    path.write_text('#LWP-Cookies-2.0\nSet-Cookie3: a=b; path="/"; domain="a.example"\n')
    for _ in range(2):
        jar = LWPCookieJar(path)
        jar.load(ignore_discard=True)
        assert jar.get_dict() == {"a": "b"}
        jar.save(ignore_discard=True)


@pytest.mark.parametrize("line", [",", "x,y=z", '"', '"a', "a b"])
def test_a_cookie_that_lwp_cannot_write_spoils_no_file(line, tmp_path):
    """Whatever a server sets: one line that is none would be the end of all that are good."""
    jar = filled(LWPCookieJar, tmp_path / "cookies")
    names = jar.keys()
    keep_lines(jar, PreparedRequest(b"GET", parse("https://www.a.example/dir/x")), [line])
    jar.save(ignore_discard=True)
    twin = LWPCookieJar(tmp_path / "cookies")
    twin.load(ignore_discard=True)
    assert sorted(twin.keys()) == sorted(names)


CONTROLS = pytest.mark.parametrize("character", ["\0", "\x1b", "\x7f"], ids=["NUL", "ESC", "DEL"])


@CONTROLS
@pytest.mark.parametrize("pair", ["a{}=1", "a=1{}", "={}"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_cookie_that_no_request_can_carry_is_not_loaded(kind, pair, character, tmp_path):
    """Kept, it would fail every request to its host (RFC 6265bis, step 1 of section 5.6)."""
    name, value = pair.format(character).split("=")
    path = tmp_path / "cookies"
    if kind is MozillaCookieJar:
        path.write_text(f"{HEAD}a.example\tTRUE\t/\tFALSE\t0\t{name}\t{value}\n")
    else:
        said = f'{name}="{value}"' if name else value
        path.write_text(f'#LWP-Cookies-2.0\nSet-Cookie3: {said}; path="/"; domain="a.example"; discard; version=0\n')
    jar = kind(path)
    with pytest.raises(CookieFileError, match="line 2: a cookie cannot hold the control character"):
        jar.load(ignore_discard=True)
    assert len(jar) == 0


@CONTROLS
@pytest.mark.parametrize("kind", KINDS)
def test_a_cookie_that_no_request_can_carry_is_not_saved(kind, character, tmp_path):
    jar = kind(tmp_path / "cookies")
    jar.update({"a": "1"})
    for attribute in ("name", "value"):
        spoilt = made_cookie("b", "2")
        setattr(spoilt, attribute, f"b{character}")
        jar.set_cookie(spoilt)
    jar.save(ignore_discard=True)
    jar.revert(ignore_discard=True)
    assert jar.items() == [("a", "1")]


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_not_there_is_named(kind, tmp_path):
    jar = kind(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="nowhere") as caught:
        jar.load()
    assert isinstance(caught.value, CookieFileError)
    with pytest.raises(CookieFileError, match="cannot be read"):
        jar.load(tmp_path)
    with pytest.raises(ValueError, match="no file"):
        kind().load()
    with pytest.raises(ValueError, match="no file"):
        kind().save()


def test_a_cookie_that_has_no_place_in_the_format_is_left_out(tmp_path):
    jar = MozillaCookieJar(tmp_path / "cookies")
    jar.update({"a": "1", "tab": "x\ty"})
    jar.save(ignore_discard=True)
    jar.revert(ignore_discard=True)
    assert jar.items() == [("a", "1")]


def test_a_jar_with_a_file_is_copied_with_its_name(tmp_path):
    jar = filled(MozillaCookieJar, tmp_path / "cookies")
    for twin in (jar.copy(), pickle.loads(pickle.dumps(jar))):
        assert (twin.filename, twin.items()) == (str(tmp_path / "cookies"), jar.items())
    plain = CookieJar()
    plain.update(jar)
    assert plain == jar


def test_a_session_takes_a_jar_with_a_file(tmp_path):
    (tmp_path / "cookies").write_text(f"{HEAD}127.0.0.1\tFALSE\t/\tFALSE\t0\ta\t1\n")
    with keeppool.testing.Site() as site, keeppool.Session() as session:
        session.cookies = MozillaCookieJar(tmp_path / "cookies")
        session.cookies.load(ignore_discard=True)
        session.get(site.url)
        assert site.log[-1].headers["cookie"] == "a=1"
