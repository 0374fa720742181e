"""`Faked`: the adapter that sends while a tool has replaced a method of requests, which we do not call.

Decides: that such a request takes the way through requests' own session on which the tool stands.
Knows: what the tool lets pass goes over the session's pool after all.
Does not know: what the tool answers; its response is requests' own, as that of any adapter written for requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import requests
from requests.structures import CaseInsensitiveDict

from keeppool.adapters.requests import KeepPoolAdapter
from keeppool.checks import bad
from keeppool.client.request.prepared import PreparedRequest
from keeppool.pools.manager import Manager
from keeppool.pools.manager_threads import PoolManager


class Faked:
    """Sends requests through requests' own session.

    Args:
        pool: Of the session whose requests they are.
        tool: Who has replaced something there, for errors.
    """

    def __init__(self, pool: Manager, tool: str) -> None:
        self._session = _Session()
        adapter = _OverPool(pool) if isinstance(pool, PoolManager) else _Refusing(tool)
        for prefix in ("http://", "https://"):
            self._session.mount(prefix, adapter)

    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Mapping[str, str | None] | None = None,
    ) -> Any:
        """Send one request as requests' session does; see `BaseAdapter.send`. Its errors are requests'."""
        theirs = requests.PreparedRequest()
        theirs.method, theirs.url, theirs.body = request.method, request.url, request.body
        theirs.headers = CaseInsensitiveDict(request.headers.items())  # type: ignore[arg-type]  # what is sent has no `None`
        theirs.hooks = requests.hooks.default_hooks()
        theirs._cookies = requests.cookies.RequestsCookieJar()
        given = {"timeout": timeout, "verify": verify, "cert": cert, "proxies": dict(proxies or {})}
        return self._session.send(theirs, stream=stream, allow_redirects=False, **given)

    def close(self) -> None:
        """Do nothing: the pool is the session's."""


class _Session(requests.Session):
    """Sends one request, and looks no further."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False

    def resolve_redirects(self, *arguments: Any, **named: Any) -> Iterator[Any]:  # type: ignore[override]
        """Lead nowhere: redirects are followed by whoever has sent the request."""
        return iter(())


class _OverPool(KeepPoolAdapter):
    """Sends what the tool lets pass over a pool there is already.

    Args:
        pool: That pool.
    """

    def __init__(self, pool: PoolManager) -> None:
        self._pool = pool
        super().__init__(config=pool.config)

    def _new_pool(self) -> PoolManager:
        return self._pool


class _Refusing(requests.adapters.HTTPAdapter):
    """Stands where a session for tasks cannot send.

    Args:
        tool: Who lets something pass.
    """

    def __init__(self, tool: str) -> None:
        super().__init__()
        self._tool = tool

    def get_connection_with_tls_context(self, *arguments: Any, **named: Any) -> NoReturn:
        """Refuse.

        Raises:
            ConfigError: Always.
        """
        raise bad(self._tool, True, "it lets this request pass, which a session for tasks cannot send through requests")
