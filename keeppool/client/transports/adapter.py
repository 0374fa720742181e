"""Adapters: what sends the requests of a session.

Decides: what requests' constructor arguments mean for a pool.
Knows: a prepared request goes in, an answer comes out, redirects and cookies apart.
Does not know: sessions, beyond the one that has mounted it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from keeppool.client.arguments import ProxiesArgument
from keeppool.client.request.prepared import Parts, PreparedRequest, request_of
from keeppool.client.response.response import Response
from keeppool.client.routing import override_from
from keeppool.client.transports.mounts import Checked
from keeppool.client.transports.refused_hooks import Hookless, retrying_of_adapter
from keeppool.config import INHERIT, Config, HostConfig, Inherit, Limits, Timeout, TimeoutArgument
from keeppool.errors import KeepPoolError
from keeppool.pools.manager_threads import PoolManager

if TYPE_CHECKING:
    from keeppool.client.retries.retrying import RetriesArgument
    from keeppool.events import Event


class BaseAdapter(ABC):
    """What a session can mount: an object with these two methods. Those written for requests fit too."""

    @abstractmethod
    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> Any:
        """Send one request and return its answer; redirects, cookies and hooks are the session's."""

    @abstractmethod
    def close(self) -> None:
        """Give up what the adapter holds."""


class HTTPAdapter(Hookless, BaseAdapter):
    """A pool of its own for the URLs of one prefix: other limits, other retries, nothing shared with the session's.

    Args:
        pool_connections: Accepted as in requests, where it bounds a table that this pool does not need.
        pool_maxsize: Most connections per host; `limits` says it better. In requests it bounds only what is kept, and
            any number may be open beside; here a cap is a cap, and who finds all taken waits.
        max_retries: How often each request is tried again: a number or a `urllib3.util.Retry`; `None` is 3, as in
            requests.
        pool_block: Accepted as in requests; callers always wait.
        limits: As for `PoolManager`.
        timeout: As for `PoolManager`, where a call says none.
        hosts: As for `PoolManager`.
        defaults: As for `PoolManager`.
        config: As for `PoolManager`.
        on_event: As for `PoolManager`.

    Attributes:
        pool: Its `PoolManager`.
        max_retries: As given; 0 for none.
        retrying: The same, read.

    For subclasses: `send`, `add_headers` and `close` are called. The hooks of requests' adapters that are about
    urllib3's pools (`init_poolmanager`, `cert_verify` and their like) are refused with a `TypeError` when such a class
    is made, or one of them is set later, because what they say of TLS would not hold.

    Thread safety: any thread.
    """

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
        config: Config | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        limits = limits_of(pool_maxsize, limits, config)
        self.pool = PoolManager(
            limits, timeout=timeout, hosts=hosts, defaults=defaults, config=config, on_event=on_event
        )
        self.max_retries = max_retries
        self.retrying = retrying_of_adapter(max_retries)

    @classmethod
    def over(cls, pool: PoolManager) -> Self:
        """Make an adapter that sends over a pool there is already."""
        made = cls.__new__(cls)
        made.pool, made.max_retries, made.retrying = pool, 0, None
        return made

    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,
        timeout: TimeoutArgument = None,
        verify: bool | str = True,
        cert: str | tuple[str, str] | None = None,
        proxies: ProxiesArgument = None,
    ) -> Response:
        """Send one request over this adapter's pool.

        Args:
            request: What to send.
            stream: True leaves the body on its way.
            timeout: As for `Session.request`, but `None` for what is configured; `(None, None)` for no limit.
            verify: As for `Session.request`; True for what is configured.
            cert: As for `Session.request`; `None` for what is configured.
            proxies: By scheme, or by scheme and host; what is configured where they say nothing.

        Raises:
            KeepPoolError: As `PoolManager.request`.
        """
        self.add_headers(request, stream=stream, timeout=timeout, verify=verify, cert=cert, proxies=proxies)
        override = override_from(request.address, Checked.verify_for(request, verify), cert, proxies)
        limit = None if timeout is None else Timeout.of(timeout, self.pool.config.timeout)
        return send_by(self.pool, request, limit, stream, override)

    def add_headers(self, request: PreparedRequest, **told: Any) -> None:
        """Change a request before it is sent; for subclasses. Told what `send` is told."""

    def close(self) -> None:
        """Close the pool: idle connections now, busy ones when they are done."""
        self.pool.close()

    def __repr__(self) -> str:
        return f"<HTTPAdapter on {self.pool!r}>"


def limits_of(pool_maxsize: int | None, limits: Limits | None, config: Config | None) -> Limits | None:
    """Read requests' word for how many connections a host may have; it wins over the same in `limits`."""
    if pool_maxsize is None:
        return limits
    return replace(limits or (config or Config()).limits, per_host=pool_maxsize)


def send_by(
    pool: PoolManager,
    request: PreparedRequest | Parts,
    limit: Timeout | None,
    stream: bool,
    override: HostConfig | None,
) -> Response:
    """Send a prepared request, or the parts of one, over a pool; an error gets the request it belongs to."""
    verb, address, fields, payload = request if isinstance(request, tuple) else request.parts()
    try:
        raw = pool.exchange(verb, address, fields, payload, limit, stream, override)
    except KeepPoolError as error:
        error.request = request_of(request)
        raise
    return Response(raw, request, stream, pool)
