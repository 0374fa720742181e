"""`keeppool.get` and its siblings: one pool for all, no cookies from call to call."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest
from answers import elsewhere

import keeppool
from keeppool.client.api import shared_session
from keeppool.client.cookies import CookieJar


@pytest.fixture(autouse=True)
def nothing_left_busy():
    """The shared pool outlives each test: nothing may stay lent."""
    yield
    assert shared_session.stats().busy == 0


@pytest.mark.parametrize("method", ["get", "options", "post", "put", "patch", "delete"])
def test_each_function_sends_its_method(site, method):
    assert getattr(keeppool, method)(f"{site.url}/echo").json()["method"] == method.upper()


def test_head_and_request_are_there_too(site):
    assert keeppool.head(f"{site.url}/redirect/1").status_code == 302
    assert keeppool.request("PURGE", f"{site.url}/echo").json()["method"] == "PURGE"


def test_two_calls_share_a_connection(site):
    keeppool.get(f"{site.url}/a")
    keeppool.get(f"{site.url}/b")
    assert site.opened == 1


def test_cookies_are_sent_on_by_redirects_and_not_kept(answering):
    site = answering({"/a": elsewhere(302, "/cookies", ("Set-Cookie", "hop=1; Path=/"))})
    assert keeppool.get(f"{site.url}/a").json() == {"hop": "1"}
    assert keeppool.get(f"{site.url}/cookies").json() == {}
    assert keeppool.get(f"{site.url}/a", cookies={"own": "2"}).json() == {"hop": "1", "own": "2"}
    assert not shared_session.cookies


def test_a_callers_jar_is_only_read(site):
    jar = CookieJar()
    keeppool.get(f"{site.url}/cookies/set?a=1", cookies=jar)
    assert len(jar) == 0


def test_the_functions_can_be_pickled():
    """As for `multiprocessing.Pool.map(keeppool.get, urls)`."""
    assert pickle.loads(pickle.dumps(keeppool.get)) == keeppool.get


def test_a_program_may_end_without_closing_anything(site):
    program = f"import keeppool; print(keeppool.get('{site.url}/bytes/3').text)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "dev", "-c", program], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "012\n", "")
    assert site.wait_for(lambda: site.open_now == 0)
