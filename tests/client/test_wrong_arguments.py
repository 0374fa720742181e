"""Arguments of wrong types: every one is an error of the tree, wherever it is given, and shows nothing whole."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest
import urllib3

import keeppool.adapters.urllib3
from keeppool import AsyncPoolManager, AsyncSession, HostConfig, Limits, Pace, PoolManager, Session, Timeout
from keeppool.adapters.requests import KeepPoolAdapter
from keeppool.errors import ConfigError, InvalidRequest, KeepPoolError


class Odd:
    """Nothing that anybody could want."""


WRONG: list[Any] = [
    *(5, -1, 1.5, True, 10**400, float("nan"), float("inf")),
    *("text", "", "k=\ud800", "x\0y", "keeppool.toml", b"bytes", b"\xff"),
    *([], ["list"], [5], [("a",)], (1, 2, 3), ("\ud800", "x"), {1, 2}, Odd(), None),
    *({"a": 1}, {5: 5}, {"k": "\ud800"}, {"http": 5}, {"http": "\ud800"}, {"http": ["x"]}, {"no_proxy": 5}),
    *({"response": 5}, {"response": [5]}, {"nope": print}, {"f": 5.5}, {"f": ("n", 5)}, {"f": (1, 2, 3, 4, 5)}),
]
MAKERS = (Session, AsyncSession, PoolManager, AsyncPoolManager, keeppool.requests.Session, keeppool.HTTPAdapter)
CALL = (
    *("params", "data", "headers", "cookies", "files", "auth", "timeout", "allow_redirects", "proxies", "hooks"),
    *("stream", "verify", "cert", "retries", "json", "content", "follow_redirects"),
)
ATTRIBUTES = ("params", "headers", "cookies", "auth", "proxies", "verify", "cert", "max_redirects", "retries")


def tried(what: Any, *arguments: Any, **named: Any) -> KeepPoolError | None:
    """Give the error of the tree that a call ends with, if it ends with one; any other goes up."""
    found = None
    try:
        what(*arguments, **named)
    except KeepPoolError as error:
        found = error
    assert len(str(found)) < 600
    return found


@pytest.mark.parametrize("maker", MAKERS)
def test_of_a_session_or_a_pool(maker):
    for name in inspect.signature(maker.__init__).parameters:
        if name not in ("self", "config"):
            for value in WRONG:
                tried(maker, **{name: value})
    error = tried(maker, config="keeppool.toml")
    assert isinstance(error, ConfigError)
    assert "must be a Config" in str(error)


@pytest.mark.parametrize("maker", [KeepPoolAdapter, keeppool.adapters.urllib3.PoolManager])
def test_of_an_adapter_for_others(maker):
    for name in {"limits", "timeout", "hosts", "defaults", "config"} & {*inspect.signature(maker.__init__).parameters}:
        for value in WRONG:
            tried(maker, **{name: value})


@pytest.mark.parametrize("name", CALL)
def test_of_a_call(on, site, name):
    session = on.session()
    for value in WRONG:
        tried(lambda value=value: on.wait(session.request("POST", f"{site.url}/echo", **{name: value})))


@pytest.mark.parametrize("name", ["headers", "body", "timeout", "host", "stream", "decode_content"])
def test_of_a_pools_call(site, name):
    with PoolManager() as pool:
        for value in WRONG:
            tried(pool.request, "POST", site.url, **{name: value})


@pytest.mark.parametrize("where", ["method", "url"])
def test_of_what_every_call_has(on, site, where):
    session = on.session()
    with PoolManager() as pool:
        for value in WRONG:
            arguments = (value, site.url) if where == "method" else ("GET", value)
            tried(pool.request, *arguments)
            tried(lambda arguments=arguments: on.wait(session.request(*arguments)))


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_of_what_a_session_has(on, site, name):
    for value in WRONG:
        session = on.session()

        def use(session=session, value=value):
            setattr(session, name, value)
            on.wait(session.get(f"{site.url}/redirect/1"))

        tried(use)


@pytest.mark.parametrize(
    ("given", "kind", "says"),
    [
        ({"proxies": "http://me:hush@proxy"}, ConfigError, "proxies='***': must map a scheme"),
        ({"hooks": {"response": 5}}, InvalidRequest, "hooks: 5 cannot be called"),
        ({"hooks": {"nope": print}}, InvalidRequest, "there is no event 'nope'"),
        ({"params": "k=\ud800"}, InvalidRequest, "lone surrogate"),
        ({"verify": ["ca.pem"]}, ConfigError, "verify='<list>': must be True, False, or the path"),
        ({"cert": {"a": 1}}, ConfigError, "cert='<dict>': must be a path"),
        ({"timeout": 10**400}, ConfigError, "seconds"),
        ({"proxies": {"http": ["x"]}}, ConfigError, "proxy="),
    ],
)
def test_the_error_names_argument_value_and_rule(on, site, given, kind, says):
    with pytest.raises(kind) as caught:
        on.wait(on.session().get(site.url, **given))
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"GET {site.url}")
    assert "hush" not in str(caught.value)
    assert site.requests == 0


# What a newcomer gets wrong, and reads


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"per_host": 5}, "has no argument 'per_host': it is Limits(per_host=…), the first argument"),
        ({"connect": 5}, "'connect': it is timeout=Timeout(connect=…)"),
        ({"unix_socket": "/s"}, "'unix_socket': it is defaults=HostConfig(unix_socket=…)"),
        ({"max_redirects": 5}, "'max_redirects': set it on the session"),
        ({"pool_maxsize": 5}, "'pool_maxsize': it is Limits(per_host=…)"),
        ({"max_connections": 5}, "'max_connections': it is Limits(total=…, per_host=…)"),
        ({"timeouts": 5}, "'timeouts': timeout perhaps"),
        ({"http2": True}, "has no argument 'http2': it is nothing here: keeppool speaks HTTP/1.1"),
        ({"preset": "CHROME"}, "keeppool.presets.CHROME"),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", [Session, AsyncSession, keeppool.requests.Session])
def test_an_argument_that_a_session_does_not_have_is_told_by_its_place(kind, given, says):
    with pytest.raises(TypeError) as caught:
        kind(**given)
    assert str(caught.value).startswith(f"{kind.__name__}() has no argument ")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "given", "says"),
    [
        (Limits, {"max_connections": 5}, "Limits() has no argument 'max_connections': it is total=…, and per_host=…"),
        (Limits, {"keepalive_expiry": 5}, "it is idle_timeout=…"),
        (Limits, {"perhost": 5}, "Limits() has no argument 'perhost': per_host perhaps"),
        (Limits, {"nonsense": 5}, "Limits() has no argument 'nonsense'"),
        (HostConfig, {"perhost": 5}, "HostConfig() has no argument 'perhost': per_host perhaps"),
        (HostConfig, {"total": 5}, "it is total=… of Limits"),
        (HostConfig, {"connect": 5}, "it is timeout=Timeout(connect=…)"),
        (Timeout, {"connection": 5}, "Timeout() has no argument 'connection': connect perhaps"),
        (Pace, {"per_minute": 5}, "it is per_second=…, or interval=…"),
        (keeppool.Config, {"limit": 5}, "limits perhaps"),
        (PoolManager, {"num_pools": 5}, "keeppool.adapters.urllib3.PoolManager takes"),
        (AsyncPoolManager, {"per_host": 5}, "AsyncPoolManager() has no argument 'per_host': it is Limits(per_host=…)"),
        (
            KeepPoolAdapter,
            {"per_host": 5},
            "KeepPoolAdapter() has no argument 'per_host': it is limits=keeppool.Limits(",
        ),
        (KeepPoolAdapter, {"retries": 5}, "it is max_retries=…"),
        (keeppool.HTTPAdapter, {"poolmaxsize": 5}, "HTTPAdapter() has no argument 'poolmaxsize': pool_maxsize perhaps"),
    ],
)
def test_a_setting_that_there_is_not_says_which_one_is(kind, given, says):
    with pytest.raises(TypeError) as caught:
        kind(**given)
    assert says in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("kind", "given", "says"),
    [
        (Timeout, (3, 20), "Timeout() takes its arguments by name: a (connect, read) pair is one, Timeout((3, 20))"),
        (Limits, (6,), "Limits() takes its arguments by name: Limits(per_host=…"),
        (Pace, (5,), "Pace(per_second=…)"),
        (HostConfig, (5,), "HostConfig(per_host=…"),
        (PoolManager, (Limits(), 5), "PoolManager(limits, timeout=…)"),
    ],
)
def test_a_setting_without_its_name_says_how_it_is_written(kind, given, says):
    with pytest.raises(TypeError) as caught:
        kind(*given)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "first"),
    [
        *((kind, "limits") for kind in (Session, AsyncSession, PoolManager, AsyncPoolManager)),
        (keeppool.HTTPAdapter, "pool_connections"),
        (Limits, "per_host"),
        (Timeout, "seconds"),
    ],
)
def test_help_and_notebooks_show_the_arguments_of_a_class(kind, first):
    assert next(iter(inspect.signature(kind).parameters)) == first

    class Own(kind):
        def __init__(self, name: str) -> None: ...

    assert list(inspect.signature(Own).parameters) == ["name"]


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda s, u: s.get(u, hooks={"response": "hook"}), "hooks: 'hook' cannot be called"),
        (lambda s, u: s.get(f"{u}/x\n"), "at its end: url.strip() is one"),
        (lambda s, u: s.get(f"{u}/\nx"), "holds a control character or a lone surrogate$"),
        (lambda s, u: s.get(u, timeout=urllib3.Retry(1)), "timeout='<urllib3.Retry>': must be"),
        (lambda s, u: s.get(u, retries="3"), "retries='3': must be"),
    ],
    ids=["hook", "line end", "control", "timeout", "retries"],
)
def test_a_wrong_argument_says_what_is_wrong_with_it(on, site, ask, says):
    with pytest.raises(KeepPoolError) as caught:
        on.wait(ask(on.session(), site.url))
    assert re.search(re.escape(says).replace(r"\$", "$"), str(caught.value))


def test_a_setting_that_is_refused_leaves_the_one_before(on, site):
    session = on.session()
    session.cert, session.verify = None, True
    for name, wrong in (
        ("cert", 5),
        ("verify", 0),
        ("headers", "x"),
        ("cookies", 5),
        ("retries", -1),
        ("base_url", "x"),
    ):
        with pytest.raises(KeepPoolError):
            setattr(session, name, wrong)
    assert (session.cert, session.verify, session.retries, session.base_url) == (None, True, None, None)
    assert on.wait(session.get(site.url)).status_code == 200


def test_an_async_iterable_says_which_session_sends_it(site):
    async def pieces():
        yield b""

    with Session() as session, pytest.raises(KeepPoolError, match="by an AsyncSession or AsyncPoolManager"):
        session.post(site.url, content=pieces())


def test_a_base_url_may_be_what_a_url_may_be(site):
    class Url:
        def __str__(self):
            return site.url

    for base in (Url(), site.url.encode()):
        with Session(base_url=base) as session:
            assert session.get("echo").status_code == 200


def test_a_type_error_from_within_stays_as_it_is():
    class Own(Session):
        def __init__(self, per_host: int) -> None:
            print(per_host=per_host)

    with pytest.raises(TypeError, match="print"):
        Own(per_host=5)
    with pytest.raises(TypeError, match=r"^Own\(\) has no argument 'per_hosts'"):
        Own(per_hosts=5)


@pytest.mark.parametrize("value", ["soon", -1, 0, True, [], {"connect": 3}], ids=str)
def test_a_wrong_timeout_is_called_timeout(on, site, value):
    for make in (
        lambda: on.Session(timeout=value),
        lambda: keeppool.Timeout(value),
        lambda: keeppool.HostConfig(timeout=value),
        lambda: on.wait(on.session().get(site.url, timeout=value)),
    ):
        with pytest.raises(ConfigError, match=r"\btimeout=") as caught:
            make()
        assert caught.value.field == "timeout"
    assert site.requests == 0


@pytest.mark.parametrize("value", ["soon", 5, []], ids=str)
@pytest.mark.parametrize("maker", [*MAKERS, KeepPoolAdapter, keeppool.adapters.urllib3.PoolManager])
def test_a_listener_that_cannot_be_called_is_refused_where_it_is_given(maker, value):
    with pytest.raises(ConfigError, match=r"on_event=.*must be a function"):
        maker(on_event=value)


@pytest.mark.parametrize("value", ["soon", 5, [], Odd()], ids=lambda value: type(value).__name__)
def test_a_context_that_is_none_is_refused_where_it_is_given(value):
    with pytest.raises(ConfigError, match=r"ssl_context=.*must be an ssl\.SSLContext"):
        keeppool.HostConfig(ssl_context=value)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("/x", "it is a path, which takes a session with base_url="),
        ("example.com/x", "https://example.com/x perhaps"),
        ("//example.com/x", "https://example.com/x perhaps"),
        ("http://a:99999/", "a port is a number up to 65535"),
        ("http://a:x/", "not a valid host or port"),
    ],
)
def test_a_wrong_url_says_what_is_wrong_with_it(on, url, says):
    with pytest.raises(InvalidRequest, match=re.escape(says)):
        on.wait(on.session().get(url))


def test_the_rest_of_what_a_newcomer_gets_wrong(on, site):
    with pytest.raises(InvalidRequest, match=r"^'' http://.*: method '' is not a token"):
        on.wait(on.session().request("", site.url))
    with pytest.raises(InvalidRequest, match=r"params must be .*, not <Odd>"):
        on.wait(on.session().get(site.url, params=Odd()))
    with pytest.raises(ConfigError, match=r"hosts='a': must map to a HostConfig\(\.\.\.\), not to <dict>"):
        on.Session(hosts={"a": {"per_host": 2}})
    with pytest.raises(ConfigError, match=r"must be a keeppool\.Limits, such as Limits\(per_host=6\)"):
        on.Session(5)
    with pytest.raises(ConfigError, match="base_url"):
        on.Session(base_url=[])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, "x") for name in ("total", "connect", "read", "redirect", "status", "other")),
        *((name, value) for name in ("backoff_factor", "backoff_max", "backoff_jitter") for value in ("x", -1)),
        *((name, value) for name in ("allowed_methods", "status_forcelist") for value in ("x", 5, [[]])),
    ],
    ids=str,
)
def test_a_retry_that_could_not_count_is_refused_before_it_has_to(on, site, name, value):
    retry = urllib3.Retry(**({"total": 1} | {name: value}))
    with pytest.raises(ConfigError, match=rf"Retry\.{name}="):
        on.Session(retries=retry)
    with pytest.raises(ConfigError, match=rf"Retry\.{name}="):
        on.wait(on.session().get(site.url, retries=retry))
    assert site.requests == 0


@pytest.mark.parametrize(
    "retry", [{"total": None}, {"total": False, "allowed_methods": None}, {"status": 0, "read": 2}]
)
def test_a_retry_as_people_write_them_is_taken(on, site, retry):
    policy = urllib3.Retry(**retry, status_forcelist={503}, backoff_factor=0.5)
    assert on.wait(on.session(retries=policy).get(site.url)).ok
