"""Where a program that tells its pools listens: a Unix socket that is its owner's alone, or a loopback port.

Decides: when a file that is there already may be replaced: if it is a socket and nobody answers on it.
Knows: sockets and files; that Windows' Python has neither Unix sockets nor `flock`. Does not know: what is told.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import secrets
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from keeppool.checks import bad

try:
    import fcntl
except ImportError:  # Windows
    _HAS_THEM = False
else:
    _HAS_THEM = hasattr(socket, "AF_UNIX")

#: A few who look at once; who comes when all are waiting is refused by the system.
_BACKLOG: Final = 8
#: Read and write for the owner, nothing for anybody else: to connect takes the right to write.
_OWNERS: Final = 0o600
#: How often the folder's lock is tried for, and the seconds between two tries. Who holds it needs a millisecond; it is
#: not waited for without end, because whoever may read the folder may lock it.
_TRIES: Final = 200
_PAUSE: Final = 0.01
#: Errors that name the path by themselves.
_OURS: Final = (errno.EEXIST, errno.EADDRINUSE, errno.EAGAIN)


def listen_at(path: str) -> tuple[socket.socket, os.stat_result]:
    """Listen on a Unix socket.

    It is made under another name beside, and gets its own when it listens and is its owner's alone. So nobody can come
    in before, and a socket found there on which nobody answers is one that was left behind.

    Args:
        path: Where. A socket that is there and on which nobody answers is replaced.

    Returns:
        The socket, and what its file is, so that no other one is taken for it later.

    Raises:
        OSError: Somebody listens there, or something else than a socket is there, or the path cannot be used.
        ConfigError: The system has no Unix sockets.
    """
    if not _HAS_THEM:
        raise bad("address", path, 'cannot be used: Python has no Unix sockets on this system; give ("127.0.0.1", 0)')
    made = str(Path(path).parent / f".{secrets.token_hex(4)}")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if _answers(path):
            raise _taken(path)
        listener.bind(made)
        Path(made).chmod(_OWNERS)
        listener.listen(_BACKLOG)
        file = os.lstat(made)
        _put(made, path)
    except OSError as error:
        listener.close()
        if error.errno in _OURS:
            raise
        raise OSError(error.errno or errno.EINVAL, f"cannot listen at {path!r}: {error.strerror or error}") from None
    finally:
        Path(made).unlink(missing_ok=True)
    return listener, file


def listen_on(host: str, port: int) -> socket.socket:
    """Listen on a loopback port; 0 takes a free one.

    Raises:
        ConfigError: The host is no loopback address.
        OSError: The port is taken.
    """
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        raise bad("address", host, "must be a loopback address, such as 127.0.0.1") from None
    if not address.is_loopback:
        raise bad("address", host, "must be a loopback address: what is told is for this machine")
    return socket.create_server(
        (str(address), port),
        family=socket.AF_INET6 if address.version == 6 else socket.AF_INET,
        backlog=_BACKLOG,
    )


def is_same(path: str, file: os.stat_result) -> bool:
    """Tell whether a path still is this file."""
    try:
        now = os.lstat(path)
    except OSError:
        return False
    return (now.st_dev, now.st_ino) == (file.st_dev, file.st_ino)


def removed(path: str, file: os.stat_result) -> None:
    """Remove a socket's file, unless it is another one by now."""
    if is_same(path, file):
        with contextlib.suppress(OSError):
            Path(path).unlink()


def _put(made: str, path: str) -> None:
    """Give the socket its name, which nothing may have but a socket that was left behind; that one is removed.

    One process at a time removes: another's, put there since the look, is not taken for the one that was left.

    Raises:
        OSError: Somebody answers, or it is no socket.
    """
    try:
        os.link(made, path)
    except FileExistsError:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise OSError(errno.EEXIST, f"there is a file that is no socket, which stays: {path!r}") from None
        with _alone_in(Path(path).parent):
            if _answers(path):
                raise _taken(path) from None
            Path(path).unlink(missing_ok=True)
            try:
                os.link(made, path)
            except FileExistsError:
                raise _taken(path) from None


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold a folder's lock, which goes with the process that holds it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        for _ in range(_TRIES):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(_PAUSE)
        else:
            raise OSError(errno.EAGAIN, f"another process holds a lock on the folder {str(folder)!r}")
        yield
    finally:
        os.close(descriptor)


def _answers(path: str) -> bool:
    """Tell whether somebody listens; one whose queue is full does too.

    Raises:
        OSError: Nobody could: the path is too long.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError as error:
            if error.errno is None:  # It is too long, in Python's own words.
                raise
        return True


def _taken(path: str) -> OSError:
    return OSError(errno.EADDRINUSE, f"a process listens there already: {path!r}")
