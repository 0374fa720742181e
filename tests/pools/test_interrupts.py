"""KeyboardInterrupt at every line of the front end, and wherever one can strike in the tables: no slot is lost.

The slot comes back, and the next request is right.
"""

import linecache
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from core_striker import CoreStriker

import keeppool
from keeppool import Limits, PoolManager, Timeout, events
from keeppool.testing import Behaviour

PACKAGE = Path(keeppool.__file__).parent
#: Where an interrupt strikes at each line: everything that waits or holds something. Not the core's own bookkeeping,
#: which relies on it that CPython handles no signal between two steps that call nothing.
STRUCK = {
    str(PACKAGE / "pools" / f"{name}.py")
    for name in ("pool", "pool_threads", "waiter", "manager_threads", "send", "waits", "body", "response", "lease")
}
#: Except the clean-up itself: a second interrupt while the first is dealt with is the user's last word. And finalizers:
#: what is raised in one Python reports and drops.
SPARED = {"__del__", "give_up", "_give_up", "_take_back", "release", "_perform", "closed_as_ordered"}
SPARED |= {"sweep", "_close_gone", "_collect_dropped"}
assert all(Path(name).is_file() for name in STRUCK), "a module was renamed; strike it under its new name"


class Striker:
    """Raises KeyboardInterrupt at the n-th line of the front end that is run."""

    def __init__(self, at):
        self.left = at
        self.struck = False
        self.entered = set()

    def __call__(self, frame, event, _):
        if frame.f_code.co_filename not in STRUCK or frame.f_code.co_name in SPARED:
            return None
        if event == "line" and not self.is_leaving_lock(frame) and not self.is_no_step(frame):
            self.left -= 1
            if self.left == 0:
                self.struck = True
                raise KeyboardInterrupt
        return self

    def is_no_step(self, frame):
        """Tell a line that does nothing: no signal is handled there, and it may belong to no block (Python 3.11)."""
        return linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip() == "try:"

    def is_leaving_lock(self, frame):
        """Tell the second event of a `with` line: no signal is handled between a block's end and the lock's release."""
        if not linecache.getline(frame.f_code.co_filename, frame.f_lineno).lstrip().startswith("with "):
            return False
        place = (id(frame), frame.f_lineno)
        self.entered ^= {place}
        return place not in self.entered

    def __enter__(self):
        self.before = sys.gettrace()
        sys.settrace(self)
        return self

    def __exit__(self, *exc_info):
        sys.settrace(self.before)


def whole(pool, url):
    assert pool.request("GET", f"{url}/bytes/300000").status == 200


def streamed(pool, url):
    with pool.request("GET", f"{url}/bytes/300000", stream=True) as response:
        assert sum(map(len, response.stream())) == 300_000


def upload(pool, url):
    assert pool.request("POST", f"{url}/echo", body=iter([b"a", b"b"])).status == 200


@pytest.mark.slow
@pytest.mark.parametrize("is_warm", [False, True], ids=["new connection", "reused connection"])
@pytest.mark.parametrize("work", [whole, streamed, upload])
@pytest.mark.filterwarnings("ignore:a streamed response:ResourceWarning")
def test_an_interrupt_anywhere_frees_the_slot(sites, work, is_warm):
    site = sites.add(Behaviour())
    at = 0
    struck = True
    while struck:
        at += 1
        with PoolManager(Limits(per_host=1), timeout=Timeout(pool=1)) as pool:
            if is_warm:
                pool.request("GET", site.url)
            striker = Striker(at)
            try:
                with striker:
                    work(pool, site.url)
            except KeyboardInterrupt:
                pass
            struck = striker.struck
            stats = pool.stats()
            assert (stats.busy, stats.connecting, stats.waiting) == (0, 0, 0), f"at line event {at}"
            assert pool.request("GET", f"{site.url}/bytes/3").data == b"012"
    assert at > 40


@pytest.mark.slow
def test_an_interrupt_anywhere_in_the_queue_frees_what_was_given(sites):
    """The caller waits, another thread gives the only connection back, and the interrupt comes at any line of that."""
    site = sites.add(Behaviour())
    at, struck = 0, True
    while struck:
        at += 1
        responses, helpers = [], []

        def give_back(event, responses=responses, helpers=helpers):
            if isinstance(event, events.RequestQueued):
                helpers.append(threading.Thread(target=lambda: responses[0].data))
                helpers[-1].start()

        with PoolManager(Limits(per_host=1), timeout=Timeout(pool=10), on_event=give_back) as pool:
            responses.append(pool.request("GET", f"{site.url}/bytes/300000", stream=True))
            striker = Striker(at)
            try:
                with striker:
                    assert pool.request("GET", f"{site.url}/bytes/3").data == b"012"
            except KeyboardInterrupt:
                pass
            struck = striker.struck
            for helper in helpers:
                helper.join()
            assert responses[0].data, "given back here, where nobody waited"
            stats = pool.stats()
            assert (stats.busy, stats.connecting, stats.waiting) == (0, 0, 0), f"at line event {at}"
            assert pool.request("GET", f"{site.url}/bytes/3").data == b"012"
    assert at > 40


def one(pool, site, other):
    pool.request("GET", f"{site.url}/bytes/3")


def over_a_dead_connection(pool, site, other):
    site.drop_idle()
    pool.request("GET", f"{site.url}/bytes/3")


def in_the_place_of_another(pool, site, other):
    pool.request("GET", other.url)


def behind_one_dropped_unread(pool, site, other):
    pool.request("GET", f"{site.url}/bytes/3000000", stream=True)
    pool.request("GET", other.url)


@pytest.mark.parametrize("is_warm", [False, True], ids=["new connection", "reused connection"])
@pytest.mark.parametrize("work", [one, over_a_dead_connection, in_the_place_of_another, behind_one_dropped_unread])
@pytest.mark.filterwarnings("ignore:a streamed response:ResourceWarning")
# The order to close a socket may be lost: it is closed with its connection, which nobody has any more.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_anywhere_in_the_tables_frees_the_slot(sites, work, is_warm):
    site, other = sites.add(), sites.add()
    at, struck = 0, True
    while struck:
        at += 1
        with PoolManager(Limits(per_host=1, total=1), timeout=Timeout(pool=1)) as pool:
            if is_warm:
                pool.request("GET", site.url)
            striker = CoreStriker(at)
            try:
                with striker:
                    work(pool, site, other)
            except KeyboardInterrupt:
                pass
            struck = striker.struck
            stats = pool.stats()
            assert (stats.busy, stats.connecting, stats.waiting) == (0, 0, 0), f"at moment {at}"
            assert stats.open == stats.idle
            assert pool.request("GET", f"{site.url}/bytes/3").data == b"012"
            assert pool.request("GET", f"{other.url}/bytes/3").data == b"012"
    assert at > 20


@pytest.mark.filterwarnings("ignore:a streamed response:ResourceWarning")
def test_an_interrupt_anywhere_in_giving_back_loses_nobody_who_waits(sites):
    site = sites.add()
    at, struck = 0, True
    while struck:
        at += 1
        with PoolManager(Limits(per_host=1), timeout=Timeout(pool=10)) as pool:
            response = pool.request("GET", f"{site.url}/bytes/300000", stream=True)
            with ThreadPoolExecutor(1) as executor:
                waiting = executor.submit(pool.request, "GET", f"{site.url}/bytes/3")
                while not pool.stats().waiting:
                    time.sleep(0)
                striker = CoreStriker(at)
                try:
                    with striker:
                        response.data  # noqa: B018
                except KeyboardInterrupt:
                    response.close()
                pool.stats()  # Comes by, and sees to what was dropped; else the janitor would in a second.
                struck = striker.struck
                assert waiting.result().data == b"012", f"at moment {at}"
            stats = pool.stats()
            assert (stats.busy, stats.connecting, stats.waiting) == (0, 0, 0), f"at moment {at}"
    assert at > 10  # Python 3.13 has fewer moments than 3.11.
