"""What an event loop has to be able to do for connections: tell when a socket can be read or written.

Decides: that a loop which cannot is refused, before anything is dialled.
Knows: that Windows' ProactorEventLoop cannot. It reads ahead of whoever asks: bytes that nobody asked for could be on
    their way through it, unseen by every look at the idle connection, and be taken for the next response.
Does not know: connections.
"""

from __future__ import annotations

import asyncio

from keeppool.errors import LoopError


def check_watches_sockets(loop: asyncio.AbstractEventLoop) -> None:
    """Refuse an event loop that cannot watch sockets.

    Raises:
        LoopError: It cannot. Nothing was done.
    """
    if getattr(type(loop), "add_reader", None) in (None, asyncio.AbstractEventLoop.add_reader):
        raise LoopError(
            f"{type(loop).__name__} cannot tell when a socket can be read (add_reader); run tasks on another event "
            "loop, as in asyncio.Runner(loop_factory=asyncio.SelectorEventLoop)"
        )
