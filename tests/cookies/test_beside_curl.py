"""The same cases with curl, which has opinions of its own: where they differ, a case says so and why."""

from __future__ import annotations

import io
import ssl
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import trustme
from cookie_cases import CASES

from keeppool.client.cookies.parse import CONTROL
from keeppool.testing import Answer, Site
from keeppool.urls.address import parse

pytestmark = pytest.mark.sdk


class Curl:
    """One handle with a cookie engine of its own; whatever host is asked for, a site on this machine answers."""

    def __init__(self, sites: dict[str, Site]) -> None:
        pycurl = pytest.importorskip("pycurl")
        self._sites = sites
        self._handle = pycurl.Curl()
        self._handle.setopt(pycurl.COOKIEFILE, "")
        self._handle.setopt(pycurl.SSL_VERIFYPEER, 0)
        self._handle.setopt(pycurl.SSL_VERIFYHOST, 0)
        self._handle.setopt(pycurl.NOPROXY, "*")
        self._handle.setopt(pycurl.PATH_AS_IS, 1)
        self._pycurl = pycurl

    def get(self, url: str, lines: tuple[str, ...] = ()) -> str:
        """Ask for a page that sets cookies; give the Cookie field that came."""
        address = parse(url)
        site = self._sites[address.scheme]
        site.handler = lambda _request: Answer(headers=tuple(("Set-Cookie", line) for line in lines))
        self._handle.setopt(self._pycurl.CONNECT_TO, [f"::127.0.0.1:{site.port}"])
        self._handle.setopt(self._pycurl.URL, address)
        self._handle.setopt(self._pycurl.WRITEDATA, io.BytesIO())
        self._handle.perform()
        return site.log[-1].headers.get("cookie", "")

    def close(self) -> None:
        self._handle.close()


@pytest.fixture(scope="module")
def sites() -> Iterator[dict[str, Site]]:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("www.example.com").configure_cert(context)
    with ExitStack() as stack:
        yield {"http": stack.enter_context(Site()), "https": stack.enter_context(Site(tls=context))}


@pytest.fixture
def curl(sites: dict[str, Site]) -> Iterator[Curl]:
    handle = Curl(sites)
    yield handle
    handle.close()


#: A server of the tests sends no field with a control character, as few do.
SENDABLE = [case for case in CASES if not any(CONTROL.search(line) for _, *lines in case.sets for line in lines)]


PAGE = "http://www.example.com/dir/page"
WWW = "http://www.example.com/"
NAMELESS = "curl keeps no value without a name"
MAX_AGE = "a Max-Age that is no number ends a cookie, where the RFC says that it does not count"
QUOTES = "curl takes the quotation marks off the values of attributes"
ROOT = "a Path that is none is the root for curl, the default for the RFC"
ENDLESS = "curl drops a cookie with an attribute of more than 1024 octets, the RFC the attribute"
DATES = "curl has its own reader of dates"
FIRST_DATE = "of two dates curl heeds the first"
FIRST_DOMAIN = "curl judges each Domain as it comes, the RFC the last"
PREFIX = "curl knows the prefixes only as they are written, and wants no Path of `__Host-`"
ABOVE = {f"{WWW}dir": "a=1", WWW: "a=1", f"{WWW}dir/submarine": "a=1"}

#: What curl sends instead, and why.
OTHER: dict[tuple[str, str], tuple[str, dict[str, str]]] = {
    ("5.6", "a tab inside a value"): ("curl keeps no value with a tab", {PAGE: ""}),
    ("5.6", "a value without a name"): (NAMELESS, {PAGE: ""}),
    ("5.6", "a value behind an equals sign"): (NAMELESS, {PAGE: ""}),
    ("5.6", "a value without a name, and attributes"): (NAMELESS, {PAGE: ""}),
    ("5.6", "an equals sign in an attribute is not the name's"): (NAMELESS, {PAGE: ""}),
    ("5.6", "white space for a name"): (NAMELESS, {PAGE: ""}),
    ("5.6", "equals signs in front"): (NAMELESS, {PAGE: ""}),
    ("5.6.1", "before 1601 is no date"): (DATES, {PAGE: ""}),
    ("5.6.1", "70 is past"): (DATES, {PAGE: "a=1"}),
    ("5.6.1", "a day no month has"): (DATES, {PAGE: ""}),
    ("5.6.1", "the last one counts"): (FIRST_DATE, {PAGE: "a=1"}),
    ("5.6.1", "the last one counts, to come"): (FIRST_DATE, {PAGE: ""}),
    ("5.6.2", "nought in quotation marks is none"): (QUOTES, {PAGE: ""}),
    ("5.6.2", "a word"): (MAX_AGE, {PAGE: ""}),
    ("5.6.2", "a sign alone"): (MAX_AGE, {PAGE: ""}),
    ("5.6.2", "a plus sign"): (MAX_AGE, {PAGE: ""}),
    ("5.6.2", "a fraction"): (MAX_AGE, {PAGE: ""}),
    ("5.6.2", "a number and a word"): (MAX_AGE, {PAGE: ""}),
    ("5.6.2", "digits of another script"): (MAX_AGE, {PAGE: ""}),
    ("5.6.3", "a dot alone"): ("curl takes a dot for a domain of nobody's", {WWW: ""}),
    ("5.6.3", "the last one counts"): (
        FIRST_DOMAIN,
        {WWW: "", "http://example.com/": "", "http://a.b.example.com/": ""},
    ),
    ("5.6.3", "the last one counts, empty"): (
        FIRST_DOMAIN,
        {"http://example.com/": "a=1", "http://a.www.example.com/": "a=1", "http://a.b.example.com/": "a=1"},
    ),
    ("5.6.3", "a value of 1025 octets does not count"): (ENDLESS, {WWW: ""}),
    ("5.6.4", "a folder with a slash behind it"): ("curl takes the slash off", {f"{WWW}dir/sub": "a=1"}),
    ("5.6.4", "no slash in front"): (ROOT, ABOVE),
    ("5.6.4", "in quotation marks"): (QUOTES, ABOVE),
    ("5.6.4", "the last one counts, no path"): (ROOT, ABOVE),
    ("5.6.4", "a value of 1025 octets does not count"): (
        ENDLESS,
        {f"{WWW}dir/sub/page": "", f"{WWW}dir/sub": "", f"{WWW}dir/sub/x/y": ""},
    ),
    ("5.6.7", "None and not Secure"): ("curl does not know SameSite", {"https://www.example.com/": "a=1"}),
    ("5.7", "a value without a name takes such a one's place"): (NAMELESS, {WWW: ""}),
    ("5.7", "Secure on a name below localhost"): (
        "curl knows this machine as localhost, 127.0.0.1 and ::1",
        {"http://app.localhost/": ""},
    ),
    ("4.1.3", "__secure- in lower case"): (PREFIX, {"https://www.example.com/": "__secure-a=1"}),
    ("4.1.3", "__Host- without a Path"): (PREFIX, {"https://www.example.com/": "__Host-a=1"}),
    ("4.1.3", "__HOST- in upper case"): (PREFIX, {"https://www.example.com/x": "__HOST-a=1"}),
    ("5.8.3", "a value without a name among others"): (NAMELESS, {WWW: "c=2; a=1"}),
}
#: Of cookies with equal paths curl sends the newest first, the RFC the oldest.
ORDER = {
    ("5.6", "two fields"),
    ("5.7", "names are in upper and lower case"),
    ("5.7", "host-only and domain are two"),
    ("5.7", "two domains are two"),
    ("5.7", "beside Secure another name may be"),
    ("5.8.3", "then the oldest"),
    ("5.8.3", "the oldest of two domains"),
    ("5.8.3", "a new value is as old as the first"),
    ("5.8.3", "one that was ended is new"),
    ("5.8.3", "Secure beside others"),
    ("5.8.3", "an empty value keeps its equals sign"),
    ("6.1", "fifty of a domain"),
}


@pytest.mark.parametrize("case", SENDABLE, ids=[f"§{case.section}: {case.name}" for case in SENDABLE])
def test_curl_does_the_same_or_the_table_says_what_and_why(case, curl):
    for url, *lines in case.sets:
        curl.get(url, tuple(lines))
    sent = {url: curl.get(url) for url in case.asks}
    key = (case.section, case.name)
    if key in ORDER:
        assert sent != case.asks
        assert {url: sorted(sent[url].split("; ")) for url in sent} == {
            url: sorted(case.asks[url].split("; ")) for url in sent
        }
    else:
        assert sent == case.asks | OTHER.get(key, ("", {}))[1]


def test_the_tables_name_cases_that_are_there_and_give_reasons():
    names = {(case.section, case.name) for case in CASES}
    assert OTHER.keys() | ORDER <= names
    assert all(why and other for why, other in OTHER.values())
