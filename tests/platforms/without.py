"""Runs pytest in a process that lacks what other operating systems lack.

    python -m tests.platforms.without everything tests/core tests/wire
    python -m tests.platforms.without select.poll,fork tests/platforms

What is taken away is gone before keeppool is imported, and stays with the standard library's own use of it as far as
that was imported before. `THINGS` has the names; `everything` is all of them.

Also: a process without these is no Windows, whose sockets and files differ in more than what is there.
"""

from __future__ import annotations

import asyncio
import concurrent.futures.thread
import http.server
import logging
import multiprocessing
import os
import random
import select
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from types import ModuleType

import hypothesis.entry_points
import pytest

#: Imported before anything is taken away: what they do at their import is no concern of keeppool's.
_EARLY = (
    concurrent.futures.thread,
    http.server,
    hypothesis,
    logging,
    multiprocessing,
    random,
    shutil,
    subprocess,
    tempfile,
)

_PLUGINS = ("-p", "pytest_timeout", "-p", "_hypothesis_pytestplugin", "-p", "no:cacheprovider")

_Taking = Callable[[], None]


def _names(module: ModuleType | type, *names: str) -> _Taking:
    def take() -> None:
        for name in names:
            if hasattr(module, name):
                delattr(module, name)

    return take


def _modules(*names: str) -> _Taking:
    def take() -> None:
        for name in names:
            sys.modules[name] = None  # type: ignore[assignment]  # what makes an import fail

    return take


def _all(*takings: _Taking) -> _Taking:
    def take() -> None:
        for taking in takings:
            taking()

    return take


def _no_selectors() -> None:
    for name in ("EpollSelector", "KqueueSelector", "DevpollSelector", "PollSelector"):
        _names(selectors, name)()
    selectors.DefaultSelector = selectors.SelectSelector  # type: ignore[misc]


def _pair_over_tcp(*_: object) -> tuple[socket.socket, socket.socket]:
    """What `socket.socketpair` is where there are no Unix sockets."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        return one, listener.accept()[0]


def _no_unix_sockets() -> None:
    _names(socket, "AF_UNIX")()
    socket.socketpair = _pair_over_tcp  # type: ignore[assignment]
    for name in ("create_unix_connection", "create_unix_server"):  # asyncio's base class says NotImplementedError
        _names(asyncio.SelectorEventLoop, name)()


#: What is not everywhere, by the name a run chooses it by.
THINGS: dict[str, _Taking] = {
    "select.poll": _all(_names(select, "poll", "epoll", "kqueue", "devpoll"), _no_selectors),
    "POLLRDHUP": _names(select, "POLLRDHUP"),
    "poll's names": _names(select, "POLLIN", "POLLPRI", "POLLOUT", "POLLNVAL", "POLLERR", "POLLHUP"),
    "kernel timers": _names(socket, "SO_RCVTIMEO", "SO_SNDTIMEO"),
    "MSG_DONTWAIT": _names(socket, "MSG_DONTWAIT", "MSG_NOSIGNAL"),
    "CLOCK_BOOTTIME": _names(time, "CLOCK_BOOTTIME"),
    "clock_gettime": _names(time, "clock_gettime", "clock_gettime_ns", "CLOCK_MONOTONIC", "CLOCK_REALTIME"),
    "fork": _names(os, "fork", "forkpty", "register_at_fork"),
    "AF_UNIX": _no_unix_sockets,
    "TCP options": _names(
        socket, "TCP_KEEPIDLE", "TCP_KEEPALIVE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT", "TCP_INFO"
    ),
    "signals": _all(
        _names(signal, "SIGPIPE", "SIGWINCH", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGCHLD", "SIGALRM", "setitimer"),
        _names(signal, "pthread_sigmask", "pthread_kill"),
        _names(asyncio.SelectorEventLoop, "add_signal_handler", "remove_signal_handler"),
    ),
    "ctypes": _modules("ctypes", "_ctypes"),
    "modules": _modules("fcntl", "termios", "tty", "pty", "resource", "pwd", "grp", "curses", "readline", "syslog"),
}


def take_away(chosen: str) -> None:
    """Take away things by their names, with commas between them; `everything` is all."""
    for name in THINGS if chosen == "everything" else chosen.split(","):
        THINGS[name]()


def main() -> int:
    """Take away what the first argument says, and run pytest with the others."""
    take_away(sys.argv[1])
    assert "keeppool" not in sys.modules, "bug: keeppool was imported before"
    # Other plugins that are installed import what may need what is gone.
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    return pytest.main(["-q", *_PLUGINS, *sys.argv[2:]])


if __name__ == "__main__":
    sys.exit(main())
