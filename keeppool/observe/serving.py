"""`serve`: a running program tells its pool to those who ask on a socket.

    observe.serve(session, "/run/user/1000/crawl.sock")         then: keeppool top /run/user/1000/crawl.sock
    observe.serve(session, ("127.0.0.1", 0))                    then: its .address, and its .token

What is spoken is HTTP, so anything can ask: `curl --unix-socket PATH http://localhost/stats`.

Decides: who is answered: on a Unix socket whoever may open it, that is its owner; on a port, who knows the token.
Knows: a session's or pool manager's `stats`, `held` and `explain`; the standard library's parser of requests.
Does not know: what becomes of the figures. No URL, no header field and no credentials are in what is told.

Source: RFC 6750 §2.1 (bearer tokens).
"""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import secrets
import selectors
import socket
import sys
import threading
import time
import weakref
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import parse_qs, urlsplit

from keeppool import forks
from keeppool._version import __version__
from keeppool.checks import bad
from keeppool.closing import Closing
from keeppool.errors import InvalidRequest, LoopError
from keeppool.explanation import Explanation
from keeppool.observe.sockets import listen_at, listen_on, removed
from keeppool.stats import SCHEMA, Held, Stats

#: Askers at one time. Somebody who looks needs one; a bound, because each of them is a thread.
MOST_ASKERS: Final = 8
#: Seconds an asker may be silent before its connection is closed; it may come again.
_PATIENCE: Final = 30.0
#: Seconds `close` waits until everybody has been hung up on, which takes a millisecond.
_END: Final = 1.0
#: Connections told of by `/stats`, the longest held first.
_MOST_HELD: Final = 20
#: Bytes of a generated token: as many as make guessing hopeless.
_TOKEN_BYTES: Final = 24

#: Everything of this process that listens, for life after fork.
_serving: weakref.WeakSet[Serving] = weakref.WeakSet()


class Watched(Protocol):
    """What can be served: a session or a pool manager, for threads or for tasks."""

    def stats(self) -> Stats:
        """Take a snapshot; from any thread."""

    def explain(self, url: str) -> Explanation:
        """Tell which entry decides what for a URL; from any thread."""


def serve(watched: Watched, address: str | os.PathLike[str] | tuple[str, int], *, token: str | None = None) -> Serving:
    """Tell a session's pool to those who ask, from now on until the session or what is returned is closed or gone.

    Args:
        watched: A session or pool manager, for threads or for tasks. It is held weakly: it need not be kept alive for
            those who look at it.
        address: The path of a Unix socket, which is made with mode 0600; a file left by a process that has ended is
            replaced. Or a loopback address and a port, 0 for a free one.
        token: What an asker on a port has to know; made if it is not given. A Unix socket needs none.

    Returns:
        What listens; it may be closed, and need not be kept.

    Raises:
        ConfigError: The address is no loopback address, or the token is empty or has characters no header field can.
        OSError: Somebody listens there already, or the path or port cannot be used.

    A forked child does not go on listening.
    """
    if not callable(getattr(watched, "stats", None)):
        raise bad("watched", watched, "must be a session or a pool manager, and comes first")
    if isinstance(address, tuple):
        secret = secrets.token_urlsafe(_TOKEN_BYTES) if token is None else token
        if not isinstance(secret, str) or not secret.isascii() or not secret.isprintable() or not secret.strip():
            raise bad("token", "***", "must be printable ASCII and not empty")
        listener = listen_on(*address)
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return Serving(watched, listener, shown, secret, None)
    path = os.fspath(address) if isinstance(address, (str, os.PathLike)) else None
    if not isinstance(path, str) or not path:
        raise bad("address", address, "must be the path of a Unix socket, or a pair such as ('127.0.0.1', 9000)")
    listener, file = listen_at(path)
    return Serving(watched, listener, path, None, file)


class Serving(Closing):
    """Listens, and answers whoever asks, in threads of its own. Made by `serve`; a context manager.

    Attributes:
        address: The path, or host and port as `keeppool top` takes them.
        token: What an asker on a port has to know; `None` on a Unix socket.

    Thread safety: any thread.
    """

    def __init__(
        self,
        watched: Watched,
        listener: socket.socket,
        address: str,
        token: str | None,
        file: os.stat_result | None,
    ) -> None:
        self.address = address
        self.token = token
        self._listener = listener
        self._bell, self._rope = socket.socketpair()
        self._rope.setblocking(False)
        #: Connections of askers; what has no other holder is closed by its own thread.
        self._askers: set[socket.socket] = set()
        self._watched = weakref.ref(watched, _ringing(self._rope))
        self._end = weakref.finalize(self, _ended, os.getpid(), self._rope, address, file)
        _serving.add(self)
        self._thread = threading.Thread(target=_accept, args=(self,), daemon=True, name=f"keeppool-observe {address}")
        self._thread.start()

    def close(self) -> None:
        """Listen no more, and hang up on who asks. Twice does no harm."""
        self._end()
        if threading.current_thread() is not self._thread:
            self._thread.join(_END)

    def __repr__(self) -> str:
        return f"<Serving at {self.address}{'' if self._end.alive else ', closed'}>"

    def _answer(self, path: str) -> tuple[int, dict[str, Any]]:
        """Give the status and the content for a request target."""
        watched = self._watched()
        if watched is None:
            return 410, {"error": "the session is gone"}
        target = urlsplit(path)
        try:
            if target.path == "/stats":
                return 200, _told(watched)
            if target.path == "/explain":
                return 200, watched.explain(parse_qs(target.query).get("url", [""])[0]).to_dict()
        except LoopError as error:
            return 503, {"error": str(error)}
        except InvalidRequest as error:
            return 400, {"error": str(error)}
        return 404, {"error": "there are /stats and /explain?url=URL"}

    def _is_allowed(self, authorization: str | None) -> bool:
        """Tell whether an asker may know; compared in constant time."""
        if self.token is None:
            return True
        scheme, _, given = (authorization or "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self.token.encode())

    def _serve_one(self, asker: socket.socket) -> None:
        """Answer one asker until it hangs up."""
        try:
            with contextlib.suppress(OSError):
                _Handler(asker, ("", 0), self)  # type: ignore[arg-type]  # only what is read of a server
        finally:
            self._askers.discard(asker)
            asker.close()

    def _admit(self) -> None:
        """Take in one who asks, in a thread of its own; who is one too many is hung up on."""
        try:
            asker, _ = self._listener.accept()
        except OSError:
            return  # It has hung up already, or there is no descriptor left for it.
        if len(self._askers) >= MOST_ASKERS:
            asker.close()
            return
        self._askers.add(asker)
        threading.Thread(target=self._serve_one, args=(asker,), daemon=True, name="keeppool-observe asker").start()

    def _wait(self) -> bool:
        """Wait for somebody who asks; False when it is time to end."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._bell, selectors.EVENT_READ)
            return all(key.fileobj is not self._bell for key, _ in selector.select())

    def _hang_up(self) -> None:
        """Close what is open: in the end, or in a forked child, whose copies are no use to anybody."""
        for one in (self._listener, self._bell, self._rope, *self._askers):
            with contextlib.suppress(OSError):
                one.close()


def _accept(serving: Serving) -> None:
    """Take in who asks, until the bell rings."""
    try:
        while serving._wait():
            serving._admit()
    finally:
        serving.close()
        for asker in list(serving._askers):
            with contextlib.suppress(OSError):
                asker.shutdown(socket.SHUT_RDWR)  # Its thread waits in a read, which `close` would not end.
        serving._hang_up()


def _ended(pid: int, rope: socket.socket, address: str, file: os.stat_result | None) -> None:
    """Ring the bell, and remove the file; not from a forked child, whose parent goes on."""
    if os.getpid() != pid:
        return
    if file is not None:
        removed(address, file)
    _ring(rope)


def _ringing(rope: socket.socket) -> Any:
    """Make what is called when the session is gone; from a finalizer, so it only rings."""
    return lambda _: _ring(rope)


def _ring(rope: socket.socket) -> None:
    with contextlib.suppress(OSError):
        rope.send(b"\0")


def _after_fork() -> None:
    for serving in list(_serving):
        serving._hang_up()
    _serving.clear()


forks.in_child(_after_fork)


def _told(watched: Watched) -> dict[str, Any]:
    """Put together what `/stats` tells: the figures, and whose they are."""
    held: Any = getattr(watched, "held", None) or watched.pool.held  # type: ignore[attr-defined]  # a session's
    longest: list[Held] = held(_MOST_HELD)
    return {
        "schema": SCHEMA,
        "at": time.time(),
        "process": {"pid": os.getpid(), "program": Path(sys.argv[0]).name if sys.argv else "", "keeppool": __version__},
        "stats": watched.stats().to_dict(),
        "held": [one.as_dict() for one in longest],
    }


class _Handler(BaseHTTPRequestHandler):
    """Reads requests and writes responses; the standard library's parser does the work."""

    protocol_version = "HTTP/1.1"
    timeout = _PATIENCE
    server: Any

    def do_GET(self) -> None:
        serving: Serving = self.server
        if serving._is_allowed(self.headers.get("Authorization")):
            status, told = serving._answer(self.path)
        else:
            status, told = 401, {"error": "the token is missing or wrong"}
        body = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        if status == 401:
            self.send_header("WWW-Authenticate", "Bearer")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Write nothing to standard error: the program's output is its own."""

    def version_string(self) -> str:
        return f"keeppool/{__version__}"
