"""Hosts in URLs: checked after they are encoded, and one host has one spelling."""

from __future__ import annotations

import pickle
import socket
import ssl
import subprocess
import sys

import pytest

import keeppool
import keeppool.testing
from keeppool import Config, HostConfig
from keeppool.client.no_proxy import NoProxy
from keeppool.core.origin import Origin, TlsIdentity
from keeppool.errors import InvalidProxyURL, InvalidURL, KeepPoolError
from keeppool.net.tls import TlsStore
from keeppool.pools.proxies import proxy_at
from keeppool.pools.routes import Locator
from keeppool.urls.address import Address, addressed, parse, parse_as_given

#: Hosts that no name can be, or that become another one once they are encoded.
NO_HOSTS = [
    "evil.c℀.example.com",  # ℀ is written a/c
    "localhost\uff1a8080",  # a colon of full width
    "good.example\uff03.evil.example",
    "good.example\uff20evil.example",
    "a.example%2f.good.example",
    "a.example%00",
    "a.example..",
    "a..example",
    "secret.internal HTTP",
    "a_b c",
    "a" * 64 + ".example",
    ".".join(["a" * 60] * 5),
    "a;b",
    "a,b",
    'a"b',
    "[::1",
    "[::g]",
]


@pytest.mark.parametrize("host", NO_HOSTS)
@pytest.mark.parametrize("read", [parse, parse_as_given])
def test_a_host_that_no_name_can_be_is_refused(read, host):
    with pytest.raises(InvalidURL):
        read(f"http://{host}/x")


@pytest.mark.parametrize("host", NO_HOSTS)
def test_without_the_package_idna_it_is_refused_too(host):
    # The standard library's codec makes a delimiter out of another character and says nothing.
    code = f"""
import sys; sys.modules["idna"] = None
from keeppool.urls.address import parse
from keeppool.errors import InvalidURL
try: print(parse({f"http://{host}/x"!r}))
except InvalidURL: print("refused")
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "refused\n"


@pytest.mark.parametrize("host", NO_HOSTS)
def test_a_proxys_host_is_checked_too(host):
    with pytest.raises(InvalidProxyURL):
        proxy_at(f"http://{host}:3128")


@pytest.mark.parametrize(
    ("written", "host"),
    [
        ("[::1]", "::1"),
        ("[0:0:0:0:0:0:0:1]", "::1"),
        ("[2001:DB8::0:1]", "2001:db8::1"),
        ("[::ffff:127.0.0.1]", "::ffff:127.0.0.1"),
        ("[::ffff:7f00:1]", "::ffff:127.0.0.1"),
        ("[fe80::0:1%25eth0]", "fe80::1%eth0"),
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("127.0.1", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("0x7f.0.0.1", "127.0.0.1"),
        ("0x7F000001", "127.0.0.1"),
        ("0177.0.0.01", "127.0.0.1"),
        ("0", "0.0.0.0"),
        ("\uff11\uff12\uff17.\uff10.\uff10.\uff11", "127.0.0.1"),
        ("255.255.255.255", "255.255.255.255"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("a_b.example", "a_b.example"),
        ("example.com.", "example.com."),
    ],
)
def test_one_host_has_one_spelling(written, host):
    for read in (parse, parse_as_given):
        address = read(f"http://{written}:8080/x")
        assert address.host == host
        assert address.origin == ("http", host, 8080)


def test_people_see_an_address_as_it_was_written():
    address = parse("http://[0:0::1]/x#y")
    assert (address, address.url) == ("http://[::1]/x", "http://[0:0::1]/x#y")
    assert address.with_query("a=b").url == "http://[0:0::1]/x?a=b#y"


@pytest.mark.parametrize("zone", ["eth0", "3", "253", "25", "250"])
def test_a_zone_is_still_the_same_when_the_url_is_read_again(zone):
    """As it is when a redirect is resolved against it; `%25` in front of a zone is a percent sign (RFC 6874 §2)."""
    address = parse(f"http://[fe80::1%25{zone}]/x")
    assert address.host == f"fe80::1%{zone}"
    for text in (str(address), address.url):
        assert text == f"http://[fe80::1%25{zone}]/x"
        assert parse(text).host == address.host


@pytest.mark.parametrize("host", ["256.0.0.1", "1.2.3.4.5", "127.0.0.256", "4294967296", "08.1", "1.a", "0x7g", "a.1b"])
def test_what_no_resolver_reads_as_an_address_is_left_as_it_is(host):
    assert parse(f"http://{host}/").host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "10.20.30.40", "a.example", "a-1", "x1.2y"])
def test_a_plain_host_is_read_the_plain_way(host):
    assert parse(f"http://{host}:81/x?y") == f"http://{host}:81/x?y"


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("a.example.", "a.example"),
        ("a.example..", "a.example."),  # For which nobody has a certificate.
        ("a.example%2f.good.example", "a.example%2f.good.example"),
        ("::1%lo", "::1"),
    ],
)
def test_a_certificate_is_asked_for_the_whole_name(host, name, monkeypatch):
    asked = []

    class Context(ssl.SSLContext):
        def wrap_bio(self, *args, **named):
            asked.append(named["server_hostname"])
            return super().wrap_bio(*args, **named)

    context = Context(ssl.PROTOCOL_TLS_CLIENT)
    origin = Origin(scheme="https", host=host, port=443, tls=TlsIdentity(context=context))
    TlsStore().layer_for(origin, origin.tls)
    assert asked == [name]


@pytest.mark.parametrize("host", ["secret.internal HTTP", "a\r\nX-Evil: 1", "a\u00e9"])
def test_host_and_target_are_checked_where_they_are_written(host):
    # Whatever has read the URL, and however it was fooled.
    fooled = Address(f"http://{host}/x", scheme="http", host=host, port=80, target="/x")
    for proxy in (None, "http://proxy.example:3128"):
        locator = Locator(Config(defaults=HostConfig(proxy=proxy)))
        with pytest.raises(InvalidURL):
            locator.locate(fooled)


def test_addresses_in_two_spellings_share_a_connection():
    with keeppool.testing.Site() as site, keeppool.Session(keeppool.Limits(per_host=1)) as session:
        for host in ("127.0.0.1", "127.1", "0x7f000001", "127.0.0.1."):
            session.get(f"http://{host}:{site.port}/")
        assert session.stats().opened == 1


@pytest.mark.parametrize(
    ("rules", "host"),
    [
        ("[::1]/128", "::1"),
        ("[fd00::]/8", "fd00::5"),
        ("[::1]", "[::1]"),
        ("bücher.example", "xn--bcher-kva.example"),
        (".bücher.example", "www.xn--bcher-kva.example"),
        ("*.BÜCHER.example", "www.xn--bcher-kva.example"),
        ("bücher.example:8080", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "bücher.example"),
    ],
)
def test_no_proxy_knows_brackets_and_names_in_every_script(rules, host):
    assert NoProxy(rules).covers(host, 8080)
    assert not NoProxy(rules).covers("other.example", 8080)
    assert not NoProxy(rules).covers("::2", 8080) or "fd00" in rules


@pytest.mark.parametrize(
    "url",
    [
        "http://user:s3cret@host:99999/",
        "http://user:s3cret@ho st/",
        "http://user:s3cret@[::1/",
        "http:/user:s3cret@host/",
        "http:///user:s3cret@host/",
        "//user:s3cret@host/",
        "https//user:s3cret@host/",
        "http://user:s3c#s3cret@host:x/",
        "http://user:s3c/s3cret@host:x/",
        "http://user:s3cret@/",
        "http://user:s3cret@a..b/",
        "http://user:s3cret@host/\x01",
        "http://user:s3cret@\u00df../",
    ],
)
@pytest.mark.parametrize("read", [parse, parse_as_given, addressed])
def test_no_password_stands_in_what_is_said_of_a_url_that_is_refused(read, url):
    said = ""
    try:
        said = read(url).url
    except KeepPoolError as error:
        said = f"{error} {error!r} {error.__cause__} {error.__context__}"
    assert said
    assert "s3cret" not in said


def test_an_address_of_another_scheme_shows_no_password_and_holds_no_line_end():
    assert addressed("s3://key:s3cret@bucket/x#y").url == "s3://bucket/x#y"
    with pytest.raises(InvalidURL):
        addressed("foo://a\nb.example/x")


@pytest.mark.parametrize(
    "host", ["00000000000000000177.1", "127.0.0.00000000000000000001", "0x000000000007f.1", "0000.0x0"]
)
def test_zeros_in_front_make_no_other_address(host):
    assert parse(f"http://{host}/").host == socket.inet_ntoa(socket.inet_aton(host))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_address_cannot_be_changed_and_can_be_pickled(protocol):
    address = parse("http://user:pw@a.example:81/x?y#z")
    with pytest.raises(AttributeError, match="cannot be changed"):
        address.host = "evil.example"
    copied = pickle.loads(pickle.dumps(address, protocol))
    assert copied == address
    assert (copied.url, copied.origin, copied.credentials) == (address.url, address.origin, ("user", "pw"))
