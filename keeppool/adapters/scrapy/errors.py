"""Which of Scrapy's exceptions each of keeppool's errors becomes.

Decides: nothing but the table. Scrapy's retry middleware goes by the class: it repeats all of these except
    `DownloadCancelledError` and `UnsupportedURLSchemeError`, which stand for what would fail again.
Does not know: what happened; the error of ours that does is the new one's `__cause__`.

No error of ours goes up as it is: each is an `OSError`, and the retry middleware repeats any of those.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import scrapy

import keeppool.errors as ours

if TYPE_CHECKING or scrapy.version_info >= (2, 15):
    from scrapy.exceptions import (
        CannotResolveHostError,
        DownloadCancelledError,
        DownloadConnectionRefusedError,
        DownloadFailedError,
        DownloadTimeoutError,
        ResponseDataLossError,
        UnsupportedURLSchemeError,
    )
else:  # Scrapy 2.14 lets Twisted's own through, and its retry middleware looks for those.
    from twisted.internet.defer import CancelledError as DownloadCancelledError
    from twisted.internet.error import ConnectionRefusedError as DownloadConnectionRefusedError
    from twisted.internet.error import DNSLookupError as CannotResolveHostError
    from twisted.internet.error import TimeoutError as DownloadTimeoutError
    from twisted.web.client import ResponseFailed as DownloadFailedError
    from twisted.web.error import SchemeNotSupported as UnsupportedURLSchemeError

    ResponseDataLossError = DownloadFailedError

__all__ = [
    "TABLE",
    "CannotResolveHostError",
    "DownloadCancelledError",
    "DownloadConnectionRefusedError",
    "DownloadFailedError",
    "DownloadTimeoutError",
    "ResponseDataLossError",
    "UnsupportedURLSchemeError",
    "translated",
]

#: An error that is not named here is what its nearest parent is.
TABLE: Final[Mapping[type[ours.KeepPoolError], type[Exception]]] = {
    ours.KeepPoolError: DownloadFailedError,
    # Not of a download: it comes where a jar is loaded.
    ours.CookieFileError: DownloadFailedError,
    ours.HarError: DownloadFailedError,
    # What a request or its meta says is invalid, or cannot be put into HTTP: nothing was sent, nor would be.
    ours.ConfigError: DownloadCancelledError,
    ours.InvalidRequest: DownloadCancelledError,
    ours.InvalidURL: UnsupportedURLSchemeError,
    ours.MissingSchema: UnsupportedURLSchemeError,
    ours.InvalidSchema: UnsupportedURLSchemeError,
    ours.InvalidProxyURL: UnsupportedURLSchemeError,
    ours.InvalidMethod: DownloadCancelledError,
    ours.InvalidHeader: DownloadCancelledError,
    ours.InvalidBody: DownloadCancelledError,
    ours.InvalidJSONError: DownloadCancelledError,
    ours.JSONDecodeError: DownloadCancelledError,
    # Nothing was sent.
    ours.Timeout: DownloadTimeoutError,
    ours.ConnectionError: DownloadFailedError,
    ours.PoolError: DownloadFailedError,
    ours.PoolTimeout: DownloadTimeoutError,
    # The crawler is going: there is nobody to try again.
    ours.PoolClosed: DownloadCancelledError,
    ours.QueueFull: DownloadFailedError,
    ours.ConnectError: DownloadFailedError,
    ours.ResolveError: CannotResolveHostError,
    ours.RefusedError: DownloadConnectionRefusedError,
    ours.ConnectTimeout: DownloadTimeoutError,
    ours.SSLError: DownloadFailedError,
    ours.CertificateError: DownloadFailedError,
    # Scrapy's own handlers say so of a proxy that is not there, and of one that does not let us through.
    ours.ProxyError: DownloadConnectionRefusedError,
    # A connection was used.
    ours.ExchangeError: DownloadFailedError,
    ours.ServerDisconnected: DownloadFailedError,
    ours.SendError: DownloadFailedError,
    ours.ReadError: DownloadFailedError,
    ours.ReadTimeout: DownloadTimeoutError,
    ours.RepeatedReadTimeout: DownloadTimeoutError,
    ours.WriteTimeout: DownloadTimeoutError,
    ours.TotalTimeout: DownloadTimeoutError,
    # The request's own Content-Length is wrong.
    ours.BodyLengthError: DownloadCancelledError,
    ours.ProtocolError: DownloadFailedError,
    ours.InvalidHead: DownloadFailedError,
    ours.HeadTooLarge: DownloadFailedError,
    ours.TruncatedHead: DownloadFailedError,
    ours.InvalidLength: DownloadFailedError,
    # A part of the body is there.
    ours.ChunkedEncodingError: ResponseDataLossError,
    ours.InvalidChunk: ResponseDataLossError,
    ours.IncompleteBody: ResponseDataLossError,
    # Not raised by a pool that decodes nothing, follows nothing and judges nothing.
    ours.ContentDecodingError: DownloadFailedError,
    ours.HTTPError: DownloadFailedError,
    ours.TooManyRedirects: DownloadFailedError,
    ours.RetryError: DownloadFailedError,
    ours.StreamConsumedError: DownloadFailedError,
    ours.LoopError: DownloadFailedError,
    ours.UnrewindableBodyError: DownloadFailedError,
}


def translated(error: ours.KeepPoolError) -> Exception:
    """Make the exception Scrapy's users and middlewares expect; to be raised `from` the error of ours.

    Scrapy logs it with its causes and names the request before it. So the text says what happened once, and the causes
    lose their tracebacks: eight frames of ours for each host that is down say nothing.

    Args:
        error: Of the pool.
    """
    kind = next(TABLE[ancestor] for ancestor in type(error).__mro__ if ancestor in TABLE)
    cause: BaseException | None = error
    while cause is not None:
        cause.__traceback__ = None
        cause = cause.__cause__ or cause.__context__
    return kind(str(error))
