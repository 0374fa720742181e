"""The methods of a session, one for each verb: signatures and documentation, nothing else.

Knows: requests' signatures. The arguments of a call are listed once, in `options.py`; an empty dictionary of options
    costs less to pass on than a dozen defaults (0.12 against 0.23 µs, Python 3.11).
Does not know: how a request is made; `Session` and `AsyncSession` do.

Source: RFC 9110 §9.3 (methods), RFC 5789 (PATCH).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from typing import Unpack

    from keeppool.client.arguments import (
        AuthArgument,
        CookiesArgument,
        DataArgument,
        FilesArgument,
        HeadersArgument,
        ParamsArgument,
    )
    from keeppool.client.options import GetOptions, Options, PostOptions, PutOptions, RequestOptions

#: What a verb gives: a response, or something to await that gives one.
ResponseT = TypeVar("ResponseT")


class Verbs(Generic[ResponseT]):
    """The verbs. All take what `request` takes, and raise what it raises."""

    __slots__ = ()

    #: Sends a request and follows where it leads.
    _call: Callable[..., ResponseT]
    #: The same, for a method that is named after its verb.
    _call_verb: Callable[..., ResponseT]

    def request(
        self,
        method: str,
        url: str | bytes,
        params: ParamsArgument = None,
        data: DataArgument = None,
        headers: HeadersArgument | None = None,
        cookies: CookiesArgument | None = None,
        files: FilesArgument = None,
        auth: AuthArgument = None,
        **options: Unpack[RequestOptions],
    ) -> ResponseT:
        """Send a request with any method.

        Args:
            method: Such as "GET"; standard ones in any case.
            url: Absolute, or relative to the session's `base_url`; quoted or not. Credentials in it are used for Basic
                authentication.
            params: For the query string: a mapping or pairs, lists of values allowed, `None` left out; or text.
            data: The body. A mapping or list of pairs is sent as a form; bytes, text, files, iterables as they are.
            headers: Header fields of this request; they win over the session's, and `None` removes one.
            cookies: Cookies of this call, from name to value, or a jar. They are not kept, and a mapping's not
                taken along to another host.
            files: Files by field name, sent as a multipart form with the fields in `data`: an open file, bytes, text,
                or a tuple (file name, file[, media type[, headers]]).
            auth: (user, password) for Basic authentication, or a function from prepared request to prepared request,
                such as `keeppool.auth.HTTPDigestAuth(user, password)`.
            **options: More arguments, all by name.
                json: Sent as JSON, where there is no `data` and there are no `files`.
                timeout: Seconds for connecting and for each silence, a pair of them, a `Timeout`, or `None` for no
                limit. Without it the session's, or the host's entry.
                allow_redirects: Follow redirects, at most `max_redirects` of them. Without it `follow_redirects`.
                proxies: As the session's `proxies`, which they win over.
                hooks: Functions that see the response, such as `{"response": function}`.
                stream: Return at the head; the body is read when it is looked at. `None`: as the session is set.
                verify: Check certificates: True, False, or where trusted ones are. `None`: as the session is set.
                cert: The client's certificate, or (certificate, key) paths.
                retries: Try again what failed or was refused: how many more times, or a `urllib3.util.Retry` with
                statuses, methods and pauses; `None` or 0 for not at all. Without it the session's. What did not reach
                the server is tried again with any method, everything else with those the `Retry` allows, and those are
                the idempotent ones unless it says otherwise. No connection is held during a pause, and a total timeout
                holds for all tries and pauses together. With `stream` a body that breaks off later is the caller's.
                content: The body as it is, instead of `data`: never a form. httpx's name.
                follow_redirects: As `allow_redirects`, which wins; httpx's name. Without either the session's.

        Returns:
            The response, whatever its status; see `Response.raise_for_status`.

        Raises:
            InvalidRequest: The arguments make no request. Nothing was sent.
            PoolError, ConnectError: No connection. Nothing was sent.
            ExchangeError: The connection failed; `sent`, `received` and `retry_safe` say how far it got.
            TooManyRedirects: `response` is the last one.
            UnrewindableBodyError: A redirect, or another try, needs the body again; `response` is the one that made it
                necessary, `__cause__` the error.
            RetryError: The last try too was answered with a status of the `Retry`'s `status_forcelist`; `response` is
                that response. Without `raise_on_status` it is returned instead.

        Thread safety:
            Any thread, any number at once.
        """
        return self._call(
            method,
            url,
            params,
            data=data,
            headers=headers,
            cookies=cookies,
            files=files,
            auth=auth,
            **options,
        )

    def get(self, url: str | bytes, params: ParamsArgument = None, **options: Unpack[GetOptions]) -> ResponseT:
        """Send a GET request; see `request`."""
        return self._call_verb(b"GET", url, params, **options)

    def options(self, url: str | bytes, **options: Unpack[Options]) -> ResponseT:
        """Send an OPTIONS request; see `request`."""
        return self._call_verb(b"OPTIONS", url, **options)

    def head(self, url: str | bytes, **options: Unpack[Options]) -> ResponseT:
        """Send a HEAD request; see `request`. Redirects are not followed unless asked for."""
        if options.get("follow_redirects") is None and options.get("allow_redirects") is None:
            options["allow_redirects"] = False
        return self._call_verb(b"HEAD", url, **options)

    def post(
        self, url: str | bytes, data: DataArgument = None, json: object = None, **options: Unpack[PostOptions]
    ) -> ResponseT:
        """Send a POST request; see `request`."""
        return self._call_verb(b"POST", url, data=data, json=json, **options)

    def put(self, url: str | bytes, data: DataArgument = None, **options: Unpack[PutOptions]) -> ResponseT:
        """Send a PUT request; see `request`."""
        return self._call_verb(b"PUT", url, data=data, **options)

    def patch(self, url: str | bytes, data: DataArgument = None, **options: Unpack[PutOptions]) -> ResponseT:
        """Send a PATCH request; see `request`."""
        return self._call_verb(b"PATCH", url, data=data, **options)

    def delete(self, url: str | bytes, **options: Unpack[Options]) -> ResponseT:
        """Send a DELETE request; see `request`."""
        return self._call_verb(b"DELETE", url, **options)
