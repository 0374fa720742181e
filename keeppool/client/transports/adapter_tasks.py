"""Adapters for tasks: what sends the requests of an `AsyncSession`.

Decides: nothing that `transport.py` does not decide.
Knows: a prepared request goes in, an answer comes out, redirects and cookies apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self

from keeppool.client.arguments import ProxiesArgument
from keeppool.client.request.prepared import Parts, PreparedRequest, request_of
from keeppool.client.response.response_tasks import AsyncResponse
from keeppool.client.routing import override_from
from keeppool.client.transports.adapter import limits_of
from keeppool.client.transports.mounts import Checked
from keeppool.client.transports.refused_hooks import Hookless, retrying_of_adapter
from keeppool.config import INHERIT, Config, HostConfig, Inherit, Limits, Timeout, TimeoutArgument
from keeppool.errors import KeepPoolError
from keeppool.pools.manager_tasks import AsyncPoolManager

if TYPE_CHECKING:
    from keeppool.client.retries.retrying import RetriesArgument
    from keeppool.events import Event


class AsyncHTTPAdapter(Hookless):
    """A pool of its own for the URLs of one prefix: other limits, other retries, nothing shared with the session's.

    Args:
        pool_connections: Accepted as in requests, where it bounds a table that this pool does not need.
        pool_maxsize: Most connections per host; `limits` says it better. In requests it bounds only what is kept, and
            any number may be open beside; here a cap is a cap, and who finds all taken waits.
        max_retries: How often each request is tried again: a number or a `urllib3.util.Retry`; `None` is 3, as in
            requests.
        pool_block: Accepted as in requests; callers always wait.
        limits: As for `AsyncPoolManager`.
        timeout: As for `AsyncPoolManager`, where a call says none.
        hosts: As for `AsyncPoolManager`.
        defaults: As for `AsyncPoolManager`.
        config: As for `AsyncPoolManager`.
        on_event: As for `AsyncPoolManager`.

    Attributes:
        pool: Its `AsyncPoolManager`.
        max_retries: As given; 0 for none.
        retrying: The same, read.

    For subclasses: `send`, `add_headers` and `aclose` are called. The hooks of requests' adapters that are about
    urllib3's pools (`init_poolmanager`, `cert_verify` and their like) are refused with a `TypeError` when such a class
    is made, or one of them is set later, because what they say of TLS would not hold.

    Thread safety: none; one event loop.
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
        self.pool = AsyncPoolManager(
            limits, timeout=timeout, hosts=hosts, defaults=defaults, config=config, on_event=on_event
        )
        self.max_retries = max_retries
        self.retrying = retrying_of_adapter(max_retries)

    @classmethod
    def over(cls, pool: AsyncPoolManager) -> Self:
        """Make an adapter that sends over a pool there is already."""
        made = cls.__new__(cls)
        made.pool, made.max_retries, made.retrying = pool, 0, None
        return made

    async def send(
        self,
        request: PreparedRequest,
        stream: bool = False,
        timeout: TimeoutArgument = None,  # noqa: ASYNC109  # as HTTPAdapter's, and in four parts
        verify: bool | str = True,
        cert: str | tuple[str, str] | None = None,
        proxies: ProxiesArgument = None,
    ) -> AsyncResponse:
        """Send one request over this adapter's pool.

        Args:
            request: What to send.
            stream: True leaves the body on its way.
            timeout: As for `AsyncSession.request`, but `None` for what is configured; `(None, None)` for no limit.
            verify: As for `AsyncSession.request`; True for what is configured.
            cert: As for `AsyncSession.request`; `None` for what is configured.
            proxies: By scheme, or by scheme and host; what is configured where they say nothing.

        Raises:
            KeepPoolError: As `AsyncPoolManager.request`.
        """
        self.add_headers(request, stream=stream, timeout=timeout, verify=verify, cert=cert, proxies=proxies)
        override = override_from(request.address, Checked.verify_for(request, verify), cert, proxies)
        limit = None if timeout is None else Timeout.of(timeout, self.pool.config.timeout)
        return await send_by(self.pool, request, limit, stream, override)

    def add_headers(self, request: PreparedRequest, **told: Any) -> None:
        """Change a request before it is sent; for subclasses. Told what `send` is told."""

    async def aclose(self) -> None:
        """Close the pool: idle connections now, busy ones when they are done."""
        await self.pool.aclose()

    def __repr__(self) -> str:
        return f"<AsyncHTTPAdapter on {self.pool!r}>"


async def send_by(
    pool: AsyncPoolManager,
    request: PreparedRequest | Parts,
    limit: Timeout | None,
    stream: bool,
    override: HostConfig | None,
) -> AsyncResponse:
    """Send a prepared request, or the parts of one, over a pool; an error gets the request it belongs to."""
    verb, address, fields, payload = request if isinstance(request, tuple) else request.parts()
    try:
        raw: Any = await pool.exchange(verb, address, fields, payload, limit, stream, override)
    except KeepPoolError as error:
        error.request = request_of(request)
        raise
    return AsyncResponse(raw, request, stream, pool)
