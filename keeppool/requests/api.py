"""The names of `requests.api`: one function for each verb, on a shared session of requests' kind.

What `keeppool.get` and its siblings say of pool and cookies holds here too; the two share neither.
"""

from __future__ import annotations

import atexit
from typing import Any

from keeppool.client.api import ForgetfulSession
from keeppool.requests.mounting.adapter import Response
from keeppool.requests.mounting.session import Session


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

__all__ = ["delete", "get", "head", "options", "patch", "post", "put", "request"]
