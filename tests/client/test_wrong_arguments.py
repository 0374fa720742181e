"""Arguments of wrong types: every one is an error of the tree, wherever it is given, and shows nothing whole."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import keeppool.adapters.urllib3
from keeppool import AsyncPoolManager, AsyncSession, PoolManager, Session
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
