"""`Recorder`: collects events and lets a test wait for one.

Knows: the order in which events were delivered. Does not know: what they mean.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, TypeVar

_E = TypeVar("_E")


class Recorder:
    """Collects what it is called with. Any number of threads may call it, and any may read.

    Example:
        events = recorded_events()
        pool = PoolManager(on_event=events)
        ...
        closed = events.wait_for(ConnectionClosed)[0]
    """

    def __init__(self) -> None:
        self._events: list[Any] = []
        self._changed = threading.Condition()

    def __call__(self, event: object) -> None:
        """Record an event."""
        with self._changed:
            self._events.append(event)
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Any]:
        return iter(self.events)

    def __len__(self) -> int:
        return len(self._events)

    @property
    def events(self) -> list[Any]:
        """All events so far, in the order of their delivery."""
        with self._changed:
            return list(self._events)

    def of(self, kind: type[_E]) -> list[_E]:
        """Give the events of one class."""
        return [event for event in self.events if isinstance(event, kind)]

    def wait_for(self, kind: type[_E], n: int = 1, timeout: float = 5.0) -> list[_E]:
        """Wait until there are `n` events of a class.

        Args:
            kind: Their class.
            n: How many are waited for, those already recorded included.
            timeout: Seconds to wait at the most.

        Returns:
            All events of that class so far, `n` or more.

        Raises:
            TimeoutError: They did not come. The message lists the classes of those that did.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.of(kind)) >= n, timeout):
                came = ", ".join(type(event).__name__ for event in self._events) or "none"
                raise TimeoutError(f"waited {timeout} s for {n} {kind.__name__}; events so far: {came}")
            return self.of(kind)

    def clear(self) -> None:
        """Forget what was recorded."""
        with self._changed:
            self._events.clear()


def recorded_events() -> Recorder:
    """Give a new `Recorder`, to be passed as a pool's `on_event`."""
    return Recorder()
