"""`--waterfall` and `--har`: what the command's pool did, in files.

Decides: that nothing is begun if they could not be written.
Knows: a recorder, where files go. Does not know: what is recorded.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from keeppool.cli.endings import UsageError
from keeppool.cli.sinks import try_writing
from keeppool.events import Event
from keeppool.har.files import is_stream
from keeppool.observe import Recorder


class Pictures:
    """The files that were asked for.

    Args:
        arguments: `waterfall`, and `har` where the verb has it: names of files, or `None`.
        title: What stands above the waterfall.

    Raises:
        UsageError: Nothing can be written there.
    """

    def __init__(self, arguments: Namespace, title: str) -> None:
        self._title = title
        self._waterfall: str | None = arguments.waterfall
        self._har: str | None = getattr(arguments, "har", None)
        self._recorder: Recorder | None = None
        for path in self._asked():
            _check(Path(path))

    def _asked(self) -> list[str]:
        return [path for path in (self._waterfall, self._har) if path is not None]

    def listener(self, also: Callable[[Event], None] | None = None) -> Callable[[Event], None] | None:
        """Give what a session is to tell: a recorder if a file was asked for, else what is told in any case."""
        if not self._asked():
            return also
        self._recorder = Recorder(also=also)
        return self._recorder

    def save(self) -> None:
        """Write the files.

        Raises:
            OSError: One could not be written.
        """
        if self._recorder is None:
            return
        if self._waterfall is not None:
            self._recorder.save_waterfall(self._waterfall, self._title)
        if self._har is not None:
            self._recorder.save_har(self._har)


def _check(path: Path) -> None:
    try:
        if path.is_dir():
            raise UsageError(f"cannot write to {path}: it is a folder")
        if is_stream(path):
            return  # Nothing is made beside it.
        path.parent.mkdir(parents=True, exist_ok=True)
        try_writing(path.parent)
    except OSError as error:
        raise UsageError(f"cannot write to {path}: {error.strerror}") from error
