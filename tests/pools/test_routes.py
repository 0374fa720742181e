"""From a URL and a configuration to what goes over the wire."""

import socket
import ssl

import pytest

from keeppool import Config, HostConfig, Limits, PoolManager, Timeout, errors
from keeppool.pools.request import prepare_fields
from keeppool.pools.routes import Locator
from keeppool.testing import RawConnection, ScriptedServer
from keeppool.wire.fields import field_block

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def route(url, **options):
    return Locator(Config(**options)).locate(url)


@pytest.mark.parametrize(
    ("url", "origin", "target"),
    [
        ("http://Example.COM", "http://example.com:80", b"/"),
        ("HTTP://example.com:80/a?b=c#d", "http://example.com:80", b"/a?b=c"),
        ("https://example.com/a b", "https://example.com:443", b"/a%20b"),
        ("https://example.com?q", "https://example.com:443", b"/?q"),
        ("http://[::1]:8080/", "http://[::1]:8080", b"/"),
        ("http://user:pw@example.com/%7Ea/../b", "http://example.com:80", b"/b"),
        ("http://example.com/ä", "http://example.com:80", b"/%C3%A4"),
    ],
)
def test_a_url_leads_to_its_origin_and_target(url, origin, target):
    located = route(url)
    assert (located.route.name, located.target) == (origin, target)


def test_the_ways_to_long_urls_are_remembered_within_a_bound():
    locate = Locator(Config()).locate
    for number in range(100):
        locate(f"http://a.example/{number}?{'q' * 100_000}")
    assert 0 < locate.cache_info().currsize < 25
    assert locate("http://a.example/") is locate("http://a.example/")


def test_equal_urls_in_other_spellings_share_an_origin():
    assert route("HTTP://Example.com:80/x").route.origin == route("http://example.com/y").route.origin


@pytest.mark.parametrize(
    "entry",
    [
        {"verify": False},
        {"verify": "/ca.pem"},
        {"cert": "/me.pem"},
        {"cert": ("/me.pem", "/me.key")},
        {"fingerprint": "ab" * 32},
        {"server_hostname": "other"},
        {"ssl_context": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)},
        {"source_address": "127.0.0.2"},
        {"unix_socket": "/sock"},
        {"proxy": "http://proxy:3128"},
        {"proxy": "http://me:secret@proxy:3128"},
        {"proxy": "http://proxy:3128", "proxy_headers": {"X-Session": "7"}},
        {"proxy": "https://proxy"},
        {"proxy": "socks5://proxy"},
        {"proxy": "socks5h://proxy"},
        {"tcp_keepalive": None},
        {"tag": "me"},
    ],
    ids=" ".join,
)
def test_what_makes_requests_not_interchangeable_makes_another_origin(entry):
    locator = Locator(Config())
    plain = locator.locate("https://a/").route.origin
    other = locator.locate("https://a/", HostConfig(**entry)).route.origin
    assert plain != other
    assert other == locator.locate("https://a/b", HostConfig(**entry)).route.origin


def test_what_does_not_matter_to_a_connection_does_not_split_the_pool():
    locator = Locator(Config())
    override = HostConfig(headers={"X": "y"}, timeout=3, per_host=1, http_version="1.0")
    assert locator.locate("https://a/").route.origin == locator.locate("https://a/", override).route.origin


def test_the_most_specific_of_host_defaults_and_override_wins():
    config = Config(
        limits=Limits(per_host=6, idle_timeout=50),
        timeout=Timeout(read=7),
        defaults=HostConfig(max_age=100),
        hosts={"*.example.com": HostConfig(per_host=3), "a.example.com": HostConfig(idle_timeout=4)},
    )
    found = Locator(config).locate("http://a.example.com/", HostConfig(per_host=2)).route
    assert found.policy[:4] == (2, 4, 100, None)
    assert found.timeout.read == 7


def test_a_hosts_headers_are_sent_unless_the_request_has_its_own():
    found = route("http://a/", hosts={"a": HostConfig(headers={"X-Team": "b", "Accept": "c"})}).route
    lines, closes = found.tail(field_block([("accept", "mine")]))
    assert lines == b" HTTP/1.1\r\nHost: a\r\naccept: mine\r\nX-Team: b\r\nConnection: keep-alive\r\n"
    assert not closes


def test_a_requests_own_host_and_connection_fields_win():
    lines, closes = route("http://a/").route.tail(field_block([("Host", "b"), ("Connection", "close")]))
    assert lines == b" HTTP/1.1\r\nHost: b\r\nConnection: close\r\n"
    assert closes


def test_the_clients_own_keep_alive_header_is_sent():
    found = route("http://a/", defaults=HostConfig(keep_alive_header="timeout=30, max=50")).route
    assert found.tail(field_block([]))[0].endswith(b"Connection: keep-alive\r\nKeep-Alive: timeout=30, max=50\r\n")


def test_an_http_proxy_gets_the_whole_url_and_its_own_credentials():
    answer_twice = [RawConnection.read_request, OK, RawConnection.read_request, OK]
    with ScriptedServer(answer_twice) as proxy, PoolManager(timeout=5) as pool:
        host = HostConfig(proxy=f"http://me:s%40fe@{proxy.host}:{proxy.port}")
        pool.request("GET", "http://one.invalid/a?b", host=host)
        pool.request("GET", "http://two.invalid:81/", host=host)
        first, second = proxy.requests
        assert (first.target, first.headers["host"]) == ("http://one.invalid/a?b", "one.invalid")
        assert (second.target, second.headers["host"]) == ("http://two.invalid:81/", "two.invalid:81")
        assert first.headers["proxy-authorization"] == "Basic bWU6c0BmZQ=="
        assert len(proxy.connections) == 1


def test_different_proxy_credentials_never_share_a_connection():
    with (
        ScriptedServer([RawConnection.read_request, OK, RawConnection.read_until_closed]) as proxy,
        PoolManager() as pool,
    ):
        for user in ("a", "b"):
            host = HostConfig(proxy=f"http://{user}:x@{proxy.host}:{proxy.port}")
            pool.request("GET", "http://one.invalid/", host=host)
        assert len(proxy.connections) == 2


def test_a_unix_socket_is_dialled_instead_of_the_host(tmp_path):
    path = str(tmp_path / "s")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    with listener, PoolManager(hosts={"docker": HostConfig(unix_socket=path)}) as pool:
        import threading

        seen = []

        def serve():
            sock, _ = listener.accept()
            with sock:
                seen.append(sock.recv(4096))
                sock.sendall(OK)

        thread = threading.Thread(target=serve)
        thread.start()
        assert pool.request("GET", "http://docker/info").data == b"ok"
        thread.join(5)
    assert seen[0].startswith(b"GET /info HTTP/1.1\r\nHost: docker\r\n")


def test_a_dead_host_is_a_connect_error_that_names_it(recorder):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with PoolManager(on_event=recorder) as pool:
        with pytest.raises(errors.RefusedError, match=f"127.0.0.1:{port}") as raised:
            pool.request("GET", f"http://127.0.0.1:{port}/")
        assert isinstance(raised.value.__cause__, ConnectionRefusedError)
        assert pool.stats().connect_failed == 1
        assert pool.stats().connecting == 0
        assert pool.stats().hosts == {}


def test_a_hosts_own_headers_win_over_what_the_library_says_by_itself():
    found = route("http://a/", hosts={"a": HostConfig(headers={"User-Agent": "theirs", "Accept": "text/html"})}).route
    lines, _ = found.tail(prepare_fields({"Accept": "*/*"}))
    assert b"User-Agent: theirs\r\n" in lines
    assert b"Accept: text/html\r\n" in lines
    assert b"keeppool" not in lines
    assert b"User-Agent: mine\r\n" in found.tail(prepare_fields({"User-Agent": "mine"}))[0]


class Unhashed(str):
    """A text of a caller's own kind: whoever says what equality is, and nothing of hashes, has none."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return str(self) == other


def test_headers_that_cannot_be_remembered_are_sent_all_the_same():
    assert prepare_fields([(Unhashed("X-A"), "1")]) == prepare_fields([("X-A", "1")])


def test_a_host_entry_may_name_the_host_field():
    lines, _ = route("http://a/", hosts={"a": HostConfig(headers={"Host": "virtual"})}).route.tail(field_block([]))
    assert lines.count(b"Host:") == 1
    assert b"Host: virtual\r\n" in lines


def test_a_number_as_a_hosts_timeout_leaves_the_pools_waits_for_the_whole():
    config = {"timeout": Timeout(pool=1, total=9), "hosts": {"a": HostConfig(timeout=3)}}
    assert route("http://a/", **config).route.timeout == Timeout(3, pool=1, total=9)


def test_credentials_for_a_proxy_do_not_go_into_the_tunnel():
    found = route("https://a/", defaults=HostConfig(proxy="http://p:1")).route
    assert b"secret" not in found.tail(field_block([("Proxy-Authorization", "secret")]))[0]


def test_hosts_share_what_the_configuration_says_of_them_and_nothing_else():
    entry = HostConfig(per_host=2, headers={"X-Team": "b"}, tag="b")
    locate = Locator(Config(hosts={"*.b.example": entry, "two.b.example": HostConfig(per_host=3)})).locate
    first, second = locate("https://a.example/").route, locate("https://c.example/").route
    below, other = locate("https://one.b.example/").route, locate("https://two.b.example/").route
    assert first.policy is second.policy
    assert first.origin.tls is second.origin.tls
    assert (first.origin.host, second.origin.host) == ("a.example", "c.example")
    assert [found.policy.per_host for found in (first, below, other)] == [6, 2, 3]
    assert [found.origin.tag for found in (first, below, other)] == [None, "b", "b"]
    fields = field_block([("Accept", "*/*")])
    heads = [found.tail(fields)[0] for found in (first, second, below, other)]
    assert [head.partition(b"\r\nHost: ")[2].partition(b"\r\n")[0] for head in heads] == [
        b"a.example",
        b"c.example",
        b"one.b.example",
        b"two.b.example",
    ]
    assert [b"X-Team: b" in head for head in heads] == [False, False, True, True]


def test_one_override_leaves_the_terms_of_other_requests_alone():
    locate = Locator(Config()).locate
    plain, tagged = (
        locate("http://a.example/").route,
        locate("http://a.example/", HostConfig(tag="t", per_host=1)).route,
    )
    assert (plain.origin.tag, plain.policy.per_host) == (None, 6)
    assert (tagged.origin.tag, tagged.policy.per_host) == ("t", 1)
    assert locate("http://b.example/", HostConfig(tag="t", per_host=1)).route.policy is tagged.policy


def test_headers_that_repeat_are_remembered_but_none_that_may_be_a_secret_or_is_long():
    """What a process keeps of one request it keeps for as long as it lives."""
    for headers in ({"Accept": "*/*"}, [("X-A", "1"), ("X-A", "2")]):
        assert prepare_fields(headers) is prepare_fields(headers)
    for headers in ({"Authorization": "Bearer x"}, {"Cookie": "a=b"}, {"X-Api-Key": "k"}, {"X-A": "1" * 2000}):
        assert prepare_fields(headers) is not prepare_fields(headers)
        assert prepare_fields(headers) == prepare_fields(headers)
