"""`keeppool top`: another process's pool, live.

Decides: which key does what, and how it ends: with the process that is looked at, with `q`, or with Ctrl-C.
Knows: `observe.Remote`, the terminal. Does not know: how a frame is drawn (`top_view.py`), what its figures mean
    (`top_figures.py`).

Where standard output is no terminal, a table is written for each moment instead.
"""

from __future__ import annotations

import json
import sys
import time
from argparse import Namespace
from typing import Final

from rich.console import Console
from rich.live import Live

from keeppool.cli.console import shortened, standard_output
from keeppool.cli.endings import Exit, ended_by_signals
from keeppool.cli.keys import Keys, listening
from keeppool.cli.tokens import token_of
from keeppool.cli.top_feed import Feed
from keeppool.cli.top_figures import ORDERS, Frame, History, ordered
from keeppool.cli.top_view import Outlook, View
from keeppool.observe import Remote, RemoteError

#: Seconds a key may have to wait for what it changes: less than anyone notices.
_GLANCE: Final = 0.1
_STEPS: Final = {"up": -1, "k": -1, "down": 1, "j": 1}
_FAR: Final = 10**9


def run(arguments: Namespace) -> int:
    """Carry out the command.

    Raises:
        ConfigError, UsageError: The arguments are invalid; nobody was asked.
    """
    out = standard_output()
    with Remote(arguments.address, token_of(arguments.token_file)) as remote:
        try:
            feed = Feed(remote, arguments.interval)
        except RemoteError as error:
            sys.stderr.write(f"keeppool: {shortened(str(error), 500)}\n")
            return Exit.FAILED
        if arguments.once or arguments.json or not out.is_terminal or out.is_dumb_terminal:
            _write(out, feed, arguments)
        else:
            _Screen(out, feed, arguments).show()
    if feed.end is not None:
        sys.stderr.write(f"keeppool: {feed.told.program or 'the process'} (pid {feed.told.pid}) tells no more\n")
    return Exit.OK


def _write(out: Console, feed: Feed, arguments: Namespace) -> None:
    """Write a table, or a line of JSON, for each moment."""
    history, seen = History(), 0
    while feed.end is None:
        if feed.serial != seen:
            seen = feed.serial
            frame = history.frame(feed.told)
            out.file.write(_line(frame) if arguments.json else _table(frame))
            out.file.flush()
        if arguments.once:
            return
        time.sleep(arguments.interval)
        feed.ask()


def _line(frame: Frame) -> str:
    told = frame.told
    entry = {"at": told.at, "pid": told.pid, "program": told.program, "rate": frame.rate, "stats": told.stats.to_dict()}
    return json.dumps(entry | {"held": [one.as_dict() for one in told.held]}) + "\n"


def _table(frame: Frame) -> str:
    told = frame.told
    clock = time.strftime("%H:%M:%S", time.localtime(told.at))
    rate = "" if frame.rate is None else f"  {frame.rate:,.1f} requests/s"
    return f"{clock}  {shortened(told.program)} (pid {told.pid}){rate}\n{told.stats}\n\n"


class _Screen:
    """The live view: draws when there is something new, and does what keys ask for."""

    def __init__(self, out: Console, feed: Feed, arguments: Namespace) -> None:
        self._out = out
        self._feed = feed
        self._view = View(out, arguments.address)
        self._outlook = Outlook(order=arguments.sort)
        self._history = History()
        self._frame = self._history.frame(feed.told)
        self._seen = feed.serial
        self._has_changed = True

    def show(self) -> None:
        """Draw until a key or the other process ends it; the terminal is as it was afterwards."""
        live = Live(console=self._out, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
        self._feed.start()
        try:
            with ended_by_signals(), live, listening() as keys:
                self._loop(live, keys)
        finally:
            self._feed.stop()

    def _loop(self, live: Live, keys: Keys) -> None:
        size = self._out.size
        while self._feed.end is None:
            self._look()
            if self._has_changed or self._out.size != size:
                size = self._out.size
                live.update(self._view.draw(self._frame, self._history, self._outlook), refresh=True)
                self._has_changed = False
            key = keys.wait(_GLANCE)
            if key in ("q", "Q"):
                return
            if key is not None:
                self._pressed(key)
                self._has_changed = True

    def _look(self) -> None:
        """Take what is new."""
        feed, outlook = self._feed, self._outlook
        if outlook.notice != feed.notice:
            outlook.notice, self._has_changed = feed.notice, True
        if feed.serial == self._seen or outlook.paused:
            return
        self._seen = feed.serial
        self._frame = self._history.frame(feed.told)
        outlook.explained = feed.explained
        self._has_changed = True

    def _pressed(self, key: str) -> None:
        outlook = self._outlook
        if key in ("p", " "):
            outlook.paused = not outlook.paused
        elif key == "escape" or (key == "back" and outlook.inside):
            if not outlook.inside:
                outlook.chosen = None
            outlook.inside = False
            self._feed.subject = None
        elif key == "enter" and self._frame.lines:
            self._enter()
        elif not outlook.inside:
            self._move(key)

    def _move(self, key: str) -> None:
        """Sort in another way, or choose another host."""
        outlook, names = self._outlook, [line.name for line in ordered(self._frame, self._outlook.order)]
        if key == "s":
            orders = list(ORDERS)
            outlook.order = orders[(orders.index(outlook.order) + 1) % len(orders)]
            return
        page = self._view.rows_for_hosts()
        step = (_STEPS | {"page up": -page, "page down": page, "home": -_FAR, "end": _FAR}).get(key)
        if step is None or not names:
            return
        place = names.index(outlook.chosen) + step if outlook.chosen in names else 0
        outlook.chosen = names[min(max(place, 0), len(names) - 1)]

    def _enter(self) -> None:
        """Look at one host in depth, and have it asked about."""
        outlook = self._outlook
        names = [line.name for line in ordered(self._frame, outlook.order)]
        if outlook.chosen not in names:
            outlook.chosen = names[0]
        outlook.inside = True
        self._feed.subject = outlook.chosen
