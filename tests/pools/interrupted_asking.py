"""Strikes with Ctrl-C while a request is sent in its waiting caller's place, before its bytes have left or after.

Whether they have is not known any more: the caller is told, the connection closed, and nothing asked twice.
"""

from __future__ import annotations

import asyncio
import sys

from asked_peer import AskedPeer, one_asks_and_one_waits
from loop_peer import until

from keeppool import Limits
from keeppool.pools.tasks import AsyncPoolManager


def interrupted(begin, has_left):
    """Make of a channel's `begin` one that is interrupted once."""

    def strike(data):
        if data.startswith(b"GET /second") and not struck:
            struck.append(has_left and begin(data))
            raise KeyboardInterrupt
        return begin(data)

    struck = []
    return strike


async def opened():
    return await AskedPeer().__aenter__(), AsyncPoolManager(Limits(per_host=1))


async def struck(peer, pool, has_left, tasks):
    tasks += await one_asks_and_one_waits(peer, pool)
    (connection,) = pool._pool._state.everything()
    connection.stream.begin = interrupted(connection.stream.begin, has_left)
    peer.answer()
    await asyncio.wait(tasks)


async def afterwards(peer, pool, second):
    await asyncio.wait([second])
    third = asyncio.create_task(pool.request("GET", f"{peer.url}/third"))
    await until(lambda: b"/third" in peer.asked)
    peer.answer()
    assert (await third).headers["x-target"] == "/third"
    await pool.aclose()
    await peer.__aexit__()


def main(has_left):
    loop = asyncio.new_event_loop()
    peer, pool = loop.run_until_complete(opened())
    tasks = []
    interrupts = 0
    try:
        loop.run_until_complete(struck(peer, pool, has_left, tasks))
    except KeyboardInterrupt:
        interrupts += 1
    first, second = tasks
    loop.run_until_complete(afterwards(peer, pool, second))
    assert interrupts == 1
    assert second.cancelled()
    assert isinstance(first.exception(), KeyboardInterrupt)
    assert peer.asked.count(b"/second") == int(has_left), peer.asked
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


if __name__ == "__main__":
    main(sys.argv[1] == "1")
