"""A session of requests with `KeepPoolAdapter` mounted: what the server sees of its connections, and what the user."""

import io
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import requests
import urllib3

from keeppool import HostConfig, Limits, Timeout, errors, presets
from keeppool.adapters.requests import KeepPoolAdapter
from keeppool.adapters.requests.settings import host_config, waits
from keeppool.events import ConnectionClosed, RequestResent, Why
from keeppool.testing import Answer, Behaviour, RawConnection, ScriptedServer, Site

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
REQUEST = RawConnection.read_request


@pytest.fixture
def site():
    with Site() as running:
        yield running


@pytest.fixture
def mounted():
    """Open sessions with an adapter of ours: `mounted(limits=...)`."""
    opened = []

    def mount(adapter=None, **arguments):
        session = requests.Session()
        session.trust_env = False
        adapter = adapter or KeepPoolAdapter(**arguments)
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        opened.append(session)
        return session

    yield mount
    for session in opened:
        session.close()


# Connections


def test_requests_one_after_the_other_share_a_connection_also_over_two_prefixes(site, mounted):
    session = mounted()
    session.mount(f"{site.url}/status", session.get_adapter(site.url))
    for path in ("/", "/status/204", "/echo"):
        session.get(site.url + path)
    assert site.opened == 1


def test_no_post_is_lost_on_a_server_that_closes_behind_each_response_unannounced(mounted):
    """Row K1."""
    bodies = [b"%d" % number for number in range(60)]
    with Site(behaviour=Behaviour(close_after=1)) as site:
        session = mounted()
        answers = [session.post(f"{site.url}/echo", data=body) for body in bodies]
        with ThreadPoolExecutor(8) as threads:
            answers += threads.map(lambda body: session.post(f"{site.url}/echo", data=body), bodies)
        assert [answer.json()["body"].encode() for answer in answers] == bodies * 2
        assert sorted(request.body for request in site.log) == sorted(bodies * 2)


def test_eight_threads_never_open_more_than_the_cap(site, mounted):
    session = mounted(limits=Limits(per_host=3))
    site.pause()
    with ThreadPoolExecutor(8) as threads:
        answers = [threads.submit(session.get, f"{site.url}/echo?{number}") for number in range(40)]
        assert site.wait_for(lambda: site.requests == 3)
        site.resume()
        targets = [answer.result().json()["target"] for answer in answers]
    assert targets == [f"/echo?{number}" for number in range(40)]
    assert site.peak_open == 3


def test_a_preset_and_requests_own_word_for_the_cap_hold(site, mounted):
    assert mounted(limits=presets.NETSCAPE).get_adapter(site.url).poolmanager.config.limits == presets.NETSCAPE
    assert KeepPoolAdapter(10, 2).poolmanager.config.limits.per_host == 2
    assert KeepPoolAdapter(pool_maxsize=0).poolmanager.config.limits.per_host is None
    assert KeepPoolAdapter().poolmanager.config.limits == Limits()


def test_the_servers_hint_is_believed(site, mounted, recorder):
    site.behaviour = Behaviour(hint_timeout=30, hint_max=2)
    session = mounted(on_event=recorder)
    for _ in range(6):
        session.get(site.url)
    assert site.late == 0
    assert site.opened == 2
    assert recorder.of(ConnectionClosed)[0].why is not Why.PEER_CLOSED


def test_a_connection_that_died_while_idle_is_not_used(site, mounted):
    session = mounted()
    session.get(site.url)
    assert site.drop_idle() == 1
    assert session.post(site.url, data=b"once").status_code == 200
    assert site.opened == 2


def test_a_get_whose_reused_connection_dies_unanswered_is_sent_again_and_a_post_is_not(mounted, recorder):
    session = mounted(on_event=recorder)
    with ScriptedServer([REQUEST, OK, REQUEST], [REQUEST, OK, REQUEST], [REQUEST, OK]) as server:
        assert session.get(server.url).content == b"ok"
        assert session.get(server.url).content == b"ok"
        assert len(recorder.of(RequestResent)) == 1
        with pytest.raises(requests.ConnectionError) as raised:
            session.post(server.url, data=b"once")
    assert raised.value.__cause__.retry_safe is False


def test_the_caps_count_a_response_that_is_being_streamed(site, mounted):
    session = mounted(limits=Limits(per_host=1))
    with session.get(f"{site.url}/bytes/300000", stream=True) as answer:
        pool = session.get_adapter(site.url).poolmanager
        assert pool.stats().busy == 1
        assert sum(len(piece) for piece in answer.iter_content(10_000)) == 300_000
        assert pool.stats().busy == 0
    session.get(site.url)
    assert site.opened == 1


def test_a_response_dropped_unread_gives_its_slot_back_and_is_named(site, mounted):
    session = mounted(limits=Limits(per_host=1))
    session.get(f"{site.url}/bytes/5000000", stream=True)
    with pytest.warns(ResourceWarning, match="dropped unread"):
        session.get(site.url)
    assert site.opened == 2


def test_a_session_closed_while_streaming_lets_the_stream_end_and_can_be_used_again(site, mounted):
    session = mounted()
    answer = session.get(f"{site.url}/bytes/300000", stream=True)
    session.close()
    session.close()
    assert len(answer.content) == 300_000
    assert site.wait_for(lambda: site.open_now == 0)
    assert session.get(site.url).status_code == 200


def test_closing_a_session_closes_the_pool_it_has_used(site, mounted):
    session = mounted()
    pool = session.get_adapter(site.url).poolmanager
    session.close()
    with pytest.raises(errors.PoolClosed):
        pool.request("GET", site.url)


def test_one_call_functions_leave_nothing_open(site, monkeypatch):
    monkeypatch.setattr(requests.sessions, "HTTPAdapter", KeepPoolAdapter)
    assert requests.get(site.url).status_code == 200
    assert site.wait_for(lambda: site.open_now == 0)


# What is sent


def test_headers_go_out_as_requests_has_prepared_them(site, mounted):
    session = mounted()
    session.headers["X-Case"] = "kept"
    session.get(site.url, headers={"X-Bytes": b"raw", "User-Agent": None})
    names = [name for name, _ in site.log[0].pairs]
    assert "X-Case" in names
    assert "User-Agent" not in names
    assert names[0] == "Host"
    assert site.log[0].headers["x-bytes"] == "raw"


def test_a_whole_number_set_on_a_prepared_request_is_written_out(site, mounted):
    session = mounted()
    prepared = session.prepare_request(requests.Request("GET", site.url))
    prepared.headers["X-Number"] = 7
    session.send(prepared)
    assert site.log[0].headers["x-number"] == "7"


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        (b"bytes", b"bytes"),
        ("süß", "süß".encode()),
        ({"a": "b c"}, b"a=b+c"),
        (io.BytesIO(b"a file"), b"a file"),
        (io.StringIO("text file"), b"text file"),
        (lambda: (piece for piece in (b"gen", b"", b"erated")), b"generated"),
        ([("x", "1"), ("x", "2")], b"x=1&x=2"),
    ],
    ids=["bytes", "text", "form", "file", "text file", "generator", "pairs"],
)
def test_every_kind_of_body_arrives_framed_as_requests_says(site, mounted, body, sent):
    answer = mounted().post(f"{site.url}/echo", data=body() if callable(body) else body)
    assert site.log[0].body == sent
    length = answer.request.headers.get("Content-Length")
    assert site.log[0].headers.get("content-length") == length
    assert ("transfer-encoding" in site.log[0].headers) == (length is None)


def test_a_file_is_sent_from_where_it_stands(site, mounted):
    file = io.BytesIO(b"skipped, sent")
    file.seek(9)
    mounted().put(site.url, data=file)
    assert site.log[0].body == b"sent"


def test_multipart_forms_arrive(site, mounted):
    mounted().post(site.url, files={"file": ("a.txt", b"content")}, data={"field": "value"})
    assert b'name="field"' in site.log[0].body
    assert b"content" in site.log[0].body


def test_an_error_in_the_callers_generator_is_the_callers(site, mounted):
    def body():
        yield b"first"
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        mounted().post(site.url, data=body())
    assert site.wait_for(lambda: (site.opened, site.open_now) == (1, 0))


# What comes back


def test_cookies_of_redirects_are_kept_and_sent(mounted):
    def handler(request):
        if request.path == "/login":
            return Answer(
                status=302, headers=(("Set-Cookie", "sid=1; Path=/"), ("Set-Cookie", "b=2"), ("Location", "/in"))
            )
        return Answer(body=request.headers.get("cookie", "none").encode())

    with Site(handler=handler) as site:
        session = mounted()
        answer = session.get(f"{site.url}/login")
        assert sorted(answer.text.split("; ")) == ["b=2", "sid=1"]
        assert answer.history[0].cookies.get_dict() == {"sid": "1", "b": "2"}
        assert session.cookies.get_dict() == {"sid": "1", "b": "2"}
        assert site.opened == 1


def test_redirects_of_requests_and_their_bodies_work(site, mounted):
    session = mounted()
    answer = session.get(f"{site.url}/redirect/3")
    assert [past.status_code for past in answer.history] == [302, 302, 302]
    with pytest.raises(requests.TooManyRedirects):
        session.get(f"{site.url}/redirect/40")
    kept = session.post(f"{site.url}/redirect/1?status=307&to={site.url}/echo", data=io.BytesIO(b"again"))
    assert kept.json()["body"] == "again"


def test_a_redirect_whose_body_is_damaged_is_followed_as_requests_does(mounted):
    broken = b"HTTP/1.1 302 Found\r\nLocation: /next\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nhalf"
    with ScriptedServer([REQUEST, broken, REQUEST, OK]) as server:
        assert mounted().get(server.url).content == b"ok"


def test_hooks_see_an_answer_whose_connection_is_free(site, mounted):
    session = mounted(limits=Limits(per_host=1))

    def ask_again(answer, **_):
        if answer.url.endswith("300000"):
            answer.inner = session.get(f"{site.url}/status/204").status_code

    assert session.get(f"{site.url}/bytes/300000", hooks={"response": ask_again}).inner == 204


def test_a_hook_may_replace_what_is_read(site, mounted):
    def replace(answer, **_):
        answer.raw = io.BytesIO(answer.raw.read().upper())

    assert mounted().get(site.url, hooks={"response": replace}).content == b"KEEPPOOL\n"


def test_digest_authentication_asks_twice_over_one_connection(mounted):
    def handler(request):
        if "authorization" in request.headers:
            return Answer(body=request.headers["authorization"].encode())
        return Answer(status=401, headers=(("WWW-Authenticate", 'Digest realm="r", nonce="n", qop="auth"'),))

    with Site(handler=handler) as site:
        answer = mounted().get(site.url, auth=requests.auth.HTTPDigestAuth("user", "secret"))
        assert answer.text.startswith('Digest username="user"')
        assert (site.requests, site.opened) == (2, 1)


def test_repeated_fields_and_odd_bytes_look_as_in_requests(site, mounted):
    site.behaviour = Behaviour(headers=(("X-Many", "a"), ("X-Many", "b"), ("X-Odd", "\xe9")))
    ours, theirs = mounted().get(site.url), requests.get(site.url)
    assert dict(ours.headers) == dict(theirs.headers)
    assert ours.raw.headers.getlist("x-many") == ["a", "b"]
    assert ours.headers["x-many"] == "a, b"
    assert (ours.reason, ours.encoding, ours.raw.version) == (theirs.reason, theirs.encoding, theirs.raw.version)


def test_elapsed_leaves_out_the_time_the_body_took(site, mounted):
    session = mounted()
    answer = session.get_adapter(site.url).send(session.prepare_request(requests.Request("GET", site.url)))
    assert answer.raw.late > 0
    answer.raw.late = 2.0
    answer.elapsed = timedelta(seconds=3)  # as the session does, whose watch ran until the body was there
    assert answer.elapsed == timedelta(seconds=1)
    answer.elapsed = timedelta(seconds=9)
    assert answer.elapsed == timedelta(seconds=9)
    assert session.get(site.url).elapsed > timedelta(0)


# Configuration


def test_what_is_configured_for_a_host_holds_where_the_request_says_nothing(mounted):
    done = threading.Event()
    with ScriptedServer([REQUEST, lambda connection: connection.wait(done)]) as server:
        session = mounted(hosts={"127.0.0.1": HostConfig(timeout=0.05, headers={"X-Host": "said"})})
        with pytest.raises(requests.ReadTimeout):
            session.get(server.url)
        done.set()
        assert server.requests[0].headers["x-host"] == "said"


@pytest.mark.parametrize(
    ("timeout", "connect", "read"),
    [
        (3, 3, 3),
        ((1, None), 1, None),
        ((None, 2.5), None, 2.5),
        (urllib3.Timeout(connect=1, read=2), 1, 2),
        (urllib3.Timeout(total=4), 4, 4),
        (urllib3.Timeout(), None, None),
    ],
    ids=repr,
)
def test_every_form_of_timeout_is_read_as_requests_reads_it(timeout, connect, read):
    base = Timeout(pool=7, total=8)
    got = waits(timeout, base)
    assert (got.connect, got.pool, got.total) == (connect, 7, 8)
    assert got.read == (None if read is None else pytest.approx(read, abs=0.5))


def test_without_any_timeout_there_is_no_limit_but_the_queues():
    held = KeepPoolAdapter().poolmanager.timeout_for("http://a.example/")
    assert (held.connect, held.read, held.pool, held.stall) == (None, None, None, 60)
    assert KeepPoolAdapter(timeout=(1, 2)).poolmanager.timeout_for("http://a.example/").read == 2


def test_an_adapter_and_a_session_can_be_pickled(site, mounted):
    session = mounted(limits=Limits(per_host=2), hosts={"a.example": HostConfig(per_host=1)}, max_retries=3)
    session.get(site.url)
    again = mounted(pickle.loads(pickle.dumps(session.get_adapter(site.url))))
    copy = pickle.loads(pickle.dumps(session))
    for restored in (again, copy):
        adapter = restored.get_adapter(site.url)
        assert adapter.poolmanager.config == session.get_adapter(site.url).poolmanager.config
        assert adapter.max_retries.total == 3
        assert restored.get(site.url).status_code == 200
    copy.close()


def test_a_pickled_response_is_plain_requests(site, mounted):
    answer = mounted().get(site.url)
    again = pickle.loads(pickle.dumps(answer))
    assert type(again) is requests.Response
    assert (again.content, again.elapsed, again.headers) == (answer.content, answer.elapsed, answer.headers)


# Subclasses


def test_hooks_of_a_subclass_are_called(site, mounted):
    class Own(KeepPoolAdapter):
        def add_headers(self, request, **keywords):
            request.headers["X-Stream"] = str(keywords["stream"])

        def build_response(self, req, resp):
            answer = super().build_response(req, resp)
            answer.built = resp.status
            return answer

    answer = mounted(Own()).get(site.url)
    assert answer.built == 200
    assert site.log[0].headers["x-stream"] == "False"


def test_a_subclass_may_add_what_a_proxy_is_told(site, mounted):
    class Own(KeepPoolAdapter):
        def proxy_headers(self, proxy):
            return {**super().proxy_headers(proxy), "X-Zone": "de"}

    mounted(Own()).get("http://a.example/", proxies={"http": site.url.replace("://", "://u:p@")})
    assert site.log[0].target == "http://a.example/"
    assert site.log[0].headers["x-zone"] == "de"
    assert site.log[0].headers["proxy-authorization"] == "Basic dTpw"


def test_a_source_address_given_to_init_poolmanager_is_dialled_from(mounted):
    class FromAddress(KeepPoolAdapter):
        def init_poolmanager(self, *arguments, **keywords):
            super().init_poolmanager(*arguments, **keywords, source_address=("127.0.0.9", 0))

    peers = []
    look = lambda connection: peers.append(connection._socket.getpeername()[0])  # noqa: E731
    with ScriptedServer(look) as server, pytest.raises(requests.ConnectionError):
        mounted(FromAddress()).get(server.url)
    assert peers == ["127.0.0.9"]


def test_a_source_port_is_refused():
    with pytest.raises(errors.ConfigError, match="source_address"):
        host_config({"source_address": ("127.0.0.9", 4000)})


@pytest.mark.parametrize("keyword", ["socket_options", "ssl_minimum_version", "key_password"])
def test_a_pool_keyword_without_a_counterpart_is_refused_by_name(keyword):
    class Own(KeepPoolAdapter):
        def init_poolmanager(self, *arguments, **keywords):
            super().init_poolmanager(*arguments, **keywords, **{keyword: object()})

    with pytest.raises(errors.ConfigError, match=keyword):
        Own()


def test_a_closed_pool_is_a_connection_error(site, mounted):
    session = mounted()
    session.get_adapter(site.url).poolmanager.close()
    with pytest.raises(requests.ConnectionError) as raised:
        session.get(site.url)
    assert type(raised.value.__cause__) is errors.PoolClosed
