"""Strikes with Ctrl-C while a request is sent in its waiting caller's place: nothing is asked twice, or mixed up.

Where it is not known any more whether the bytes have left, the caller is told and the connection closed. Behind that,
the answer is still the caller's.
"""

from __future__ import annotations

import asyncio
import sys

from asked_peer import AskedPeer, one_asks_and_one_waits
from loop_peer import until

from keeppool import Limits
from keeppool.pools.manager_tasks import AsyncPoolManager

#: What is called while a request is sent in its caller's place, once its bytes have left.
BEHIND = ("unbound", "expect", "guard")


class Strike:
    """Ctrl-C, once: before the bytes of a request leave, when they have, or where a function behind that begins.

    Args:
        at: "before", "after" or one of `BEHIND`.
    """

    def __init__(self, at):
        self._at = at
        self.is_done = False

    def into(self, stream):
        """Strike the sending of the second request over this connection."""
        begin = stream.begin

        def struck(data):
            if not data.startswith(b"GET /second"):
                return begin(data)
            if self._at in BEHIND:
                sys.setprofile(self._watch)
                return begin(data)
            if not self.is_done:
                self.is_done = True
                if self._at == "after":
                    begin(data)
                raise KeyboardInterrupt
            return begin(data)

        stream.begin = struck

    def _watch(self, frame, event, _):
        if event == "call" and frame.f_code.co_name == self._at:
            sys.setprofile(None)
            self.is_done = True
            raise KeyboardInterrupt


async def opened():
    return await AskedPeer().__aenter__(), AsyncPoolManager(Limits(per_host=1))


async def struck(peer, pool, strike, tasks):
    tasks += await one_asks_and_one_waits(peer, pool)
    (connection,) = pool._pool._state.everything()
    strike.into(connection.stream)
    peer.answer()
    await asyncio.wait(tasks)


async def afterwards(peer, pool, second):
    await asyncio.sleep(0)
    if not second.done():
        await peer.has_been_asked(2)
        peer.answer()
    await asyncio.wait([second])
    third = asyncio.create_task(pool.request("GET", f"{peer.url}/third"))
    await until(lambda: b"/third" in peer.asked)
    peer.answer()
    assert (await third).headers["x-target"] == "/third"
    await pool.aclose()
    await peer.__aexit__()


def main(at):
    loop = asyncio.new_event_loop()
    peer, pool = loop.run_until_complete(opened())
    tasks = []
    interrupts = 0
    strike = Strike(at)
    try:
        loop.run_until_complete(struck(peer, pool, strike, tasks))
    except KeyboardInterrupt:
        interrupts += 1
    first, second = tasks
    loop.run_until_complete(afterwards(peer, pool, second))
    assert strike.is_done, "never struck"
    assert interrupts == 1
    assert isinstance(first.exception(), KeyboardInterrupt)
    if at in BEHIND:
        assert second.result().headers["x-target"] == "/second"
    else:
        assert second.cancelled()
    assert peer.asked.count(b"/second") == int(at != "before"), peer.asked
    assert pool.stats().busy == 0
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


if __name__ == "__main__":
    main(sys.argv[1])
