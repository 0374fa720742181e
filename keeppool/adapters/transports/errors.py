"""Which of a client module's exceptions each of keeppool's errors becomes.

Decides: nothing but the table. SDKs repeat what fails, whatever the class; a program that wants to know more than the
    class says finds `sent`, `received` and `retry_safe` on the exception, and keeppool's error as its `__cause__`.
Knows: httpx's names, which httpx2 has kept.
Does not know: what happened.

Source: RFC 9110 §9.2.2 (what may be repeated).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any, Final

import keeppool.errors as ours

#: An error that is not named here is what its nearest parent is.
TABLE: Final[Mapping[type[ours.KeepPoolError], str]] = {
    ours.KeepPoolError: "TransportError",
    # The request cannot be put into HTTP: nothing was sent.
    ours.InvalidRequest: "LocalProtocolError",
    ours.InvalidURL: "LocalProtocolError",
    ours.MissingSchema: "UnsupportedProtocol",
    ours.InvalidSchema: "UnsupportedProtocol",
    ours.InvalidProxyURL: "ProxyError",
    # It never left the pool.
    ours.PoolError: "TransportError",
    ours.PoolTimeout: "PoolTimeout",
    ours.QueueFull: "PoolTimeout",
    ours.PoolClosed: "TransportError",
    # No connection could be opened.
    ours.ConnectError: "ConnectError",
    ours.ConnectTimeout: "ConnectTimeout",
    ours.ProxyError: "ProxyError",
    # One was used.
    ours.ExchangeError: "TransportError",
    ours.ServerDisconnected: "RemoteProtocolError",
    ours.ProtocolError: "RemoteProtocolError",
    ours.ChunkedEncodingError: "RemoteProtocolError",
    ours.SendError: "WriteError",
    ours.ReadError: "ReadError",
    ours.ReadTimeout: "ReadTimeout",
    ours.WriteTimeout: "WriteTimeout",
    ours.TotalTimeout: "ReadTimeout",
    ours.BodyLengthError: "LocalProtocolError",
    # The response was closed, and is read on.
    ours.StreamConsumedError: "ReadError",
}

#: Whatever these say, the server saw nothing of the request.
NOTHING_SENT: Final = (ours.PoolError, ours.ConnectError, ours.InvalidRequest, ours.ConfigError)

#: What programs look for in the text of the commonest of all errors: httpcore has no class for it.
DISCONNECTED: Final = "Server disconnected without sending a response."


def name_for(kind: Any) -> str:
    """Name the exception that errors of a class become."""
    return next(TABLE[base] for base in kind.__mro__ if base in TABLE)


def translated(module: ModuleType, error: ours.KeepPoolError) -> Exception:
    """Make the module's exception for an error; whoever raises it gives the error as its cause.

    Args:
        module: The client's: its users catch its classes.
        error: What happened.
    """
    text = f"{DISCONNECTED} ({error})" if isinstance(error, ours.ServerDisconnected) else str(error)
    made: Any = getattr(module, name_for(type(error)))(text)
    if isinstance(error, ours.ExchangeError):
        made.sent, made.received, made.retry_safe = error.sent, error.received, error.retry_safe
    elif isinstance(error, NOTHING_SENT):
        made.sent, made.received, made.retry_safe = 0, 0, True
    else:
        made.sent, made.received, made.retry_safe = None, None, False  # Not known: 0 would be a proof.
    return made  # type: ignore[no-any-return]


def refusal(module: ModuleType, name: str, text: str) -> Exception:
    """Make an exception of the module's for what is refused before anything is done."""
    made: Any = getattr(module, name)(text)
    made.sent, made.received, made.retry_safe = 0, 0, True
    return made  # type: ignore[no-any-return]
