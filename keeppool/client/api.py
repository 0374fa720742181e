"""`keeppool.get` and its siblings: requests without a session to look after.

Decides: that they share one pool, and no cookies. Two calls to one host use one connection, unlike in requests, where
    each call has connections of its own; a cookie a response sets is sent on by the redirects of that call only, as in
    requests.
Does not know: anything else; the session does the work. A program that wants limits, headers or cookies of its own
    makes a `Session`.

The shared session is made when the first of these names is used, and closed when the interpreter ends.

Thread safety: any thread.
"""

from __future__ import annotations

import atexit
from typing import TYPE_CHECKING, Any

from keeppool.client.response.response import Response
from keeppool.client.session import Session
from keeppool.forks import undivided

if TYPE_CHECKING:
    from http.cookiejar import CookieJar as StandardCookieJar

    from keeppool.client.response.base import BaseResponse


class ForgetfulSession:
    """A session that forgets cookies with each call."""

    def _jar_for(self, response: BaseResponse) -> StandardCookieJar:
        """Keep a response's cookies for the rest of its call alone."""
        with undivided:
            from keeppool.client.cookies import CookieJar

        request = response.request
        if request.jar is None:
            request.jar = CookieJar()
        return request.jar

    def __reduce__(self) -> str:
        # Functions can be pickled, so their session can: another process has one of its own.
        return "shared_session"


class SharedSession(ForgetfulSession, Session):
    """The session behind the functions."""


shared_session = SharedSession()
atexit.register(shared_session.close)


def request(method: str, url: str | bytes, **options: Any) -> Response:
    """Send a request with any method; see `Session.request`."""
    return shared_session.request(method, url, **options)


get = shared_session.get
options = shared_session.options
head = shared_session.head
post = shared_session.post
put = shared_session.put
patch = shared_session.patch
delete = shared_session.delete
