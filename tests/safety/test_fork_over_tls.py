"""Fork with connections over TLS: a word of the child's on one would break the parent's."""

from __future__ import annotations

import gc
import os

import pytest
from seams import SERVE, assert_settled

from keeppool.testing import ScriptedServer

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


def in_child(work):
    """Fork, do the work in the child, and tell whether it went well there."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_the_child_speaks_over_connections_of_its_own_and_says_goodbye_on_none_of_the_parents(tls_plant):
    """Whether it makes requests, collects garbage or closes the pool: the parent's connection is reused afterwards."""
    with ScriptedServer(SERVE, tls=tls_plant.tls) as server, tls_plant.pool() as pool:
        pool.request("GET", server.url)

        def use_and_close():
            assert [pool.request("GET", server.url).data for _ in range(5)] == [b"ok"] * 5
            assert pool.stats().opened == 1
            pool.close()

        assert in_child(use_and_close)
        assert in_child(gc.collect)
        assert [pool.request("GET", server.url).data for _ in range(10)] == [b"ok"] * 10
        assert pool.stats().opened == 1
        assert_settled(pool)
