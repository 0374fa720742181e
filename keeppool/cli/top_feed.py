"""What another process tells, asked for again and again beside what is drawn.

Decides: which failures end it: the process has gone, or will never tell. One that only does not answer is waited for.
Waits: for the other process, in a thread of its own, so that keys are answered meanwhile.
"""

from __future__ import annotations

import threading
import time
from typing import Final

from keeppool.errors import Timeout
from keeppool.explanation import Explanation
from keeppool.observe import Remote, RemoteError, Told

#: What a process answers that has no time: its event loop is blocked.
_BUSY: Final = 503


class Feed:
    """Asks every `interval` seconds, from `start` on.

    Attributes:
        told: What was told last.
        serial: Counts what was told.
        notice: Why there is nothing newer, if so.
        subject: The host to ask about in depth; `None` for none. Whoever looks sets it.
        explained: What the process says of it.
        end: Why there will be nothing any more; `None` as long as there may be.
    """

    def __init__(self, remote: Remote, interval: float) -> None:
        self._remote = remote
        self._interval = interval
        self._stopped = threading.Event()
        self.told: Told = remote.told()
        self.serial = 1
        self.notice = ""
        self.subject: str | None = None
        self.explained: Explanation | None = None
        self.end: str | None = None

    def start(self) -> None:
        """Begin to ask. The thread ends with the process, or by `stop`."""
        threading.Thread(target=self._run, daemon=True, name="keeppool-top").start()

    def stop(self) -> None:
        """Ask no more."""
        self._stopped.set()

    def _run(self) -> None:
        due = time.monotonic()
        while self.end is None:
            due = max(due + self._interval, time.monotonic())
            if self._stopped.wait(due - time.monotonic()):
                return
            self.ask()

    def ask(self) -> None:
        """Ask once."""
        try:
            self.told = self._remote.told()
        except RemoteError as error:
            if error.status == _BUSY:
                self.notice = "its event loop is blocked"
            elif isinstance(error.__cause__, Timeout):
                self.notice = f"no answer since {time.strftime('%H:%M:%S', time.localtime(self.told.at))}"
            else:
                self.end = str(error)
            return
        self.explained = self._explanation()
        self.notice = ""
        self.serial += 1

    def _explanation(self) -> Explanation | None:
        subject = self.subject
        if subject is None:
            return None
        try:
            return self._remote.explain(subject)
        except RemoteError:
            return None  # Its name is no URL, such as that of what a proxy forwards; or there is no time for it.
