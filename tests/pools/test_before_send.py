"""A listener's `before_send`: what it sees of a request, what it may add, and what becomes of its errors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import keeppool
import keeppool.requests
from keeppool import HostConfig, Outgoing
from keeppool.errors import InvalidHeader
from keeppool.events import Event, RequestDone
from keeppool.testing import Answer, Request, Site, Sites


def echo(request: Request) -> Answer:
    if request.path == "/away":
        return Answer(status=302, headers=[("Location", "/")])
    return Answer(body=repr([(name.lower(), value) for name, value in request.headers.items()]).encode())


@pytest.fixture
def site(sites: Sites) -> Site:
    return sites.add(handler=echo)


class Listener:
    """Does something with each request before it is sent, and keeps what it is told of its end."""

    def __init__(self, does: Callable[[Outgoing], object], wants: frozenset[type[Any]] | None = None) -> None:
        self.wants = wants
        self.does = does
        self.shown: list[Outgoing] = []
        self.done: list[RequestDone] = []

    def before_send(self, outgoing: Outgoing) -> None:
        self.shown.append(outgoing)
        self.does(outgoing)

    def __call__(self, event: Event) -> None:
        if isinstance(event, RequestDone):
            self.done.append(event)


def of_threads(listener: Listener, site: Site, path: str = "") -> str:
    with keeppool.Session(on_event=listener, defaults=HostConfig(headers={"X-Host": "h"})) as session:
        return session.get(site.url + path, headers={"X-Mine": "m"}).text


def of_tasks(listener: Listener, site: Site, path: str = "") -> str:
    async def main() -> str:
        async with keeppool.AsyncSession(on_event=listener, defaults=HostConfig(headers={"X-Host": "h"})) as session:
            return (await session.get(site.url + path, headers={"X-Mine": "m"})).text

    return asyncio.run(main())


both = pytest.mark.parametrize("ask", [of_threads, of_tasks], ids=["threads", "tasks"])


@both
def test_fields_can_be_added_and_replaced_and_the_end_has_the_same_number(ask: Any, site: Site) -> None:
    def add(outgoing: Outgoing) -> None:
        assert ("X-Mine", "m") in outgoing.headers
        outgoing.set("x-mine", "changed")
        outgoing.set("X-Added", "a")
        outgoing.set("X-Host", "over")
        outgoing.note = outgoing.request

    listener = Listener(add)
    text = ask(listener, site)
    for pair in (("x-mine", "changed"), ("x-added", "a"), ("x-host", "over")):
        assert repr(pair) in text
    assert text.count("x-mine") == text.count("x-host") == 1
    (shown,), (done,) = listener.shown, listener.done
    assert (shown.request, shown.method, shown.origin) == (done.request, "GET", done.origin)
    assert done.note == done.request == 1
    assert b"X-Added: a" in done.request_head
    assert "note" not in repr(done)


@both
def test_what_it_raises_is_the_callers_and_nothing_was_sent(ask: Any, site: Site) -> None:
    def fail(outgoing: Outgoing) -> None:
        raise LookupError("no key")

    with pytest.raises(LookupError, match="no key"):
        ask(Listener(fail), site)
    assert site.requests == 0


@both
@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            (name, "1")
            for name in ("Content-Length", "host", "Transfer-Encoding", "Connection", "Expect", "Upgrade", "TE")
        ),
        ("X-A", "a\r\nX-Evil: 1"),
        ("X A", "a"),
        ("", "a"),
    ],
)
def test_what_is_settled_and_what_is_no_field_is_refused(ask: Any, site: Site, name: str, value: str) -> None:
    with pytest.raises(InvalidHeader):
        ask(Listener(lambda outgoing: outgoing.set(name, value)), site)
    assert site.requests == 0


@both
def test_each_request_of_a_redirect_is_shown(ask: Any, site: Site) -> None:
    listener = Listener(lambda outgoing: None)
    ask(listener, site, "/away")
    assert [one.url for one in listener.shown] == [f"{site.url}/away", f"{site.url}/"]
    assert [one.request for one in listener.shown] == [one.request for one in listener.done] == [1, 2]


def test_user_and_password_are_not_shown_in_the_url(site: Site) -> None:
    listener = Listener(lambda outgoing: None)
    with keeppool.PoolManager(on_event=listener) as pool:
        pool.request("GET", site.url.replace("//", "//user:secret@") + "/a@b?c=@d")
    assert listener.shown[0].url == f"{site.url}/a@b?c=@d"
    assert "secret" not in repr(listener.shown[0])


def test_a_listener_that_wants_no_events_is_shown_requests_all_the_same(site: Site) -> None:
    listener = Listener(lambda outgoing: outgoing.set("X-Added", "a"), wants=frozenset())
    assert "x-added" in of_threads(listener, site)
    assert listener.done == []


def test_a_body_goes_out_once_and_whole(sites: Sites) -> None:
    bodies: list[bytes] = []

    def keep(request: Request) -> Answer:
        bodies.append(request.body)
        return Answer()

    site = sites.add(handler=keep)
    listener = Listener(lambda outgoing: outgoing.set("X-Added", "a"))
    with keeppool.PoolManager(on_event=listener) as pool:
        pool.request("POST", site.url, body=b"text")
        pool.request("POST", site.url, body=iter([b"a", b"b"]))
        pool.request("PUT", site.url, body=b"big" * 100_000, headers={"Expect": "100-continue"})
    assert bodies == [b"text", b"ab", b"big" * 100_000]


def test_a_session_of_requests_kind_shows_its_requests_too(site: Site) -> None:
    listener = Listener(lambda outgoing: outgoing.set("X-Added", "a"))
    with keeppool.requests.Session(on_event=listener) as session:
        assert "x-added" in session.get(site.url).text
