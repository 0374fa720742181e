"""urllib3's host pools with our queue underneath: `HTTPConnectionPool`, `HTTPSConnectionPool`, and any subclass.

Decides: when a request goes out a second time beneath urllib3's `Retry` (the rules are `core/resend.py`'s), and when
    a connection counts as given back.
Knows: the order in which urllib3's `urlopen` calls `_get_conn`, `_prepare_proxy`, `_make_request`, `_validate_conn`
    and `_put_conn`. What `urlopen` itself does (retries, redirects, errors) stays as it is.
Does not know: who may have a connection; the lender's core decides.

The file is long, because one class of urllib3's is replaced whole.
"""

from __future__ import annotations

import ssl
import threading
import weakref
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import urllib3
from urllib3.connection import port_by_scheme
from urllib3.exceptions import ClosedPoolError, EmptyPoolError, FullPoolError

from keeppool.adapters.urllib3.bodies import prepared_body
from keeppool.adapters.urllib3.connection import LeanConnection, facts_of, lean_class
from keeppool.adapters.urllib3.lending import (
    Borrowing,
    LentStream,
    SlotPool,
    callers_place,
    may_be_repeated,
)
from keeppool.adapters.urllib3.response import ResponseFile
from keeppool.adapters.urllib3.slots import SlotQueue
from keeppool.adapters.urllib3.terms import Lender, PoolSize, refuse_own
from keeppool.clock import clock
from keeppool.config import Config, HostConfig, Limits, Timeout
from keeppool.core.origin import Proxy
from keeppool.core.records import State
from keeppool.errors import PoolClosed, PoolTimeout, QueueFull
from keeppool.events import Event
from keeppool.pools.routes import Route
from keeppool.reasons import Why
from keeppool.stats import Stats

#: `unused`: what the thread has borrowed last and not yet asked over. `is_unsafe`: what it is about to ask could not be
#: sent again.
_here = threading.local()


class HTTPConnectionPool(urllib3.HTTPConnectionPool):
    """urllib3's `HTTPConnectionPool`, over a capped pool that keeps no stale connection.

    Args:
        *args: urllib3's.
        limits: How many connections, and for how long; see docs/moving-from-urllib3.md for what `maxsize` and `block`
            mean beside it.
        hosts: What is different for some hosts, by pattern.
        config: Both in one, as `keeppool.load_config` returns it; an argument given beside it wins.
        on_event: Called with each `keeppool.events` event.
        **conn_kw: urllib3's.

    Raises:
        ConfigError: An argument is invalid.

    Thread safety: as urllib3's: any thread may call any method.
    """

    _lender: Lender
    _lending: SlotPool
    _route: Route
    _usual_wait: Timeout
    #: True if no other host pool shares the core.
    _is_alone: bool
    #: Closed connection objects, which can be connected again. urllib3 keeps them in its queue.
    _shells: list[Any]

    def __init__(
        self,
        *args: Any,
        limits: Limits | None = None,
        hosts: Mapping[str, HostConfig] | None = None,
        config: Config | None = None,
        on_event: Callable[[Event], None] | None = None,
        _lender: Lender | None = None,
        _pool_key: Hashable = None,
        **conn_kw: Any,
    ) -> None:
        refuse_own(type(self), conn_kw)
        super().__init__(*args, **conn_kw)
        slots: Any = self.pool
        maxsize = max(1, slots.maxsize)
        self._is_alone = _lender is None
        self._lender = _lender or Lender(limits, hosts, config, on_event, maxsize)
        self._lending = self._lender.pool
        self._route = self._find_route(_pool_key, maxsize)
        self._usual_wait = self._lender.wait(self.block, None)
        self._shells = []
        self.ConnectionCls = lean_class(self.ConnectionCls)
        slots.pool = weakref.ref(self)

    def stats(self) -> Stats:
        """Take a snapshot of the whole core: all host pools of a manager have one in common."""
        return self._lender.stats()

    def close(self) -> None:
        """Close idle connections now and busy ones when they come back; a later request gets ClosedPoolError."""
        if self.pool is None:
            return
        super().close()
        self._lending.close_idle(self._route.origin)
        if self._is_alone:
            self._lending.close()

    def urlopen(self, method: str, url: str, body: Any = None, *args: Any, **kw: Any) -> Any:
        """Send a request; see urllib3.

        Raises:
            urllib3.exceptions.UnrewindableBodyError: A redirect or a retry wants a body again that cannot be put back
                to its start.
        """
        # What `borrow` has to know, which urllib3 calls without a word about the request.
        _here.is_unsafe = not may_be_repeated(method, body, self._route.idempotent)
        try:
            return super().urlopen(method, url, prepared_body(body), *args, **kw)
        finally:
            _here.is_unsafe = False

    # The queue

    def _new_pool_queue(self, maxsize: int) -> Any:
        return SlotQueue(maxsize)

    #: For releases of urllib3 that make the queue from this alone.
    QueueCls: Any = SlotQueue

    def lent(self) -> int:
        """Count the connections of this host that are in somebody's hands."""
        return self._lending.lent(self._route.origin)

    def idle_conns(self) -> list[Any]:
        """List this host's idle connections, the one that will be used next at the end."""
        return self._lending.idle_conns(self._route.origin)

    def has_objects(self) -> bool:
        """Tell whether there is a connection's object to be taken, open or closed."""
        return bool(self._shells or self.idle_conns())

    def borrow(self, timeout: float | None = None) -> Any:
        """Take a connection; a new one is not connected yet.

        Args:
            timeout: Seconds to wait for it; `None` for the pool's own timeout.

        Raises:
            EmptyPoolError: No connection came free in time, or too many callers wait.
            ClosedPoolError: The pool is closed.
        """
        if self.pool is None:
            raise ClosedPoolError(self, "Pool is closed.")
        wait = self._usual_wait if timeout is None else self._lender.wait(self.block, timeout)
        borrowing = Borrowing(self._lending, self._route, wait)
        borrowing.is_unsafe = getattr(_here, "is_unsafe", False)
        try:
            connection = borrowing.connection = self._lending.lend(borrowing)
        except (PoolTimeout, QueueFull) as error:
            raise EmptyPoolError(self, f"Pool is empty: {error}") from error
        except PoolClosed as error:
            raise ClosedPoolError(self, "Pool is closed.") from error
        try:
            return self._outfit(borrowing, connection.stream)
        except BaseException as error:
            self._lending.give_up(borrowing, error)
            raise

    _get_conn = borrow

    def _outfit(self, borrowing: Borrowing, stream: Any) -> Any:
        """Give what was borrowed the shape of a urllib3 connection."""
        if self.pool is None:
            raise ClosedPoolError(self, "Pool is closed.")
        if stream is not None:
            conn, stream.conn = stream.conn, None
        else:
            conn = self._shells.pop() if self._shells else self._new_conn()
        conn.borrowing = borrowing
        _here.unused = weakref.ref(borrowing)
        return conn

    def take_back(self, conn: Any) -> None:
        """Take a connection back.

        Args:
            conn: A connection; `None` for one whose request has failed.

        Raises:
            FullPoolError: It never came from here, and the pool is a blocking one.
        """
        if conn is None:
            _give_up_unused()
            return
        borrowing = _borrowing_of(conn)
        if borrowing is None:
            self._turn_away(conn)
            return
        file = None if borrowing.file is None else borrowing.file()
        if borrowing.is_urlopens and isinstance(file, ResponseFile) and not file.is_complete and not file.closed:
            # `release_conn=True` with the body still to be read: it comes back when that is done.
            borrowing.is_urlopens = False
            file.when_closed(lambda: self.take_back(conn))
            return
        self._shelve(conn, borrowing, self._why_close(conn, borrowing, file))

    _put_conn = take_back

    def _turn_away(self, conn: Any) -> None:
        """Close a stranger. A connection that has come back before is somebody else's by now, and is left alone."""
        if "borrowing" not in vars(conn):
            conn.close()
            if self.block:
                raise FullPoolError(self, "Pool reached maximum size and no more connections are allowed.")

    def _why_close(self, conn: Any, borrowing: Borrowing, file: Any) -> Why | None:
        """Tell why a connection that comes back cannot be used again."""
        if self.pool is None or borrowing.generation != self._lending.generation:
            return Why.POOL_CLOSED
        if conn.sock is None:
            return borrowing.why or Why.BODY_UNREAD
        if borrowing.why is not None or borrowing.file is None:
            return borrowing.why
        if isinstance(file, ResponseFile):
            return file.why_close()
        borrowing.connection.read_at = clock()
        return None if file is not None and file.isclosed() else Why.BODY_UNREAD

    def _shelve(self, conn: Any, borrowing: Borrowing, why: Why | None) -> None:
        """Give a connection back to the core; closed, its object is kept to be connected again."""
        conn.borrowing = None
        connection = borrowing.connection
        if why is None and connection.state is State.BUSY:
            # From the release on it may be another thread's.
            assert isinstance(connection.stream, LentStream), "bug: a loan of another pool's"
            connection.stream.conn = conn
            self._lending.release(borrowing, None)
            return
        if connection.state is State.BUSY:
            self._lending.release(borrowing, why)
        else:
            self._lending.give_up(borrowing)
        if conn.sock is not None or self.pool is None:
            conn.close()
        self._shells.append(conn)

    # Dialling

    def _prepare_proxy(self, conn: Any) -> None:
        """Dial, and have the proxy open a tunnel."""
        self._dial(conn, lambda: super(HTTPConnectionPool, self)._prepare_proxy(conn))

    def _validate_conn(self, conn: Any) -> None:
        """Dial, if that has still to be done, before urllib3 looks at the connection."""
        borrowing = _borrowing_of(conn)
        if borrowing is not None:
            if conn.sock is None:
                self._dial(conn, conn.connect)
            borrowing.begin(borrowing.connection, clock())
        super()._validate_conn(conn)

    def _dial(self, conn: Any, connect: Callable[[], None]) -> None:
        borrowing = _borrowing_of(conn)
        if borrowing is None:
            connect()
            return
        began = clock()
        try:
            connect()
        except BaseException as error:
            self._lending.dial_failed(borrowing, error, began)
            self._fail(conn, borrowing, error)
            raise
        try:
            self._lending.dialled(
                borrowing, conn.sock, began, is_http1=isinstance(conn, LeanConnection) and conn.is_lean
            )
        except PoolClosed as error:
            raise ClosedPoolError(self, "Pool is closed.") from error

    # Asking

    def _make_request(self, conn: Any, method: str, url: str, *args: Any, **options: Any) -> Any:
        """Ask once; a second time on a new connection, where the first one turned out stale and it does no harm."""
        borrowing = _borrowing_of(conn)
        if borrowing is None:
            return super()._make_request(conn, method, url, *args, **options)
        _here.unused = None
        borrowing.asks(method, url, args[0] if args else options.get("body"))
        removed = getattr(options.get("retries"), "remove_headers_on_redirect", None)
        borrowing.hides_credentials = removed is None or "proxy-authorization" in removed
        total = getattr(options.get("timeout"), "total", None)
        borrowing.deadline = clock() + total if isinstance(total, (int, float)) else None
        borrowing.is_urlopens = options.get("response_conn") is None
        try:
            try:
                response = self._attempt(conn, borrowing, method, url, *args, **options)
                if response is not None:
                    return response
            except Exception as error:
                if not (borrowing.has_begun and _is_close(error) and borrowing.may_resend(borrowing.closed())):
                    raise
            self._redial(conn, borrowing, options.get("timeout"))
            return self._attempt(conn, borrowing, method, url, *args, **options)
        except BaseException as error:
            self._fail(conn, borrowing, error)
            raise

    def _attempt(self, conn: Any, borrowing: Borrowing, *request: Any, **options: Any) -> Any:
        """Ask; `None` if the response is a 408 that only says that the connection was silent for too long."""
        began = clock()
        response: Any = super()._make_request(conn, *request, **options)
        original = getattr(response, "_original_response", None)
        # HTTP/2, which urllib3 speaks only on request, has no such thing.
        borrowing.file = None if original is None else weakref.ref(original)
        if not isinstance(original, ResponseFile):
            if not isinstance(conn, LeanConnection):
                headers = options.get("headers") or {}
                borrowing.says(**facts_of(headers.items()))
            borrowing.answered_elsewhere(response)
        elif response.status == 408 and borrowing.is_late_408(clock()):
            response._connection = None
            return None
        self._lending.hold_if_told(borrowing, response)
        if self._lending.is_heard:
            self._lending.report_answer(borrowing, response.status, clock() - began)
        if not borrowing.is_urlopens:
            _let_go(response, original, borrowing)
        return response

    def _redial(self, conn: Any, borrowing: Borrowing, timeout: Any) -> None:
        """Replace a stale connection by a new one in the same slot, which urllib3 dials."""
        borrowing.resend()
        tunnelled = conn.proxy_is_tunneling
        borrowing.connection = self._lending.redial(borrowing)
        conn.close()
        if tunnelled:
            limit = self._get_timeout(timeout).connect_timeout
            conn.timeout = urllib3.Timeout.resolve_default_timeout(limit)
            self._prepare_proxy(conn)

    def _fail(self, conn: Any, borrowing: Borrowing, error: BaseException) -> None:
        """Give the slot of a request back that `error` has ended.

        The socket is closed before that, the connection itself is not: `urlopen` has still to see how far it came.
        """
        if conn.borrowing is borrowing:
            conn.borrowing = None
            if borrowing.connection.state is State.CONNECTING and conn.sock is not None:
                conn.sock.close()
            self._lending.give_up(borrowing, error)

    # Where it leads

    def _find_route(self, key: Hashable, maxsize: int) -> Route:
        scheme = self.scheme or "http"
        port = self.port or port_by_scheme.get(scheme, 0)
        proxy = self._find_proxy()
        is_forwarding = proxy is not None and (proxy.host, proxy.port) == (self.host, port)
        size = PoolSize(maxsize, self.block, is_forwarding)
        return self._lender.route(scheme, self.host, port, proxy, key, size)

    def _find_proxy(self) -> Proxy | None:
        """Name what the connections go through, for the cap they share."""
        socks = self.conn_kw.get("_socks_options")
        if socks is not None:
            return Proxy(scheme="socks5", host=socks["proxy_host"], port=int(socks["proxy_port"] or 1080))
        if self.proxy is None:
            return None
        scheme = self.proxy.scheme or "http"
        host = (self.proxy.host or "").strip("[]")
        return Proxy(scheme=scheme, host=host, port=self.proxy.port or port_by_scheme[scheme])


class HTTPSConnectionPool(HTTPConnectionPool, urllib3.HTTPSConnectionPool):
    """urllib3's `HTTPSConnectionPool`; see `HTTPConnectionPool` for what is new."""


def _borrowing_of(conn: Any) -> Borrowing | None:
    """Tell what a connection was lent for; `None` if we have not lent it."""
    borrowing = getattr(conn, "borrowing", None)
    return borrowing if isinstance(borrowing, Borrowing) else None


def _give_up_unused() -> None:
    """Take back what this thread has borrowed and never asked over; after asking, `_make_request` has done it."""
    unused: weakref.ref[Borrowing] | None = getattr(_here, "unused", None)
    borrowing = None if unused is None else unused()
    if borrowing is not None:
        borrowing.pool.give_up(borrowing)


def _let_go(response: Any, original: Any, borrowing: Borrowing) -> None:
    """Give the connection back before the body is asked for, if all of it has come; otherwise note who has it."""
    if isinstance(original, ResponseFile) and original.is_complete:
        response.release_conn()
    else:
        borrowing.place = callers_place()
        borrowing.connection.unread = borrowing.connection.generation, borrowing.place


def _is_close(error: BaseException) -> bool:
    """Tell whether an error means that the other side has hung up."""
    return isinstance(error, (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError))
