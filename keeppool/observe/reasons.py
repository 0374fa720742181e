"""What each reason to close a connection means, in words for people, and whose doing it is.

Knows: every `Why`. Does not know: connections.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from keeppool.events import Why


class Reason(NamedTuple):
    """A reason in words.

    Attributes:
        side: Who ended the connection: "us", "server", or "trouble" where something went wrong.
        text: What has happened.
    """

    side: str
    text: str


REASONS: Final[Mapping[Why, Reason]] = {
    Why.PEER_CLOSED: Reason("server", "the server closed it while it was idle"),
    Why.UNASKED_DATA: Reason("trouble", "bytes came that no request had asked for"),
    Why.IDLE_TIMEOUT: Reason("us", "it was idle for idle_timeout"),
    Why.HINT_TIMEOUT: Reason("us", "the server's Keep-Alive timeout was about to pass"),
    Why.HINT_MAX: Reason("us", "the server's Keep-Alive max was used up"),
    Why.LEARNED_TIMEOUT: Reason("us", "this server has been seen to close silently after about this idle time"),
    Why.MAX_AGE: Reason("us", "it was older than max_age"),
    Why.MAX_REQUESTS: Reason("us", "it had carried max_requests requests"),
    Why.EVICTED: Reason("us", "least recently used, it made room for another host"),
    Why.SERVER_CLOSE: Reason("server", "the server said Connection: close, or speaks HTTP/1.0"),
    Why.CLIENT_CLOSE: Reason("us", "the request said Connection: close"),
    Why.CLOSE_DELIMITED: Reason("server", "only the close told where the response's body ends"),
    Why.AMBIGUOUS_FRAMING: Reason("trouble", "where the response ends was ambiguous"),
    Why.REQUEST_UNSENT: Reason("trouble", "the response came before the request was sent whole"),
    Why.BODY_UNREAD: Reason("us", "the response's body was not read to its end"),
    Why.SWITCHED: Reason("us", "it speaks another protocol than HTTP from here on"),
    Why.FLEET: Reason("us", "its fleet allows one less: other members ask for it, or there are more than its cap"),
    Why.EXCHANGE_FAILED: Reason("trouble", "the exchange on it failed"),
    Why.POOL_CLOSED: Reason("us", "the pool was closed"),
}
