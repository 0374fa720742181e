"""Which error a failed dial becomes, for threads and asyncio alike.

Decides: whose failure it is, the host's or the proxy's, and of which kind.
Knows: the operating system's and OpenSSL's errors.
Does not know: sockets.

A function makes an error and leaves raising it, with its cause, to the caller; `tunnelling` and `shaking_hands` raise
what they make of a failure within them, and say to the dial's deadline that this stage begins. What every dial goes
through has one block for all of it (`dialling.py`). All errors name the origin.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from keeppool.core.origin import Origin
from keeppool.deferred import Deferred
from keeppool.errors import (
    CertificateError,
    ConnectError,
    ConnectTimeout,
    KeepPoolError,
    ProxyError,
    RefusedError,
    ResolveError,
    SSLError,
)
from keeppool.net.deadline import Deadline
from keeppool.net.race import RaceLost
from keeppool.net.resolver import Question, Unresolved
from keeppool.reasons import Step

if TYPE_CHECKING:
    import ssl
else:
    ssl = Deferred("ssl")


def unresolved(origin: Origin, host: str, reason: object, *, by_proxy: bool) -> ConnectError:
    """Choose the error for a name without an address; `by_proxy` if it is the proxy's name."""
    kind = ProxyError if by_proxy else ResolveError
    return kind(f"{origin}: no address for {host}: {reason}", origin=str(origin))


def unreached(origin: Origin, seconds: float | None, lost: RaceLost) -> ConnectError:
    """Choose the error for a race that was lost."""
    if lost.is_timeout():
        return late(origin, seconds, str(lost))
    kind: type[ConnectError] = RefusedError if lost.is_all(errno.ECONNREFUSED) else ConnectError
    if origin.proxy is not None:
        kind = ProxyError
    reason, whom = str(lost), ""
    if origin.proxy is not None:
        # The origin's text names the proxy; if by its address, that is not said twice.
        reason, whom = reason.removeprefix(f"{origin.proxy.host}: "), " to the proxy"
    return kind(f"{origin}: cannot connect{whom}{_by(origin)}: {reason}", origin=str(origin))


def untunnelled(origin: Origin, error: OSError) -> ProxyError:
    """Make the error for a proxy whose connection broke while it was asked for the way."""
    message = f"{origin}: the connection to the proxy failed: {error.strerror or error}"
    return ProxyError(message, origin=str(origin))


def insecure(origin: Origin, error: OSError | ValueError, *, by_proxy: bool) -> ConnectError:
    """Choose the error for a handshake that failed; `by_proxy` if it was with the proxy."""
    reason = getattr(error, "verify_message", None) or getattr(error, "strerror", None) or error
    refused = isinstance(error, ssl.SSLCertVerificationError)
    if by_proxy:
        what = "the proxy's certificate is refused" if refused else "TLS with the proxy failed"
        return ProxyError(f"{origin}: {what}: {reason}", origin=str(origin))
    kind: type[ConnectError] = ConnectError
    if refused:
        kind = CertificateError
    elif isinstance(error, (ssl.SSLError, ValueError)):
        kind = SSLError
    what = "the certificate is refused" if refused else "TLS failed"
    return kind(f"{origin}: {what}: {reason}", origin=str(origin))


def late(origin: Origin, seconds: float | None, reason: str) -> ConnectTimeout:
    """Make the error for a dial that took longer than `seconds`, or than the kernel's patience."""
    within = "" if seconds is None else f" within {seconds:g} s"
    return ConnectTimeout(f"{origin}: no connection{within}{_by(origin)}: {reason}", origin=str(origin), limit=seconds)


def unanswered(origin: Origin, seconds: float | None) -> ConnectTimeout:
    """Make the error for a proxy that did not open the way in time."""
    asked = "SOCKS" if origin.proxy is not None and origin.proxy.is_socks else "CONNECT"
    return late(origin, seconds, f"the proxy did not answer {asked}")


def unfinished(origin: Origin, seconds: float | None, *, by_proxy: bool) -> ConnectTimeout:
    """Make the error for a handshake that took too long; `by_proxy` if it was with the proxy."""
    whose = "TLS handshake with the proxy" if by_proxy else "TLS handshake"
    return late(origin, seconds, f"the {whose} was not finished")


class Stage:
    """A block of a dial: what fails in it is told as somebody's failure.

    Not a generator that is a context manager, which costs four times as much, in each of a dial's blocks.

    Args:
        told: Makes of an error the one that the caller is to see, its cause included; `None` lets it pass as it is.
    """

    __slots__ = ("_told",)

    def __init__(self, told: Callable[[BaseException], BaseException | None]) -> None:
        self._told = told

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        told = None if error is None else self._told(error)
        if told is not None:
            try:
                raise told
            finally:
                del told  # Else it would be there until the garbage collector comes by, and all that its callers hold.


def told(origin: Origin, deadline: Deadline, question: Question, error: BaseException) -> BaseException | None:
    """Make of what has failed in a dial the error that its caller is to see, its cause included.

    Args:
        origin: Where to.
        deadline: The dial's.
        question: What was looked up last.
        error: What every stage leaves that has no block of its own.

    Returns:
        `None` for one that the caller is to see as it is.
    """
    if isinstance(error, KeepPoolError):
        return None
    if isinstance(error, RaceLost):
        return _caused(unreached(origin, deadline.seconds, error), error.cause)
    if isinstance(error, Unresolved):
        proxy = origin.proxy
        by_proxy = proxy is not None and (proxy.host, proxy.port) == (question.host, question.port)
        return _caused(unresolved(origin, question.host, error, by_proxy=by_proxy), error.__cause__)
    if isinstance(error, TimeoutError):
        return _caused(late(origin, deadline.seconds, f"no address for {question.host} yet"), error)
    # Descriptors and threads run out for TLS too, whose first context reads files and imports modules.
    if not isinstance(error, (OSError, ImportError, RuntimeError)):
        return None
    reason = getattr(error, "strerror", None) or error
    return _caused(ConnectError(f"{origin}: cannot connect{_by(origin)}: {reason}", origin=str(origin)), error)


def tunnelling(origin: Origin, deadline: Deadline) -> Stage:
    """Say whose failure it is if the way through the proxy does not open."""
    deadline.begin(Step.PROXY)
    return Stage(partial(_untunnelled, origin, deadline))


def _untunnelled(origin: Origin, deadline: Deadline, error: BaseException) -> BaseException | None:
    if isinstance(error, KeepPoolError) or not isinstance(error, OSError):
        return None
    is_late = isinstance(error, TimeoutError)
    return _caused(unanswered(origin, deadline.seconds) if is_late else untunnelled(origin, error), error)


def shaking_hands(origin: Origin, deadline: Deadline, *, by_proxy: bool) -> Stage:
    """Say whose failure it is if a TLS handshake fails; `by_proxy` if it is with the proxy."""
    deadline.begin(Step.PROXY if by_proxy else Step.TLS)
    return Stage(partial(_unshaken, origin, deadline, by_proxy))


def _unshaken(origin: Origin, deadline: Deadline, by_proxy: bool, error: BaseException) -> BaseException | None:
    if isinstance(error, KeepPoolError) or not isinstance(error, (OSError, ValueError)):
        return None
    if isinstance(error, TimeoutError):
        return _caused(unfinished(origin, deadline.seconds, by_proxy=by_proxy), error)
    return _caused(insecure(origin, error, by_proxy=by_proxy), error)


def _caused(made: KeepPoolError, cause: BaseException | None) -> KeepPoolError:
    """Say what an error comes from, as `raise made from cause` does."""
    made.__cause__ = cause
    return made


def _by(origin: Origin) -> str:
    """Name what the origin's own text leaves out."""
    return "" if origin.source_address is None else f" from {origin.source_address}"
