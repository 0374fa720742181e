"""Servers that hang up without having said so, right behind a response or after some time, on every front."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from keeppool import HostConfig
from keeppool.adapters.urllib3 import PoolManager as DropIn
from keeppool.testing import Answer, Behaviour, Request, Site


class Counting(Site):
    """A site that closes behind each response, and counts how often each body was carried out."""

    def __init__(self) -> None:
        super().__init__(behaviour=Behaviour(close_after=1), handler=self._carry_out)
        self._lock = threading.Lock()
        self.carried_out: Counter[bytes] = Counter()

    def _carry_out(self, request: Request) -> Answer:
        with self._lock:
            self.carried_out[request.body] += 1
        return Answer(body=request.body)


@pytest.fixture
def hanging_up():
    with Counting() as site:
        yield site


def test_no_post_is_lost_one_after_the_other(on, hanging_up):
    """Row K1: for a fresh session after its first response."""
    session = on.session()
    on.wait(session.get(hanging_up.url))
    for number in range(200):
        assert on.wait(session.post(hanging_up.url, data=b"%d" % number)).content == b"%d" % number
    assert max(hanging_up.carried_out.values()) == 1
    assert session.stats().not_kept == (hanging_up.url.removesuffix("/"),)


def test_no_post_is_lost_by_eight_at_once(on, hanging_up):
    """Row K1."""
    session, numbers = on.session(), iter(range(200))
    on.wait(session.get(hanging_up.url))

    def post():
        return session.post(hanging_up.url, data=b"%d" % next(numbers))

    for _ in range(25):
        assert [answer.status_code for answer in on.at_once(post, 8)] == [200] * 8
    assert max(count for body, count in hanging_up.carried_out.items() if body) == 1
    assert len(hanging_up.carried_out) == 201


def test_no_post_of_the_drop_in_is_lost(hanging_up):
    """Row K1."""
    with DropIn() as pool:
        pool.request("GET", hanging_up.url, retries=False)
        posts = [b"%d" % number for number in range(200)]
        for body in posts[:100]:
            assert pool.request("POST", hanging_up.url, body=body, retries=False).data == body
        with ThreadPoolExecutor(8) as threads:
            found = threads.map(
                lambda body: pool.request("POST", hanging_up.url, body=body, retries=False).data, posts[100:]
            )
            assert list(found) == posts[100:]
    assert max(count for body, count in hanging_up.carried_out.items() if body) == 1


def test_gets_go_on_as_before(on, hanging_up):
    session = on.session()
    for _ in range(20):
        assert on.wait(session.get(hanging_up.url)).status_code == 200


def test_a_server_that_keeps_connections_carries_posts_on_one(on, site):
    """It is watched once, and proved then."""
    session = on.session()
    for _ in range(20):
        on.wait(session.post(site.url, data=b"x"))
    assert (session.stats().opened, session.stats().not_kept) == (1, ())


def test_fresh_means_new(on, site):
    """Row K1: `unsafe="fresh"` is a connection nothing has been sent on."""
    session = on.session(hosts={site.host: HostConfig(unsafe="fresh")})
    for _ in range(5):
        on.wait(session.post(site.url, data=b"x"))
    assert session.stats().opened == 5
    for _ in range(5):
        on.wait(session.get(site.url))
    assert session.stats().opened == 5


def test_a_limit_of_milliseconds_is_learned(on):
    """Row K2."""
    with Site(behaviour=Behaviour(drop_idle_s=0.1)) as site:
        session = on.session()
        for _ in range(3):
            on.wait(session.get(site.url))
            on.wait(session.get(site.url))
            on.pause(0.2)
        on.wait(session.get(site.url))
        (limit,) = session.stats().learned.values()
        assert 0.01 < limit < 0.1
