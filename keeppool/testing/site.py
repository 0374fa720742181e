"""`Site`, an embedded HTTP/1.x server on one address, and `Sites`, any number of them on one thread.

Decides: who accepts, which answer a request gets (handler, then route, then behaviour), how everything ends.
Knows: listening sockets, the loop's thread. Does not know: bytes on a connection (`connection.py`).

Linux answers on all of 127.0.0.0/8, so each site can be a host of its own; elsewhere only 127.0.0.1 may be there.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from keeppool.errors import quoted
from keeppool.testing.behaviour import Behaviour
from keeppool.testing.connection import Connection
from keeppool.testing.loop import LoopThread
from keeppool.testing.messages import Answer, Request
from keeppool.testing.routes import encode, route
from keeppool.testing.tally import Tally

#: Takes a request; gives a response, or `None` to leave it to the routes. Runs on the sites' one thread: never block.
Handler = Callable[[Request], Answer | None]

#: Connections the system may hold ready for a site; more than any test dials before the loop accepts.
_BACKLOG = 1024
#: Seconds to wait for the client's close_notify after ours; a client in a test may never look at its idle connection.
_TLS_CLOSE_LIMIT_S = 1.0
#: Turns of the loop that closing connections get to finish; a plain one needs one turn, TLS a few.
_CLOSING_TURNS = 20


class Site(Tally):
    """An embedded HTTP/1.x server. Use it as a context manager, or `start` and `close` it.

    It answers, in this order: what `handler` says; `/bytes/N` (N bytes), `/status/N`, `/echo` (the request as JSON:
    method, target, headers, body as Latin-1 text, connection), `/redirect/N` (N redirects, then 200; `?status=307`,
    `?to=URL` for the last), `/slow/SECONDS`, `/gzip` and `/deflate` (10,000 bytes, compressed),
    `/cookies/set?name=value` and `/cookies` (the received ones as JSON), `/stream/N` (N chunks of one line each,
    `?pause=SECONDS` between them); and every other path with `behaviour.status` and `behaviour.body`.

    The counts (`opened`, `peak_open`, `executed`, …) and `wait_for` are described in `Tally`.

    Args:
        behaviour: How it behaves; persistent HTTP/1.1 without hints if not given. May be replaced at any time.
        host: Loopback address to listen on.
        port: Port; 0 lets the system choose one.
        tls: A server's `ssl.SSLContext` to speak HTTPS.
        handler: Answers requests of its own choice. What it raises becomes a 500, and is raised again at the end of
            the `with` block.
        sites: Whose thread to run on; one of its own if not given.
        manners: The former name of `behaviour`.

    Raises:
        OSError: From `start`: the address is not there or the port is taken. Nothing was started.
    """

    def __init__(
        self,
        behaviour: Behaviour | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        handler: Handler | None = None,
        sites: Sites | None = None,
        manners: Behaviour | None = None,
    ) -> None:
        super().__init__()
        self.host = host
        self.port = port
        self.handler = handler
        self._tls = tls
        self._own = sites is None
        self._sites = sites or Sites()
        self._listener: socket.socket | None = None
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._paused = False
        self._held: list[tuple[Connection, Request, Answer]] = []
        self.behaviour = behaviour or manners or Behaviour()

    @property
    def behaviour(self) -> Behaviour:
        """How the site behaves from the next request on."""
        return self._behaviour

    @behaviour.setter
    def behaviour(self, behaviour: Behaviour) -> None:
        default = Answer(status=behaviour.status, body=behaviour.payload)
        self._default = encode(default, behaviour.coding) if behaviour.coding else default
        self.is_impatient = behaviour.hint_timeout is not None or behaviour.drop_idle_s is not None
        self._behaviour = behaviour

    @property
    def manners(self) -> Behaviour:
        """The former name of `behaviour`."""
        return self.behaviour

    @manners.setter
    def manners(self, manners: Behaviour) -> None:
        self.behaviour = manners

    @property
    def url(self) -> str:
        """Scheme, host and port, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http{'s' if self._tls else ''}://{host}:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
        if error is None:
            raise_first(self.errors if not self._own else self._sites.errors)

    def start(self) -> None:
        """Listen and serve. Does nothing if it already does."""
        if self._listener is None:
            self._listener = self._listen()
            self._sites.thread.call(self._begin(self._listener))
            self._sites.adopt(self)

    def close(self) -> None:
        """Stop listening and close every connection. May be called again; a closed site may be started again."""
        if self._own:
            self._sites.close()
        else:
            self.halt()

    def halt(self) -> None:
        """Do as `close`, but leave the thread running."""
        listener, self._listener = self._listener, None
        if listener is not None:
            self._sites.thread.call(self._stop(listener))

    def drop_idle(self, *, reset: bool = False) -> int:
        """Close all connections without a request in progress, unannounced, before this call returns.

        Args:
            reset: Close with a TCP RST instead of a FIN.

        Returns:
            How many there were.
        """
        return 0 if self._listener is None else self._sites.thread.call(self._drop_idle(self._listener, reset))

    def pause(self) -> None:
        """Hold answers back until `resume`. Requests are still read, counted and carried out."""
        self._paused = True

    def resume(self) -> None:
        """Give the responses that were held back, in the order of their requests, and go on answering."""
        if self._listener is None:
            self._paused = False
        else:
            self._sites.thread.loop.call_soon_threadsafe(self._release)

    def answer_to(self, request: Request) -> Answer:
        """Find the response to a request: the handler's, the route's, or the site's own."""
        answer = self._handled(request) or route(request)
        if answer is None:
            return self._default
        coding = self.behaviour.coding
        return encode(answer, coding) if coding else answer

    def holds(self, connection: Connection, request: Request, answer: Answer) -> bool:
        """Keep a response back if the site is paused; tell whether it did."""
        if self._paused:
            self._held.append((connection, request, answer))
        return self._paused

    def forget(self, connection: Connection) -> None:
        """Drop a connection that is closed."""
        self._connections.discard(connection)

    def _handled(self, request: Request) -> Answer | None:
        if self.handler is None:
            return None
        try:
            answer = self.handler(request)
            if answer is not None and not isinstance(answer, Answer):
                raise TypeError(f"a handler gives a keeppool.testing.Answer, or None, and not {quoted(answer)}")
            return answer
        except Exception as error:
            self.note_error(error)
            return Answer(status=500, body=repr(error).encode())

    def _listen(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        listener = socket.create_server((self.host, self.port), family=family, backlog=_BACKLOG)
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        return listener

    async def _begin(self, listener: socket.socket) -> None:
        asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        """Take every connection that waits."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _ = listener.accept()
            except OSError:
                return  # nobody waits any more, or the client has given up
            accepted.setblocking(False)
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or a close_notify waits 40 ms for an ACK
            if self.open_now >= self.peak_open:
                for connection in self._connections:
                    connection.uncount_if_gone()
            connection = Connection(self, loop, accepted)
            self._connections.add(connection)
            task = loop.create_task(self._welcome(connection, accepted))
            self._tasks.add(task)
            task.add_done_callback(functools.partial(self._welcomed, connection, accepted))

    def _welcomed(self, connection: Connection, accepted: socket.socket, task: asyncio.Task[None]) -> None:
        """Forget a welcome that is over; one that was cancelled before it began has left its socket to us."""
        self._tasks.discard(task)
        if task.cancelled():
            connection.connection_lost(None)
            accepted.close()

    async def _welcome(self, connection: Connection, accepted: socket.socket) -> None:
        """Make an accepted socket a connection, TLS handshake included."""
        limit = _TLS_CLOSE_LIMIT_S if self._tls else None
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection, accepted, ssl=self._tls, ssl_shutdown_timeout=limit
            )
        except (OSError, asyncio.CancelledError):
            connection.connection_lost(None)  # it never was made: no handshake, or the site is being closed
        finally:
            if connection not in self._connections:
                accepted.close()

    async def _drop_idle(self, listener: socket.socket, reset: bool) -> int:
        self._accept(listener)  # what the client has opened is open, also where the loop has not come to it yet
        if self._tasks and self._tls is None:  # a TLS handshake may never end
            await asyncio.wait(self._tasks)
        idle = [connection for connection in self._connections if connection.is_idle]
        for connection in idle:
            connection.reset() if reset else connection.close()
        await self._settle(idle)
        return len(idle)

    async def _settle(self, closing: list[Connection]) -> None:
        """Let the loop turn until the connections are closed; TLS may still wait for the client's close_notify."""
        for _ in range(_CLOSING_TURNS):
            if self._connections.isdisjoint(closing):
                return
            await asyncio.sleep(0)

    async def _stop(self, listener: socket.socket) -> None:
        asyncio.get_running_loop().remove_reader(listener)
        listener.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        closing = list(self._connections)
        for connection in closing:
            connection.abort()
        await self._settle(closing)
        self._held.clear()

    def _release(self) -> None:
        self._paused = False
        held, self._held = self._held, []
        for connection, request, answer in held:
            connection.answer_now(request, answer)


class Sites:
    """Any number of sites on one background thread.

    The thread begins with the first site and ends with `close`, or with the `with` block.

    Example:
        with Sites() as sites:
            hosts = [sites.add(host=f"127.0.0.{number}") for number in range(2, 14)]
            sites.add(Behaviour(hint_timeout=5, hint_max=100), host="127.0.0.14")
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: LoopThread | None = None
        self._all: list[Site] = []
        self._thread_errors: list[BaseException] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
        if error is None:
            raise_first(self.errors)

    def __iter__(self) -> Iterator[Site]:
        return iter(list(self._all))

    @property
    def thread(self) -> LoopThread:
        """The thread they run on, started if need be."""
        with self._lock:
            if self._thread is None:
                self._thread = LoopThread("keeppool.testing.Sites")
            return self._thread

    def add(
        self,
        behaviour: Behaviour | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        handler: Handler | None = None,
        manners: Behaviour | None = None,
    ) -> Site:
        """Start one more site. See `Site` for the arguments and for what is raised."""
        site = Site(behaviour or manners, host=host, port=port, tls=tls, handler=handler, sites=self)
        site.start()
        return site

    def adopt(self, site: Site) -> None:
        """Take responsibility for closing a site that was started."""
        if site not in self._all:
            self._all.append(site)

    def close(self) -> None:
        """Close all sites and end the thread. May be called again; a site added later starts a new one."""
        for site in self._all:
            site.halt()
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.close()
            self._thread_errors += thread.errors

    @property
    def errors(self) -> list[BaseException]:
        """What handlers raised, and what went wrong on the thread."""
        return [error for site in self._all for error in site.errors] + self._thread_errors


def raise_first(errors: list[BaseException]) -> None:
    """Raise what went wrong in the background, the first of several, where a `with` block ends."""
    if errors:
        if len(errors) > 1:
            errors[0].add_note(f"and {len(errors) - 1} more; the next: {errors[1]!r}")
        raise errors[0]
