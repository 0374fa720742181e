"""Header fields as http.client has them, for the cookie jars and tools that read urllib3's `_original_response`.

Knows: `http.client.HTTPMessage`. Does not know: who asks.
"""

from __future__ import annotations

from http.client import HTTPMessage

from keeppool.wire.head import ResponseHead


def http_message(head: ResponseHead) -> HTTPMessage:
    """Make http.client's message of a response's head: all fields in their order, as Latin-1."""
    message = HTTPMessage()
    for name, value in zip(head.names, head.values, strict=True):
        message[name.decode("latin-1")] = value.decode("latin-1")
    return message
