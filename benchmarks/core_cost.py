"""Acquire and release of one idle connection, while the pool's tables hold little or much else.

Two costs: that of the decision alone (`PoolState`), and that of a `PoolManager`'s whole part in it, the lock, the clock
and the probe of a real socket included (`BlockingPool`). What else the tables hold must not matter; the last column
says how much it does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import program
from benchmarks.measure import in_turns, median_ratio, median_us, no_garbage_collection
from benchmarks.program import Effort, Rows
from keeppool.clock import clock
from keeppool.config import Config, Limits
from keeppool.core.origin import Origin
from keeppool.core.pool import PoolState
from keeppool.core.records import Connection, Policy, Ticket
from keeppool.events import Why
from keeppool.pools.exchange import Exchange
from keeppool.pools.pool_threads import BlockingPool
from keeppool.pools.routes import Locator
from keeppool.pools.waiter import ThreadWaiter
from keeppool.testing import Site
from keeppool.wire.fields import EMPTY

UNLIMITED = Limits(per_host=None, per_proxy=None, total=None)
POLICY = Policy()
ONE_EACH = Policy(per_host=1)
#: What else is in the tables: how many other hosts with an idle connection, how many with a caller that waits.
LOADS = {
    "10 other hosts": (10, 0),
    "1,000 other hosts": (1_000, 0),
    "100,000 other hosts": (100_000, 0),
    "10,000 waiters, each for a host of its own": (10, 10_000),
}
ROUNDS, CALLS = 25, 2000

Call = Callable[[], None]


def fill(state: PoolState, now: float, hosts: int, waiters: int) -> None:
    """Give other hosts an idle connection each; let callers wait for hosts that have their one connection in use."""
    for number in range(hosts):
        _connected(state, f"idle-{number}.example", POLICY, now, release=True)
    for number in range(waiters):
        origin = _connected(state, f"busy-{number}.example", ONE_EACH, now, release=False)
        ticket = state.requested(origin, ONE_EACH, now)
        assert isinstance(ticket, Ticket), "the host has room: nobody waits"
        ticket.waiter = ThreadWaiter()


def _connected(state: PoolState, host: str, policy: Policy, now: float, *, release: bool) -> Origin:
    origin = Origin(scheme="https", host=host, port=443)
    connection = state.requested(origin, policy, now)
    assert isinstance(connection, Connection), "an unlimited pool lets nobody wait"
    state.connected(connection, now)
    if release:
        state.released(connection, None, now)
    return origin


def decision(hosts: int, waiters: int) -> Call:
    """Prepare `requested` and `released` of the decision alone."""
    state = PoolState(UNLIMITED)
    fill(state, 0.0, hosts, waiters)
    origin = _connected(state, "measured.example", POLICY, 0.0, release=True)
    requested, released = state.requested, state.released

    def take_and_give_back() -> None:
        released(requested(origin, POLICY, 1.0), None, 1.0)  # type: ignore[arg-type]

    return take_and_give_back


@contextmanager
def blocking(url: str, hosts: int, waiters: int) -> Iterator[Call]:
    """Prepare the same of what a `PoolManager` stands on: one real connection, the other hosts' are entries alone."""
    pool = BlockingPool(UNLIMITED, None)
    pool._is_watched = True  # The janitor would look for sockets behind those entries.
    fill(pool._state, clock(), hosts, waiters)
    exchange = Exchange(Locator(Config(limits=UNLIMITED)).locate(url), b"GET", EMPTY, None, None, clock())
    acquire, release = pool.acquire, pool.release

    def take_and_give_back() -> None:
        exchange.connection = acquire(exchange, clock())
        release(exchange, None)

    yield take_and_give_back
    exchange.connection = acquire(exchange, clock())
    release(exchange, Why.CLIENT_CLOSE)


def ask(effort: Effort) -> Rows:
    """Measure the decision alone, then the pool's whole part."""
    rows = _measured("decided (PoolState)", {name: decision(*load) for name, load in LOADS.items()}, effort)
    with ExitStack() as stack:
        site = stack.enter_context(Site())
        pools = {name: stack.enter_context(blocking(site.url, *load)) for name, load in LOADS.items()}
        return rows | _measured("with lock, clock and probe (BlockingPool)", pools, effort)


def _measured(what: str, calls: Mapping[str, Call], effort: Effort) -> dict[str, dict[str, float | None]]:
    with no_garbage_collection():
        costs = in_turns(calls, rounds=effort.rounds, each=effort.requests)
    first = next(iter(costs.values()))
    return {
        f"{what}, beside {name}": {
            "us_call": median_us(own),
            "growth": median_ratio(own, first),
        }
        for name, own in costs.items()
    }


def main() -> None:
    """Measure and print."""
    program.main(ask, Effort(ROUNDS, CALLS), about=__doc__)


if __name__ == "__main__":
    main()
