"""`PooledAdapter`: what adapters for threads and for tasks have in common: a pool, and how requests' arguments read.

Decides: what requests' constructor arguments, and those of `send`, mean for a pool.
Does not know: waiting.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeAlias, TypeVar, cast

from keeppool.client.arguments import CertArgument, ProxiesArgument
from keeppool.client.call import Send
from keeppool.client.request.prepared import PreparedRequest
from keeppool.client.retries import RetriesArgument
from keeppool.client.routing import chosen_proxy, override_of
from keeppool.config import INHERIT, Config, HostConfig, Inherit, Limits, LookUp, Timeout, TimeoutArgument
from keeppool.requests.mounting.mounts import Checked
from keeppool.requests.mounting.refused_hooks import Hookless, retrying_of_adapter

if TYPE_CHECKING:
    from keeppool.events import Event
    from keeppool.fleet.membership import AnyFleet
    from keeppool.pools.manager import Manager


#: What `send` gives: a response, or something to await that gives one.
SentT = TypeVar("SentT")
#: A response.
MadeT = TypeVar("MadeT")

#: The arguments of `send`, in their order.
SendArguments: TypeAlias = tuple[PreparedRequest, bool, TimeoutArgument, bool | str, CertArgument, ProxiesArgument]


class PooledAdapter(Hookless):
    """An adapter with a pool of its own."""

    pool: Manager
    #: Sends one request; a program may override it.
    send: Callable[..., Any]
    #: What makes the pool.
    _pool_kind: ClassVar[type[Manager]]

    def __init__(
        self,
        pool_connections: int | None = None,
        pool_maxsize: int | None = None,
        max_retries: RetriesArgument = 0,
        pool_block: bool = True,
        *,
        limits: Limits | None = None,
        timeout: TimeoutArgument | Inherit = INHERIT,
        hosts: Mapping[str, HostConfig] | None = None,
        defaults: HostConfig | None = None,
        resolver: LookUp | None = None,
        fleet: AnyFleet | str | None = None,
        config: Config | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        limits = limits_of(pool_maxsize, limits, config)
        self.pool = self._pool_kind(
            limits,
            timeout=timeout,
            hosts=hosts,
            defaults=defaults,
            resolver=resolver,
            fleet=fleet,
            config=config,
            on_event=on_event,
        )
        self.max_retries = max_retries
        self.retrying = retrying_of_adapter(max_retries)

    @classmethod
    def over(cls, pool: Manager) -> Self:
        """Make an adapter that sends over a pool there is already."""
        made = cls.__new__(cls)
        made.pool, made.max_retries, made.retrying = pool, 0, None
        return made

    def add_headers(self, request: PreparedRequest, **settings: Any) -> None:
        """Change a request before it is sent; for subclasses. It gets what `send` gets."""

    def _step(
        self,
        request: PreparedRequest,
        stream: bool,
        timeout: TimeoutArgument,
        verify: bool | str,
        cert: CertArgument,
        proxies: ProxiesArgument,
    ) -> Send:
        """Read the arguments of `send`, where `None` means what is configured."""
        if not isinstance(request, PreparedRequest):
            kind = type(request)
            text = f"this adapter sends what a keeppool session has prepared, not a {kind.__module__}.{kind.__name__}"
            raise TypeError(f"{text}; for requests' own sessions there is keeppool.adapters.requests.KeepPoolAdapter")
        self.add_headers(request, stream=stream, timeout=timeout, verify=verify, cert=cert, proxies=proxies)
        override = override_of(
            Checked.verify_for(request, verify),
            INHERIT if cert is None else cert,
            chosen_proxy(request.address, proxies),
        )
        limit = None if timeout is None else Timeout.of(timeout, self.pool.config.timeout)
        return Send(request, limit, override)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} on {self.pool!r}>"


class SendingAdapter(PooledAdapter, Generic[SentT]):
    """An adapter that sends over its pool."""

    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,
        timeout: TimeoutArgument = None,
        verify: bool | str = True,
        cert: CertArgument = None,
        proxies: ProxiesArgument = None,
    ) -> SentT:
        """Send one request over this adapter's pool.

        Args:
            request: What to send.
            stream: True leaves the body on its way.
            timeout: As for a session's `request`, but `None` for what is configured; `(None, None)` for no limit.
            verify: As for a session's `request`; True for what is configured.
            cert: As for a session's `request`; `None` for what is configured.
            proxies: By scheme, or by scheme and host; what is configured where they have no entry.

        Raises:
            KeepPoolError: As a pool manager's `request`.
            TypeError: `request` is not one of keeppool's.
        """
        return self._carry((request, stream, timeout, verify, cert, proxies), stream)

    @abstractmethod
    def _carry(self, given: SendArguments, stream: bool) -> SentT:
        """Read what `send` was given, and send it. A wrong argument is refused when this is awaited."""


class Connected:
    """What a response knows of the adapter that brought it."""

    #: What stands for a pool.
    _adapter_kind: ClassVar[type[PooledAdapter]]
    _connection: Any = None
    _pool: object

    @property
    def connection(self) -> Any:
        """What the request was sent by: its `send` sends another one over the same pool, redirects and cookies apart.

        Authentication schemes that answer a challenge from a hook use it. Adapters of the program's own may set it.

        Raises:
            AttributeError: The response was unpickled, or made by hand.
        """
        if self._connection is None:
            if self._pool is None:
                raise AttributeError("a response that was unpickled or made by hand has no connection")
            self._connection = self._adapter_kind.over(cast("Manager", self._pool))
        return self._connection

    @connection.setter
    def connection(self, connection: Any) -> None:
        self._connection = connection


def sent_by(adapter: object, response: MadeT) -> MadeT:
    """Let a response know the adapter that a program has mounted; `None` for the session's own pool, as it is."""
    if adapter is not None:
        cast("Connected", response).connection = adapter
    return response


def limits_of(pool_maxsize: int | None, limits: Limits | None, config: Config | None) -> Limits | None:
    """Read requests' argument for how many connections a host may have; it wins over the same in `limits`."""
    if pool_maxsize is None:
        return limits
    return replace(limits or (config or Config()).limits, per_host=pool_maxsize)
