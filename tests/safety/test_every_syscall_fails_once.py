"""Every call on a socket fails once: at the first, the second, … of an exchange's sends, reads and looks.

A counter stands before the methods of each stream the pool opens and raises at the n-th call, for n = 1, 2, … until an
exchange needs no more calls. After each: the slot is free, the next request is right, no POST was carried out twice.
"""

from __future__ import annotations

import errno
import os

import pytest
from seams import OnOpen, assert_settled

from keeppool import Limits, Timeout, errors
from keeppool.net.stream import Stream
from keeppool.testing import Behaviour, Site

#: More calls than any exchange here makes.
MOST_CALLS = 60
CALLS = ("send", "receive", "probe", "set_timeout", "wait_readable", "receive_now", "send_now")
#: Longer than what goes out together with the head.
LARGE = bytes(range(256)) * 300


class Saboteur(OnOpen):
    """Counts the calls on all streams of a pool, from `arm` on, and lets the n-th one fail."""

    def __init__(self, error: int) -> None:
        super().__init__(self._watch)
        self._error = error
        self.fails_at = self.calls = 0
        self.failed_in = ""

    def arm(self, fails_at: int) -> None:
        """Count anew."""
        self.fails_at, self.calls, self.failed_in = fails_at, 0, ""

    def count(self, name: str) -> None:
        """Count a call that is about to be made; fail instead, if it is its turn."""
        self.calls += 1
        if self.calls == self.fails_at:
            self.failed_in = name
            raise OSError(self._error, os.strerror(self._error))

    def _watch(self, stream: Stream) -> None:
        stream.__class__ = type("Watched", (Stream,), {"__slots__": (), **{n: self._counted(n) for n in CALLS[2:]}})
        for name in CALLS[:2]:
            setattr(stream, name, self._before(name, getattr(stream, name)))

    def _counted(self, name):
        real = getattr(Stream, name)

        def method(stream, *arguments, **options):
            if name != "probe":  # it answers whatever happens, and raises nothing
                self.count(name)
            return real(stream, *arguments, **options)

        return method

    def _before(self, name, real):
        def call(*arguments):
            self.count(name)
            return real(*arguments)

        return call


def pieces():
    yield b"some"
    yield b" and the rest"


REQUESTS = {
    "GET": lambda pool, url: pool.request("GET", f"{url}/bytes/100"),
    "streamed GET": lambda pool, url: pool.request("GET", f"{url}/bytes/300000", stream=True),
    "chunked GET": lambda pool, url: pool.request("GET", f"{url}/stream/50"),
    "POST": lambda pool, url: pool.request("POST", url, body=b"pay", headers={"X-Request-Id": "POST"}),
    "large POST": lambda pool, url: pool.request("POST", url, body=LARGE, headers={"X-Request-Id": "POST"}),
    "generated POST": lambda pool, url: pool.request("POST", url, body=pieces(), headers={"X-Request-Id": "POST"}),
    "PUT": lambda pool, url: pool.request("PUT", url, body=[b"some", b" and the rest"]),
    "expecting PUT": lambda pool, url: pool.request("PUT", url, body=b"x", headers={"Expect": "100-continue"}),
}


def outcome_of(make, pool, url):
    """Make a request and read its body; give the error if there was one, and whether there was an answer."""
    try:
        with make(pool, url) as response:
            response.read()
            return None if response.status == 200 else response.status
    except errors.ExchangeError as error:
        return error


@pytest.mark.parametrize("reused", [False, True], ids=["new", "reused"])
@pytest.mark.parametrize(
    ("kind", "error"),
    [*((kind, errno.ECONNRESET) for kind in REQUESTS), ("GET", errno.ENOBUFS), ("POST", errno.ENOBUFS)],
)
def test_whatever_fails_nobody_else_pays(plant, kind, error, reused):
    saboteur = Saboteur(error)
    limits, timeout = Limits(per_host=1), Timeout(connect=5, read=5, pool=0.2)
    with Site(Behaviour(body=b"right"), tls=plant.tls) as site:
        for fails_at in range(1, MOST_CALLS):
            with plant.pool(limits, on_event=saboteur, timeout=timeout) as pool:
                saboteur.pool = pool
                saboteur.arm(0)
                if reused:
                    pool.request("GET", site.url)
                before = site.executed.get("POST", 0)
                saboteur.arm(fails_at)
                outcome = outcome_of(REQUESTS[kind], pool, site.url)
                failed_in = saboteur.failed_in
                saboteur.arm(0)
                assert_settled(pool)
                assert pool.request("GET", site.url).data == b"right"
                assert_settled(pool)
            assert site.executed.get("POST", 0) - before <= 1
            if not failed_in:
                assert outcome is None
                break
            if isinstance(outcome, errors.ExchangeError):
                assert outcome.__cause__ is not None
                assert outcome.retry_safe or "POST" in kind
                assert outcome.origin
            if reused and kind in ("GET", "POST") and failed_in == "send":
                assert outcome is None, "nothing was sent, so it goes again"
        else:
            pytest.fail("the exchange never came to an end")


def test_a_first_send_that_fails_is_proof_that_nothing_was_sent(plant):
    """A POST goes again then, once, and is carried out once; from the first byte on it does not."""
    saboteur = Saboteur(errno.EPIPE)
    with Site(Behaviour(body=b"right"), tls=plant.tls) as site, plant.pool(on_event=saboteur) as pool:
        saboteur.pool = pool
        pool.request("GET", site.url)
        saboteur.arm(0)
        outcome_of(REQUESTS["POST"], pool, site.url)
        calls = saboteur.calls
        executed = []
        for fails_at in range(1, calls + 1):
            saboteur.arm(fails_at)
            before = site.executed["POST"]
            outcome = outcome_of(REQUESTS["POST"], pool, site.url)
            executed.append((saboteur.failed_in, outcome is None, site.executed["POST"] - before))
            saboteur.arm(0)
            pool.request("GET", site.url)
    assert ("send", True, 1) in executed
    assert all(answered == (name != "receive") for name, answered, _ in executed if name in ("send", "receive"))


def test_the_saboteur_is_met():
    """Or else the tests above would prove nothing."""
    saboteur = Saboteur(errno.EIO)
    saboteur.arm(2)
    saboteur.count("send")
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        saboteur.count("receive")
    assert saboteur.failed_in == "receive"
