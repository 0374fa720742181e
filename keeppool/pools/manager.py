"""What pool managers for threads and for tasks have in common: configuration, and requests checked before they go out.

Decides: which of several words on one thing wins, and what is refused before anything is sent.
Does not know: waiting.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from types import MethodType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NoReturn, TypeAlias, TypeVar, cast

from keeppool.checks import Spelled, bad, check_listener
from keeppool.clock import clock
from keeppool.config import INHERIT, Config, HostConfig, Inherit, Limits, LookUp, Timeout, TimeoutArgument, check_config
from keeppool.deferred import Deferred
from keeppool.errors import InvalidURL, KeepPoolError, LoopError, name_call
from keeppool.net.streams import AnyStream
from keeppool.pools.body import AnyResponse
from keeppool.pools.lease import Lease
from keeppool.pools.request import FieldsArgument, prepare_body, prepare_fields
from keeppool.pools.routes import Locator
from keeppool.pools.send import BodyFailed
from keeppool.wire.body import RequestBody
from keeppool.wire.fields import FieldBlock
from keeppool.wire.request import check_method

if TYPE_CHECKING:
    from keeppool import fleet as fleets
    from keeppool.core import pace as paces
    from keeppool.events import Event
    from keeppool.explanation import Explanation
    from keeppool.fleet.membership import AnyFleet
    from keeppool.pools import exchange as exchanges
    from keeppool.pools import explain, log, outgoing, reports, snapshot
    from keeppool.pools.exchange import Arrived, Exchange
    from keeppool.pools.outgoing import BeforeSend
    from keeppool.pools.pool_tasks import LoopPool
    from keeppool.pools.pool_threads import BlockingPool
    from keeppool.stats import Held, Stats
else:
    paces = Deferred("keeppool.core.pace")
    exchanges = Deferred("keeppool.pools.exchange")
    fleets = Deferred("keeppool.fleet")
    explain = Deferred("keeppool.pools.explain")
    outgoing = Deferred("keeppool.pools.outgoing")
    log = Deferred("keeppool.pools.log")
    reports = Deferred("keeppool.pools.reports")
    snapshot = Deferred("keeppool.pools.snapshot")

#: What a manager makes for itself from its configuration.
_MACHINERY = frozenset(("_configured", "_locate", "_matching", "_orphaned", "_pool"))


#: What `request` gives: a response, or something to await that gives one.
ResponseT = TypeVar("ResponseT")

R = TypeVar("R", bound=AnyResponse)


class Manager(metaclass=Spelled):
    """A pool's configuration, and the way from a request's arguments to what a pool sends.

    Pickled or copied, it becomes a new pool with the same configuration and listener, and no connections.
    """

    _pool: BlockingPool | LoopPool
    _otherwise: ClassVar[Mapping[str, str]] = {
        **{name: f"Limits({name}=…), the first argument" for name in ("per_host", "per_proxy", "total")},
        **dict.fromkeys(
            ("num_pools", "maxsize", "block", "cert_reqs", "ca_certs", "assert_hostname"),
            "an argument of urllib3's, which keeppool.adapters.urllib3.PoolManager takes",
        ),
        **{name: f"defaults=HostConfig({name}=…)" for name in ("headers", "verify", "cert", "proxy", "pace")},
        **{name: f"{name}= of a keeppool.Session" for name in ("retries", "auth", "cookies", "base_url", "params")},
    }
    _at_first: ClassVar[str] = "PoolManager(limits, timeout=…)"

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        timeout: TimeoutArgument | Inherit = INHERIT,
        hosts: Mapping[str, HostConfig] | None = None,
        defaults: HostConfig | None = None,
        resolver: LookUp | None = None,
        fleet: AnyFleet | str | None = None,
        config: Config | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        base = check_config(config)
        check_listener(on_event)
        self.config = Config(
            limits=base.limits if limits is None else limits,
            timeout=base.timeout if timeout is INHERIT else Timeout.of(timeout, base.timeout),
            defaults=base.defaults if defaults is None else defaults,
            hosts=base.hosts if hosts is None else hosts,
            resolver=base.resolver if resolver is None else resolver,
            fleet=base.fleet if fleet is None else _fleet_of(fleet),
        )
        locator = Locator(self.config)
        self._locate = locator.locate
        self._configured = locator.configured
        self._matching = locator.matching
        self._on_event = on_event
        self._before_send: BeforeSend | None = getattr(on_event, "before_send", None)
        self._open_pool(None if on_event is None else cast("MethodType", self._tell))
        if self.config.fleet is not None:
            self._pool.join(self.config.fleet)

    def _open_pool(self, tell: MethodType | None) -> None:
        """Make the pool that waits, in threads or on an event loop."""
        raise NotImplementedError

    def timeout_for(self, url: str, host: HostConfig | None = None) -> Timeout:
        """Tell which waits hold for a request to this URL that brings none of its own.

        Args:
            url: As for `request`.
            host: As for `request`.

        Raises:
            InvalidURL: As for `request`.
        """
        return self._locate(url, host).route.timeout

    def config_for(self, url: str) -> HostConfig:
        """Tell what is configured for a URL's host, defaults included; what is not said is `INHERIT`.

        Args:
            url: As for `request`.

        Raises:
            InvalidURL: As for `request`.
        """
        return self._configured(url)

    def stats(self) -> Stats:
        """Take a snapshot of all gauges and counters, at one moment; from any thread.

        Raises:
            LoopError: The pool's event loop runs, and is blocked.
        """
        return self._pool.stats()

    def held(self, most: int = 10) -> list[Held]:
        """Tell of the connections that are carrying a request now, the longest held first; from any thread.

        Args:
            most: How many of them.

        Raises:
            LoopError: As for `stats`.
        """
        return self._pool.look(lambda state, now: snapshot.longest_held(state, now, most))

    def explain(self, url: str, host: HostConfig | None = None) -> Explanation:
        """Tell which entry decides what for a URL, what was learned of its host, and what a request would get now.

        Nothing is sent, and nothing is changed. Secrets are left out.

        Args:
            url: As for `request`.
            host: As for `request`.

        Raises:
            InvalidURL: As for `request`.
            LoopError: As for `stats`.
        """
        return self._explained(url, host, "host=")

    def _explained(self, url: str, override: HostConfig | None, by: str | Mapping[str, str]) -> Explanation:
        """Do what `explain` does with an override, and say who has made it, or each of its settings."""
        route = self._locate(url, override).route
        return explain.explained(
            url, self.config, self._matching(url), route, (override, by), self._pool.look(explain.seen(route))
        )

    def _checked(
        self,
        method: str,
        url: str,
        headers: FieldsArgument,
        body: Any,
        timeout: TimeoutArgument | Inherit,
        host: HostConfig | None,
    ) -> tuple[bytes, FieldBlock, RequestBody | None, Timeout | None]:
        """Check a request's arguments, and render what can be rendered without knowing where it goes."""
        checked = check_method(method)
        if not isinstance(url, str):
            raise InvalidURL(f"a URL must be text, not {type(url).__name__}", url=repr(url))
        if host is not None and not isinstance(host, HostConfig):
            raise bad("host", host, "must be a HostConfig")
        fields = prepare_fields(headers)
        chosen = None if timeout is INHERIT else Timeout.of(timeout, self.config.timeout)
        return checked, fields, prepare_body(body, fields, checked), chosen

    def _respond(
        self,
        kinds: tuple[type[R], type[Lease]],
        exchange: Exchange,
        stream: AnyStream,
        url: str,
        stream_body: bool,
        decode: bool,
        started: float,
    ) -> R:
        """Make the response, now that its head is there. What came of the body with the head may be all of it.

        Args:
            kinds: Of the response, and of what lends it the connection until its body has ended.
            exchange: Its head has come.
            stream: Where the rest of the body comes from.
            url: As the caller wrote it.
            stream_body: Whether the body is left on its way.
            decode: Whether content codings are taken off.
            started: When the request was begun.
        """
        make_response, make_lease = kinds
        if exchange.arrived is not None:
            return self._respond_arrived(kinds, exchange, exchange.arrived, stream, url, stream_body, decode, started)
        reader, connection = exchange.open_body(keeps=stream_body), exchange.connection
        if connection.served == 1 and stream.is_tls:
            # TLS 1.3 sends the ticket after the handshake: it is there once something was read.
            self._pool.tls.remember(connection.origin, stream.tls)
        head, answered = exchange.answer, connection.read_at
        assert head is not None, "bug: no response yet"
        if self._pool.is_followed:
            self._pool.report_answered(exchange, head, url, answered - started)
        paced = exchange.route.paced
        if paced is not None and paced.obeys and head.status in paces.HOLDING:
            self._pool.hold(paced, head.get(b"retry-after"), head.get(b"date"))
        first = reader.feed(exchange.rest) if exchange.rest else b""
        if exchange.rides:
            self._pool.begun(exchange, reader)
        if reader.complete:
            lease = None
            self._pool.release(exchange, exchange.why_close(reader))
        else:
            lease = make_lease(self._pool, exchange, stream)
        is_whole = lease is None and not stream_body and b"content-encoding" not in head.index
        return make_response(head, reader, lease, exchange, url, decode, first, started, answered, is_whole)

    def _respond_arrived(
        self,
        kinds: tuple[type[R], type[Lease]],
        exchange: Exchange,
        arrived: Arrived,
        stream: AnyStream,
        url: str,
        stream_body: bool,
        decode: bool,
        started: float,
    ) -> R:
        """As `_respond`, where the head was read before the caller was woken, and perhaps all of the body."""
        make_response, make_lease = kinds
        head, reader = exchange.answer, arrived.body
        assert head is not None, "bug: no response yet"
        lease = None if exchange.held is None else make_lease(self._pool, exchange, stream)
        is_whole = lease is None and not stream_body and b"content-encoding" not in head.index
        first, at = arrived.first, arrived.at
        return make_response(head, reader, lease, exchange, url, decode, first, started, at, is_whole)

    def _give_up(self, exchange: Exchange, error: BaseException, url: str, started: float) -> NoReturn:
        """Take back what a broken-off exchange holds, and raise what its caller gets to see."""
        self._pool.give_up(exchange, error)
        if self._pool.is_logging:
            log.failed(exchange.method, url, error.error if isinstance(error, BodyFailed) else error, started)
        try:
            if isinstance(error, BodyFailed):
                error = error.let_go()
                raise error from error.__cause__
            raise exchange.explained(error, clock()) if isinstance(error, KeepPoolError) else error
        finally:
            # This frame is in its traceback. Held here, it would hold all frames on its way, and what they hold, until
            # the garbage collector comes by.
            del error

    def _shown(self, given: ExchangeArguments, started: float) -> Exchange:
        """Show a request to the listener that wants to see it before it is sent, and make it anew with what that adds.

        Raises:
            Exception: What the listener raises; nothing was sent.
        """
        assert self._before_send is not None, "bug: nobody wants to see it"
        method, url, fields, body, timeout, _, override, _ = given
        located = self._locate(url, override)
        shown = outgoing.Outgoing(self._pool.draw_number(), method, located, fields)
        self._before_send(shown)
        exchange = exchanges.Exchange(located, method, shown.fields, body, timeout, started)
        if self._pool.is_timed:
            self._pool.begin_timeline(exchange, started, shown)
        return exchange

    def __repr__(self) -> str:
        try:
            stats = self.stats()
        except LoopError:
            return f"<{type(self).__name__}, its event loop is blocked>"
        return f"<{type(self).__name__} {stats.open} open, {stats.busy} busy, {stats.waiting} waiting>"

    def __getstate__(self) -> dict[str, Any]:
        # Configuration and listener travel, sockets and counters do not: what arrives is a new, open pool.
        return {name: value for name, value in self.__dict__.items() if name not in _MACHINERY}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        Manager.__init__(self, config=self.config, on_event=self._on_event)

    def _tell(self, event: Event) -> None:
        """Pass an event on. The pool knows this method weakly, so that a listener that owns us can be collected."""
        if self._on_event is not None:
            self._on_event(event)


#: The arguments of `exchange`, in their order.
ExchangeArguments: TypeAlias = (
    "tuple[bytes, str, FieldBlock, RequestBody | None, Timeout | None, bool, HostConfig | None, bool]"
)


class Requesting(Manager, Generic[ResponseT]):
    """A manager with the call that programs make; what it gives is a response, or something to await for one."""

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: FieldsArgument = None,
        body: Any = None,
        timeout: TimeoutArgument | Inherit = INHERIT,
        host: HostConfig | None = None,
        stream: bool = False,
        decode_content: bool = True,
    ) -> ResponseT:
        """Send one request and return its response, whatever its status. Redirects and cookies are a `Session`'s.

        Args:
            method: Any token; standard methods in any case.
            url: Absolute, http or https.
            headers: A mapping, or pairs where a name repeats or order matters.
            body: bytes, text, a binary file, an iterable of bytes (on an event loop also an async one), or a function
                that makes one of these.
            timeout: Instead of the configured one: a `Timeout`, seconds, a (connect, read) pair, or None for no limit.
            host: Configuration for this request, over what is configured for its host.
            stream: True returns as soon as the head is there; read or close the response to free its connection.
            decode_content: False leaves gzip, deflate, br and zstd bodies as they are.

        Returns:
            The response. Without `stream` its body is whole and its connection is back in the pool.

        Raises:
            InvalidRequest: URL, method, header or body that HTTP cannot carry; nothing was sent.
            PoolError: No connection came free, or the pool is closed; nothing was sent.
            ConnectError: No connection could be opened; nothing was sent.
            ExchangeError: The exchange failed; see its `sent`, `received` and `retry_safe`.
        """
        try:
            checked, fields, prepared, chosen = self._checked(method, url, headers, body, timeout, host)
        except Exception as error:
            if isinstance(error, KeepPoolError):
                name_call(error, method, url)
            return self._refuse(error)
        return self._carry((checked, url, fields, prepared, chosen, stream, host, decode_content))

    def exchange(
        self,
        method: bytes,
        url: str,
        fields: FieldBlock,
        body: RequestBody | None = None,
        timeout: Timeout | None = None,
        stream: bool = False,
        override: HostConfig | None = None,
        decode: bool = True,
    ) -> ResponseT:
        """Do what `request` does with a request that is checked and rendered already."""
        return self._carry((method, url, fields, body, timeout, stream, override, decode))

    @abstractmethod
    def _carry(self, given: ExchangeArguments) -> ResponseT:
        """Send a request, and bring its response: where all ways meet, those of `request`, `exchange` and a session."""

    @abstractmethod
    def _refuse(self, error: Exception) -> ResponseT:
        """Raise what is wrong with the arguments of a request, when that is awaited where it is."""


def _fleet_of(fleet: AnyFleet | str) -> AnyFleet:
    """Give the fleet an argument means: itself, or the one of a URL."""
    return fleets.Fleet.from_url(fleet) if isinstance(fleet, str) else fleet
