"""The methods of a session, one for each verb: signatures and documentation, nothing else.

Knows: requests' signatures. Each passes its arguments on by position, at once: an argument dictionary taken apart and
built again would cost more than the look-up of a connection.
Does not know: how a request is made; `Session` does.

Source: RFC 9110 §9.3 (methods), RFC 5789 (PATCH).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from keeppool.config import INHERIT, Inherit, TimeoutArgument
from keeppool.wire.request import check_method

if TYPE_CHECKING:
    from keeppool.client.cookies import CookiesArgument
    from keeppool.client.headers import HeadersArgument
    from keeppool.client.prepare import AuthArgument, ParamsArgument
    from keeppool.client.response import Response
    from keeppool.client.retries import RetriesArgument


class Verbs(ABC):
    """The verbs. All take what `request` takes, and raise what it raises."""

    __slots__ = ()

    @abstractmethod
    def _call(
        self,
        method: bytes,
        url: str | bytes,
        params: ParamsArgument,
        data: Any,
        json: Any,
        headers: HeadersArgument | None,
        cookies: CookiesArgument | None,
        auth: AuthArgument,
        timeout: TimeoutArgument | Inherit,
        follow: bool,
        stream: bool,
        verify: bool | str | None,
        cert: str | tuple[str, str] | None,
        retries: RetriesArgument | Inherit,
    ) -> Response:
        """Send a request and follow where it leads."""

    def request(
        self,
        method: str,
        url: str | bytes,
        params: ParamsArgument = None,
        data: Any = None,
        headers: HeadersArgument | None = None,
        cookies: CookiesArgument | None = None,
        *,
        json: Any = None,
        auth: AuthArgument = None,
        timeout: TimeoutArgument | Inherit = INHERIT,
        allow_redirects: bool = True,
        stream: bool = False,
        verify: bool | str | None = None,
        cert: str | tuple[str, str] | None = None,
        retries: RetriesArgument | Inherit = INHERIT,
    ) -> Response:
        """Send a request with any method.

        Args:
            method: Such as "GET"; standard ones in any case.
            url: Absolute; quoted or not. Credentials in it are used for Basic authentication.
            params: For the query string: a mapping or pairs, lists of values allowed, `None` left out; or text.
            data: The body. A mapping or list of pairs is sent as a form; bytes, text, files, iterables as they are.
            headers: Header fields of this request; they win over the session's, and `None` removes one.
            cookies: Cookies of this call, from name to value, or a jar. They are not kept, and a mapping's not
                taken along to another host.
            json: Sent as JSON, where there is no `data`.
            auth: (user, password) for Basic authentication.
            timeout: Seconds for connecting and for each silence, a pair of them, a `Timeout`, or `None` for no limit.
                Without it the session's, or the host's entry.
            allow_redirects: Follow redirects, at most `max_redirects` of them.
            stream: Return at the head; the body is read when it is looked at.
            verify: Check certificates: True, False, or where trusted ones are. `None`: as the session says.
            cert: The client's certificate, or (certificate, key) paths.
            retries: Try again what failed or was refused: how many more times, or a `urllib3.util.Retry` with statuses,
                methods and pauses; `None` or 0 for not at all. Without it the session's. What did not reach the server
                is tried again with any method, everything else with those the `Retry` allows, and those are the
                idempotent ones unless it says otherwise. No connection is held during a pause, and a total timeout
                holds for all tries and pauses together. With `stream` a body that breaks off later is the caller's.

        Returns:
            The answer, whatever its status; see `Response.raise_for_status`.

        Raises:
            InvalidRequest: The arguments make no request. Nothing was sent.
            PoolError, ConnectError: No connection. Nothing was sent.
            ExchangeError: The connection failed; `sent`, `received` and `retry_safe` say how far it got.
            TooManyRedirects: `response` is the last one.
            UnrewindableBodyError: A redirect, or another try, needs the body again; `response` is the answer that made
                it necessary, `__cause__` the error.
            RetryError: The last try too was answered with a status of the `Retry`'s `status_forcelist`; `response` is
                that answer. Without `raise_on_status` it is returned instead.

        Thread safety:
            Any thread, any number at once.
        """
        verb = check_method(method)
        return self._call(
            verb,
            url,
            params,
            data,
            json,
            headers,
            cookies,
            auth,
            timeout,
            allow_redirects,
            stream,
            verify,
            cert,
            retries,
        )

    def get(
        self,
        url: str | bytes,
        params: ParamsArgument = None,
        *,
        data: Any = None,
        json: Any = None,
        headers: HeadersArgument | None = None,
        cookies: CookiesArgument | None = None,
        auth: AuthArgument = None,
        timeout: TimeoutArgument | Inherit = INHERIT,
        allow_redirects: bool = True,
        stream: bool = False,
        verify: bool | str | None = None,
        cert: str | tuple[str, str] | None = None,
        retries: RetriesArgument | Inherit = INHERIT,
    ) -> Response:
        """Send a GET request; see `request`."""
        return self._call(
            b"GET",
            url,
            params,
            data,
            json,
            headers,
            cookies,
            auth,
            timeout,
            allow_redirects,
            stream,
            verify,
            cert,
            retries,
        )

    def options(
        self,
        url: str | bytes,
        *,
        params: ParamsArgument = None,
        data: Any = None,
        json: Any = None,
        headers: HeadersArgument | None = None,
        cookies: CookiesArgument | None = None,
        auth: AuthArgument = None,
        timeout: TimeoutArgument | Inherit = INHERIT,
        allow_redirects: bool = True,
        stream: bool = False,
        verify: bool | str | None = None,
        cert: str | tuple[str, str] | None = None,
        retries: RetriesArgument | Inherit = INHERIT,
    ) -> Response:
        """Send an OPTIONS request; see `request`."""
        return self._call(
            b"OPTIONS",
            url,
            params,
            data,
            json,
            headers,
            cookies,
            auth,
            timeout,
            allow_redirects,
            stream,
            verify,
            cert,
            retries,
        )

    def head(
        self,
        url: str | bytes,
        *,
        params: ParamsArgument = None,
        data: Any = None,
        json: Any = None,
        headers: HeadersArgument | None = None,
        cookies: CookiesArgument | None = None,
        auth: AuthArgument = None,
        timeout: TimeoutArgument | Inherit = INHERIT,
        allow_redirects: bool = False,
        stream: bool = False,
        verify: bool | str | None = None,
        cert: str | tuple[str, str] | None = None,
        retries: RetriesArgument | Inherit = INHERIT,
    ) -> Response:
        """Send a HEAD request; see `request`. Redirects are not followed unless asked for."""
        return self._call(
            b"HEAD",
            url,
            params,
            data,
            json,
            headers,
            cookies,
            auth,
            timeout,
            allow_redirects,
            stream,
            verify,
            cert,
            retries,
        )

    def post(
        self,
        url: str | bytes,
        data: Any = None,
        json: Any = None,
        *,
        params: ParamsArgument = None,
        headers: HeadersArgument | None = None,
        cookies: CookiesArgument | None = None,
        auth: AuthArgument = None,
        timeout: TimeoutArgument | Inherit = INHERIT,
        allow_redirects: bool = True,
        stream: bool = False,
        verify: bool | str | None = None,
        cert: str | tuple[str, str] | None = None,
        retries: RetriesArgument | Inherit = INHERIT,
    ) -> Response:
        """Send a POST request; see `request`."""
        return self._call(
            b"POST",
            url,
            params,
            data,
            json,
            headers,
            cookies,
            auth,
            timeout,
            allow_redirects,
            stream,
            verify,
            cert,
            retries,
        )

    def put(
        self,
        url: str | bytes,
        data: Any = None,
        *,
        params: ParamsArgument = None,
        json: Any = None,
        headers: HeadersArgument | None = None,
        cookies: CookiesArgument | None = None,
        auth: AuthArgument = None,
        timeout: TimeoutArgument | Inherit = INHERIT,
        allow_redirects: bool = True,
        stream: bool = False,
        verify: bool | str | None = None,
        cert: str | tuple[str, str] | None = None,
        retries: RetriesArgument | Inherit = INHERIT,
    ) -> Response:
        """Send a PUT request; see `request`."""
        return self._call(
            b"PUT",
            url,
            params,
            data,
            json,
            headers,
            cookies,
            auth,
            timeout,
            allow_redirects,
            stream,
            verify,
            cert,
            retries,
        )

    def patch(
        self,
        url: str | bytes,
        data: Any = None,
        *,
        params: ParamsArgument = None,
        json: Any = None,
        headers: HeadersArgument | None = None,
        cookies: CookiesArgument | None = None,
        auth: AuthArgument = None,
        timeout: TimeoutArgument | Inherit = INHERIT,
        allow_redirects: bool = True,
        stream: bool = False,
        verify: bool | str | None = None,
        cert: str | tuple[str, str] | None = None,
        retries: RetriesArgument | Inherit = INHERIT,
    ) -> Response:
        """Send a PATCH request; see `request`."""
        return self._call(
            b"PATCH",
            url,
            params,
            data,
            json,
            headers,
            cookies,
            auth,
            timeout,
            allow_redirects,
            stream,
            verify,
            cert,
            retries,
        )

    def delete(
        self,
        url: str | bytes,
        *,
        params: ParamsArgument = None,
        data: Any = None,
        json: Any = None,
        headers: HeadersArgument | None = None,
        cookies: CookiesArgument | None = None,
        auth: AuthArgument = None,
        timeout: TimeoutArgument | Inherit = INHERIT,
        allow_redirects: bool = True,
        stream: bool = False,
        verify: bool | str | None = None,
        cert: str | tuple[str, str] | None = None,
        retries: RetriesArgument | Inherit = INHERIT,
    ) -> Response:
        """Send a DELETE request; see `request`."""
        return self._call(
            b"DELETE",
            url,
            params,
            data,
            json,
            headers,
            cookies,
            auth,
            timeout,
            allow_redirects,
            stream,
            verify,
            cert,
            retries,
        )
