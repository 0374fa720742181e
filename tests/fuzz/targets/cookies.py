"""Set-Cookie: what is kept goes back to whom it belongs, whole, and to nobody else."""

from __future__ import annotations

import atexit
import re
import tempfile
import time
from email.utils import parsedate_to_datetime
from functools import cache
from http.cookiejar import Cookie
from pathlib import Path

from keeppool.client.cookies.dates import seconds_of
from keeppool.client.cookies.exchange import keep_lines, with_cookies
from keeppool.client.cookies.parse import CONTROL, parse_set_cookie
from keeppool.client.cookies.received import LONGEST_LIFE
from keeppool.client.request.prepared import PreparedRequest
from keeppool.cookies import CookieJar, LWPCookieJar, MozillaCookieJar
from keeppool.errors import CookieFileError
from keeppool.urls.address import parse
from tests.fuzz.oracles import in_steps, outcome, repeated
from tests.fuzz.target import target

PLACES = [
    *(
        "http://www.bank.example/a/b",
        "https://www.bank.example/a/b/c",
        "https://bank.example/",
        "http://evil.example/a/b",
    ),
    *("http://localhost/", "http://1.2.3.4/", "https://[::1]/a", "https://xwww.bank.example/a/b", "http://example/"),
]


@target(
    covers=(
        *("client/cookies/parse.py", "client/cookies/dates.py", "client/cookies/received.py"),
        "client/cookies/matching.py",
    ),
)
def cookies(data: bytes) -> None:
    """The first byte chooses who speaks; each line that follows is a Set-Cookie field."""
    speaker, lines = PLACES[data[0] % len(PLACES) if data else 0], data[1:].decode("latin-1").split("\n")
    for line in lines:
        said = in_steps(80, 300, len(line), lambda line=line: outcome(parse_set_cookie, line)).value
        assert said is None or not CONTROL.search(said.name + said.value)
        check_date(line)
    if more := repeated(lines[0].encode("latin-1")):
        long = more.decode("latin-1")
        in_steps(80, 300, len(more), lambda: parse_set_cookie(long))
        in_steps(80, 300, len(more), lambda: seconds_of(long))
    jar, asked = CookieJar(), PreparedRequest(b"GET", parse(speaker))
    keep_lines(jar, asked, lines)
    one_by_one = CookieJar()
    for line in lines:
        keep_lines(one_by_one, asked, [line])
    assert shown(jar) == shown(one_by_one)
    assert len(jar) == len(list(jar)) <= len(lines)
    for cookie in jar:
        check_kept(cookie, speaker)
    for place in PLACES:
        check_sent(jar, place)
    if data[:1] and data[0] & 128:
        check_files(jar)


def shown(jar: CookieJar) -> list[tuple[object, ...]]:
    """Give what is kept, in its order, without the second in which it ends."""
    return [(c.name, c.value, c.domain, c.path, c.secure, c.expires is None, c.domain_specified) for c in jar]


def check_kept(cookie: Cookie, speaker: str) -> None:
    """Hold a cookie to be the speaker's own to set."""
    address = parse(speaker)
    domain = cookie.domain.removeprefix(".")
    assert belongs(address.host, cookie), f"{speaker} has set a cookie for {cookie.domain}"
    assert not CONTROL.search(f"{cookie.name}{cookie.value}")
    assert ";" not in f"{cookie.name}{cookie.value}"
    assert cookie.path.startswith("/")
    assert cookie.expires is None or cookie.expires <= time.time() + LONGEST_LIFE + 1
    assert not cookie.secure or address.scheme == "https" or address.host == "localhost"
    assert "." in domain or ":" in domain or domain == address.host, "a cookie for a whole top-level domain"
    name = cookie.name.lower()
    assert not name.startswith(("__secure-", "__host-")) or cookie.secure
    assert not name.startswith("__host-") or (cookie.path == "/" and not cookie.domain_specified)


def belongs(host: str, cookie: Cookie) -> bool:
    """Tell whether a host is in a cookie's domain (RFC 6265bis §5.1.3)."""
    domain = cookie.domain.removeprefix(".")
    if host == domain:
        return True
    is_address = ":" in host or re.fullmatch(r"[0-9.]+", host) is not None
    return cookie.domain_specified and not is_address and host.endswith(f".{domain}")


def check_sent(jar: CookieJar, place: str) -> None:
    """Hold the Cookie field to the cookies that belong there, each of them whole."""
    request = PreparedRequest(b"GET", parse(place))
    address = request.address
    line = with_cookies(request, jar).fields.get(b"cookie")
    wanted = [
        f"{cookie.name}={cookie.value}" if cookie.name else str(cookie.value)
        for cookie in jar
        if belongs(address.host, cookie)
        and path_matches(address.target, cookie.path)
        and (not cookie.secure or address.scheme == "https" or address.host == "localhost")
        and not cookie.is_expired()
    ]
    sent = [] if line is None else line.decode("latin-1").split("; ")
    # Longer paths come first, so the order is another one. What is sent is stripped, as every field is.
    assert "; ".join(sorted(sent)).strip(" \t") == "; ".join(sorted(wanted)).strip(" \t") or any(
        "; " in w for w in wanted
    )


def path_matches(path: str, prefix: str) -> bool:
    """Tell whether a path is below another (RFC 6265bis §5.1.4)."""
    return path == prefix or (path.startswith(prefix) and (prefix.endswith("/") or path[len(prefix)] == "/"))


# The one format that a server is told to write (RFC 9110 §5.6.7).
DATE = re.compile(r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9]{2} [A-Z][a-z]{2} (?:1[789]|2[0-9])[0-9]{2} [0-9:]{8} GMT")


def check_date(line: str) -> None:
    """Read the dates in a line; one that is well-formed says the same to the standard library."""
    in_steps(80, 300, len(line), lambda: seconds_of(line))
    for match in DATE.finditer(line):
        try:
            wanted = int(parsedate_to_datetime(match[0]).timestamp())
        except ValueError:
            wanted = None
        assert seconds_of(match[0]) == wanted


@cache
def folder() -> Path:
    """Give a place for files, gone with the process."""
    made = tempfile.TemporaryDirectory()
    atexit.register(made.cleanup)
    return Path(made.name)


def check_files(jar: CookieJar) -> None:
    """Save and load: the same cookies, as far as the format can hold them."""
    path = str(folder() / "cookies")
    for kind in (MozillaCookieJar, LWPCookieJar):
        first, second = kind(path), kind(path)
        for cookie in jar:
            first.set_cookie(cookie)
        first.save(ignore_discard=True, ignore_expires=True)
        second.load(ignore_discard=True, ignore_expires=True)
        kept, loaded = ([c[:5] for c in shown(one) if is_sane(c)] for one in (first, second))
        assert [c for c in kept if c in loaded] == loaded
        # For a plain cookie every format has room.
        assert [
            c for c in kept if c not in loaded and PLAIN.fullmatch(f"{c[0]}={c[1]}") and "\t" not in str(c[3])
        ] == []


PLAIN = re.compile(r"[A-Za-z0-9_.-]+=[A-Za-z0-9_.-]*")


def is_sane(said: tuple[object, ...]) -> bool:
    """Tell whether a cookie has a host and a path that a server can have given it; a file can say anything."""
    return re.fullmatch(r"\.?[A-Za-z0-9][A-Za-z0-9.:-]*", str(said[2])) is not None and str(said[3]).startswith("/")


@target(most=2048, covers=("client/cookies/files.py",))
def cookie_files(data: bytes) -> None:
    """A file of cookies: read as a whole or not at all, and what was read can be written."""
    path = folder() / "given"
    path.write_bytes(data)
    for kind in (MozillaCookieJar, LWPCookieJar):
        jar = kind(str(path))
        made = in_steps(150, 3000, len(data), lambda jar=jar: outcome(jar.load, None, True, True))
        if made.error is not None:
            assert issubclass(made.error, CookieFileError)
            assert not len(jar)
        else:
            check_files(jar)
        for place in PLACES:
            with_cookies(PreparedRequest(b"GET", parse(place)), jar)
