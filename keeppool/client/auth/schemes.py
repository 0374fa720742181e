"""The schemes that need no challenge: Basic, for servers and for proxies, and Bearer.

Decides: what stands in Authorization and Proxy-Authorization.
Does not know: Digest, which has a module of its own, loaded by whoever uses it.

Source: RFC 7617 (Basic), RFC 6750 §2.1 (Bearer).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from keeppool.client.auth.base import AuthBase
from keeppool.client.request.encode import basic_of_any
from keeppool.errors import InvalidRequest

if TYPE_CHECKING:
    from keeppool.client.request.prepared import PreparedRequest

# Wider than RFC 6750's b64token, because tokens in use are; no white space, which comes from files read with their
# line end.
_TOKEN: Final = re.compile(r"[!-~]+")


class HTTPBasicAuth(AuthBase):
    """User and password with every request, as good as in the clear: for https.

    Args:
        username: Text is sent in ISO 8859-1 as requests does, in UTF-8 where that cannot write it; bytes as they are.
        password: The same.

    Two objects with equal user and password are equal; they cannot be hashed.
    """

    def __init__(self, username: str | bytes, password: str | bytes) -> None:
        self.username = username
        self.password = password

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Set Authorization."""
        request.headers["Authorization"] = basic_of_any(self.username, self.password).decode("ascii")
        return request

    def __eq__(self, other: object) -> bool:
        return has_same_credentials(self, other)

    __hash__ = None  # type: ignore[assignment]


class HTTPProxyAuth(HTTPBasicAuth):
    """User and password for a proxy that plain http goes through. For https put them into the proxy's URL."""

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Set Proxy-Authorization."""
        request.headers["Proxy-Authorization"] = basic_of_any(self.username, self.password).decode("ascii")
        return request


class HTTPBearerAuth(AuthBase):
    """A token with every request.

    Args:
        token: The token, or a function without arguments that returns it: called for each request, so it should
            remember the token until it has to be renewed.
    """

    def __init__(self, token: str | Callable[[], str]) -> None:
        self.token = token

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Set Authorization.

        Raises:
            InvalidRequest: The token is no text, or empty, or holds white space or what is not ASCII.
        """
        token = self.token() if callable(self.token) else self.token
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            # Not shown: it is a secret.
            raise InvalidRequest("a bearer token must be text in ASCII, without white space")
        request.headers["Authorization"] = f"Bearer {token}"
        return request

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HTTPBearerAuth) and self.token == other.token

    __hash__ = None  # type: ignore[assignment]


def has_same_credentials(one: Any, other: object) -> bool:
    """Tell whether two schemes hold the same user and password; of which kind they are does not count in requests."""
    return bool(one.username == getattr(other, "username", None) and one.password == getattr(other, "password", None))
