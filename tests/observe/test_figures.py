"""Pools' figures for metrics: servers out of names, and what a fork leaves of them."""

from __future__ import annotations

import os
import threading

import pytest

import keeppool
from keeppool.observe.figures import Named, Pools, Server, method_of, server_of


@pytest.mark.parametrize(
    ("place", "server"),
    [
        ("https://example.com:443", Server("example.com", 443)),
        ("https://example.com/a:b@c?d=http://e:1", Server("example.com", 443)),
        ("http://Example.COM", Server("example.com", 80)),
        ("http://user:p@ss@a.example:8080/", Server("a.example", 8080)),
        ("http://[::1]:8080/x", Server("::1", 8080)),
        ("https://a.example:443 through http://proxy:3128", Server("a.example", 443)),
        ("http://localhost:80 by /run/a.sock", Server("localhost", 80)),
        ("http://* through http://proxy:3128", Server("*", 0)),
        ("socks5h://proxy:1080", Server("proxy", 1080)),
        ("nonsense", Server("_OTHER", 0)),
    ],
)
def test_servers_are_named_by_address_and_port(place: str, server: Server) -> None:
    assert server_of(place) == server


def test_the_first_have_their_names_and_keep_them() -> None:
    named = Named(2)
    places = ["http://a/1", "http://b/", "http://c/", "http://a/2", "http://c/"]
    assert [named.server(place).address for place in places] == ["a", "b", "_OTHER", "a", "_OTHER"]


def test_methods_that_are_not_known_have_one_name() -> None:
    assert [method_of(method) for method in ("GET", "PATCH", "PROPFIND", "get")] == ["GET", "PATCH", "_OTHER", "_OTHER"]


def test_a_forked_child_can_be_scraped_whoever_held_the_lock_in_its_parent() -> None:
    pools, session = Pools(10), keeppool.Session()
    pools.watch(session)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with pools._lock:
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if pools.sums().counts["requests"] == 0 else 1)
        finally:
            os._exit(2)
    done.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0
    session.close()
