"""Fixtures for the drop-ins."""

import os
import pickle
import signal

import pytest

from keeppool.adapters.urllib3 import PoolManager
from keeppool.testing import Site

#: Seconds after which a child that hangs is ended.
PATIENCE = 20


@pytest.fixture
def site():
    with Site() as site:
        yield site


@pytest.fixture
def http(recorder):
    with PoolManager(on_event=recorder) as http:
        yield http


@pytest.fixture
def in_child():
    """Give a function that does something in a forked child, and returns or raises what that did."""
    return _in_child


def _in_child(work):
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(PATIENCE)
        try:
            try:
                result = work()
            except BaseException as error:
                result = error
            os.write(writing, pickle.dumps(result))
        finally:
            os._exit(0)  # Whatever happens: a child that went on would run the rest of the tests too.
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        result = pickle.loads(pipe.read())
    os.waitpid(pid, 0)
    if isinstance(result, BaseException):
        raise result
    return result
