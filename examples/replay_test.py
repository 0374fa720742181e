"""How to test a program that uses keeppool: made-up responses, a recording, a server on loopback.

Run it with `python -m pytest examples/replay_test.py`, or by itself.
"""

import tempfile
from pathlib import Path

import keeppool
from keeppool.errors import RefusedError
from keeppool.testing import Answer, Behaviour, Replay, Site


def prices(session, base):
    """The program: log in, and add up what the pages of a shop cost."""
    session.post(f"{base}/login", data={"user": "me", "password": "secret"}).raise_for_status()
    total, url = 0, f"{base}/items"
    while url:
        page = session.get(url).raise_for_status().json()
        total += sum(page["prices"])
        url = page["next"] and base + page["next"]
    return total


def test_with_made_up_responses():
    base = "https://shop.example.org"
    with Replay() as replay, keeppool.Session(retries=2) as session:
        login = replay.on("POST", "/login", data={"user": "me", "password": "secret"})
        login.respond(204, headers={"Set-Cookie": "sid=1"})
        items = replay.on("GET", f"{base}/items*", headers={"Cookie": "sid=1"})
        items.fail(RefusedError("just restarting"), times=1)
        items.respond(json={"prices": [1, 2], "next": "/items?page=2"}, times=1)
        items.respond(json={"prices": [3], "next": None})
        assert prices(session, base) == 6
        assert len(items.calls) == 3


def shop(request):
    """A real server stands in for the one that is recorded."""
    if request.path == "/login":
        return Answer(status=204, headers=(("Set-Cookie", "sid=very-secret"),))
    body = b'{"prices": [3], "next": null}' if request.query else b'{"prices": [1, 2], "next": "/items?page=2"}'
    return Answer(headers=(("Content-Type", "application/json"),), body=body)


def test_with_a_recording():
    with tempfile.TemporaryDirectory() as folder, Site(handler=shop) as site:
        file = Path(folder) / "shop.har"
        for mode in ("record", "play"):  # In a test of yours: `Replay(file)`, and KEEPPOOL_REPLAY=record once.
            with Replay(file, mode=mode, complete=True), keeppool.Session() as session:
                assert prices(session, site.url) == 6
        assert site.requests == 3, "the second run has asked nobody"
        assert "secret" not in file.read_text(encoding="utf-8")


def test_with_a_server_that_closes_its_connections():
    with Site(Behaviour(close_after=1), handler=shop) as site, keeppool.Session() as session:
        assert prices(session, site.url) == 6
        assert site.opened == 3


if __name__ == "__main__":
    for test in (test_with_made_up_responses, test_with_a_recording, test_with_a_server_that_closes_its_connections):
        test()
        print("passed:", test.__name__)
