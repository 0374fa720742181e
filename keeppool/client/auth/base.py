"""`AuthBase`: what every authentication scheme derives from.

Knows: requests' protocol for it: an object that is called with the prepared request and returns it. What is ours is
    `answered`, which replaces the response hooks requests' Digest needs: it does no I/O, so threads and asyncio can
    run it alike.
Does not know: when it is called, and to which origins the credentials may go (`flow.py`, `redirect.py`).

Source: RFC 9110 §11 (authentication).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keeppool.client.request.prepared import PreparedRequest


class AuthBase:
    """What authentication schemes derive from. Override `__call__`, and `answered` if the scheme has challenges.

    Thread safety: a scheme may sign requests of several threads at once.
    """

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Sign a request.

        Args:
            request: Complete but for this; its `method`, `url`, `headers` and `body` may be changed.

        Returns:
            The request to send, as a rule the same object.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how a request is signed")

    def answered(self, response: Any) -> PreparedRequest | None:
        """Look at the response to a request this scheme has signed.

        Must not do I/O: on asyncio it runs in the event loop.

        Args:
            response: Its status and headers can be read, its body need not be there.

        Returns:
            The request to send in the place of the one that was answered, made by `response.request.copy()`; `None` if
            the response is to be kept. The body is rewound before it is sent.
        """
        return None
