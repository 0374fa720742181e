"""`KeepPoolDownloadHandler`: Scrapy's downloads over a capped pool of persistent connections.

Decides: how a request of Scrapy's is put to the pool.
Knows: Scrapy's interface for download handlers, 2.14 and later.
Does not know: redirects, cookies, retries, compression, proxies from the environment: those stay Scrapy's own.

Source: RFC 9110 §11.7.2 (what is for the proxy alone).
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Final

from scrapy import Request
from scrapy.core.downloader.handlers.base import BaseDownloadHandler
from scrapy.crawler import Crawler
from scrapy.exceptions import NotConfigured
from scrapy.http import Headers, Response
from scrapy.utils.asyncio import is_asyncio_available

from keeppool.adapters.scrapy import pool as scrapy_pool
from keeppool.adapters.scrapy.errors import translated
from keeppool.adapters.scrapy.reading import Reader
from keeppool.adapters.scrapy.settings import override_for, waits
from keeppool.errors import KeepPoolError, ResolveError, ServerDisconnected
from keeppool.pools.request import prepare_body
from keeppool.pools.response_tasks import AsyncResponse
from keeppool.wire.fields import FieldBlock, field_block
from keeppool.wire.request import check_method

#: Seconds a download may take where neither DOWNLOAD_TIMEOUT nor anything else says so; what Scrapy's handlers take.
USUAL_TIMEOUT: Final = 10.0
#: Sets of request headers whose rendering is remembered: a spider sends the same few again and again, but for cookies
#: and referrers. An entry is about 1 KiB.
REMEMBERED_HEADERS: Final = 256


class KeepPoolDownloadHandler(BaseDownloadHandler):
    """Downloads what Scrapy asks for. All handlers of a crawler share one pool; the last one to be closed closes it.

    Settings, all optional, besides Scrapy's own (see docs/scrapy.md):
        - `KEEPPOOL_LIMITS`: a dict of `keeppool.Limits`' fields.
        - `KEEPPOOL_HOSTS`: a dict from pattern to a dict of `keeppool.HostConfig`'s fields, or to a HostConfig.
        - `KEEPPOOL_CONFIG`: the path of a TOML file, as `keeppool.load_config` reads it.
        - `KEEPPOOL_FLEET`: the URL of a Redis, a dict of the arguments of `keeppool.fleet.Fleet.from_url`, or a Fleet.
        - `KEEPPOOL_FLEET_PER_HOST`: connections to a host in all crawlers of the fleet together.

    In a request's meta `keeppool` is a dict of HostConfig's fields for this request, such as `{"tag": "identity-7"}`,
    which keeps an identity on sockets of its own; `{"fresh": True}` asks for a new connection.

    Sent are the request's own header fields in their order, Host, the body's Content-Length, and `Connection:
    keep-alive`: some servers tell how long they keep a connection only to a client that says so.

    Args:
        crawler: Scrapy's.

    Raises:
        NotConfigured: Scrapy runs without asyncio.
        ConfigError: A setting is invalid; names setting, value and rule.
        ValueError: A TLS version that there is not.
    """

    lazy = False

    def __init__(self, crawler: Crawler) -> None:
        if not is_asyncio_available():
            raise NotConfigured(
                f"{type(self).__name__} needs asyncio: let TWISTED_REACTOR be its default, the asyncio reactor, "
                "or set TWISTED_REACTOR_ENABLED = False"
            )
        super().__init__(crawler)
        self._reader = Reader(crawler)
        self._pool = scrapy_pool.lend(crawler)
        self._is_closed = False

    async def download_request(self, request: Request) -> Response:
        """Download one request.

        Raises:
            Exception: One of `scrapy.exceptions`, as `keeppool.adapters.scrapy.errors` lists them. The connection is
                closed or back in the pool, also where the task is cancelled.
        """
        try:
            return await self._download(request)
        except KeepPoolError as error:
            raise translated(error) from error

    async def close(self) -> None:
        """Give the pool up. The last handler of a crawler to do so closes idle connections. May be called again."""
        if not self._is_closed:
            self._is_closed = True
            await scrapy_pool.give_back(self.crawler, self._pool)

    async def _download(self, request: Request) -> Response:
        started = time.monotonic()
        seconds = request.meta.get("download_timeout") or USUAL_TIMEOUT
        try:
            answer = await self._ask(request, seconds)
        except ServerDisconnected as error:
            left = seconds - (time.monotonic() - started)
            if error.sent or left <= 0:
                raise
            # A server that is impatient, or a crawler that is busy: the new connection was closed before its request
            # was sent. Nothing was, so asking once more cannot do harm.
            answer = await self._ask(request, left)
        request.meta["download_latency"] = time.monotonic() - started
        async with answer:
            response = await self._reader.read(request, answer)
        self._pool.tell_figures_if_due()
        return response

    async def _ask(self, request: Request, seconds: float) -> AsyncResponse:
        """Send the request, and wait for its response's head."""
        override = override_for(request)
        timeout = waits(self._pool.timeout_for(request.url, override), seconds)
        method, fields = check_method(request.method), _fields_of(request.headers)
        body = prepare_body(request.body or None, fields, method)
        self._pool.check_name(request.url, override)
        try:
            return await self._pool.exchange(method, request.url, fields, body, timeout, True, override, False)
        except ResolveError as error:
            self._pool.note_name(request.url, override, error)
            raise


def _fields_of(headers: Headers) -> FieldBlock:
    """Check and render a request's headers, except for what is for its proxy alone."""
    pairs = [(name, value) for name, values in dict.items(headers) for value in values]
    return _rendered(tuple(pair for pair in pairs if pair[0].lower() != b"proxy-authorization"))


@lru_cache(REMEMBERED_HEADERS)
def _rendered(pairs: tuple[tuple[bytes, bytes], ...]) -> FieldBlock:
    return field_block(pairs)
