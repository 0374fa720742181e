"""Pickling and copying a session: settings and cookies travel, also to a process that was spawned; sockets do not."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
from concurrent.futures import ProcessPoolExecutor

import pytest
from urllib3.util import Retry

import keeppool
import keeppool.requests
from keeppool import HostConfig, Limits, Session, Timeout

#: Seconds a spawned interpreter may take; a loaded machine needs a few.
PATIENCE = 60


def pickled(thing):
    return pickle.loads(pickle.dumps(thing))


@pytest.fixture
def original():
    with Session(
        Limits(per_host=2),
        timeout=Timeout(total=30),
        hosts={"*.example": HostConfig(per_host=3)},
        defaults=HostConfig(headers={"X-Default": "1"}),
        retries=Retry(3, status_forcelist=[503]),
    ) as session:
        session.headers["X-Own"] = "2"
        session.headers["Accept"] = None
        session.params = {"q": ["a", "b"]}
        session.cookies.set("kept", "3", domain="127.0.0.1")
        session.max_redirects = 4
        yield session


@pytest.mark.parametrize("way", [pickled, copy.deepcopy], ids=["pickle", "deepcopy"])
def test_everything_that_was_set_travels(way, original, site):
    original.verify, original.cert = False, ("client.pem", "client.key")
    with way(original) as twin:
        assert twin.pool is not original.pool
        assert twin.pool.config == original.pool.config
        assert (twin.headers, twin.params) == (original.headers, original.params)
        assert twin.cookies.items() == [("kept", "3")]
        assert (twin.verify, twin.cert, twin.max_redirects) == (False, ("client.pem", "client.key"), 4)
        assert (twin.retries.retry.total, twin.retries.retry.status_forcelist) == (3, [503])
        seen = twin.get(f"{site.url}/echo").json()
    assert seen["target"] == "/echo?q=a&q=b"
    assert seen["headers"].items() >= {"x-own": "2", "x-default": "1", "cookie": "kept=3"}.items()
    assert "accept" not in seen["headers"]


@pytest.mark.parametrize("way", [pickled, copy.deepcopy], ids=["pickle", "deepcopy"])
def test_the_twin_goes_its_own_way(way, original, site):
    original.get(site.url)
    with way(original) as twin:
        twin.headers["X-Own"] = "changed"
        twin.cookies["new"] = "1"
        twin.get(site.url)
        assert (original.headers["X-Own"], "new" in original.cookies) == ("2", False)
    assert site.opened == 2
    original.get(site.url)
    assert site.opened == 2, "closing the twin leaves the original's connection open"


def test_a_shallow_copy_shares_pool_headers_and_cookies(original, site):
    twin = copy.copy(original)
    assert (twin.pool, twin.headers, twin.cookies) == (original.pool, original.headers, original.cookies)
    twin.max_redirects = 1
    assert original.max_redirects == 4
    original.get(site.url)
    twin.get(site.url)
    assert site.opened == 1


def test_a_session_without_cookies_makes_its_jar_when_it_is_asked_for():
    with Session() as session, pickled(session) as twin:
        twin.cookies["a"] = "1"
        assert not session.cookies


def test_a_listener_that_cannot_travel_is_named():
    with Session(on_event=lambda event: None) as session, pytest.raises(AttributeError, match="<lambda>"):
        pickle.dumps(session)


def fetched(session: Session, url: str, count: int) -> tuple[int, int, list[bytes]]:
    """In another process: fetch paths that name themselves; give the process, the connections opened, the bodies."""
    bodies = [session.post(f"{url}/echo", data=str(number)).json()["body"].encode() for number in range(count)]
    return os.getpid(), session.stats().opened, bodies


@pytest.mark.parametrize("used", [False, True], ids=["new", "with an idle connection"])
def test_a_spawned_process_goes_on_with_a_connection_of_its_own(original, site, used):
    if used:
        original.get(site.url)
    here = site.opened
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as spawned:
        child, opened, bodies = spawned.submit(fetched, original, site.url, 100).result(PATIENCE)
    assert child != os.getpid()
    assert bodies == [str(number).encode() for number in range(100)]
    assert (opened, site.opened) == (1, here + 1)
    assert fetched(original, site.url, 100)[1:] == (1, bodies)


def test_the_functions_work_in_a_spawned_process(site):
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as spawned:
        assert spawned.submit(keeppool.get, f"{site.url}/bytes/10").result(PATIENCE).content == b"0123456789"


@pytest.mark.parametrize("kind", [Session, keeppool.requests.Session])
def test_a_pickle_holds_no_password_of_the_environment(kind, site, monkeypatch):
    monkeypatch.setenv("http_proxy", site.url.replace("//", "//somebody:open-sesame@"))
    with kind() as session:
        assert session.get("http://nowhere.example/echo").json()["headers"]["proxy-authorization"]
        assert b"sesame" not in pickle.dumps(session)
        with pickled(session) as twin:
            assert twin.get("http://nowhere.example/echo").ok
