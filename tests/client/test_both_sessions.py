"""`Session` and `AsyncSession` behave the same: what they send, what they are told, what they can be made into.

`on.wait` awaits what has to be awaited. When a test ends, its sessions are closed; nothing may be lent or waited for.
"""

from __future__ import annotations

import base64
import functools
import io
import json
import pickle
import socket
import threading

import pytest
from answers import page
from drivers import on_requests
from urllib3.util import Retry

import keeppool
from keeppool import HostConfig, Limits
from keeppool.client.request.request import Request
from keeppool.errors import (
    ConfigError,
    InvalidBody,
    InvalidRequest,
    InvalidSchema,
    InvalidURL,
    PoolClosed,
    PoolTimeout,
    ReadTimeout,
    RefusedError,
)
from keeppool.testing import Answer, ScriptedServer


@pytest.fixture
def session(on):
    return on.session()


def refusing(count: int, *headers: tuple[str, str], body: bytes = b"busy"):
    """Refuse so many times, then show what was received."""
    left = iter(range(count))
    return lambda request: (
        page(request.body) if next(left, None) is None else Answer(status=503, headers=headers, body=body)
    )


# Requests


@pytest.mark.parametrize("method", ["get", "options", "post", "put", "patch", "delete"])
def test_each_verb_sends_what_it_is_given(on, session, site, method):
    call = getattr(session, method)(f"{site.url}/echo", params={"a": 1}, data="body", headers={"X-A": "1"})
    seen = on.wait(call).json()
    assert (seen["method"], seen["target"], seen["body"]) == (method.upper(), "/echo?a=1", "body")
    assert seen["headers"]["x-a"] == "1"


def test_head_is_not_followed_and_any_method_may_be_sent(on, session, site):
    assert on.wait(session.head(f"{site.url}/redirect/1")).status_code == 302
    assert on.wait(session.request("PURGE", f"{site.url}/echo")).json()["method"] == "PURGE"


@pytest.mark.parametrize(
    ("body", "text", "media_type"),
    [
        (lambda: {"data": {"a": 1, "b": ["x", "y"]}}, "a=1&b=x&b=y", "application/x-www-form-urlencoded"),
        (lambda: {"json": {"ü": [1, None]}}, '{"\\u00fc": [1, null]}', "application/json"),
        (lambda: {"data": b"bytes"}, "bytes", None),
        (lambda: {"data": io.BytesIO(b"a file")}, "a file", None),
        (lambda: {"data": iter([b"pie", b"ces"])}, "pieces", None),
    ],
    ids=["form", "json", "bytes", "file", "pieces"],
)
def test_bodies(on, session, site, body, text, media_type):
    seen = on.wait(session.post(f"{site.url}/echo", **body())).json()
    assert (seen["body"], seen["headers"].get("content-type")) == (text, media_type)


def test_files_go_out_as_a_multipart_form(on, session, site):
    files = {"upload": ("name.txt", io.BytesIO(b"content"), "text/plain")}
    seen = on.wait(session.post(f"{site.url}/echo", data={"field": "value"}, files=files)).json()
    assert seen["headers"]["content-type"].startswith("multipart/form-data; boundary=")
    assert 'name="field"\r\n\r\nvalue\r\n' in seen["body"]
    assert 'name="upload"; filename="name.txt"\r\nContent-Type: text/plain\r\n\r\ncontent\r\n' in seen["body"]


def test_what_a_session_says_goes_with_every_call(on, session, site):
    session.headers["X-Session"] = "s"
    session.params = {"key": "k"}
    session.auth = ("user", "pass")
    for headers in (None, {"X-Call": "c"}):
        seen = on.wait(session.get(f"{site.url}/echo", headers=headers)).json()
        assert seen["target"] == "/echo?key=k"
        assert seen["headers"]["x-session"] == "s"
        assert seen["headers"]["authorization"] == "Basic " + base64.b64encode(b"user:pass").decode()


def test_calls_share_a_connection(on, session, site):
    for _ in range(3):
        on.wait(session.get(site.url))
    assert (site.opened, session.stats().opened, session.stats().reused) == (1, 1, 2)


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({"url": "example.com"}, InvalidURL),
        ({"url": "ftp://a.example/"}, InvalidSchema),
        ({"auth": "user:pass"}, InvalidRequest),
        ({"data": 5}, InvalidBody),
        ({"hooks": [print]}, InvalidRequest),
        ({"timeout": 0}, ConfigError),
        ({"verify": 1}, ConfigError),
        ({"retries": -1}, ConfigError),
        ({"nonsense": 1}, TypeError),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused_before_anything_is_sent(on, session, site, arguments, kind):
    with pytest.raises(kind):
        on.wait(session.get(**({"url": site.url} | arguments)))
    assert site.opened == 0


# Waits and errors


def test_a_silent_server_is_given_up_and_a_late_one_is_not_mixed_up(on, session, site):
    site.pause()
    for timeout in (0.2, (5, 0.2), keeppool.Timeout(read=0.2)):
        with pytest.raises(ReadTimeout) as caught:
            on.wait(session.get(f"{site.url}/a", timeout=timeout))
        assert (caught.value.limit, caught.value.request.url) == (0.2, f"{site.url}/a")
        assert caught.value.sent > 0
    site.resume()
    assert on.wait(session.get(f"{site.url}/echo", timeout=None)).json()["target"] == "/echo"


def test_a_full_pool_is_told(on, site):
    session = on.session(Limits(per_host=1), timeout=keeppool.Timeout(pool=0))
    held = on.wait(session.get(f"{site.url}/bytes/10000000", stream=True))
    with pytest.raises(PoolTimeout) as caught:
        on.wait(session.get(site.url))
    assert (caught.value.in_use, caught.value.request.url) == (1, site.url + "/")
    on.give_up(held)


def test_a_queue_that_stands_still_is_left_when_its_time_is_up(on, site):
    """Row K4: unread responses hold every connection; the error names them."""
    session = on.session()
    held = [on.wait(session.get(f"{site.url}/bytes/10000000", stream=True)) for _ in range(6)]
    with pytest.raises(
        PoolTimeout, match=r"did not move \(stall=0.2\): 6/6 in use.*6 held by unread responses"
    ) as caught:
        on.wait(session.get(site.url, timeout=0.2))
    error = caught.value
    assert (error.limited_by, error.limit, error.unread) == ("stall", 0.2, 6)
    assert "the oldest made at /" in str(error)
    for answer in held:
        on.give_up(answer)


def test_a_queue_that_moves_may_be_longer_than_a_plain_timeout(on):
    """Row K4: all together wait for twice the timeout, and the queue never stands still for as long."""

    def serve(connection):
        while True:
            connection.read_request()
            threading.Event().wait(0.02)  # what the server has to do
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with ScriptedServer(serve) as server:
        session = on.session(Limits(per_host=1))
        answers = on.at_once(lambda: session.get(server.url, timeout=0.5), 50)
        assert [answer.text for answer in answers] == ["ok"] * 50
        assert session.stats().opened == 1


def test_none_in_a_call_lifts_every_limit_of_the_session(on, site):
    """Row K5: also the total one, and those of the host's entry."""
    waits = keeppool.Timeout(read=0.1, stall=0.1, pool=0.1, total=0.1)
    session = on.session(Limits(per_host=1), timeout=waits, hosts={site.host: keeppool.HostConfig(timeout=waits)})
    site.pause()
    resumed = threading.Timer(0.4, site.resume)
    resumed.start()
    assert on.wait(session.get(f"{site.url}/echo", timeout=None)).json()["target"] == "/echo"
    resumed.join()


def test_a_port_where_nobody_listens(on, session):
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}/x"
        with pytest.raises(RefusedError) as caught:
            on.wait(session.post(url, data=b"body"))
    assert (caught.value.request.method, caught.value.request.url) == ("POST", url)
    assert pickle.loads(pickle.dumps(caught.value)).request.body == b"body"


def test_a_closed_session_is_closed(on, session, site):
    on.wait(session.get(site.url))
    on.give_up(session)
    assert site.wait_for(lambda: site.open_now == 0)
    with pytest.raises(PoolClosed):
        on.wait(session.get(site.url))


# Settings that travel, mounts, subclasses


@on_requests
def test_a_pickled_session_keeps_what_was_set_and_opens_connections_of_its_own(on, site):
    original = on.session(Limits(per_host=2), timeout=(3, 30), retries=Retry(3, status_forcelist=[503]))
    original.headers["X-Own"], original.params, original.verify = "1", {"q": ["a"]}, False
    original.cookies.set("kept", "3", domain="127.0.0.1")
    original.mount(f"{site.url}/own", on.Adapter(pool_maxsize=1))
    on.wait(original.get(site.url))
    twin = pickle.loads(pickle.dumps(original))
    assert (type(twin), twin.pool.config) == (on.Session, original.pool.config)
    assert (twin.headers, twin.params, twin.cookies, twin.verify) == (
        *(original.headers, original.params, original.cookies),
        False,
    )
    seen = on.wait(twin.get(f"{site.url}/echo")).json()
    assert (seen["target"], seen["headers"]["x-own"], seen["headers"]["cookie"]) == ("/echo?q=a", "1", "kept=3")
    assert twin.get_adapter(f"{site.url}/own").pool.config.limits.per_host == 1
    assert twin.get_adapter(site.url).pool is twin.pool
    assert site.opened == 2
    on.give_up(twin)


@on_requests
def test_the_longest_prefix_sends_by_a_pool_of_its_own(on, session, site):
    session.mount(f"{site.url}/api", on.Adapter(limits=Limits(per_host=1)))
    session.mount("http://127", on.Adapter())
    assert session.get_adapter(f"{site.url}/API/x").pool.config.limits.per_host == 1
    assert session.get_adapter("https://a.example").pool is session.pool
    assert on.wait(session.get(f"{site.url}/api")).status_code == 200
    assert (session.stats().opened, session.get_adapter(f"{site.url}/api").pool.stats().opened) == (0, 1)
    with pytest.raises(InvalidSchema):
        session.get_adapter("ftp://a.example/")


@on_requests
def test_an_adapters_retries_hold_for_its_urls(on, session, answering):
    site = answering({"/": refusing(1), "/own": refusing(1)})
    session.mount(f"{site.url}/own", on.Adapter(max_retries=Retry(1, status_forcelist=[503])))
    assert on.wait(session.get(f"{site.url}/")).status_code == 503
    assert on.wait(session.get(f"{site.url}/own")).status_code == 200


@on_requests
def test_an_adapters_own_waits_hold_for_its_urls(on, session, site):
    """Also for a second try, and where a subclass passes on that nothing was said."""

    class Own(on.Adapter):
        def send(self, request, **told):
            return super().send(request, **told)

    session.mount(f"{site.url}/a", on.Adapter(timeout=0.2, max_retries=Retry(1)))
    session.mount(f"{site.url}/b", Own(timeout=0.2))
    site.pause()
    for path in ("a", "b"):
        with pytest.raises(ReadTimeout) as caught:
            on.wait(session.get(f"{site.url}/{path}"))
        assert caught.value.limit == 0.2
    site.resume()


def test_a_request_can_be_prepared_changed_and_sent(on, session, site):
    session.headers["X-Session"] = "s"
    prepared = session.prepare_request(Request("post", f"{site.url}/echo", data={"a": 1}, params={"q": 1}))
    prepared.body, prepared.headers["X-Own"] = "longer than before", "1"
    seen = on.wait(session.send(prepared)).json()
    assert (seen["method"], seen["target"], seen["body"]) == ("POST", "/echo?q=1", "longer than before")
    assert (seen["headers"]["content-length"], seen["headers"]["x-own"]) == ("18", "1")
    assert seen["headers"]["x-session"] == "s"
    with pytest.raises(ValueError, match="prepare_request"):
        on.wait(session.send(Request("GET", site.url)))


@on_requests
@pytest.mark.parametrize("verb", ["get", "options", "head", "post", "put", "patch", "delete"])
def test_the_verbs_go_through_a_request_of_the_programs_own(on, site, verb):
    """As in requests, where sessions with a base URL or timeouts of their own are made so."""

    class Based(on.Session):
        def request(self, method, url, *arguments, **options):
            return super().request(method, f"{site.url}{url}", *arguments, **options)

    class Further(Based):
        def request(self, method, url, **options):
            return super().request(method, url, headers={"X-Method": method}, **options)

    session = Further()
    assert on.wait(getattr(session, verb)("/echo")).status_code == 200
    on.give_up(session)
    assert (site.log[0].target, site.log[0].headers["x-method"], site.log[0].method) == ("/echo", *[verb.upper()] * 2)


@on_requests
def test_a_request_put_on_a_session_is_used_by_its_verbs(on, session, site):
    session.request = functools.partial(session.request, headers={"X-Own": "1"})
    assert on.wait(session.post(f"{site.url}/echo", "body")).json()["headers"]["x-own"] == "1"
    assert on.wait(session.get(f"{site.url}/echo", {"a": 1})).json()["target"] == "/echo?a=1"


@on_requests
def test_calls_go_through_a_way_of_preparing_and_sending_of_the_programs_own(on, site):
    class Own(on.Session):
        told: dict[str, object]

        def prepare_request(self, request):
            request.url = f"{site.url}{request.url}"
            return super().prepare_request(request)

        def send(self, request, **told):
            self.told = told
            request.headers["X-Sent"] = "1"
            return super().send(request, **told)

    session = Own()
    seen = on.wait(session.put("/echo", json={"a": 1}, timeout=5, allow_redirects=False)).json()
    on.give_up(session)
    assert (json.loads(seen["body"]), seen["target"], seen["headers"]["x-sent"]) == ({"a": 1}, "/echo", "1")
    assert session.told == {"timeout": 5, "allow_redirects": False}


def test_hosts_and_defaults_are_the_pools(on, site):
    hosts = {"127.0.0.1": HostConfig(headers={"X-Host": "h"}, keep_alive=False)}
    session = on.session(hosts=hosts)
    assert on.wait(session.get(f"{site.url}/echo")).json()["headers"]["x-host"] == "h"
    assert session.stats().open == 0
