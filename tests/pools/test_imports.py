"""What a pool imports, and when: nothing while an event loop waits for it, or where a failure is to be told."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(("kind", "is_there"), [("PoolManager", False), ("AsyncPoolManager", True)])
def test_urllib3_is_there_before_an_event_loop_could_have_to_wait_for_it(kind, is_there):
    code = f"import keeppool, sys; keeppool.{kind}(); print('urllib3.util' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.strip() == str(is_there)


@pytest.mark.parametrize("kind", ["PoolManager", "AsyncPoolManager"])
def test_what_a_pool_tells_of_itself_is_imported_with_it(kind):
    """Where descriptors have run out, a program wants to see statistics and events, and no file can be opened."""
    code = (
        f"import keeppool, sys; pool = keeppool.{kind}(on_event=print); before = set(sys.modules); str(pool.stats());"
        "pool._pool.report(keeppool.events.RequestServed('http://a', 1.0)); print(set(sys.modules) - before)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.splitlines()[-1] == "set()"
