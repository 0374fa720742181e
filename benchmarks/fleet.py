"""What a call to a fleet's script costs, from 2 to 200 members on one key: in Redis, and for the caller.

`python benchmarks/fleet.py [--port N]` starts a Redis of its own if none is given. Prints microseconds a call.

Knows: Redis' own count of the time its scripts take (INFO commandstats). Does not know: what is fast.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.measure import table
from keeppool.fleet.redis_client import run
from keeppool.fleet.script import keys_of, rank_of

MEMBERS = (2, 8, 50, 200)
CALLS = 4000
TTL_MS = 20_000


@contextlib.contextmanager
def a_redis(port: int | None) -> Iterator[int]:
    """Give the port of a Redis; one of our own if none is named."""
    if port is not None:
        yield port
        return
    program = shutil.which("redis-server") or sys.exit("redis-server not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [program, "--port", str(port), "--save", "", "--dir", folder], stdout=subprocess.DEVNULL
        )
        try:
            yield port
        finally:
            process.terminate()
            process.wait()


def microseconds(client: Any, members: int) -> tuple[float, float]:
    """Let each member call in turn, with something and wanting something; give a call's cost in Redis, and in all."""
    client.flushall()
    keys = keys_of("bench", "k")
    pids = [f"m{n}" for n in range(members)]

    def call(n: int) -> None:
        pid = pids[n % members]
        arguments = (pid, rank_of("k", pid), members, 1, 1, TTL_MS, 0, 0, 1, 0, 0)
        run(client, [(keys, arguments)])

    for n in range(2 * members):
        call(n)
    client.config_resetstat()
    began = time.perf_counter()
    for n in range(CALLS):
        call(n)
    took = time.perf_counter() - began
    inside = float(client.info("commandstats")["cmdstat_evalsha"]["usec_per_call"])
    return inside, took / CALLS * 1e6


def main() -> None:
    """Print the table."""
    import redis

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, help="of a Redis that may be emptied")
    with a_redis(parser.parse_args().port) as port:
        client = redis.Redis(port=port, retry=redis.retry.Retry(redis.backoff.ConstantBackoff(0.1), 30))
        client.ping()
        rows = [(str(n), *(f"{figure:.0f}" for figure in microseconds(client, n))) for n in MEMBERS]
    print(table(("members", "µs in Redis", "µs in all"), rows))


if __name__ == "__main__":
    main()
