"""An asyncio loop on a thread of its own, for servers that run beside blocking test code.

Knows: starting, handing coroutines over, stopping without leaving anything behind.
Does not know: what runs on it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")

#: Seconds after which a call from outside gives up. Nothing handed over waits for a client; this bounds a bug.
_CALL_LIMIT_S = 10.0


class LoopThread:
    """Runs one loop on one daemon thread until `close`.

    Args:
        name: The thread's name, as it shows in a debugger.
    """

    def __init__(self, name: str) -> None:
        #: What went wrong on the loop outside of any call.
        self.errors: list[BaseException] = []
        self.loop = asyncio.SelectorEventLoop()
        self.loop.set_exception_handler(self._remember)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def call(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine on the loop and wait for its result.

        Raises:
            RuntimeError: Called on the loop's own thread, where waiting would never end.
            TimeoutError: It took longer than ten seconds.
        """
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise RuntimeError("a handler runs on the site's own thread and cannot wait for the site")
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(_CALL_LIMIT_S)

    def close(self) -> None:
        """Stop the loop and join its thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(_CALL_LIMIT_S)

    def _run(self) -> None:
        try:
            self.loop.run_forever()
        finally:
            self.loop.close()

    def _remember(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.errors.append(error if isinstance(error, BaseException) else RuntimeError(context["message"]))
