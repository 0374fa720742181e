"""May this connection carry another request?

Decides: at the end of an exchange, from its facts alone. Every line is a bug some client has shipped.
Does not know: sockets or parsers; whoever ran the exchange brings the facts.

Source: RFC 9112 §6.3 (message length), §9.3 (persistence), §9.6 (teardown).
"""

from __future__ import annotations

from keeppool.core.keepalive import LONGEST_VALUE, why_not_persistent
from keeppool.reasons import Why


def why_not_reusable(
    framing: Why | None,
    status: int,
    version: int,
    connection: bytes | None,
    request_sent: bool,
    client_close: bool,
) -> Why | None:
    """Give the reason why a connection must close after its response's end, or `None` if it may stay.

    Args:
        framing: What the message's framing forbids (until close, ambiguous, switched protocols), or `None`.
        status: The final response's status.
        version: The response's HTTP version, 10 or 11.
        connection: Value of the response's Connection field, `None` without one.
        request_sent: False if the response came before the whole request was written.
        client_close: True if the request said `Connection: close`.
    """
    # The server may still be reading: what we send next would be taken for the rest of the body.
    if not request_sent:
        return Why.REQUEST_UNSENT
    # The message's end is the connection's end, or two readers could disagree on where it was.
    if framing is not None:
        return framing
    # We said that this request is the last; RFC 9112 §9.6 lets the server close without another word.
    if client_close:
        return Why.CLIENT_CLOSE
    # The server gave up waiting for a request; it closes whatever its header says (RFC 9110 §15.5.9).
    if status == 408:
        return Why.SERVER_CLOSE
    # Nobody means a field of this length; `close` may stand at its end, and the results below are remembered.
    if connection is not None and len(connection) > LONGEST_VALUE:
        return Why.SERVER_CLOSE
    return why_not_persistent(version, connection)
