"""`Tries`: the tries of one request, and what comes after each.

Decides: after an error or a response, whether the request is sent again, and after how many seconds.
Knows: urllib3's `Retry`, which holds the counts, the statuses, the methods and the pauses; what each of our errors says
    about how far the request got.
Does not know: how a request is sent and who waits; the session does. The pool's own resending (`core.resend`) lies
    below: it happens once, unasked, where it cannot do harm. This is policy, and may apply a request twice.

Source: RFC 9110 §9.2.2 (which requests may be repeated), §10.2.3 (Retry-After).
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import TYPE_CHECKING, Protocol

from urllib3.exceptions import ConnectTimeoutError, InvalidHeader, MaxRetryError, ProtocolError
from urllib3.exceptions import HTTPError as RetryRefusal
from urllib3.util import Retry

from keeppool.client.request.headers import single_value
from keeppool.core.resend import IDEMPOTENT
from keeppool.errors import (
    BodyLengthError,
    ConnectError,
    ContentDecodingError,
    ExchangeError,
    KeepPoolError,
    PoolClosed,
    PoolError,
    ReadTimeout,
    RepeatedReadTimeout,
    RetryError,
    TotalTimeout,
    UnrewindableBodyError,
)

if TYPE_CHECKING:
    from keeppool.client.request.prepared import PreparedRequest
    from keeppool.client.retries.retrying import Retrying

#: What no waiting mends: the pool stays closed, the time has passed, the caller's body has the length it has, the
#: server's would come in the same coding.
_FINAL = (PoolClosed, TotalTimeout, BodyLengthError, ContentDecodingError)


class Tried(Protocol):
    """A response to a try."""

    @property
    def status_code(self) -> int:
        """Its status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Its fields, found in any case."""


class Tries:
    """The tries of one request.

    Args:
        retrying: How many, and how long to wait.
        request: What is tried.
    """

    __slots__ = ("_began", "_count", "_request", "_retry", "_retrying")

    def __init__(self, retrying: Retrying, request: PreparedRequest) -> None:
        self._retrying = retrying
        self._retry = retrying.retry
        self._request = request
        self._began = retrying.clock()
        self._count = 1

    def after_error(self, error: KeepPoolError, total: float | None) -> float | None:
        """Decide after a try that failed.

        Args:
            error: What was raised.
            total: Seconds that all tries and pauses may take together.

        Returns:
            Seconds to wait before the next try; `None` if the error is the caller's to see.

        Raises:
            RepeatedReadTimeout: No tries are left, and the last one's error is a read timeout.
        """
        reason = reason_of(error, self._request.verb)
        if reason is None:
            return None
        try:
            self._retry = self._retry.increment(self._request.method, self._request.url, error=reason)
        except RetryRefusal as refusal:
            if isinstance(error, ReadTimeout) and isinstance(refusal, MaxRetryError):
                raise repeated(error, self._count) from error
            return None
        pause = self._retry.get_backoff_time()
        return pause if self._has_time(pause, total) else None

    def after_response(self, response: Tried, total: float | None) -> float | None:
        """Decide after a try that was answered.

        Args:
            response: Its body may still be on its way.
            total: Seconds that all tries and pauses may take together.

        Returns:
            Seconds to wait before the next try; `None` if this is the response.

        Raises:
            RetryError: Its status is one of those to be tried again and there are no tries or no time left; only with
                `raise_on_status`. Whoever drives the flow closes it.
        """
        headers = response.headers
        after = _retry_after(self._retry, headers)
        if not self._retry.is_retry(self._request.verb.decode(), response.status_code, after is not None):
            return None
        try:
            self._retry = self._retry.increment(
                self._request.method,
                self._request.url,
                response=_Refusal(response.status_code, headers),  # type: ignore[arg-type]
            )
        except MaxRetryError as error:
            self._complain(response, f"no tries left after {self._count}", error)
            return None
        pause = after or self._retry.get_backoff_time()
        if not self._has_time(pause, total):
            self._complain(response, f"{pause:g} s to wait are more than the total timeout of {total:g} s leaves")
            return None
        return pause

    def count(self) -> None:
        """Note that there is another try."""
        self._count += 1

    def left_of(self, total: float) -> float:
        """Give the seconds of a total timeout that the next try may take; never 0, which would not even try."""
        return max(total - self._used(), 0.001)

    def _used(self) -> float:
        return self._retrying.clock() - self._began

    def _has_time(self, pause: float, total: float | None) -> bool:
        return total is None or self._used() + pause < total

    def _complain(self, response: Tried, why: str, cause: Exception | None = None) -> None:
        """Raise, if the caller wants to hear of a listed status as an error; else the last response is the call's."""
        if not self._retry.raise_on_status or response.status_code not in self._retry.status_forcelist:
            return
        text = f"was answered {response.status_code}: {why}"
        raise RetryError(text, request=self._request, response=response, tries=self._count) from cause


def reason_of(error: KeepPoolError, verb: bytes) -> Exception | None:
    """Translate an error of ours into the one by which `Retry` counts; `None` if trying again would be of no use.

    Args:
        error: Of the pool.
        verb: The method of the request.

    Returns:
        A connection error, tried again whatever the method, where the server has seen nothing: the request did not
        leave, or not one byte of it was accepted. Else a read error, tried again with `allowed_methods` only.
    """
    if isinstance(error, _FINAL):
        return None
    reason: Exception
    if isinstance(error, (PoolError, ConnectError)) or (isinstance(error, ExchangeError) and not error.sent):
        reason = ConnectTimeoutError(str(error))
    # Of a method that is idempotent by itself only `HostConfig(idempotent=False)` says that it is not safe: a retry
    # policy for all hosts must not overrule what is configured for this one.
    elif isinstance(error, ExchangeError) and (error.retry_safe or verb not in IDEMPOTENT):
        reason = ProtocolError(str(error))
    else:
        return None
    # A copy: `Retry` keeps it in its history, and by its traceback it would hold the tries that hold the `Retry`.
    reason.__cause__ = copy(error)
    return reason


def repeated(error: ReadTimeout, tries: int) -> RepeatedReadTimeout:
    """Make the error of a call whose tries are used up, with the facts of the last one."""
    facts = {name: value for name, value in vars(error).items() if name not in ("message", "_reason")}
    return RepeatedReadTimeout(f"{error.reason}; no tries left after {tries}", **facts, tries=tries)


class _Refusal:
    """A response as `Retry.increment` wants to see it. It leads nowhere: redirects are the session's."""

    __slots__ = ("headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        self.status = status
        self.headers = headers

    def get_redirect_location(self) -> bool:
        return False


def _retry_after(retry: Retry, headers: Mapping[str, str]) -> float | None:
    """Read the seconds a server asks to wait; `None` if it does not, or in no way that can be read."""
    if not retry.respect_retry_after_header:
        return None
    value = single_value(headers, "retry-after")
    try:
        return None if value is None else retry.parse_retry_after(value)
    except (InvalidHeader, ValueError, OverflowError):
        return None


def rewind(request: PreparedRequest, *, error: KeepPoolError | None = None, response: Tried | None = None) -> None:
    """Put a request's body back to its start for another try.

    Raises:
        UnrewindableBodyError: It was consumed; the error or the response that made another try necessary is with it.
    """
    if request.payload is None:
        return
    try:
        request.payload.rewind()
    except UnrewindableBodyError as refusal:
        refusal.request, refusal.response = request, response
        raise refusal from error
