"""From a response of the pool to a response of Scrapy's: signals, sizes, data loss, in the order Scrapy promises.

Decides: when a download is broken off.
Knows: Scrapy's signals, its words in `meta`, its response classes.
Does not know: how the response came to be, and which of Scrapy's exceptions an error becomes.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from ipaddress import ip_address
from typing import Any, Final, cast

from scrapy import Request, signals
from scrapy.crawler import Crawler
from scrapy.exceptions import StopDownload
from scrapy.http import Headers, Response
from scrapy.responsetypes import responsetypes
from scrapy.utils.httpobj import urlparse_cached
from twisted.python.failure import Failure

from keeppool.adapters.scrapy.errors import DownloadCancelledError
from keeppool.errors import ChunkedEncodingError, ExchangeError, ReadError
from keeppool.pools.response_tasks import AsyncResponse
from keeppool.wire.framing import Kind, framing_of

logger = logging.getLogger(__name__)

#: What leaves a part of a body behind: an end or a chunk that is wrong, a connection that was reset.
_LOSS: Final = (ChunkedEncodingError, ReadError)


class Reader:
    """Reads answers as one crawler's settings say.

    Args:
        crawler: Whose settings hold, and whose signals are sent.
    """

    def __init__(self, crawler: Crawler) -> None:
        settings = crawler.settings
        self._crawler = crawler
        self._maxsize = settings.getint("DOWNLOAD_MAXSIZE")
        self._warnsize = settings.getint("DOWNLOAD_WARNSIZE")
        self._fails_on_loss = settings.getbool("DOWNLOAD_FAIL_ON_DATALOSS")
        self._logs_tls = settings.getbool("DOWNLOADER_CLIENT_TLS_VERBOSE_LOGGING")
        self._has_warned = False

    async def read(self, request: Request, answer: AsyncResponse) -> Response:
        """Read a response's body and make the response.

        Args:
            request: What was asked.
            answer: Its body not read yet. The caller closes it.

        Raises:
            StopDownload: A receiver of a signal asked for it; it holds the response.
            DownloadCancelledError: The body is larger than allowed.
            ExchangeError: keeppool's: the body broke off, and a part of it is not enough; or it was too slow.
        """
        headers = Headers(zip(answer.head.names, answer.head.values, strict=True))
        expected = _expected_size(request, answer)
        sizes = Sizes(request, self._maxsize, self._warnsize)
        if expected:
            sizes.check(expected, announced=True)
        if self._logs_tls:
            _log_tls(request, answer)
        stop = self._ask(signals.headers_received, request, headers=headers, body_length=expected)
        if stop is not None:
            return _stopped(stop, _response(request, answer, headers, b""))
        return await self._read_body(request, answer, headers, sizes)

    async def _read_body(self, request: Request, answer: AsyncResponse, headers: Headers, sizes: Sizes) -> Response:
        pieces: list[bytes] = []
        flags = []
        try:
            async with aclosing(cast("AsyncGenerator[bytes, None]", answer.stream(None))) as stream:
                async for piece in stream:
                    pieces.append(piece)
                    sizes.received += len(piece)
                    stop = self._ask(signals.bytes_received, request, data=piece)
                    if stop is not None:
                        return _stopped(stop, _response(request, answer, headers, b"".join(pieces)))
                    sizes.check(sizes.received, announced=False)
        except ExchangeError as error:
            if not isinstance(error, _LOSS) or self._must_be_whole(request):
                raise
            # As Scrapy's own handler: where only the close tells the end, nobody knows whether something is lacking.
            flags.append("partial" if _ends_with_close(request, answer) else "dataloss")
        return _response(request, answer, headers, b"".join(pieces), flags)

    def _ask(self, signal: object, request: Request, **facts: Any) -> StopDownload | None:
        """Send a signal; give the first receiver's word that the download is to stop, if one said so."""
        crawler = self._crawler
        results = crawler.signals.send_catch_log(signal=signal, request=request, spider=crawler.spider, **facts)
        for receiver, result in results:
            if isinstance(result, Failure) and isinstance(result.value, StopDownload):
                logger.debug("Download stopped for %s from signal handler %s", request, receiver)
                return result.value
        return None

    def _must_be_whole(self, request: Request) -> bool:
        """Tell whether a part of a body is an error; say once how to change that."""
        fails: bool = request.meta.get("download_fail_on_dataloss", self._fails_on_loss)
        if fails and not self._has_warned:
            self._has_warned = True
            logger.warning(
                "Got data loss in %s. To get such responses as far as they came, set DOWNLOAD_FAIL_ON_DATALOSS = False."
                " This is logged once.",
                request.url,
            )
        return fails


class Sizes:
    """How large one body may become, and has become.

    Args:
        request: Its meta may say `download_maxsize` and `download_warnsize`.
        maxsize: What holds otherwise, in bytes; 0 for no limit.
        warnsize: The same.

    Attributes:
        received: Bytes that came.
    """

    __slots__ = ("_has_warned", "_maxsize", "_request", "_warnsize", "received")

    def __init__(self, request: Request, maxsize: int, warnsize: int) -> None:
        meta = request.meta
        self._request = request
        self._maxsize: int = meta.get("download_maxsize", maxsize)
        self._warnsize: int = meta.get("download_warnsize", warnsize)
        self._has_warned = False
        self.received = 0

    def check(self, size: int, *, announced: bool) -> None:
        """Warn of a large body, once, and refuse one that is too large.

        Raises:
            DownloadCancelledError: It is, or will be.
        """
        if self._maxsize and size > self._maxsize:
            message = self._message(size, "max", self._maxsize, announced)
            logger.warning(message)
            raise DownloadCancelledError(message)
        if self._warnsize and size > self._warnsize and not self._has_warned:
            self._has_warned = True
            logger.warning(self._message(size, "warn", self._warnsize, announced))

    def _message(self, size: int, which: str, limit: int, announced: bool) -> str:
        # As Scrapy words it: there are programs that look for these in the log.
        verb = "Expected to receive" if announced else "Received"
        return f"{verb} {size} bytes which is larger than download {which} size ({limit}) in request {self._request}."


def _expected_size(request: Request, answer: AsyncResponse) -> int | None:
    """Give the size the body will have, as far as its framing tells; 0 where there is none, as after HEAD."""
    return framing_of(request.method.encode(), answer.head).length


def _ends_with_close(request: Request, answer: AsyncResponse) -> bool:
    return framing_of(request.method.encode(), answer.head).kind is Kind.CLOSE


def _response(
    request: Request, answer: AsyncResponse, headers: Headers, body: bytes, flags: list[str] | None = None
) -> Response:
    peer = answer.peer
    kind = responsetypes.from_args(headers=headers, url=request.url, body=body)
    return kind(
        url=request.url,
        status=answer.status,
        headers=headers,
        body=body,
        flags=flags,
        certificate=peer.certificate,
        ip_address=None if peer.address is None else ip_address(peer.address),
        protocol="HTTP/1.0" if answer.version == 10 else "HTTP/1.1",
    )


def _stopped(stop: StopDownload, response: Response) -> Response:
    """Give what was there when a receiver stopped the download; as an error, if that is what it wants."""
    response.flags.append("download_stopped")
    if stop.fail:
        stop.response = response
        raise stop
    return response


def _log_tls(request: Request, answer: AsyncResponse) -> None:
    peer = answer.peer
    if peer.tls_version is not None:
        host = urlparse_cached(request).hostname
        logger.debug("SSL connection to %s using protocol %s, cipher %s", host, peer.tls_version, peer.cipher)
