"""Which error a failed dial becomes, for threads and asyncio alike.

Decides: whose failure it is, the host's or the proxy's, and of which kind.
Knows: the operating system's and OpenSSL's errors.
Does not know: sockets.

A function makes an error and leaves raising it, with its cause, to the caller; `reaching`, `tunnelling` and
`shaking_hands` raise what they make of a failure within them. All errors name the origin. Each of these is a
stage of the dial, and says to its deadline that it begins.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
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
from keeppool.net.questions import questions_of
from keeppool.net.race import RaceLost
from keeppool.net.resolver import Question, Resolver, Unresolved
from keeppool.phases import Step

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


@contextmanager
def opening(origin: Origin, resolver: Resolver) -> Iterator[None]:
    """Forget the addresses of a dial that failed; say whose failure it is if the operating system had nothing left.

    Descriptors and threads run out for TLS too, whose first context reads files and imports modules.
    """
    try:
        yield
    except ConnectError:
        resolver.forget(*questions_of(origin))
        raise
    except KeepPoolError:
        raise
    except (OSError, ImportError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConnectError(f"{origin}: cannot connect{_by(origin)}: {reason}", origin=str(origin)) from error


@contextmanager
def resolving(origin: Origin, question: Question, deadline: Deadline) -> Iterator[None]:
    """Say whose failure it is if a name, the origin's or its proxy's, has no address."""
    proxy = origin.proxy
    deadline.begin(Step.NAME)
    try:
        yield
    except TimeoutError as error:
        raise late(origin, deadline.seconds, f"no address for {question.host} yet") from error
    except Unresolved as error:
        by_proxy = proxy is not None and (proxy.host, proxy.port) == (question.host, question.port)
        raise unresolved(origin, question.host, error, by_proxy=by_proxy) from error.__cause__


@contextmanager
def reaching(origin: Origin, deadline: Deadline) -> Iterator[None]:
    """Say whose failure it is if a race is lost."""
    deadline.begin(Step.CONNECT)
    try:
        yield
    except RaceLost as lost:
        raise unreached(origin, deadline.seconds, lost) from lost.cause


@contextmanager
def tunnelling(origin: Origin, deadline: Deadline) -> Iterator[None]:
    """Say whose failure it is if the way through the proxy does not open."""
    deadline.begin(Step.PROXY)
    try:
        yield
    except KeepPoolError:
        raise
    except TimeoutError as error:
        raise unanswered(origin, deadline.seconds) from error
    except OSError as error:
        raise untunnelled(origin, error) from error


@contextmanager
def shaking_hands(origin: Origin, deadline: Deadline, *, by_proxy: bool) -> Iterator[None]:
    """Say whose failure it is if a TLS handshake fails; `by_proxy` if it is with the proxy."""
    deadline.begin(Step.PROXY if by_proxy else Step.TLS)
    try:
        yield
    except KeepPoolError:
        raise
    except TimeoutError as error:
        raise unfinished(origin, deadline.seconds, by_proxy=by_proxy) from error
    except (OSError, ValueError) as error:
        raise insecure(origin, error, by_proxy=by_proxy) from error


def _by(origin: Origin) -> str:
    """Name what the origin's own text leaves out."""
    return "" if origin.source_address is None else f" from {origin.source_address}"


class Memory:
    """Addresses that may be from an earlier look-up. A dial fails in its block; where they may be to blame, it goes on.

    They are forgotten then, because the host may have moved since, and are to be looked up and dialled once more.

    Args:
        resolver: Not yet asked for the addresses of this dial.
        question: What it is to be asked.
    """

    __slots__ = ("_is_old", "_question", "_resolver")

    def __init__(self, resolver: Resolver, question: Question) -> None:
        self._resolver = resolver
        self._question = question
        self._is_old = resolver.keeps(question)

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        is_to_blame = self._is_old and isinstance(error, ConnectError) and not isinstance(error, ConnectTimeout)
        if is_to_blame:
            self._resolver.forget(self._question)
        return is_to_blame
