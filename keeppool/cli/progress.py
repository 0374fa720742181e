"""What the verbs show while they run: a bar with rate, bytes and open sockets, or one with the time that is left.

Knows: rich, and the session's figures. Does not know: fetching, probing.
"""

from __future__ import annotations

import threading

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

from keeppool import Session
from keeppool.cli.fetch_tasks import LoopSession

#: Redraws a second: a change is seen at once, and each costs about a millisecond.
_REDRAWS = 8


class Meter:
    """Bytes of all bodies so far, of those that are still on their way too. Any thread may add."""

    __slots__ = ("_lock", "bytes")

    def __init__(self) -> None:
        self.bytes = 0
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        """Count bytes that arrived."""
        with self._lock:
            self.bytes += count


class Figures(ProgressColumn):
    """Rate, bytes and sockets.

    Args:
        session: Whose sockets are counted; what has the figures of one.
        meter: What has arrived.
    """

    def __init__(self, session: Session | LoopSession, meter: Meter) -> None:
        super().__init__()
        self._session = session
        self._meter = meter

    def render(self, task: Task) -> Text:
        """Draw the figures of this moment."""
        stats = self._session.stats()
        parts = [f"{task.speed or 0:.0f}/s", decimal(self._meter.bytes), f"sockets: {stats.open} ({stats.busy} busy)"]
        text = Text(" · ".join(parts), style="cyan")
        if failed := task.fields["failed"]:
            text.append(f" · {failed} failed", style="red")
        return text


def progress_bar(console: Console, session: Session | LoopSession, meter: Meter, *, shown: bool) -> Progress:
    """Make the bar of `keeppool fetch`; it is shown on a terminal only, and gone at the end."""
    figures = Figures(session, meter)
    columns = BarColumn(bar_width=24), MofNCompleteColumn(), figures, TimeElapsedColumn()
    return _bar(console, *columns, shown=shown)


def waiting_bar(console: Console) -> Progress:
    """Make a bar of seconds with a text beside it; it is shown on a terminal only, and gone at the end."""
    return _bar(console, BarColumn(bar_width=24), TextColumn("{task.description}", style="cyan"), shown=True)


def _bar(console: Console, *columns: ProgressColumn, shown: bool) -> Progress:
    """Make a bar.

    Rich would send what is written to standard output to this console as well; results may be going to a file.
    """
    return Progress(
        *columns,
        console=console,
        disable=not (shown and console.is_terminal),
        transient=True,
        refresh_per_second=_REDRAWS,
        redirect_stdout=False,
        redirect_stderr=False,
    )
