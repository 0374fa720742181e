"""What people type who come from httpx: arguments of a session and of a call, names of a response, what is not here."""

from __future__ import annotations

import asyncio
import pickle
import ssl
import threading

import pytest
from drivers import Tasks

import keeppool
from keeppool import errors
from keeppool.testing import Answer, Request, Site


@pytest.fixture
def told():
    """A site that tells what it was sent, whatever the path."""

    def tell(request: Request) -> Answer:
        body = "\n".join([f"{request.method} {request.target}", *(f"{k}: {v}" for k, v in request.pairs), ""])
        return Answer(body=body.encode() + request.body)

    with Site(handler=tell) as running:
        yield running


def lines(response) -> list[str]:
    return response.text.splitlines()


#: As httpx 0.28 joins them.
JOINED = [
    ("", "x", "/x"),
    ("", "/x", "/x"),
    ("/", "/x", "/x"),
    ("/b", "x", "/b/x"),
    ("/b/", "/x", "/b/x"),
    ("/b", "", "/b/"),
    ("/b", "/", "/b/"),
    ("/b/c", "../up", "/b/up"),
    ("/b", "?q=1", "/b/?q=1"),
    ("/b", "x?q=1#f", "/b/x?q=1"),
    ("/b", "/docs:search", "/b/docs:search"),
]


@pytest.mark.parametrize(("base", "url", "target"), JOINED)
def test_base_url_is_joined_as_httpx_joins_it(on, told, base, url, target):
    session = on.session(base_url=told.url + base)
    response = on.wait(session.get(url))
    assert lines(response)[0] == f"GET {target}"
    assert session.base_url == f"{told.url}{base}".rstrip("/") + "/"


def test_white_space_around_a_base_url_and_before_a_url_is_no_part_of_it(on, told):
    session = on.session(base_url=f" {told.url}/b ")
    assert session.base_url == f"{told.url}/b/"
    assert lines(on.wait(session.get(" /x")))[0] == "GET /b/x"


def test_httpx_joins_them_so():
    httpx = pytest.importorskip("httpx")
    for base, url, target in JOINED:
        with httpx.Client(base_url=f"http://host{base}") as client:
            assert client.build_request("GET", url).url.raw_path.decode() == target


def test_an_absolute_url_stands_by_itself(on, told, site):
    session = on.session(base_url=f"{site.url}/b")
    assert lines(on.wait(session.get(f"{told.url}/x")))[0] == "GET /x"
    session.base_url = None
    with pytest.raises(errors.MissingSchema):
        on.wait(session.get("/x"))


def test_base_url_holds_for_a_prepared_request_and_signs_with_its_credentials(on, told):
    session = on.session(base_url=told.url.replace("//", "//user:word@") + "/b")
    prepared = session.prepare_request(keeppool.Request("GET", "x"))
    assert prepared.url == f"{told.url}/b/x"
    assert "Authorization: Basic dXNlcjp3b3Jk" in lines(on.wait(session.send(prepared)))


@pytest.mark.parametrize("url", ["//other.example/x", "\\\\other.example/x"])
def test_a_host_without_scheme_is_no_relative_url(on, site, url):
    session = on.session(base_url=site.url)
    with pytest.raises(errors.InvalidURL, match="host and no scheme"):
        on.wait(session.get(url))
    assert site.requests == 0


@pytest.mark.parametrize("base", ["a.example/v1", "localhost:80", "/v1", "ftp://a/", "http://a/?q=1", "http://a/#f", 5])
def test_a_base_url_that_is_none_is_refused_where_it_is_written(on, base):
    with pytest.raises(errors.ConfigError, match="base_url"):
        on.Session(base_url=base)


def test_what_is_wrong_in_a_base_url_is_told_without_its_password(on):
    with pytest.raises(errors.ConfigError) as caught:
        on.Session(base_url="http://user:SECRET@host/?q=1")
    assert "SECRET" not in f"{caught.value} {caught.value.__dict__}"


def test_a_session_is_made_with_headers_params_cookies_and_auth(on, told):
    session = on.session(
        base_url=told.url,
        headers={"X-Team": "search", "Accept": None},
        params={"lang": "en"},
        cookies={"sid": "1"},
        auth=("user", "word"),
    )
    seen = lines(on.wait(session.get("/x?a=1", params={"b": 2})))
    assert seen[0] == "GET /x?a=1&lang=en&b=2"
    assert {"X-Team: search", "Cookie: sid=1", "Authorization: Basic dXNlcjp3b3Jk"} <= set(seen)
    assert not any(line.startswith("Accept:") for line in seen)
    assert any(line.startswith("User-Agent: keeppool") for line in seen)


def test_a_session_is_made_with_tls_settings(on, secured, roots):
    assert on.wait(on.session(verify=roots).get(secured.url)).ok
    assert on.wait(on.session(verify=False).get(secured.url)).ok
    with pytest.raises(errors.SSLError):
        on.wait(on.session().get(secured.url))
    with pytest.raises(errors.ConfigError, match="cert"):
        on.Session(cert=5)
    with pytest.raises(errors.ConfigError, match=r"HostConfig\(ssl_context="):
        on.Session(verify=ssl.create_default_context())


def test_proxy_is_for_every_scheme_and_wins_over_the_environment(on, site, told, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "*")
    session = on.session(proxy=told.url)
    assert lines(on.wait(session.get(f"{site.url}/x")))[0] == f"GET {site.url}/x"
    assert session.proxies == {"all": told.url}
    with pytest.raises(errors.KeepPoolError):
        on.wait(session.get("https://127.0.0.1:9/"))
    assert told.requests == 2
    with pytest.raises(errors.ConfigError, match="proxy"):
        on.Session(proxy=5)


def test_arguments_that_cannot_be_meant_are_refused_where_they_are_written(on):
    for wrong in (
        *({"headers": 5}, {"params": 5}, {"cookies": 5}, {"auth": 5}, {"auth": "user:word"}, {"follow_redirects": 5}),
    ):
        with pytest.raises((errors.ConfigError, errors.InvalidRequest), match=next(iter(wrong))):
            on.Session(**wrong)
    with pytest.raises(errors.InvalidHeader):
        on.Session(headers={"a": "b\nc"})


def test_what_a_session_is_given_as_params_stays_its_givers(on):
    for given in ({"a": "1"}, [("a", "1")]):
        session = on.Session(params=given)
        assert session.params == given
        assert session.params is not given
        on.give_up(session)


def test_follow_redirects_is_the_same_as_allow_redirects_which_wins(on, answering):
    site = answering({"/a": Answer(status=302, headers=(("Location", "/b"),)), "/b": Answer(body=b"there")})

    def status(session, method="get", **options):
        return on.wait(getattr(session, method)(f"{site.url}/a", **options)).status_code

    usual, staying = on.session(), on.session(follow_redirects=False)
    assert (status(usual), status(staying)) == (200, 302)
    assert (status(usual, follow_redirects=False), status(staying, follow_redirects=True)) == (302, 200)
    assert status(usual, follow_redirects=False, allow_redirects=True) == 200
    assert status(staying, follow_redirects=True, allow_redirects=False) == 302
    assert (status(usual, "head"), status(usual, "head", follow_redirects=True)) == (302, 200)
    request = usual.prepare_request(keeppool.Request("GET", f"{site.url}/a"))
    assert on.wait(staying.send(request)).status_code == 302
    assert on.wait(staying.send(request, follow_redirects=True)).status_code == 200


@pytest.mark.parametrize(
    ("content", "sent"), [(b"a=b", b"a=b"), ("grün", "grün".encode()), ([b"one", b"two"], b"onetwo"), (b"", b"")]
)
def test_content_is_the_body_as_it_is(on, told, content, sent):
    response = on.wait(on.session().post(told.url, content=content))
    assert response.content.endswith(b"\n" + sent)
    assert b"Content-Type" not in response.content


def test_pieces_of_content_can_be_sent_again_behind_a_redirect(on, answering):
    seen = []

    def there(request):
        seen.append(request.body)
        return Answer()

    site = answering({"/a": Answer(status=307, headers=(("Location", "/b"),)), "/b": there})
    on.wait(on.session().post(f"{site.url}/a", content=[b"one", b"two"]))
    assert seen == [b"onetwo"]


@pytest.mark.parametrize(
    "wrong", [{"content": {"a": 1}}, {"content": b"x", "data": b"y"}, {"content": b"x", "json": {}}]
)
def test_content_is_no_form_and_stands_alone(on, site, wrong):
    with pytest.raises(errors.InvalidBody, match="content"):
        on.wait(on.session().post(site.url, **wrong))
    assert site.requests == 0


def test_a_body_is_read_by_httpxs_names(on, answering):
    site = answering(
        {"/": Answer(body="grün\nzwei\r\n".encode(), headers=(("Content-Type", "text/plain; charset=utf-8"),))}
    )
    get = on.session().get
    prefix = "a" if isinstance(on, Tasks) else ""
    for stream in (False, True):
        read = lambda name, *more: on.all_of(getattr(on.wait(get(site.url, stream=stream)), prefix + name)(*more))  # noqa: B023, E731
        assert b"".join(read("iter_bytes")) == "grün\nzwei\r\n".encode()
        assert read("iter_bytes", 4)[0] == b"gr\xc3\xbc"
        assert "".join(read("iter_text")) == "grün\nzwei\r\n"
        assert "".join(read("iter_text", 3)) == "grün\nzwei\r\n"
    if prefix:
        assert on.all_of(on.wait(get(site.url)).aiter_lines()) == ["grün", "zwei"]


# async with


@pytest.mark.parametrize("kind", [keeppool.AsyncSession, keeppool.requests.AsyncSession])
def test_async_with_takes_a_call(kind, answering):
    site = answering({"/": Answer(body=b"x" * 100_000), "/a": Answer(status=302, headers=(("Location", "/"),))})

    async def main() -> None:
        async with kind() as session:
            async with session.get(site.url, stream=True) as response:
                assert response.status_code == 200
            assert session.stats().busy == 0, "it was closed unread"
            async with session.request("GET", f"{site.url}/a", params={"a": 1}) as response:
                assert len(response.content) == 100_000
            assert (await asyncio.create_task(session.get(site.url))).ok
            assert all(await asyncio.gather(session.get(site.url), session.head(site.url)))
            assert (await asyncio.wait_for(session.post(site.url, data=b"x"), 30)).ok
            request = session.prepare_request(keeppool.Request("GET", site.url))
            async with session.send(request) as response:
                assert response.ok
            with pytest.raises(ZeroDivisionError):
                async with session.get(site.url, stream=True):
                    raise ZeroDivisionError
            assert session.stats().busy == 0

    asyncio.run(main())


def test_a_call_can_be_cancelled_as_a_coroutine_can():
    arrived = threading.Event()
    released = threading.Event()

    def wait(request: Request) -> Answer:
        arrived.set()
        released.wait(30)
        return Answer()

    async def main(url: str) -> None:
        async with keeppool.AsyncSession() as session:
            task = asyncio.create_task(session.get(url))
            await asyncio.to_thread(arrived.wait, 30)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert session.stats().busy == 0

    with Site(handler=wait) as site:
        asyncio.run(main(site.url))
        released.set()


# What is not here


def test_what_is_called_otherwise_here_says_so():
    for name, word in {
        "Client": "keeppool.Session",
        "AsyncClient": "keeppool.AsyncSession",
        "stream": "stream=True",
        "URL": "text",
        "KeepPoolError": "it is keeppool.errors.KeepPoolError",
        "HTTPBasicAuth": "it is keeppool.auth.HTTPBasicAuth",
        "Recorder": "it is keeppool.observe.Recorder",
    }.items():
        with pytest.raises(AttributeError, match=word):
            getattr(keeppool, name)
    with pytest.raises(AttributeError, match=r"no attribute 'Nothing'$"):
        getattr(keeppool, "Nothing")  # noqa: B009
    assert keeppool.Timeout(10.0, connect=5.0).connect == 5.0


RESPONSES = {
    keeppool.Response: (
        *(("is_success", "ok"), ("reason_phrase", "reason"), ("status", "status_code"), ("data", "content")),
        *(("aclose", "close"), ("aread", "read"), ("aiter_bytes", "iter_bytes"), ("next_request", "next")),
    ),
    keeppool.AsyncResponse: (
        *(("is_success", "ok"), ("aread", "await read"), ("iter_bytes", "aiter_bytes"), ("close", "await aclose")),
        *(("http_version", "raw"), ("iter_text", "aiter_text")),
    ),
}


@pytest.mark.parametrize(
    ("kind", "name", "way"), [(kind, *pair) for kind, pairs in RESPONSES.items() for pair in pairs]
)
def test_a_name_of_httpxs_response_says_what_it_is_here(kind, name, way):
    response = kind()
    with pytest.raises(AttributeError, match=rf"no attribute '{name}': here it is {way}") as caught:
        getattr(response, name)
    assert (caught.value.name, caught.value.obj) == (name, response)
    assert hasattr(response, way.split()[-1])
    with pytest.raises(AttributeError, match=r"no attribute 'nothing'$"):
        response.nothing  # noqa: B018


def test_a_name_of_httpxs_headers_says_what_it_is_here():
    with pytest.raises(AttributeError, match=r"here it is getlist\(name\)$"):
        keeppool.Response().headers.get_list  # noqa: B018
    with pytest.raises(AttributeError, match=r"no attribute 'nothing'$"):
        keeppool.Response().headers.nothing  # noqa: B018


@pytest.mark.parametrize(
    ("kind", "name", "way"),
    [
        (keeppool.Session, "aclose", "here it is close"),
        (keeppool.AsyncSession, "close", "here it is await aclose"),
        (keeppool.Session, "build_request", "prepare_request"),
        (keeppool.AsyncSession, "timeout", r"given where a session is made, AsyncSession\(timeout=…\), or to a call"),
        (keeppool.requests.Session, "limits", "given where a session is made"),
    ],
)
def test_a_name_of_a_client_of_httpxs_says_what_it_is_here(kind, name, way):
    with pytest.raises(AttributeError, match=way):
        getattr(kind(), name)


@pytest.mark.parametrize("kind", [keeppool.Session, keeppool.AsyncSession])
@pytest.mark.parametrize(
    ("name", "way"),
    [
        *((name, rf"Session\({name}=…\)") for name in ("limits", "timeout", "hosts", "defaults", "on_event", "fleet")),
        ("proxy", "session.proxies"),
        ("event_hooks", "hooks= of a call"),
    ],
)
def test_what_is_set_on_a_session_and_would_do_nothing_is_refused(kind, name, way):
    session = kind()
    with pytest.raises(AttributeError, match=way):
        setattr(session, name, 5)
    assert not hasattr(session, name)
    own = type("Own", (kind,), {})()
    setattr(own, name, 5)
    assert getattr(own, name) == 5, "what a program's own class has is its own affair"


def test_what_is_set_on_a_session_of_requests_is_its_programs_own():
    session = keeppool.requests.Session()
    session.timeout = 5
    assert session.timeout == 5


def test_stream_of_a_session_is_a_setting_as_in_requests_and_says_so(on, site):
    session = on.session()
    assert (session.stream, repr(session.stream), bool(session.stream)) == (False, "False", False)
    assert not pickle.loads(pickle.dumps(session)).stream
    if isinstance(session, (keeppool.requests.Session, keeppool.requests.AsyncSession)):
        assert session.stream is False
    else:
        with pytest.raises(TypeError, match=r"write session\.get\(url, stream=True\)"):
            session.stream("GET", site.url)
    session.stream = True
    assert session.stream is True


def test_a_session_made_so_can_be_pickled(on):
    session = on.session(base_url="http://host/v1", params={"a": 1}, follow_redirects=False, headers={"X": "y"})
    twin = pickle.loads(pickle.dumps(session))
    assert (twin.base_url, twin.params, twin.follow_redirects) == ("http://host/v1/", {"a": 1}, False)
    assert twin.headers["x"] == "y"
    assert pickle.loads(pickle.dumps(keeppool.Timeout(connect=1))) == keeppool.Timeout(connect=1)


def test_an_overridden_send_gets_requests_words(answering):
    seen = []

    class Mine(keeppool.requests.Session):
        def send(self, request, **options):
            seen.append((request.body, options))
            return super().send(request, **options)

    site = answering({"/": Answer()})
    with Mine(base_url=site.url) as session:
        session.post("/", content=b"body", follow_redirects=False)
    assert seen == [(b"body", {"allow_redirects": False})]
