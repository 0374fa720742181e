"""Cases for RFC 6265bis, by section: what servers say, and what a client then sends where.

Written for keeppool from the rules of draft-ietf-httpbis-rfc6265bis-20. Where curl differs, `test_beside_curl.py` says
so.
"""

from __future__ import annotations

from typing import NamedTuple

#: A moment to come; a cookie lives 400 days of it at most.
FUTURE = "Fri, 31 Dec 2100 23:59:59 GMT"
PAST = "Wed, 21 Oct 2015 07:28:00 GMT"


class Case(NamedTuple):
    """One case.

    Attributes:
        section: Of the RFC.
        name: What it is about.
        sets: (URL, Set-Cookie fields of its response), in order.
        asks: Cookie field by URL; "" for none.
    """

    section: str
    name: str
    sets: tuple[tuple[str, ...], ...]
    asks: dict[str, str]


CASES: list[Case] = []


def case(section: str, name: str, *sets: tuple[str, ...], asks: dict[str, str]) -> None:
    """Add a case to the list."""
    CASES.append(Case(section, name, sets, asks))


def one(section: str, name: str, field: str, sent: str) -> None:
    """Add a case of one field from one page, asked for again at the same page."""
    url = "http://www.example.com/dir/page"
    case(section, name, (url, field), asks={url: sent})


W = "http://www.example.com"
S = "https://www.example.com"
E = "http://example.com"

# §5.6: Set-Cookie, taken apart

one("5.6", "a name and a value", "a=1", "a=1")
one("5.6", "white space around both", " a = 1 ", "a=1")
one("5.6", "tabs around both", "\ta\t=\t1\t", "a=1")
one("5.6", "white space inside a value", "a=b c", "a=b c")
one("5.6", "a tab inside a value", "a=b\tc", "a=b\tc")
one("5.6", "white space inside a name", "a b=1", "a b=1")
one("5.6", "an equals sign in the value", "a=b=c", "a=b=c")
one("5.6", "an equals sign at the end", "a=b=", "a=b=")
one("5.6", "two equals signs at once", "a==b", "a==b")
one("5.6", "an empty value", "a=", "a=")
one("5.6", "a value in quotation marks", 'a="1"', 'a="1"')
one("5.6", "white space in quotation marks", 'a=" 1 "', 'a=" 1 "')
one("5.6", "half a pair of quotation marks", 'a="1', 'a="1')
one("5.6", "a semicolon in quotation marks ends the value", 'a="1;2"', 'a="1')
one("5.6", "an escaped quotation mark", 'a="x\\"y"', 'a="x\\"y"')
one("5.6", "a comma in a value", "a=1,b=2", "a=1,b=2")
one("5.6", "a name in quotation marks", '"a"=1', '"a"=1')
one("5.6", "octets beyond ASCII go back as they came", "a=\xc3\xa4", "a=\xc3\xa4")
one("5.6", "octets that are no UTF-8", "a=\xe4", "a=\xe4")
one("5.6", "a name of octets beyond ASCII", "\xc3\xa4=1", "\xc3\xa4=1")
one("5.6", "a name that is punctuation", "!#$%&'*+-.^_`|~=1", "!#$%&'*+-.^_`|~=1")
one("5.6", "a name in brackets and slashes", "[a]/{b}=1", "[a]/{b}=1")
one("5.6", "the name of an attribute", "Path=/x", "Path=/x")
one("5.6", "no attribute in the name-value pair", "Domain=other.example", "Domain=other.example")
one("5.6", "a name that begins with a dollar sign", "$Version=1", "$Version=1")
one("5.6", "nothing", "", "")
one("5.6", "white space alone", "  \t", "")
one("5.6", "semicolons alone", ";;;", "")
one("5.6", "an equals sign alone", "=", "")
one("5.6", "an equals sign between white space", " = ", "")
one("5.6", "attributes alone", "; Path=/", "")
one("5.6", "a value without a name", "a", "a")
one("5.6", "a value behind an equals sign", "=a", "a")
one("5.6", "a value without a name, and attributes", "a; Path=/", "a")
one("5.6", "an equals sign in an attribute is not the name's", "a; b=c", "a")
one("5.6", "white space for a name", " =a", "a")
one("5.6", "equals signs in front", "==a", "=a")
one("5.6", "an empty attribute", "a=1;; ;Path=/", "a=1")
one("5.6", "a semicolon at the end", "a=1;", "a=1")
one("5.6", "an attribute nobody knows", "a=1; Colour=red; Flag", "a=1")
one("5.6", "an attribute without a name", "a=1; =x", "a=1")
one("5.6", "old attributes", 'a=1; Version=1; Comment="x"; Port="80"; Discard', "a=1")
one("5.6", "no control character within", "a=1\x01b", "")
one("5.6", "no control character at the end", "a=1\x1f", "")
one("5.6", "no DEL", "a=1\x7f", "")
one("5.6", "no control character in an attribute", "a=1; Path=/\x02", "")
one("5.6", "4096 octets in all", f"a={'x' * 4095}", f"a={'x' * 4095}")
one("5.6", "4097 octets are too many", f"a={'x' * 4096}", "")
one("5.6", "4096 octets of a name", f"{'n' * 4096}=", f"{'n' * 4096}=")
one("5.6", "4097 octets of a name", f"{'n' * 4097}=", "")
one("5.6", "the equals sign is not counted", f"{'n' * 2048}={'x' * 2048}", f"{'n' * 2048}={'x' * 2048}")
one("5.6", "attributes are not counted", f"a={'x' * 4095}; Path=/dir; HttpOnly", f"a={'x' * 4095}")
case("5.6", "two fields", (f"{W}/", "a=1", "b=2"), asks={f"{W}/": "a=1; b=2"})
case("5.6", "no folding of two fields at a comma", (f"{W}/", "a=1, b=2; Path=/"), asks={f"{W}/": "a=1, b=2"})

# §5.6.1: Expires

one("5.6.1", "a moment to come", f"a=1; Expires={FUTURE}", "a=1")
one("5.6.1", "a moment that has passed", f"a=1; Expires={PAST}", "")
one("5.6.1", "the name in any case", f"a=1; eXpIrEs={PAST}", "")
one("5.6.1", "white space around it", f"a=1; Expires = {PAST} ", "")
one("5.6.1", "the beginning of time", "a=1; expires=Thu Jan  1 00:00:00 GMT 1970", "")
one("5.6.1", "before 1970", "a=1; Expires=Mon, 01 Jan 1601 00:00:01 GMT", "")
one("5.6.1", "before 1601 is no date", "a=1; Expires=Mon, 01 Jan 1600 00:00:01 GMT", "a=1")
one("5.6.1", "with dashes", "a=1; Expires=Wed, 21-Oct-2015 07:28:00 GMT", "")
one("5.6.1", "with a year of two digits", "a=1; Expires=Wed, 21-Oct-15 07:28:00 GMT", "")
one("5.6.1", "69 is to come", "a=1; Expires=Wed, 21-Oct-69 07:28:00 GMT", "a=1")
one("5.6.1", "70 is past", "a=1; Expires=Wed, 21-Oct-70 07:28:00 GMT", "")
one("5.6.1", "of asctime", "a=1; Expires=Wed Oct 21 07:28:00 2015", "")
one("5.6.1", "of RFC 850", "a=1; Expires=Wednesday, 21-Oct-15 07:28:00 GMT", "")
one("5.6.1", "parts in any order", "a=1; Expires=2015 07:28:00 Oct 21", "")
one("5.6.1", "no date", "a=1; Expires=tomorrow", "a=1")
one("5.6.1", "an empty one", "a=1; Expires=", "a=1")
one("5.6.1", "no value", "a=1; Expires", "a=1")
one("5.6.1", "a number", "a=1; Expires=0", "a=1")
one("5.6.1", "minus one", "a=1; Expires=-1", "a=1")
one("5.6.1", "a day no month has", "a=1; Expires=Wed, 31 Feb 2015 07:28:00 GMT", "a=1")
one("5.6.1", "the hour 24", "a=1; Expires=Wed, 21 Oct 2015 24:00:00 GMT", "a=1")
one("5.6.1", "in quotation marks", f'a=1; Expires="{PAST}"', "")
one("5.6.1", "the last one counts", f"a=1; Expires={FUTURE}; Expires={PAST}", "")
one(
    "5.6.1",
    "the last one counts, to come",
    f"a=1; Expires={PAST}; Expires={FUTURE}",
    "a=1",
)
one("5.6.1", "a wrong one does not count", f"a=1; Expires={PAST}; Expires=x", "")
one("5.6.1", "a year of five digits is none", "a=1; Expires=Wed, 21 Oct 20150 07:28:00 GMT", "a=1")

# §5.6.2: Max-Age

one("5.6.2", "a minute", "a=1; Max-Age=60", "a=1")
one("5.6.2", "none", "a=1; Max-Age=0", "")
one("5.6.2", "less than none", "a=1; Max-Age=-1", "")
one("5.6.2", "the name in any case", "a=1; mAX-aGE=0", "")
one("5.6.2", "much", f"a=1; Max-Age={'9' * 30}", "a=1")
one("5.6.2", "a thousand digits", f"a=1; Max-Age={'9' * 1000}", "a=1")
one("5.6.2", "less than none by a thousand digits", f"a=1; Max-Age=-{'9' * 1000}", "")
one("5.6.2", "zeros in front", "a=1; Max-Age=0000", "")
one("5.6.2", "in quotation marks it is none", 'a=1; Max-Age="3600"', "a=1")
one("5.6.2", "nought in quotation marks is none", 'a=1; Max-Age="0"', "a=1")
one("5.6.2", "a word", "a=1; Max-Age=soon", "a=1")
one("5.6.2", "an empty one", "a=1; Max-Age=", "a=1")
one("5.6.2", "no value", "a=1; Max-Age", "a=1")
one("5.6.2", "a sign alone", "a=1; Max-Age=-", "a=1")
one("5.6.2", "a plus sign", "a=1; Max-Age=+0", "a=1")
one("5.6.2", "a fraction", "a=1; Max-Age=0.5", "a=1")
one("5.6.2", "a number and a word", "a=1; Max-Age=0s", "a=1")
one("5.6.2", "digits of another script", "a=1; Max-Age=\xb2", "a=1")
one("5.6.2", "before Expires", f"a=1; Max-Age=60; Expires={PAST}", "a=1")
one("5.6.2", "before Expires in any order", f"a=1; Expires={PAST}; Max-Age=60", "a=1")
one("5.6.2", "nought before Expires", f"a=1; Max-Age=0; Expires={FUTURE}", "")
one("5.6.2", "a wrong one leaves it to Expires", f"a=1; Max-Age=x; Expires={PAST}", "")
one("5.6.2", "the last one counts", "a=1; Max-Age=60; Max-Age=0", "")
one("5.6.2", "the last one counts, to come", "a=1; Max-Age=0; Max-Age=60", "a=1")
one("5.6.2", "a wrong one does not count", "a=1; Max-Age=0; Max-Age=x", "")

# §5.6.3: Domain

BOTH = {f"{W}/": "a=1", f"{E}/": "a=1", "http://a.b.example.com/": "a=1", "http://other.example/": ""}
HOST = {f"{W}/": "a=1", f"{E}/": "", "http://a.www.example.com/": "", "http://a.b.example.com/": ""}
NOBODY = {f"{W}/": "", f"{E}/": "", "http://other.example/": ""}
case("5.6.3", "a parent", (f"{W}/", "a=1; Domain=example.com"), asks=BOTH)
case("5.6.3", "a dot in front", (f"{W}/", "a=1; Domain=.example.com"), asks=BOTH)
case("5.6.3", "two dots in front", (f"{W}/", "a=1; Domain=..example.com"), asks=NOBODY)
case("5.6.3", "upper case", (f"{W}/", "a=1; DOMAIN=EXAMPLE.COM"), asks=BOTH)
case("5.6.3", "white space around it", (f"{W}/", "a=1; Domain =  example.com "), asks=BOTH)
case("5.6.3", "none", (f"{W}/", "a=1"), asks=HOST)
case("5.6.3", "an empty one", (f"{W}/", "a=1; Domain="), asks=HOST)
case("5.6.3", "no value", (f"{W}/", "a=1; Domain"), asks=HOST)
case("5.6.3", "a dot alone", (f"{W}/", "a=1; Domain=."), asks=HOST)
case("5.6.3", "the last one counts", (f"{W}/", "a=1; Domain=other.example; Domain=example.com"), asks=BOTH)
case("5.6.3", "the last one counts, another", (f"{W}/", "a=1; Domain=example.com; Domain=other.example"), asks=NOBODY)
case("5.6.3", "the last one counts, empty", (f"{W}/", "a=1; Domain=example.com; Domain="), asks=HOST)
case(
    "5.6.3",
    "the host itself",
    (f"{W}/", "a=1; Domain=www.example.com"),
    asks={f"{W}/": "a=1", "http://a.www.example.com/": "a=1", f"{E}/": ""},
)
case("5.6.3", "another host", (f"{W}/", "a=1; Domain=other.example"), asks=NOBODY)
case("5.6.3", "a host below", (f"{E}/", "a=1; Domain=www.example.com"), asks=NOBODY)
case("5.6.3", "a brother", (f"{W}/", "a=1; Domain=ftp.example.com"), asks=NOBODY | {"http://ftp.example.com/": ""})
case("5.6.3", "half a label", (f"{W}/", "a=1; Domain=ample.com"), asks=NOBODY | {"http://ample.com/": ""})
case("5.6.3", "a name that ends alike", ("http://badexample.com/", "a=1; Domain=example.com"), asks=NOBODY)
case("5.6.3", "a dot at the end", (f"{W}/", "a=1; Domain=example.com."), asks=NOBODY)
case("5.6.3", "a port", (f"{W}/", "a=1; Domain=example.com:80"), asks=NOBODY)
case("5.6.3", "a scheme", (f"{W}/", "a=1; Domain=http://example.com"), asks=NOBODY)
case("5.6.3", "a star", (f"{W}/", "a=1; Domain=*.example.com"), asks=NOBODY)
case("5.6.3", "in quotation marks", (f"{W}/", 'a=1; Domain="example.com"'), asks=NOBODY)
case("5.6.3", "two in one", (f"{W}/", "a=1; Domain=example.com,other.example"), asks=NOBODY)
case("5.6.3", "a value of 1025 octets does not count", (f"{W}/", f"a=1; Domain={'x' * 1025}"), asks=HOST)

# §5.6.4: Path

P = "http://www.example.com/dir/sub/page"
UNDER = {
    P: "a=1",
    f"{W}/dir/sub": "a=1",
    f"{W}/dir/sub/x/y": "a=1",
    f"{W}/dir": "",
    f"{W}/": "",
    f"{W}/dir/submarine": "",
}
ROOT = {P: "a=1", f"{W}/": "a=1", f"{W}/other": "a=1"}
case("5.6.4", "the root", (P, "a=1; Path=/"), asks=ROOT)
case("5.6.4", "the name in any case", (P, "a=1; pATH=/"), asks=ROOT)
case("5.6.4", "a folder", (P, "a=1; Path=/dir/sub"), asks=UNDER)
case(
    "5.6.4",
    "a folder with a slash behind it",
    (P, "a=1; Path=/dir/sub/"),
    asks={P: "a=1", f"{W}/dir/sub/": "a=1", f"{W}/dir/sub": ""},
)
case(
    "5.6.4",
    "a folder that was not asked",
    (P, "a=1; Path=/other"),
    asks={P: "", f"{W}/other": "a=1", f"{W}/other/x": "a=1"},
)
case("5.6.4", "none", (P, "a=1"), asks=UNDER)
case("5.6.4", "an empty one", (P, "a=1; Path="), asks=UNDER)
case("5.6.4", "no value", (P, "a=1; Path"), asks=UNDER)
case("5.6.4", "no slash in front", (P, "a=1; Path=dir"), asks=UNDER)
case("5.6.4", "in quotation marks", (P, 'a=1; Path="/"'), asks=UNDER)
case("5.6.4", "the last one counts", (P, "a=1; Path=/other; Path=/"), asks=ROOT)
case("5.6.4", "the last one counts, none", (P, "a=1; Path=/; Path="), asks=UNDER)
case("5.6.4", "the last one counts, no path", (P, "a=1; Path=/; Path=x"), asks=UNDER)
case("5.6.4", "white space around it", (P, "a=1; Path = / "), asks=ROOT)
case("5.6.4", "upper and lower case are two", (P, "a=1; Path=/DIR"), asks={P: "", f"{W}/DIR/x": "a=1"})
case("5.6.4", "a semicolon ends it", (P, "a=1; Path=/dir;sub"), asks={f"{W}/dir/x": "a=1"})
case("5.6.4", "an equals sign is of it", (P, "a=1; Path=/x=y"), asks={f"{W}/x=y": "a=1", f"{W}/x": ""})
case("5.6.4", "a value of 1025 octets does not count", (P, f"a=1; Path=/{'x' * 1024}"), asks=UNDER)

# §5.6.5 to §5.6.7: Secure, HttpOnly, SameSite

SAFE = {f"{S}/": "a=1", f"{W}/": ""}
case("5.6.5", "over TLS", (f"{S}/", "a=1; Secure"), asks=SAFE)
case("5.6.5", "in any case", (f"{S}/", "a=1; sECURE"), asks=SAFE)
case("5.6.5", "with a value", (f"{S}/", "a=1; Secure=false"), asks=SAFE)
case("5.6.5", "with an empty value", (f"{S}/", "a=1; Secure="), asks=SAFE)
case("5.6.5", "white space around it", (f"{S}/", "a=1;  Secure  "), asks=SAFE)
case("5.6.5", "no attribute of a longer name", (f"{S}/", "a=1; Secured"), asks={f"{S}/": "a=1", f"{W}/": "a=1"})
case("5.6.5", "not said", (f"{S}/", "a=1"), asks={f"{S}/": "a=1", f"{W}/": "a=1"})
case("5.6.6", "HttpOnly", (f"{W}/", "a=1; HttpOnly"), asks={f"{W}/": "a=1"})
case("5.6.6", "HttpOnly with a value", (f"{W}/", "a=1; httponly=x"), asks={f"{W}/": "a=1"})
case("5.6.7", "Strict", (f"{W}/", "a=1; SameSite=Strict"), asks={f"{W}/": "a=1"})
case("5.6.7", "Lax", (f"{W}/", "a=1; SameSite=lax"), asks={f"{W}/": "a=1"})
case("5.6.7", "a word nobody knows", (f"{W}/", "a=1; SameSite=Some"), asks={f"{W}/": "a=1"})
case("5.6.7", "an empty one", (f"{W}/", "a=1; SameSite="), asks={f"{W}/": "a=1"})
case("5.6.7", "None and Secure", (f"{S}/", "a=1; SameSite=None; Secure"), asks=SAFE)
case(
    "5.6.7",
    "None and not Secure",
    (f"{S}/", "a=1; SameSite=None"),
    asks={f"{S}/": ""},
)
case("5.6.7", "the last one counts", (f"{S}/", "a=1; SameSite=None; SameSite=Lax"), asks={f"{S}/": "a=1"})

# §5.1.2: hosts in one spelling

case("5.1.2", "upper case in the URL", ("http://WWW.Example.COM/", "a=1"), asks={f"{W}/": "a=1"})
case(
    "5.1.2",
    "A-labels for another script",
    ("http://bücher.example/", "a=1"),
    asks={"http://xn--bcher-kva.example/": "a=1"},
)
case(
    "5.1.2",
    "a domain in A-labels",
    ("http://www.bücher.example/", "a=1; Domain=xn--bcher-kva.example"),
    asks={"http://bücher.example/": "a=1"},
)
case(
    "5.1.2",
    "no domain beyond ASCII",
    ("http://www.bücher.example/", "a=1; Domain=b\xc3\xbccher.example"),
    asks={"http://www.bücher.example/": "", "http://bücher.example/": ""},
)
case(
    "5.1.2",
    "one spelling of an address",
    ("http://127.0.0.1/", "a=1"),
    asks={"http://127.1/": "a=1", "http://0x7f.0.0.1/": "a=1"},
)
case(
    "5.1.2",
    "an IPv6 address",
    ("http://[::1]/", "a=1"),
    asks={"http://[0:0:0:0:0:0:0:1]/": "a=1", "http://[::2]/": ""},
)
case("5.1.2", "ports do not count", (f"{W}:8080/", "a=1"), asks={f"{W}/": "a=1", f"{W}:81/": "a=1"})
case("5.1.2", "schemes do not count", (f"{S}/", "a=1"), asks={f"{W}/": "a=1"})

# §5.1.3: domains

case(
    "5.1.3",
    "no ends of an address",
    ("http://1.2.3.4/", "a=1; Domain=.3.4"),
    asks={"http://1.2.3.4/": "", "http://9.9.3.4/": ""},
)
case(
    "5.1.3",
    "an address is its own",
    ("http://1.2.3.4/", "a=1; Domain=1.2.3.4"),
    asks={"http://1.2.3.4/": "a=1", "http://9.1.2.3.4.example/": ""},
)
case(
    "5.1.3",
    "another address",
    ("http://1.2.3.4/", "a=1; Domain=1.2.3.5"),
    asks={"http://1.2.3.4/": "", "http://1.2.3.5/": ""},
)
case("5.1.3", "an address below a name", ("http://1.2.3.4/", "a=1; Domain=4"), asks={"http://1.2.3.4/": ""})
case(
    "5.1.3",
    "an IPv6 address is its own",
    ("http://[::1]/", "a=1; Domain=::1"),
    asks={"http://[::1]/": "a=1"},
)
case("5.1.3", "host-only is not for hosts below", (f"{E}/", "a=1"), asks={f"{E}/": "a=1", f"{W}/": ""})
case("5.1.3", "host-only is not for the parent", (f"{W}/", "a=1"), asks={f"{W}/": "a=1", f"{E}/": ""})
case(
    "5.1.3",
    "a domain is for hosts at any depth",
    (f"{E}/", "a=1; Domain=example.com"),
    asks={"http://a.b.c.d.example.com/": "a=1", "http://notexample.com/": ""},
)
case(
    "5.1.3",
    "a dot at the end is another host",
    ("http://example.com./", "a=1"),
    asks={"http://example.com./": "a=1", f"{E}/": ""},
)

# §5.1.4: paths

case(
    "5.1.4",
    "the default is the folder",
    (f"{W}/a/b/c", "a=1"),
    asks={f"{W}/a/b": "a=1", f"{W}/a/b/d": "a=1", f"{W}/a": ""},
)
case(
    "5.1.4",
    "the default of a folder",
    (f"{W}/a/b/", "a=1"),
    asks={f"{W}/a/b": "a=1", f"{W}/a/b/": "a=1", f"{W}/a/": ""},
)
case("5.1.4", "the default of a page in the root", (f"{W}/a", "a=1"), asks={f"{W}/": "a=1", f"{W}/b": "a=1"})
case("5.1.4", "the default of the root", (f"{W}/", "a=1"), asks={f"{W}/b/c": "a=1"})
case("5.1.4", "the default of no path", (W, "a=1"), asks={f"{W}/b": "a=1"})
case("5.1.4", "the query is not of the path", (f"{W}/a/b?c/d", "a=1"), asks={f"{W}/a/x": "a=1", f"{W}/": ""})
case("5.1.4", "the fragment is not of the path", (f"{W}/a/b#c/d", "a=1"), asks={f"{W}/a/x": "a=1", f"{W}/": ""})
case(
    "5.1.4",
    "empty segments are segments",
    (f"{W}//a", "a=1"),
    asks={f"{W}//b": "a=1", f"{W}/b": "a=1"},
)
case("5.1.4", "a query does not end a match", (f"{W}/", "a=1; Path=/a"), asks={f"{W}/a?b": "a=1", f"{W}/ab": ""})
case("5.1.4", "no match beyond a segment", (f"{W}/", "a=1; Path=/foo"), asks={f"{W}/foobar": "", f"{W}/foo/bar": "a=1"})
case(
    "5.1.4",
    "escapes are compared as they are",
    (f"{W}/", "a=1; Path=/a%2Fb"),
    asks={f"{W}/a%2Fb": "a=1", f"{W}/a/b": ""},
)

# §5.7: the storage model

case("5.7", "the second takes the first one's place", (f"{W}/", "a=1", "a=2"), asks={f"{W}/": "a=2"})
case("5.7", "names are in upper and lower case", (f"{W}/", "a=1", "A=2"), asks={f"{W}/": "a=1; A=2"})
case(
    "5.7",
    "a value without a name takes such a one's place",
    (f"{W}/", "a", "=b"),
    asks={f"{W}/": "b"},
)
case(
    "5.7",
    "host-only and domain are two",
    (f"{W}/", "a=1", "a=2; Domain=www.example.com"),
    asks={f"{W}/": "a=1; a=2"},
)
case(
    "5.7",
    "two domains are two",
    (f"{W}/", "a=1; Domain=example.com", "a=2; Domain=www.example.com"),
    asks={f"{W}/": "a=1; a=2"},
)
case(
    "5.7",
    "two paths are two",
    (f"{W}/dir/x", "a=1; Path=/", "a=2; Path=/dir"),
    asks={f"{W}/dir": "a=2; a=1", f"{W}/": "a=1"},
)
case(
    "5.7",
    "with a dot and without are one",
    (f"{W}/", "a=1; Domain=.example.com", "a=2; Domain=example.com"),
    asks={f"{W}/": "a=2"},
)
case("5.7", "ended at once", (f"{W}/", "a=1; Max-Age=60", "a=; Max-Age=0"), asks={f"{W}/": ""})
case("5.7", "ended and begun again", (f"{W}/", "a=; Max-Age=0", "a=1; Max-Age=60"), asks={f"{W}/": "a=1"})
case("5.7", "ended by a later response", (f"{W}/", "a=1"), (f"{W}/", f"a=1; Expires={PAST}"), asks={f"{W}/": ""})
case(
    "5.7", "not ended under another path", (f"{W}/", "a=1; Path=/"), (f"{W}/x/", "a=; Max-Age=0"), asks={f"{W}/": "a=1"}
)
case(
    "5.7",
    "not ended for another domain",
    (f"{W}/", "a=1"),
    (f"{W}/", "a=; Domain=example.com; Max-Age=0"),
    asks={f"{W}/": "a=1"},
)
case(
    "5.7",
    "not ended by a stranger",
    (f"{E}/", "a=1; Domain=example.com"),
    ("http://evil.test/", "a=; Domain=example.com; Max-Age=0"),
    asks={f"{E}/": "a=1"},
)
case(
    "5.7",
    "not ended by a host below",
    (f"{E}/", "a=1"),
    (f"{W}/", "a=; Domain=example.com; Max-Age=0"),
    asks={f"{E}/": "a=1"},
)
case(
    "5.7",
    "no cookie for all of a country",
    ("http://www.example.co.uk/", "a=1; Domain=co.uk"),
    asks={"http://www.example.co.uk/": "", "http://other.co.uk/": ""},
)
case(
    "5.7",
    "no cookie for all of a top-level domain",
    (f"{W}/", "a=1; Domain=com"),
    asks={f"{W}/": "", "http://other.com/": ""},
)
case(
    "5.7",
    "no cookie for all customers of a host",
    ("http://me.github.io/", "a=1; Domain=github.io"),
    asks={"http://me.github.io/": "", "http://you.github.io/": ""},
)
case(
    "5.7",
    "a rule with a star",
    ("http://a.b.ck/", "a=1; Domain=b.ck"),
    asks={"http://a.b.ck/": "", "http://c.b.ck/": ""},
)
case("5.7", "an exception to it", ("http://a.www.ck/", "a=1; Domain=www.ck"), asks={"http://b.www.ck/": "a=1"})
case(
    "5.7",
    "a suffix in another script",
    ("http://a.xn--55qx5d.cn/", "a=1; Domain=xn--55qx5d.cn"),
    asks={"http://a.xn--55qx5d.cn/": "", "http://b.xn--55qx5d.cn/": ""},
)
case(
    "5.7",
    "a suffix that is the host itself",
    ("http://github.io/", "a=1; Domain=github.io"),
    asks={"http://github.io/": "a=1", "http://you.github.io/": ""},
)
case(
    "5.7",
    "a suffix with a dot at the end",
    ("http://a.co.uk./", "a=1; Domain=co.uk."),
    asks={"http://a.co.uk./": "", "http://b.co.uk./": ""},
)
case(
    "5.7",
    "a registered domain",
    ("http://www.example.co.uk/", "a=1; Domain=example.co.uk"),
    asks={"http://example.co.uk/": "a=1"},
)
case(
    "5.7",
    "localhost for localhost",
    ("http://localhost/", "a=1; Domain=localhost"),
    asks={"http://localhost/": "a=1", "http://x.localhost/": ""},
)
case("5.7", "a host without a dot", ("http://intranet/", "a=1"), asks={"http://intranet/": "a=1", "http://other/": ""})
case("5.7", "Secure is not taken from http", (f"{W}/", "a=1; Secure"), asks={f"{W}/": "", f"{S}/": ""})
case("5.7", "Secure on this machine", ("http://localhost/", "a=1; Secure"), asks={"http://localhost/": "a=1"})
case("5.7", "Secure on 127.0.0.1", ("http://127.0.0.1/", "a=1; Secure"), asks={"http://127.0.0.1/": "a=1"})
case("5.7", "Secure on ::1", ("http://[::1]/", "a=1; Secure"), asks={"http://[::1]/": "a=1"})
case(
    "5.7",
    "Secure on a name below localhost",
    ("http://app.localhost/", "a=1; Secure"),
    asks={"http://app.localhost/": "a=1"},
)
case(
    "5.7",
    "Secure is not overwritten from http",
    (f"{S}/", "a=1; Secure"),
    (f"{W}/", "a=2"),
    asks={f"{S}/": "a=1", f"{W}/": ""},
)
case(
    "5.7", "Secure is not ended from http", (f"{S}/", "a=1; Secure"), (f"{W}/", "a=; Max-Age=0"), asks={f"{S}/": "a=1"}
)
case(
    "5.7",
    "Secure is not covered from a host below",
    (f"{S}/", "a=1; Secure; Domain=example.com"),
    (f"{W}/", "a=2"),
    asks={f"{W}/": "", f"{S}/": "a=1"},
)
case(
    "5.7",
    "Secure is not covered by a domain above",
    (f"{S}/", "a=1; Secure"),
    (f"{W}/", "a=2; Domain=example.com"),
    asks={f"{E}/": "", f"{S}/": "a=1"},
)
case(
    "5.7",
    "Secure is not covered by a longer path",
    (f"{S}/login/", "a=1; Secure; Path=/login"),
    (f"{W}/", "a=2; Path=/login/en"),
    asks={f"{S}/login/en": "a=1"},
)
case(
    "5.7",
    "beside Secure a shorter path may be",
    (f"{S}/login/", "a=1; Secure; Path=/login"),
    (f"{W}/", "a=2; Path=/"),
    asks={f"{S}/login": "a=1; a=2", f"{W}/login": "a=2"},
)
case("5.7", "beside Secure another name may be", (f"{S}/", "a=1; Secure"), (f"{W}/", "b=2"), asks={f"{S}/": "a=1; b=2"})
case(
    "5.7",
    "beside Secure another site may be",
    (f"{S}/", "a=1; Secure"),
    ("http://other.example/", "a=2"),
    asks={"http://other.example/": "a=2"},
)
case(
    "5.7",
    "over TLS Secure may be overwritten",
    (f"{S}/", "a=1; Secure"),
    (f"{S}/", "a=2"),
    asks={f"{S}/": "a=2", f"{W}/": "a=2"},
)

# §4.1.3: prefixes

case("4.1.3", "__Secure- with Secure", (f"{S}/", "__Secure-a=1; Secure"), asks={f"{S}/": "__Secure-a=1"})
case("4.1.3", "__Secure- without Secure", (f"{S}/", "__Secure-a=1"), asks={f"{S}/": ""})
case("4.1.3", "__Secure- over http", (f"{W}/", "__Secure-a=1; Secure"), asks={f"{S}/": ""})
case(
    "4.1.3",
    "__Secure- with a Domain",
    (f"{S}/", "__Secure-a=1; Secure; Domain=example.com"),
    asks={"https://example.com/": "__Secure-a=1"},
)
case("4.1.3", "__secure- in lower case", (f"{S}/", "__secure-a=1"), asks={f"{S}/": ""})
case(
    "4.1.3",
    "__Host- with all it asks for",
    (f"{S}/", "__Host-a=1; Secure; Path=/"),
    asks={f"{S}/x": "__Host-a=1", "https://a.www.example.com/": ""},
)
case("4.1.3", "__Host- without Secure", (f"{S}/", "__Host-a=1; Path=/"), asks={f"{S}/": ""})
case("4.1.3", "__Host- without a Path", (f"{S}/", "__Host-a=1; Secure"), asks={f"{S}/": ""})
case("4.1.3", "__Host- with another Path", (f"{S}/", "__Host-a=1; Secure; Path=/x"), asks={f"{S}/x": ""})
case(
    "4.1.3",
    "__Host- with a Domain",
    (f"{S}/", "__Host-a=1; Secure; Path=/; Domain=www.example.com"),
    asks={f"{S}/": ""},
)
case(
    "4.1.3",
    "__Host- with an empty Domain",
    (f"{S}/", "__Host-a=1; Secure; Path=/; Domain="),
    asks={f"{S}/": "__Host-a=1"},
)
case("4.1.3", "__HOST- in upper case", (f"{S}/", "__HOST-a=1; Secure; Path=/x"), asks={f"{S}/x": ""})
case("4.1.3", "a name that only holds it", (f"{W}/", "a__Host-=1"), asks={f"{W}/": "a__Host-=1"})
case("4.1.3", "without its dash it is none", (f"{W}/", "__Host=1"), asks={f"{W}/": "__Host=1"})
case("4.1.3", "a value without a name that poses as one", (f"{S}/", "=__Host-a=1; Secure; Path=/"), asks={f"{S}/": ""})
case("4.1.3", "a value without a name that poses as the other", (f"{S}/", "__Secure-a; Secure"), asks={f"{S}/": ""})
case(
    "4.1.3",
    "on this machine itself",
    ("http://localhost/", "__Host-a=1; Secure; Path=/"),
    asks={"http://localhost/": "__Host-a=1"},
)

# §5.8.3: retrieval

case(
    "5.8.3",
    "longer paths first",
    (f"{W}/a/b/c", "r=1; Path=/", "ab=2; Path=/a/b", "a=3; Path=/a"),
    asks={f"{W}/a/b": "ab=2; a=3; r=1"},
)
case("5.8.3", "then the oldest", (f"{W}/", "b=1", "a=2", "c=3"), asks={f"{W}/": "b=1; a=2; c=3"})
case(
    "5.8.3",
    "the oldest of two domains",
    (f"{W}/", "a=1; Domain=example.com", "b=2"),
    asks={f"{W}/": "a=1; b=2"},
)
case(
    "5.8.3", "a new value is as old as the first", (f"{W}/", "a=1", "b=2"), (f"{W}/", "a=3"), asks={f"{W}/": "a=3; b=2"}
)
case(
    "5.8.3",
    "one that was ended is new",
    (f"{W}/", "a=1", "b=2"),
    (f"{W}/", "a=; Max-Age=0"),
    (f"{W}/", "a=3"),
    asks={f"{W}/": "b=2; a=3"},
)
case(
    "5.8.3",
    "of several hosts only what belongs",
    (f"{W}/", "a=1"),
    ("http://other.example/", "b=2"),
    asks={f"{W}/": "a=1", "http://other.example/": "b=2"},
)
case("5.8.3", "Secure beside others", (f"{S}/", "a=1; Secure", "b=2"), asks={f"{S}/": "a=1; b=2", f"{W}/": "b=2"})
case("5.8.3", "an empty value keeps its equals sign", (f"{W}/", "a=", "b=1"), asks={f"{W}/": "a=; b=1"})
case(
    "5.8.3",
    "a value without a name among others",
    (f"{W}/", "a=1", "b", "c=2"),
    asks={f"{W}/": "a=1; b; c=2"},
)

# §6.1: limits

case(
    "6.1",
    "fifty of a domain",
    (f"{W}/", *(f"n{number}={number}" for number in range(50))),
    asks={f"{W}/": "; ".join(f"n{number}={number}" for number in range(50))},
)
