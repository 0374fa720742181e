"""`max_retries`: trying again as `requests.adapters.HTTPAdapter` does, by urllib3's `Retry`.

Decides: after an error or a response, whether there is another try.
Knows: `Retry`, which holds the counts, the statuses, the methods and the pauses, and does the waiting.
Does not know: how a request is sent. The pool's own resending lies below: once, unasked, where it cannot do harm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from requests import PreparedRequest
from requests.exceptions import RetryError
from urllib3 import Retry
from urllib3.exceptions import HTTPError, MaxRetryError

from keeppool.client.retries.tries import reason_of, repeated
from keeppool.errors import KeepPoolError, ReadTimeout

if TYPE_CHECKING:
    from keeppool.adapters.requests.raw import RawResponse


def is_single(retry: Retry) -> bool:
    """Tell whether there is one try only, whatever comes of it; requests' default."""
    return not retry.total and retry.total is not None and not retry.status_forcelist and type(retry) is Retry


def after_error(retry: Retry, request: PreparedRequest, method: bytes, error: KeepPoolError) -> Retry | None:
    """Count a try that failed, and wait.

    Returns:
        What is left of the tries; `None` if the error is the caller's to see.

    Raises:
        RepeatedReadTimeout: keeppool's: no tries are left, and the last one's error is a read timeout.
    """
    reason = reason_of(error, method)
    if reason is None:
        return None
    try:
        left = retry.increment(request.method, request.url, error=reason)
    except HTTPError as refusal:
        if isinstance(error, ReadTimeout) and isinstance(refusal, MaxRetryError):
            raise repeated(error, len(retry.history) + 1) from error
        return None
    left.sleep()
    return left


def after_answer(retry: Retry, request: PreparedRequest, raw: RawResponse) -> Retry | None:
    """Count a try that was answered, and wait if its status is one to be tried again.

    Returns:
        What is left of the tries; `None` if this is the response.

    Raises:
        requests.exceptions.RetryError: No tries are left for such a status, and `raise_on_status`. The connection is
            free.
    """
    if not retry.is_retry(request.method or "", raw.status, bool(raw.headers.get("Retry-After"))):
        return None
    try:
        left = retry.increment(request.method, request.url, response=raw)
    except MaxRetryError as error:
        if not retry.raise_on_status:
            return None
        raw.drain_conn()
        raise RetryError(error, request=request) from error
    raw.drain_conn()
    left.sleep(raw)
    return left
