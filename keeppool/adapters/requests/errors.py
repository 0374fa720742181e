"""Which of requests' exceptions each of keeppool's errors becomes.

Decides: nothing but the table. It says what requests raises over urllib3 for the same event while a request is sent;
    what goes wrong while a body is read is translated by urllib3's and requests' own code (see `raw.py`).
Does not know: what happened; the error of ours that does is the new one's `__cause__`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from requests import PreparedRequest
from requests import exceptions as theirs

import keeppool.errors as ours


class InvalidRequest(theirs.RequestException, ValueError):
    """The request cannot be sent as it is, for a reason requests has no name for. Nothing was sent.

    Without the mount such things come as bare `ValueError` or `TypeError` from the layers below requests. This one is
    a `RequestException` too.
    """


class RepeatedReadTimeout(theirs.ReadTimeout, theirs.ConnectionError):
    """A read timeout in the last of the tries that `max_retries` allows.

    requests makes a `ConnectionError` of it; an `except` clause for either name matches.
    """


#: An error that is not named here is what its nearest parent is.
TABLE: Final[Mapping[type[ours.KeepPoolError], type[theirs.RequestException]]] = {
    ours.KeepPoolError: theirs.RequestException,
    ours.CookieFileError: theirs.RequestException,
    ours.HarError: theirs.RequestException,
    ours.ConfigError: InvalidRequest,
    # What cannot be put into HTTP.
    ours.InvalidRequest: InvalidRequest,
    ours.InvalidURL: theirs.InvalidURL,
    ours.MissingSchema: theirs.MissingSchema,
    ours.InvalidSchema: theirs.InvalidSchema,
    ours.InvalidProxyURL: theirs.InvalidProxyURL,
    ours.InvalidMethod: InvalidRequest,
    ours.InvalidHeader: theirs.InvalidHeader,
    ours.InvalidBody: InvalidRequest,
    ours.InvalidJSONError: theirs.InvalidJSONError,
    ours.JSONDecodeError: theirs.JSONDecodeError,
    # Nothing was sent. ConnectTimeout is requests' only class for "too slow, and safe to try again".
    ours.Timeout: theirs.Timeout,
    ours.ConnectionError: theirs.ConnectionError,
    ours.PoolError: theirs.ConnectionError,
    ours.PoolTimeout: theirs.ConnectTimeout,
    ours.PoolClosed: theirs.ConnectionError,
    ours.QueueFull: theirs.ConnectionError,
    ours.ConnectError: theirs.ConnectionError,
    ours.ResolveError: theirs.ConnectionError,
    ours.RefusedError: theirs.ConnectionError,
    ours.ConnectTimeout: theirs.ConnectTimeout,
    ours.SSLError: theirs.SSLError,
    ours.CertificateError: theirs.SSLError,
    ours.ProxyError: theirs.ProxyError,
    # A connection was used.
    ours.ExchangeError: theirs.ConnectionError,
    ours.ServerDisconnected: theirs.ConnectionError,
    ours.SendError: theirs.ConnectionError,
    ours.ReadError: theirs.ConnectionError,
    ours.ReadTimeout: theirs.ReadTimeout,
    ours.RepeatedReadTimeout: RepeatedReadTimeout,
    # requests takes a send that is too slow for a broken connection.
    ours.WriteTimeout: theirs.ConnectionError,
    # What urllib3's Timeout(total=...) ends with.
    ours.TotalTimeout: theirs.ReadTimeout,
    # The header that is wrong is Content-Length.
    ours.BodyLengthError: theirs.InvalidHeader,
    ours.ProtocolError: theirs.ConnectionError,
    ours.InvalidHead: theirs.ConnectionError,
    ours.HeadTooLarge: theirs.ConnectionError,
    # http.client takes a head that broke off for a whole one, and misses the body it announces.
    ours.TruncatedHead: theirs.ChunkedEncodingError,
    # urllib3 finds it among the header fields, and requests says so.
    ours.InvalidLength: theirs.InvalidHeader,
    ours.ChunkedEncodingError: theirs.ChunkedEncodingError,
    ours.InvalidChunk: theirs.ChunkedEncodingError,
    ours.IncompleteBody: theirs.ChunkedEncodingError,
    ours.ContentDecodingError: theirs.ContentDecodingError,
    # Not raised by a pool; here for code that passes errors of a `keeppool.Session` on.
    ours.HTTPError: theirs.HTTPError,
    ours.TooManyRedirects: theirs.TooManyRedirects,
    ours.RetryError: theirs.RetryError,
    ours.StreamConsumedError: theirs.StreamConsumedError,
    ours.LoopError: theirs.RequestException,
    ours.UnrewindableBodyError: theirs.UnrewindableBodyError,
}


def translated(error: ours.KeepPoolError, request: PreparedRequest | None) -> theirs.RequestException:
    """Make the exception requests' users expect; to be raised `from` the error of ours.

    Args:
        error: Of the pool. It is also the new one's first argument, where requests has urllib3's.
        request: What failed.
    """
    kind = next(TABLE[ancestor] for ancestor in type(error).__mro__ if ancestor in TABLE)
    arguments: tuple[Any, ...] = (error,)
    if isinstance(error, ours.JSONDecodeError):
        arguments = (error.msg, error.doc, error.pos)
    return kind(*arguments, request=request, response=error.response)
