"""Sites, seen by http.client and by bare sockets."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import http.client
import json
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Iterator

import pytest

from keeppool.errors import ConfigError
from keeppool.testing import Answer, Behaviour, Site, Sites

GET = b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"


class Client(http.client.HTTPConnection):
    """One connection; `get` gives status, fields by lower-case name, and body."""

    def get(self, path, method="GET", body=None, headers=None, **more):
        self.request(method, path, body=body, headers=headers or {}, **more)
        answer = self.getresponse()
        fields = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, fields, answer.read()


@pytest.fixture
def client() -> Iterator:
    """Clients for sites, closed at the end."""
    made: list[Client] = []

    def connect(site: Site) -> Client:
        made.append(Client(site.host, site.port, timeout=5))
        made[-1].connect()
        return made[-1]

    yield connect
    for one in made:
        one.close()


@pytest.fixture
def raw() -> Iterator:
    """Bare sockets to sites, closed at the end."""
    made: list[socket.socket] = []

    def connect(site: Site) -> socket.socket:
        made.append(socket.create_connection((site.host, site.port), timeout=5))
        return made[-1]

    yield connect
    for one in made:
        one.close()


def read_all(sock: socket.socket) -> bytes:
    """Read until the site closes."""
    data = b""
    while piece := sock.recv(65536):
        data += piece
    return data


def read_answer(sock: socket.socket) -> bytes:
    """Read an answer with the site's default body."""
    data = b""
    while not data.endswith(b"keeppool\n"):
        piece = sock.recv(65536)
        assert piece, data
        data += piece
    return data


def test_requests_share_a_connection_and_are_counted(client):
    with Site() as site:
        one = client(site)
        for path in ("/a", "/a", "/b?x=1"):
            assert one.get(path) == (200, {"content-length": "9"}, b"keeppool\n")
        one.get("/c", headers={"X-Request-Id": "seven"})
        assert (site.opened, site.open_now, site.peak_open, site.requests) == (1, 1, 1, 4)
        assert site.executed == {"/a": 2, "/b": 1, "seven": 1}
        assert [(r.target, r.connection, r.number) for r in site.log][:3] == [
            ("/a", 1, 1),
            ("/a", 1, 2),
            ("/b?x=1", 1, 3),
        ]
        assert site.log[2].query == "x=1"
        one.close()
        assert site.wait_for(lambda: site.open_now == 0, timeout=600)  # signalled, or the test hangs


def test_routes_answer_as_documented(client):
    with Site() as site:
        one = client(site)
        assert len(one.get("/bytes/100000")[2]) == 100000
        assert one.get("/status/503")[0] == 503
        assert one.get("/status/204")[2] == b""
        assert one.get("/status/99")[0] == 400
        assert one.get("/bytes/many")[0] == 400
        assert one.get("/stream/3")[1]["transfer-encoding"] == "chunked"
        assert one.get("/stream/3?pause=0.001")[2] == b"line 0\nline 1\nline 2\n"
        assert one.get("/slow/0.001")[2] == b"at last\n"
        assert len(gzip.decompress(one.get("/gzip")[2])) == len(zlib.decompress(one.get("/deflate")[2])) == 10_000
        assert one.get("/redirect/2")[1]["location"] == "/redirect/1"
        status, fields, _ = one.get("/redirect/1?status=307&to=http://other/")
        assert (status, fields["location"]) == (307, "http://other/")
        assert one.get("/redirect/0")[0] == 200
        assert one.get("/cookies/set?a=1&b=2")[1]["set-cookie"] == "b=2; Path=/"
        assert json.loads(one.get("/cookies", headers={"Cookie": "a=1; b=2"})[2]) == {"a": "1", "b": "2"}
        assert site.opened == 1


@pytest.mark.parametrize("chunked", [False, True])
def test_echo_gives_back_method_fields_and_body(client, chunked):
    with Site() as site:
        body = iter([b"one ", b"two"]) if chunked else b"one two"
        seen = json.loads(client(site).get("/echo", "POST", body, {"X-Y": "z"}, encode_chunked=chunked)[2])
        assert (seen["method"], seen["target"], seen["body"], seen["headers"]["x-y"]) == (
            "POST",
            "/echo",
            "one two",
            "z",
        )
        assert ("transfer-encoding" in seen["headers"]) is chunked
        assert site.log[0].body == b"one two"


def test_pipelined_requests_are_answered_in_order(raw):
    with Site(Behaviour(delay_s=0.001)) as site:
        sock = raw(site)
        sock.send(b"".join(b"GET /status/%d HTTP/1.1\r\nHost: h\r\n\r\n" % n for n in (201, 202, 203)))
        data = b""
        while data.count(b"HTTP/1.1") < 3 or not data.endswith(b"203\n"):
            data += sock.recv(65536)
        assert data.index(b" 201 ") < data.index(b" 202 ") < data.index(b" 203 ")


def test_requests_to_a_site_that_is_far_away_travel_together(raw):
    """Each arrives a round trip late, the first after that of the handshake; none waits for the one before."""
    away, count = 0.1, 40
    with Sites() as sites:
        site = sites.add(Behaviour(round_trip_s=away))
        begun = time.monotonic()
        sock = raw(site)
        for number in range(count):
            sock.send(b"GET /status/%d HTTP/1.1\r\nHost: h\r\n\r\n" % (200 + number))
            sites.thread.call(asyncio.sleep(0))  # so that it is read before the next is sent
        data = b""
        while not data.endswith(b"%d\n" % (199 + count)):
            data += sock.recv(65536)
        came = [request.at for request in site.log]
    assert [request.path for request in site.log] == [f"/status/{200 + number}" for number in range(count)]
    assert came[0] - begun >= 2 * away
    assert came[-1] - came[0] < away * count / 2


def test_what_is_on_its_way_is_lost_when_the_client_closes(raw):
    with Site(Behaviour(round_trip_s=0.01)) as site:
        sock = raw(site)
        sock.send(GET)
        sock.close()
        assert site.wait_for(lambda: site.opened == 1 and site.open_now == 0)
        assert site.requests == 0


def test_requests_behind_a_slow_stream_are_answered_after_it(raw):
    with Site() as site:
        sock = raw(site)
        sock.send(b"GET /stream/2?pause=0.001 HTTP/1.1\r\nHost: h\r\n\r\n" + GET)
        assert b"7\r\nline 1\n\r\n0\r\n\r\nHTTP/1.1 200 OK" in read_answer(sock)


def test_head_has_the_fields_of_get_and_no_body(raw):
    with Site() as site:
        sock = raw(site)
        sock.send(GET.replace(b"GET", b"HEAD") + GET)
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
        assert read_answer(sock) == head + head + b"keeppool\n"


def test_empty_pieces_do_not_end_a_chunked_body(raw):
    with Site(Behaviour(framing="chunked"), handler=lambda _: Answer(body=(b"", b"a", b""), close=True)) as site:
        sock = raw(site)
        sock.send(GET)
        assert read_all(sock).endswith(b"\r\n\r\n1\r\na\r\n0\r\n\r\n")


def test_expect_is_answered_before_the_body_comes(raw):
    with Site() as site:
        sock = raw(site)
        sock.send(b"PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.send(b"ok")
        assert read_answer(sock).startswith(b"HTTP/1.1 200 OK\r\n")
        assert site.log[0].body == b"ok"


@pytest.mark.parametrize(
    "wire",
    [
        b"GET  /x HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET /x HTTP/1.1\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: h\r\nX : y\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
        b"X" * 70_000,
    ],
)
def test_a_malformed_request_is_refused_and_counted(raw, wire):
    with Site() as site:
        sock = raw(site)
        sock.send(wire)
        assert read_all(sock).startswith(b"HTTP/1.1 400 ")
        assert (site.malformed, site.requests) == (1, 0)


@pytest.mark.parametrize(
    ("behaviour", "version", "fields"),
    [
        (Behaviour(framing="chunked"), b"1.1", [b"Transfer-Encoding: chunked", b"9\r\nkeeppool\n\r\n0\r\n\r\n"]),
        (Behaviour(framing="close"), b"1.1", [b"Connection: close", b"\r\n\r\nkeeppool\n"]),
        (Behaviour(framing="chunked"), b"1.0", [b"Connection: close", b"\r\n\r\nkeeppool\n"]),
        (Behaviour(keep_alive=False), b"1.1", [b"Content-Length: 9", b"Connection: close"]),
        (Behaviour(http_version="1.0"), b"1.1", [b"HTTP/1.0 200", b"Connection: close"]),
        (Behaviour(status=404, headers=(("X-A", "b"),)), b"1.0", [b"HTTP/1.1 404 Not Found", b"X-A: b"]),
    ],
)
def test_framings_and_versions(raw, behaviour, version, fields):
    with Site(behaviour) as site:
        sock = raw(site)
        sock.send(b"GET /x HTTP/%b\r\nHost: h\r\n%b\r\n" % (version, b"Connection: close\r\n" * (version == b"1.1")))
        data = read_all(sock)
        assert all(field in data for field in fields), data


@pytest.mark.parametrize(("coding", "decode"), [("gzip", gzip.decompress), ("deflate", zlib.decompress)])
def test_bodies_are_coded_once(client, coding, decode):
    with Site(Behaviour(coding=coding, body=1000)) as site:
        one = client(site)
        for path in ("/x", "/bytes/1000", f"/{coding}"):
            _, fields, body = one.get(path)
            assert fields["content-encoding"] == coding
            assert len(decode(body)) in (1000, 10_000)


def test_requests_after_the_stated_end_are_counted_late_and_not_answered(raw):
    with Site(Behaviour(hint_max=1, hint_style="constant")) as site:
        sock = raw(site)
        sock.send(GET)
        assert b"Connection: close\r\n" in read_all(sock)
        sock.send(GET)
        assert site.wait_for(lambda: site.late == 1)
        assert site.requests == 1


def test_requests_after_the_hinted_time_are_late(raw):
    """The site closes its side when the hinted second is over, and goes on listening."""
    with Site(Behaviour(hint_timeout=1)) as site:
        sock = raw(site)
        sock.send(GET)
        assert b"Keep-Alive: timeout=1\r\n" in read_answer(sock)
        assert sock.recv(1) == b""
        sock.send(GET)
        assert site.wait_for(lambda: site.late == 1)


def test_close_after_and_drop_idle_s_come_unannounced(raw):
    with Site(Behaviour(close_after=2)) as site:
        sock = raw(site)
        for _ in range(2):
            sock.send(GET)
            assert b"Connection" not in read_answer(sock)
        assert sock.recv(1) == b""
    with Site(Behaviour(hint_timeout=60, drop_idle_s=0.01)) as site:
        sock = raw(site)
        sock.send(GET)
        assert b"timeout=60" in read_answer(sock)
        assert sock.recv(1) == b""


def test_drop_idle_closes_idle_connections_only_and_before_it_returns(raw):
    with Site() as site:
        idle, fresh, busy = raw(site), raw(site), raw(site)
        idle.send(GET)
        read_answer(idle)
        site.pause()
        busy.send(GET)
        assert site.wait_for(lambda: site.opened == 3 and site.requests == 2)
        assert site.drop_idle() == 2
        for sock in (idle, fresh):
            sock.setblocking(False)
            assert sock.recv(1) == b""
        site.resume()
        assert read_answer(busy)
        assert site.open_now == 1


def test_drop_idle_reaches_connections_that_were_only_just_opened(raw):
    with Site() as site:
        for _ in range(50):
            opened = [raw(site), raw(site)]
            assert site.drop_idle() == 2
            assert [sock.recv(1) for sock in opened] == [b"", b""]
        assert site.opened == 100


def test_drop_idle_can_reset(raw):
    with Site() as site:
        sock = raw(site)
        assert site.drop_idle(reset=True) == 1
        with pytest.raises(ConnectionResetError):
            sock.recv(1)


def test_peak_open_does_not_count_what_the_client_has_closed():
    """One at a time, however fast the client reconnects, is a peak of one."""
    with Site() as site:
        for _ in range(300):
            with socket.create_connection((site.host, site.port), timeout=5) as sock:
                sock.send(GET)
        assert site.wait_for(lambda: site.opened == 300)
        assert site.peak_open == 1


def test_peak_open_counts_what_is_open_at_once(raw):
    with Site() as site:
        for _ in range(7):
            raw(site)
        assert site.wait_for(lambda: site.opened == 7)
        assert (site.peak_open, site.open_now) == (7, 7)


def test_a_handler_goes_first_and_may_decline(client):
    def handler(request):
        return Answer(status=201, headers=(("X-A", "b"),), body=request.body * 2) if request.path == "/echo" else None

    with Site(handler=handler) as site:
        one = client(site)
        assert one.get("/echo", "POST", b"ab") == (201, {"x-a": "b", "content-length": "4"}, b"abab")
        assert one.get("/status/204")[0] == 204
        assert one.get("/other")[2] == b"keeppool\n"


def test_an_answer_may_close_or_hang_up(raw):
    answers = {"/close": Answer(close=True), "/hang": Answer(hang_up=True)}
    with Site(handler=lambda request: answers[request.path]) as site:
        sock = raw(site)
        sock.send(b"POST /hang HTTP/1.1\r\nHost: h\r\n\r\n")
        assert read_all(sock) == b""
        sock = raw(site)
        sock.send(b"GET /close HTTP/1.1\r\nHost: h\r\n\r\n")
        assert b"Connection: close" in read_all(sock)
        assert site.executed == {"/hang": 1, "/close": 1}


def test_what_a_handler_raises_surfaces_at_the_end(client):
    def handler(_):
        raise LookupError("a bug in the test")

    with pytest.raises(LookupError, match="a bug in the test"), Site(handler=handler) as site:
        assert client(site).get("/x")[0] == 500


def test_a_handler_cannot_wait_for_its_own_site(client):
    with Site() as site:
        site.handler = lambda _: site.drop_idle()
        assert client(site).get("/x")[0] == 500
        assert "own thread" in str(site.errors.pop())


def test_behaviour_may_change_while_it_runs(client):
    with Site() as site:
        one = client(site)
        one.get("/x")
        site.behaviour = Behaviour(status=503, body=b"later")
        assert one.get("/x") == (503, {"content-length": "5"}, b"later")


def test_wait_for_gives_up_with_false():
    with Site() as site:
        assert site.wait_for(lambda: site.opened == 1, timeout=0) is False


def test_closing_is_idempotent_ends_every_connection_and_frees_the_port(raw):
    site = Site()
    site.start()
    site.start()
    port = site.port
    idle, begun = raw(site), raw(site)
    begun.send(b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc")
    assert site.wait_for(lambda: site.opened == 2)
    site.close()
    site.close()
    assert read_all(idle) == b""
    assert site.open_now == 0
    assert site.drop_idle() == 0
    site.resume()
    with Site(port=port) as again:
        assert again.port == port


def test_a_taken_port_is_an_error_and_starts_nothing():
    with Site() as site, pytest.raises(OSError, match="in use"), Site(port=site.port):
        pass


def test_forty_sites_share_one_thread(client):
    before = set(threading.enumerate())  # One of them may end meanwhile.
    with Sites() as sites:
        several = [sites.add(host=f"127.0.0.{number}") for number in range(2, 42)]
        clients = [client(site) for site in several]
        for _ in range(3):
            assert {one.get("/x")[0] for one in clients} == {200}
        assert len(set(threading.enumerate()) - before) == 1
        assert [site.requests for site in sites] == [3] * 40
        assert len({site.url for site in several}) == 40
    assert {site.open_now for site in several} == {0}


def test_ipv6(client):
    try:
        site = Site(host="::1")
        site.start()
    except OSError:
        pytest.skip("skipped: no IPv6 loopback")
    with site:
        assert site.url == f"http://[::1]:{site.port}"
        assert client(site).get("/x")[0] == 200


def test_tls_serves_drops_idle_and_closes_cleanly(server_tls, client_tls):
    with Site(Behaviour(hint_max=2), tls=server_tls) as site:
        assert site.url.startswith("https://127.0.0.1:")
        bare = socket.create_connection((site.host, site.port), timeout=5)
        with client_tls.wrap_socket(bare, server_hostname="127.0.0.1") as sock:
            for left in (2, 1):
                sock.send(GET)
                assert b"max=%d" % left in read_answer(sock)
            assert site.drop_idle() == 1
            sock.setblocking(False)
            assert sock.recv(1) == b""


def test_tls_handshakes_that_fail_or_hang_leave_nothing_behind(raw, server_tls):
    strict = ssl.create_default_context()
    with Site(tls=server_tls) as site:
        silent = raw(site)
        with pytest.raises(ssl.SSLCertVerificationError):
            strict.wrap_socket(raw(site), server_hostname="127.0.0.1")
        assert site.wait_for(lambda: site.opened == 2 and site.open_now == 1)
    assert read_all(silent) == b""


@pytest.mark.parametrize(
    ("make", "kind", "says"),
    [
        (lambda: "text", TypeError, "gives a keeppool.testing.Answer, or None, and not 'text'"),
        (lambda: {"a": 1}, TypeError, "and not <dict>"),
        (lambda: Answer(body="text"), ConfigError, "must be bytes, or a tuple of them"),
        (lambda: Answer(body=("text",)), ConfigError, "must be bytes, or a tuple of them"),
        (lambda: Answer(headers={"A": "b"}), ConfigError, "must be .name, value. pairs"),
        (lambda: Answer(headers="A: b"), ConfigError, "must be .name, value. pairs"),
        (lambda: Answer(headers=("A", "b")), ConfigError, "must be .name, value. pairs"),
    ],
)
def test_a_handler_that_makes_no_answer_is_a_500_and_told_at_the_end(make, kind, says):
    site = Site(handler=lambda request: make())
    site.start()
    with contextlib.closing(Client(site.host, site.port)) as client:
        status, _, body = client.get("/x")
    assert (status, kind.__name__.encode() in body) == (500, True)
    with pytest.raises(kind, match=says):
        site.__exit__(None, None, None)
