"""Sessions whose program has ways of its own: by a subclass, a mixin, on one session, or patched onto the class."""

from __future__ import annotations

import inspect

import pytest
from answers import elsewhere, page
from drivers import RequestsTasks, RequestsThreads

import keeppool
import keeppool.requests
from keeppool import HostConfig
from keeppool.config import Timeout
from keeppool.errors import InvalidRequest, InvalidSchema, InvalidURL, ReadTimeout, TotalTimeout


@pytest.fixture(params=[RequestsThreads, RequestsTasks], ids=["threads", "tasks"])
def on(request):
    driver = request.param()
    yield driver
    driver.end()


STEPS = ["request", "prepare_request", "send"]


def noting(kind: type, name: str, seen: list[str]):
    """Make a method that notes its call and goes on to the one of `kind`."""
    plain = getattr(kind, name)

    def own(self, *arguments, **told):
        seen.append(name)
        return plain(self, *arguments, **told)

    return own


@pytest.mark.parametrize("name", STEPS)
def test_a_mixins_way_is_gone_by_every_call(on, site, name):
    seen: list[str] = []
    mixin = type("Mixin", (), {name: noting(on.Session, name, seen)})
    further = type("Further", (type("Own", (mixin, on.Session), {}),), {})
    session = further()
    assert on.wait(session.get(f"{site.url}/echo")).status_code == 200
    assert on.wait(session.request("PUT", f"{site.url}/echo", data="b")).json()["method"] == "PUT"
    on.give_up(session)
    assert seen == [name, name]


@pytest.mark.parametrize("name", STEPS)
def test_a_patched_class_is_heard_also_by_sessions_there_are_already(on, site, monkeypatch, name):
    """As tracers and tests of programs do it."""
    seen: list[str] = []
    session, further = on.session(), type("Further", (on.Session,), {})()
    on.wait(session.get(site.url))
    with monkeypatch.context() as patching:
        patching.setattr(on.Session, name, noting(on.Session, name, seen))
        for one in (session, further):
            on.wait(one.post(f"{site.url}/echo", data="b"))
        on.wait(session.request("GET", f"{site.url}/echo"))
    assert seen == [name] * 3
    on.wait(session.get(site.url))
    assert seen == [name] * 3
    on.give_up(further)


@pytest.mark.parametrize("name", STEPS)
def test_the_functions_go_through_a_patched_session(site, monkeypatch, name):
    seen: list[str] = []
    monkeypatch.setattr(keeppool.requests.Session, name, noting(keeppool.requests.Session, name, seen))
    keeppool.requests.get(site.url)
    keeppool.requests.request("GET", site.url)
    assert seen == [name, name]


@pytest.mark.parametrize("look", [False, True], ids=["plain", "adapters seen"])
def test_a_patched_adapter_sends_for_every_session(on, site, monkeypatch, look):
    def refuse(adapter, request, **told):
        raise ZeroDivisionError(request.url)

    monkeypatch.setattr(on.Adapter, "send", refuse)
    session = on.session()
    assert not look or session.adapters
    for call in (lambda: session.get(site.url), lambda: session.post(site.url, data="b")):
        with pytest.raises(ZeroDivisionError):
            on.wait(call())
    assert site.opened == 0


def test_a_send_put_on_an_adapter_is_used(on, site):
    def refuse(request, **told):
        raise ZeroDivisionError(request.url)

    session = on.session()
    session.get_adapter(site.url).send = refuse
    with pytest.raises(ZeroDivisionError):
        on.wait(session.get(site.url))


# Redirects


def test_a_send_of_the_programs_own_sees_each_request_of_a_chain(on, answering):
    """Programs keep requests away from hosts of their own network by it."""
    inner = answering({})
    site = answering({"/a": elsewhere(302, "/b"), "/b": elsewhere(302, f"{inner.url}/secret")})

    class Guarding(on.Session):
        def send(self, request, **told):
            if request.url.startswith(inner.url):
                raise InvalidURL("not there", url=request.url)
            return super().send(request, **told)

    session = Guarding()
    with pytest.raises(InvalidURL, match="not there"):
        on.wait(session.get(f"{site.url}/a"))
    assert (session.stats().busy, inner.requests, site.requests) == (0, 0, 2)
    on.give_up(session)


def test_each_request_of_a_chain_is_told_what_was_said(on, answering):
    site = answering({"/a": elsewhere(302, "/b"), "/b": elsewhere(307, "/c"), "/c": page(b"there")})

    class Noting(on.Session):
        def send(self, request, **told):
            seen.append((request.path_url, told))
            return super().send(request, **told)

    seen: list[tuple[str, dict[str, object]]] = []
    session = Noting()
    answer = on.wait(session.get(f"{site.url}/a", timeout=7, verify=False, headers={"X": "1"}))
    on.give_up(session)
    assert (answer.content, [hop.url for hop in answer.history]) == (b"there", [f"{site.url}/a", f"{site.url}/b"])
    hop = {"allow_redirects": False, "stream": False, "timeout": 7, "verify": False}
    assert seen == [("/a", {"timeout": 7, "verify": False}), ("/b", hop), ("/c", hop)]


def test_a_total_holds_for_all_requests_of_such_a_chain(on, answering):
    site = answering({"/a": elsewhere(302, "/b"), "/b": elsewhere(302, "/c"), "/c": page(b"there")})

    class Noting(on.Session):
        def send(self, request, **told):
            totals.append(told["timeout"].total)
            return super().send(request, **told)

    totals: list[float] = []
    session = Noting()
    on.wait(session.get(f"{site.url}/a", timeout=Timeout(total=30)))
    assert totals[0] == 30
    assert totals == sorted(set(totals), reverse=True), "each has what the others have left"
    with pytest.raises(TotalTimeout):
        on.wait(session.get(f"{site.url}/a", timeout=Timeout(total=1e-9)))
    on.give_up(session)


def test_redirects_are_followed_by_a_resolve_redirects_of_the_programs_own(answering):
    class Looking(keeppool.requests.Session):
        def resolve_redirects(self, resp, req, **told):
            if resp.url.endswith("/stop"):
                raise ZeroDivisionError
            for hop in super().resolve_redirects(resp, req, **told):
                seen.append(hop.url)
                yield hop

    seen: list[str] = []
    big = elsewhere(302, "/b", body=b"x" * 1_000_000)
    site = answering({"/a": elsewhere(302, "/b"), "/b": page(b"b"), "/stop": big})
    with Looking() as session:
        answer = session.get(f"{site.url}/a")
        assert (answer.content, [hop.status_code for hop in answer.history]) == (b"b", [302])
        with pytest.raises(ZeroDivisionError):
            session.get(f"{site.url}/stop", stream=True)
        assert session.stats().busy == 0
        assert session.get(f"{site.url}/b").history == []
    assert seen == [f"{site.url}/b"]


def test_tasks_follow_by_a_resolve_redirects_of_their_own_too(answering):
    from drivers import Tasks

    on = Tasks()

    class Looking(keeppool.requests.AsyncSession):
        async def resolve_redirects(self, resp, req, **told):
            async for hop in super().resolve_redirects(resp, req, **told):
                hop.reason = "seen"
                yield hop

    site = answering({"/a": elsewhere(302, "/b"), "/b": page(b"b")})
    session = Looking()
    assert on.wait(session.get(f"{site.url}/a")).reason == "seen"
    on.give_up(session)
    on.end()


def test_retries_of_a_call_hold_for_each_request_of_such_a_chain(on, answering):
    from urllib3.util import Retry

    from keeppool.testing import Answer

    busy = iter([503, 200])
    site = answering({"/a": elsewhere(302, "/b"), "/b": lambda request: Answer(status=next(busy))})

    class Own(on.Session):
        def rebuild_proxies(self, prepared_request, proxies):
            return super().rebuild_proxies(prepared_request, proxies)

    session = Own()
    assert on.wait(session.get(f"{site.url}/a", retries=Retry(1, status_forcelist=[503]))).status_code == 200
    on.give_up(session)


def test_rebuild_proxies_decides_for_the_request_that_follows(on, answering):
    proxy = answering({"/b": page(b"by proxy")})
    site = answering({"/a": elsewhere(302, "http://far.example/b")})

    class Own(on.Session):
        def rebuild_proxies(self, prepared_request, proxies):
            return {"http": proxy.url}

    session = Own()
    assert on.wait(session.get(f"{site.url}/a")).status_code in (200, 404)
    on.give_up(session)
    assert proxy.log[0].target == "http://far.example/b"


# Which way, and what sends


def test_merge_environment_settings_decides_how_a_call_is_sent(on, answering, monkeypatch):
    proxy, site = answering({}), answering({})

    class Through(on.Session):
        def merge_environment_settings(self, url, proxies, stream, verify, cert):
            settings = super().merge_environment_settings(url, proxies, stream, verify, cert)
            return settings | {"proxies": {"http": proxy.url}}

    class Direct(Through):
        def merge_environment_settings(self, url, proxies, stream, verify, cert):
            return super().merge_environment_settings(url, proxies, stream, verify, cert) | {"proxies": {}}

    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    for kind, reached in ((Through, proxy), (Direct, site)):
        session = kind()
        before = reached.requests
        on.wait(session.get(f"{site.url}/echo", timeout=5))
        on.give_up(session)
        assert reached.requests == before + 1


def test_what_merge_environment_settings_leaves_alone_stays_unsaid(on, secured, roots):
    class Own(on.Session):
        def merge_environment_settings(self, url, proxies, stream, verify, cert):
            return super().merge_environment_settings(url, proxies, stream, verify, cert)

    session = Own(defaults=HostConfig(verify=roots))
    assert on.wait(session.get(secured.url)).status_code == 200
    on.give_up(session)


def test_get_adapter_decides_what_sends_and_is_asked_once_for_each_request(on, answering):
    from urllib3.util import Retry

    from keeppool.testing import Answer

    busy = iter([503, 200])
    site = answering({"/a": elsewhere(302, "/b"), "/b": lambda request: Answer(status=next(busy))})
    adapters = [on.Adapter(), on.Adapter(max_retries=Retry(1, status_forcelist=[503]))]
    turns = iter(adapters)

    class Turning(on.Session):
        def get_adapter(self, url):
            return next(turns)

    session = Turning()
    assert on.wait(session.get(f"{site.url}/a")).status_code == 200
    assert [adapter.pool.stats().opened for adapter in adapters] == [1, 1]
    assert session.stats().opened == 0
    for one in (session, *adapters):
        closed = one.aclose() if hasattr(one, "aclose") else one.close()
        assert not inspect.isawaitable(closed) or on.wait(closed) is None


def test_waits_of_the_session_reach_an_adapter_that_get_adapter_gives(on, site):
    adapter = on.Adapter()

    class Own(on.Session):
        def get_adapter(self, url):
            return adapter

    session = Own(timeout=0.2)
    site.pause()
    with pytest.raises(ReadTimeout):
        on.wait(session.get(site.url))
    site.resume()
    on.give_up(session)
    on.wait(adapter.aclose() if hasattr(adapter, "aclose") else adapter.close())


@pytest.mark.parametrize("look", ["an instance", "the class"])
def test_add_headers_put_on_an_adapter_or_its_class_is_called(on, site, monkeypatch, look):
    def signed(*arguments, **told):
        arguments[-1].headers["X-Signed"] = "yes"

    session = on.session()
    if look == "an instance":
        session.get_adapter(site.url).add_headers = signed
    else:
        monkeypatch.setattr(on.Adapter, "add_headers", signed)
    assert on.wait(session.get(f"{site.url}/echo")).json()["headers"]["x-signed"] == "yes"


@pytest.mark.parametrize("own", ["a property", "a dictionary", "set on the class"])
def test_hooks_of_a_subclass_are_called(on, site, own):
    seen = []
    table = {"response": [lambda response, **told: seen.append(response.status_code)]}
    members = {"hooks": property(lambda self: table) if own == "a property" else table}
    kind = type("Own", (on.Session,), {} if own == "set on the class" else members)
    if own == "set on the class":
        kind.hooks = table
    session = kind()
    on.wait(session.get(site.url))
    on.wait(session.get(f"{site.url}/redirect/1"))
    assert seen == [200, 302, 200]
    on.give_up(session)


def touched(session):
    """Look at its adapters."""
    assert session.adapters


def hooked(session):
    """Have a hook that does nothing."""
    session.hooks["response"].append(lambda response, **told: None)


def mounted(session):
    """Have an adapter of its own."""
    session.mount("http://", session._adapter_kind())


def overridden(session):
    """Have a `send` of its own, which does what the other does."""
    session.send = session.send


WAYS = pytest.mark.parametrize("changed", [None, touched, hooked, mounted, overridden])


@pytest.fixture
def changed_session(on, changed):
    session = on.session()
    if changed is not None:
        changed(session)
    return session


@WAYS
def test_hooks_of_a_call_mean_the_same_on_every_way(on, site, changed_session):
    assert on.wait(changed_session.get(site.url, hooks={"response": None})).ok
    for wrong in ({"response": [5]}, {"response": 5}, [print]):
        with pytest.raises(InvalidRequest):
            on.wait(changed_session.get(site.url, hooks=wrong))


@WAYS
def test_a_method_is_in_upper_case_on_every_way(on, site, changed_session):
    assert on.wait(changed_session.request("purge", f"{site.url}/echo")).json()["method"] == "PURGE"


@WAYS
def test_a_scheme_nobody_sends_is_told_of_alike_on_every_way(on, changed_session):
    with pytest.raises(InvalidSchema, match=r"^GET: URL 'mock://x/': keeppool speaks http and https, not mock$"):
        on.wait(changed_session.get("mock://x/"))


@WAYS
def test_request_takes_its_arguments_in_the_order_of_requests(on, site, changed_session):
    given = ({"q": 1}, b"body", {"X-A": "1"}, {"c": "2"}, None, ("a", "b"), 5, False, None, None, False, None, None)
    response = on.wait(changed_session.request("put", f"{site.url}/echo", *given))
    seen = response.json()
    assert (seen["method"], seen["target"], seen["body"]) == ("PUT", "/echo?q=1", "body")
    assert seen["headers"].items() >= {"x-a": "1", "cookie": "c=2", "authorization": "Basic YTpi"}.items()


def test_the_connection_of_a_response_is_the_adapter_that_sent(on, site):
    class Own(on.Adapter):
        pass

    session = on.session()
    for adapter in (on.Adapter(), Own()):
        session.mount(site.url, adapter)
        response = on.wait(session.get(f"{site.url}/redirect/1"))
        assert [one.connection for one in (*response.history, response)] == [adapter, adapter]
    on.give_up(session)
