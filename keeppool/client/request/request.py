"""`Request`: what somebody wants to send, before anything is decided about it.

Knows: the arguments of a call, by requests' names.
Does not know: HTTP; `prepare` makes a `PreparedRequest` of it, and a session adds its settings.
"""

from __future__ import annotations

from keeppool.client.arguments import (
    AuthArgument,
    CookiesArgument,
    DataArgument,
    FilesArgument,
    HeadersArgument,
    HooksArgument,
    ParamsArgument,
)
from keeppool.client.request.hooks import Hooked, hooks_of
from keeppool.client.request.prepared import PreparedRequest


class Request(Hooked):
    """A request to be, freely changed until it is prepared.

    Args:
        method: Such as "GET".
        url: Where to.
        headers: Its header fields.
        files: Files for a multipart form, by field name.
        data: The body, or a form's fields.
        params: For the query string.
        auth: A (user, password) pair, or a function from prepared request to prepared request.
        cookies: Sent besides those of the session.
        hooks: Functions that see the response; see `keeppool.client.request.hooks`.
        json: Sent as JSON where there is neither `data` nor `files`.

    Raises:
        InvalidRequest: `hooks` is no mapping, or has what cannot be called.
        ValueError: `hooks` names an event there is not.
    """

    def __init__(
        self,
        method: str | None = None,
        url: str | bytes | None = None,
        headers: HeadersArgument | None = None,
        files: FilesArgument = None,
        data: DataArgument = None,
        params: ParamsArgument = None,
        auth: AuthArgument = None,
        cookies: CookiesArgument | None = None,
        hooks: HooksArgument = None,
        json: object = None,
    ) -> None:
        self.method = method
        self.url = url
        self.headers = {} if headers is None else headers
        self.files = [] if files is None else files
        self.data = [] if data is None else data
        self.params = {} if params is None else params
        self.auth = auth
        self.cookies = cookies
        self.json = json
        self.hooks = {"response": hooks_of(hooks)}

    def prepare(self) -> PreparedRequest:
        """Make a prepared request of it, without a session's headers, cookies and parameters.

        Raises:
            InvalidRequest: One of its children: something cannot be put into HTTP.
        """
        made = PreparedRequest()
        made.prepare(
            self.method,
            self.url,
            self.headers,
            self.files,
            self.data,
            self.params,
            self.auth,
            self.cookies,
            self.hooks,
            self.json,
        )
        return made

    def __repr__(self) -> str:
        return f"<Request [{self.method}]>"
