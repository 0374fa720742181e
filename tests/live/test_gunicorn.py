"""gunicorn, which hangs up on idle connections after its `--keep-alive` without ever announcing it."""

import random
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from keeppool import Limits, PoolManager
from keeppool.errors import ExchangeError
from keeppool.events import ConnectionClosed, Why

pytest.importorskip("gunicorn", reason="skipped: gunicorn not installed")  # the test extra brings it

APPLICATION = """
import collections
counts = collections.Counter()

def app(environ, start_response):
    counts[environ["PATH_INFO"]] += 1
    environ["wsgi.input"].read()
    body = str(counts[environ["PATH_INFO"]]).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


@pytest.fixture
def gunicorn(tmp_path):
    (tmp_path / "application.py").write_text(APPLICATION)
    options = ["--bind", "127.0.0.1:0", "--worker-class", "gthread", "--threads", "16", "--keep-alive", "1"]
    command = [sys.executable, "-m", "gunicorn", *options, "application:app"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        said = ""
        for line in process.stderr:
            said += line
            if "Booting worker" in line:
                break
        yield re.search(r"Listening at: (http://\S+)", said)[1]
        process.terminate()
        process.communicate(timeout=30)


def visit(pool, url, seed):
    """Make requests with pauses around gunicorn's second; tell what failed and what was executed twice."""
    chance, pause, failed, twice = random.Random(seed), threading.Event(), [], []
    for number in range(60):
        method, body = chance.choice([("GET", None), ("POST", b"x")])
        try:
            executed = pool.request(method, f"{url}/{seed}/{number}", body=body).data
        except ExchangeError as error:
            failed.append((method, error))
        else:
            twice += [number] if method == "POST" and executed != b"1" else []
        if not chance.randrange(10):
            pause.wait(chance.uniform(0.8, 1.6))
    return failed, twice


@pytest.mark.slow
def test_a_server_that_hangs_up_unannounced_costs_no_get_and_doubles_no_post(gunicorn, recorder):
    with PoolManager(Limits(per_host=8), timeout=10, on_event=recorder) as pool, ThreadPoolExecutor(8) as threads:
        visits = [done.result() for done in [threads.submit(visit, pool, gunicorn, seed) for seed in range(8)]]
    failed = [failure for failures, _ in visits for failure in failures]
    assert [error for method, error in failed if method == "GET"] == []
    assert [number for _, twice in visits for number in twice] == []
    assert all(error.sent and not error.retry_safe for _, error in failed), "a POST that could have been sent again"
    assert any(event.why is Why.PEER_CLOSED for event in recorder.of(ConnectionClosed))
