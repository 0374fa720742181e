"""Adapters mounted in a session: ours, those of a program's own, and requests'."""

from __future__ import annotations

import io

import pytest
from answers import elsewhere, page

import keeppool
import keeppool.requests
from keeppool import BaseAdapter, HTTPAdapter, Limits, Response
from keeppool.errors import (
    CertificateError,
    ConfigError,
    InvalidSchema,
    KeepPoolError,
    PoolClosed,
    ReadTimeout,
    RetryError,
)
from keeppool.requests.structures import CaseInsensitiveDict
from keeppool.testing import Answer


@pytest.fixture
def session():
    with keeppool.requests.Session() as opened:
        yield opened


class Memory(BaseAdapter):
    """Answers from a table, by URL; notes what it was told."""

    def __init__(self, pages: dict[str, tuple[int, dict[str, str], bytes]]) -> None:
        self.pages = pages
        self.told: list[dict[str, object]] = []
        self.asked: list[tuple[str, str, object]] = []
        self.is_closed = False

    def send(self, request, **told):
        self.told.append(told)
        self.asked.append((request.method, request.url, request.body))
        made = Response()
        made.status_code, fields, content = self.pages[request.url]
        made.headers = CaseInsensitiveDict(fields)
        made.raw = io.BytesIO(content)
        return made

    def close(self):
        self.is_closed = True


# What can be mounted


@pytest.mark.parametrize(
    ("prefix", "adapter", "says"),
    [
        (5, HTTPAdapter(), "prefix=5: must be the text that URLs begin with"),
        (None, HTTPAdapter(), "prefix=None: must be the text"),
        ("http://", None, "adapter=None: must be an object with send and close"),
        ("http://", HTTPAdapter, r"must be an adapter, not a class of them: HTTPAdapter\(\)"),
        ("http://", type("Transport", (), {"handle_request": print})(), "transport of httpx's"),
        ("http://", type("Transport", (), {"handle_async_request": print})(), "transport of httpx's"),
    ],
)
@pytest.mark.parametrize("kind", [keeppool.requests.Session, keeppool.requests.AsyncSession])
def test_what_is_no_adapter_is_refused_and_changes_nothing(kind, prefix, adapter, says):
    session = kind()
    before = dict(session.adapters)
    with pytest.raises(ConfigError, match=says):
        session.mount(prefix, adapter)
    with pytest.raises(ConfigError, match=says):
        session.adapters = {"http://": HTTPAdapter(), prefix: adapter}
    assert dict(session.adapters) == before


def test_an_adapter_of_ours_in_a_session_of_requests_says_which_one_it_takes(site):
    requests = pytest.importorskip("requests")
    with requests.Session() as theirs:
        theirs.mount("http://", HTTPAdapter())
        with pytest.raises(TypeError, match=r"not a requests\.models\.PreparedRequest; .*KeepPoolAdapter"):
            theirs.get(site.url)


# By prefix


def test_the_longest_prefix_counts_whatever_the_order_and_case(session):
    names = ["http://a.example/", "http://a.example/api/v2", "http://", "http://a.example/api"]
    mounted = {name: HTTPAdapter() for name in names}
    for name, adapter in mounted.items():
        session.mount(name, adapter)
    for url, name in {
        "http://a.example/x": names[0],
        "HTTP://A.EXAMPLE/API/V2/x": names[1],
        "http://b.example/": names[2],
        "http://a.example/api/v1": names[3],
    }.items():
        assert session.get_adapter(url) is mounted[name]
    assert session.get_adapter("https://a.example/").pool is session.pool
    assert list(session.adapters)[:2] == [names[1], names[3]]


def test_a_prefix_can_be_mounted_anew_and_taken_out(session):
    session.mount("http://a.example/", HTTPAdapter())
    second = HTTPAdapter()
    session.mount("http://a.example/", second)
    assert session.get_adapter("http://a.example/") is second
    del session.adapters["http://a.example/"]
    assert session.get_adapter("http://a.example/").pool is session.pool
    session.adapters = {"mock://": second}
    with pytest.raises(InvalidSchema) as caught:
        session.get("http://a.example/")
    assert caught.value.url == "http://a.example/"


def test_looking_at_the_adapters_changes_nothing(site, session):
    before = session.get(f"{site.url}/echo").json()
    assert len(session.adapters) == 2
    after = session.get(f"{site.url}/echo").json()
    assert {**before, "connection": 0} == {**after, "connection": 0}
    assert site.opened == 1


def test_every_request_of_a_chain_goes_by_its_own_prefix(answering, session):
    other = answering({"/b": elsewhere(302, "/c"), "/c": page(b"there")})
    site = answering({"/a": elsewhere(302, f"{other.url}/b")})
    session.mount(other.url, HTTPAdapter())
    assert session.get(f"{site.url}/a").content == b"there"
    own = session.get_adapter(other.url).pool.stats()
    assert (session.stats().opened, own.opened, own.reused) == (1, 1, 1)


# Ours


def test_an_adapter_has_limits_retries_and_listeners_of_its_own(answering, session, recorder):
    busy = iter([503, 503, 200])
    site = answering({"/": lambda request: Answer(status=next(busy))})
    policy = keeppool_retry(2)
    adapter = HTTPAdapter(pool_connections=1, pool_maxsize=3, max_retries=policy, on_event=recorder)
    assert (adapter.pool.config.limits.per_host, adapter.max_retries) == (3, policy)
    session.mount(site.url, adapter)
    assert session.get(f"{site.url}/").status_code == 200
    assert (site.requests, len(recorder) > 0) == (3, True)
    assert HTTPAdapter(pool_maxsize=2, limits=Limits(per_host=9, total=10)).pool.config.limits == Limits(
        per_host=2, total=10
    )
    for bad in ({"pool_maxsize": 0}, {"max_retries": -1}, {"limits": 5}):
        with pytest.raises((ConfigError, TypeError, AttributeError)):
            HTTPAdapter(**bad)


def keeppool_retry(total: int):
    from urllib3.util import Retry

    return Retry(total, status_forcelist=[503])


def test_a_calls_retries_are_heard_before_the_adapters(answering, session):
    site = answering({"/": Answer(status=503)})
    session.mount(site.url, HTTPAdapter(max_retries=keeppool_retry(5)))
    with pytest.raises(RetryError) as caught:
        session.get(f"{site.url}/", retries=keeppool_retry(1))
    assert caught.value.tries == 2


def test_one_adapter_may_stand_in_two_places_and_is_closed_with_the_session(answering):
    site = answering({})
    adapter = HTTPAdapter()
    with keeppool.requests.Session() as session:
        session.mount(f"{site.url}/a", adapter)
        session.mount(f"{site.url}/b", adapter)
        session.get(f"{site.url}/a")
        session.get(f"{site.url}/b")
        assert site.opened == 1
    with pytest.raises(PoolClosed):
        adapter.send(keeppool.Request("GET", site.url).prepare())
    assert site.wait_for(lambda: site.open_now == 0)


def test_an_adapter_sends_by_itself(site):
    with keeppool.requests.Session() as session:
        adapter = session.get_adapter(site.url)
        answer = adapter.send(keeppool.Request("GET", f"{site.url}/bytes/10000000").prepare(), stream=True, timeout=5)
        assert (answer.status_code, session.stats().busy) == (200, 1)
        answer.close()
        assert repr(adapter).startswith("<HTTPAdapter on <PoolManager")


class Defaulting(HTTPAdapter):
    """What programs write to have a timeout everywhere: it lives on `None` for a timeout that nobody has said."""

    def __init__(self, **arguments):
        self.seen = []
        super().__init__(**arguments)

    def send(self, request, **told):
        if told.get("timeout") is None:
            told["timeout"] = 7
        self.seen.append(told["timeout"])
        return super().send(request, **told)


def test_a_subclass_is_told_what_was_said_and_can_tell_what_was_not(site, session):
    adapter = Defaulting()
    session.mount(site.url, adapter)
    full = keeppool.Timeout(connect=1, read=2, total=3)
    for arguments in ({}, {"timeout": 5}, {"timeout": (3, 4)}, {"timeout": None}, {"timeout": full}):
        assert session.get(f"{site.url}/redirect/1", **arguments).ok
    *seen, left = adapter.seen
    assert seen == [7, 7, 5, 5, (3, 4), (3, 4), (None, None), (None, None), full]
    assert (left.connect, left.read, left.total < 3) == (1, 2, True), "the second request has what is left of a total"


HOOKS = pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("init_poolmanager", "ssl_context"),
        ("cert_verify", "fingerprint"),
        ("build_connection_pool_key_attributes", "cert"),
        ("get_connection_with_tls_context", "send"),
        ("get_connection", "send"),
        ("proxy_manager_for", "proxy"),
        ("proxy_headers", "proxy_headers"),
        ("build_response", "hook"),
        ("request_url", "url"),
    ],
)


@pytest.mark.parametrize("kind", [HTTPAdapter, keeppool.AsyncHTTPAdapter])
@HOOKS
def test_a_hook_that_would_never_be_called_is_refused_with_its_class(kind, name, instead):
    """A certificate pin that is lost without a word is worse than a program that does not start."""
    with pytest.raises(TypeError, match=rf"Own\.{name} would never be called.*{instead}"):
        type("Own", (kind,), {name: lambda self, *arguments, **told: None})
    mixin = type("Mixin", (), {name: None})
    with pytest.raises(TypeError, match=name):
        type("Own", (mixin, kind), {})


@pytest.mark.parametrize("kind", [HTTPAdapter, keeppool.AsyncHTTPAdapter])
@HOOKS
def test_so_is_one_that_is_set_on_a_class_or_an_adapter_later(kind, name, instead):
    def hook(*arguments, **told):
        raise AssertionError("called after all")

    mixin = type("Mixin", (), {})
    own = type("Own", (mixin, kind), {})
    adapter = own()
    for patched in (kind, own, adapter):
        with pytest.raises(TypeError, match=rf"\.{name} would never be called.*{instead}"):
            setattr(patched, name, hook)
        assert not hasattr(patched, name)
    setattr(mixin, name, hook)
    with pytest.raises(TypeError, match=rf"Own\.{name} would never be called"):
        own()
    adapter.send, own.add_headers = hook, hook


def test_a_subclass_adds_headers_as_in_requests(site, session):
    class Own(HTTPAdapter):
        def add_headers(self, request, **told):
            request.headers["X-Told"] = ",".join(sorted(told))

    session.mount(site.url, Own())
    seen = session.get(f"{site.url}/echo").json()["headers"]
    assert seen["x-told"] == "cert,proxies,stream,timeout,verify"


class Passing(HTTPAdapter):
    """Has a `send` of its own, which adds nothing."""

    def send(self, request, **told):
        return super().send(request.copy() if told.pop("copies", False) else request, **told)


@pytest.mark.parametrize("kind", [HTTPAdapter, Passing])
def test_true_said_by_a_call_or_its_session_holds_against_an_adapters_configuration(secured, session, kind):
    session.mount("https://", kind(defaults=keeppool.HostConfig(verify=False)))
    assert session.get(secured.url).ok
    with pytest.raises(CertificateError):
        session.get(secured.url, verify=True)
    assert session.get(secured.url).ok
    session.verify = True
    with pytest.raises(CertificateError):
        session.get(secured.url)
    assert session.get(secured.url, verify=False).ok


@pytest.mark.parametrize("kind", [HTTPAdapter, Passing])
def test_a_sessions_own_timeout_reaches_an_adapter_that_has_none(site, kind):
    with keeppool.requests.Session(timeout=0.2) as session:
        session.mount(f"{site.url}/none", kind())
        session.mount(f"{site.url}/own", kind(timeout=0.3))
        site.pause()
        for path, limit in (("none", 0.2), ("own", 0.3)):
            with pytest.raises(ReadTimeout) as caught:
                session.get(f"{site.url}/{path}")
            assert caught.value.limit == limit
        site.resume()


def test_none_is_three_tries_as_in_requests():
    assert (HTTPAdapter(max_retries=None).retrying.retry.total, HTTPAdapter().retrying) == (3, None)
    assert HTTPAdapter(max_retries=0).retrying is None


# A program's own


def test_an_adapter_of_the_programs_own_answers_for_a_scheme_of_its_own(session):
    memory = Memory(
        {
            "mem://a/start?x": (302, {"Location": "mem://a/end", "Content-Type": "x"}, b"moved"),
            "mem://a/end": (200, {"Content-Type": "text/plain"}, b"arrived"),
        }
    )
    session.mount("mem://", memory)
    answer = session.post("mem://a/start?x", data="body", params={"ignored": 1})
    assert (answer.text, answer.url, answer.ok) == ("arrived", "mem://a/end", True)
    assert [(one.status_code, one.content) for one in answer.history] == [(302, b"moved")]
    assert memory.asked == [("POST", "mem://a/start?x", "body"), ("GET", "mem://a/end", None)]
    assert answer.elapsed.total_seconds() > 0
    session.close()
    assert memory.is_closed


def test_it_is_told_what_holds_as_requests_tells_it(session, monkeypatch):
    memory = Memory({"mem://a": (200, {}, b"")})
    session.mount("mem://", memory)
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example")
    session.cert = "own"
    session.get("mem://a", timeout=keeppool.Timeout(connect=1, read=2), verify=False, stream=True)
    session.get("mem://a", timeout=None, proxies={"mem": "mem://proxy"})
    assert memory.told == [
        {"timeout": (1, 2), "verify": False, "cert": "own", "proxies": {}, "stream": True},
        {"timeout": None, "verify": True, "cert": "own", "proxies": {"mem": "mem://proxy"}, "stream": False},
    ]


def test_it_is_told_the_sessions_own_timeout_and_what_is_left_of_a_total():
    memory = Memory({"mem://a": (302, {"Location": "mem://b"}, b""), "mem://b": (200, {}, b"")})
    with keeppool.requests.Session(timeout=(3, 4)) as session:
        session.mount("mem://", memory)
        session.get("mem://b")
        session.get("mem://a", timeout=keeppool.Timeout(connect=1, read=20, total=10))
    first, second, third = (told["timeout"] for told in memory.told)
    assert (first, second) == ((3, 4), (1, 10))
    assert third[0] == 1
    assert 0 < third[1] < 10


def test_its_answers_go_through_hooks_and_retries(session):
    memory = Memory({"mem://a": (503, {}, b"busy")})
    session.mount("mem://", memory)
    seen = []
    answer = session.get("mem://a", hooks={"response": lambda answer, **_: seen.append(answer.status_code)})
    assert (seen, answer.content) == ([503], b"busy")
    with pytest.raises(RetryError):
        session.get("mem://a", retries=keeppool_retry(2))
    assert len(memory.asked) == 4


# requests'


@pytest.fixture
def theirs(session):
    requests = pytest.importorskip("requests")
    adapter = requests.adapters.HTTPAdapter(max_retries=0)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return requests


def test_requests_adapter_answers_in_its_own_kind(site, session, theirs):
    answer = session.get(f"{site.url}/echo", params={"a": 1}, headers={"X-A": "1"}, timeout=keeppool.Timeout())
    assert isinstance(answer, theirs.Response)
    seen = answer.json()
    assert (seen["target"], seen["headers"]["x-a"]) == ("/echo?a=1", "1")
    assert answer.elapsed.total_seconds() > 0
    assert isinstance(answer.request, keeppool.PreparedRequest)
    assert session.stats().opened == 0


@pytest.mark.parametrize("kind", ["HTTPAdapter", "KeepPoolAdapter"])
def test_an_error_of_requests_is_ours_of_that_name(session, theirs, kind):
    if kind == "KeepPoolAdapter":
        from keeppool.adapters.requests import KeepPoolAdapter

        session.mount("http://", KeepPoolAdapter())
    with pytest.raises(keeppool.requests.ConnectionError) as caught:
        session.get("http://127.0.0.1:1/")
    assert isinstance(caught.value, KeepPoolError)
    assert kind == "KeepPoolAdapter" or isinstance(caught.value.__cause__, theirs.ConnectionError)


def test_each_error_that_requests_adapters_raise_has_one_of_ours(theirs):
    from keeppool.requests.mounting.mounts import ours_for

    for name, kind in vars(theirs.exceptions).items():
        if isinstance(kind, type) and issubclass(kind, theirs.RequestException) and name != "JSONDecodeError":
            own = ours_for(kind("what happened", response="a response"))
            assert isinstance(own, getattr(keeppool.requests.exceptions, name)), name
            assert (str(own), own.response) == ("what happened", "a response")
    assert ours_for(ValueError()) is None


@pytest.mark.parametrize(
    "body", [b"bytes", "text", {"form": "field"}, io.BytesIO(b"file")], ids=["bytes", "text", "form", "file"]
)
def test_requests_adapter_sends_our_bodies(site, session, theirs, body):
    seen = session.post(f"{site.url}/echo", data=body).json()
    assert seen["body"] in ("bytes", "text", "form=field", "file")
    assert int(seen["headers"]["content-length"]) == len(seen["body"])
    assert session.post(f"{site.url}/echo", data=iter([b"pie", b"ces"])).json()["body"] == "pieces"


def test_through_requests_adapter_redirects_and_cookies_are_ours(answering, session, theirs):
    site = answering(
        {
            "/a": elsewhere(302, "/b", ("Set-Cookie", "one=1; Path=/"), ("Set-Cookie", "two=2; Path=/"), body=b"moved"),
            "/b": elsewhere(307, "/cookies", ("Set-Cookie", "one=; Path=/; Max-Age=0")),
        }
    )
    answer = session.get(f"{site.url}/a")
    assert answer.json() == {"two": "2"}
    assert [(hop.status_code, hop.content) for hop in answer.history] == [(302, b"moved"), (307, b"")]
    assert session.cookies.get_dict() == {"two": "2"}
    assert site.opened == 1, "each body was read, so that the connection could be used again"


def test_through_requests_adapter_hooks_and_schemes_work(answering, session, theirs):
    from digest_server import DigestServer

    server = DigestServer(realm=b"realm", opaque=b"opaque")
    site = answering({"/private": server})
    for scheme in (keeppool.auth.HTTPDigestAuth, theirs.auth.HTTPDigestAuth):
        seen = []
        answer = session.get(
            f"{site.url}/private",
            auth=scheme("Mufasa", "Circle of Life"),
            hooks={"response": lambda answer, seen=seen, **_: seen.append(answer.status_code)},
        )
        assert (answer.text, seen) == ("welcome", [200])


def test_through_requests_adapter_a_stream_is_left_on_its_way(site, session, theirs):
    with session.get(f"{site.url}/bytes/1000000", stream=True) as answer:
        assert len(next(answer.iter_content(1000))) == 1000
    assert session.get(f"{site.url}/bytes/10").content == b"0123456789"
