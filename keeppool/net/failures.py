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
import sys
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
from keeppool.net.questions import questions_of
from keeppool.net.race import RaceLost
from keeppool.net.resolver import Question, Resolver, Unresolved
from keeppool.phases import Step

if TYPE_CHECKING:
    import ssl

    from keeppool import fakers
else:
    fakers = Deferred("keeppool.fakers")
    ssl = Deferred("ssl")

#: Modules of which one is loaded wherever a tool is active that fakes or records responses in tests.
_TOOLS = ("httpretty", "requests_mock", "responses", "vcr")


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
            raise told


def opening(origin: Origin, resolver: Resolver) -> Stage:
    """Forget the addresses of a dial that failed; say whose failure it is if the operating system had nothing left.

    Descriptors and threads run out for TLS too, whose first context reads files and imports modules. A tool of tests
    that would not see the connection is told of first.
    """
    if any(map(sys.modules.__contains__, _TOOLS)):
        fakers.watch_dial(origin.host)
    return Stage(partial(_unopened, origin, resolver))


def _unopened(origin: Origin, resolver: Resolver, error: BaseException) -> BaseException | None:
    if isinstance(error, ConnectError):
        resolver.forget(*questions_of(origin))
    if isinstance(error, KeepPoolError) or not isinstance(error, (OSError, ImportError, RuntimeError)):
        return None
    reason = getattr(error, "strerror", None) or error
    return _caused(ConnectError(f"{origin}: cannot connect{_by(origin)}: {reason}", origin=str(origin)), error)


def resolving(origin: Origin, question: Question, deadline: Deadline) -> Stage:
    """Say whose failure it is if a name, the origin's or its proxy's, has no address."""
    deadline.begin(Step.NAME)
    return Stage(partial(_unnamed, origin, question, deadline))


def _unnamed(origin: Origin, question: Question, deadline: Deadline, error: BaseException) -> BaseException | None:
    if isinstance(error, TimeoutError):
        return _caused(late(origin, deadline.seconds, f"no address for {question.host} yet"), error)
    if not isinstance(error, Unresolved):
        return None
    proxy = origin.proxy
    by_proxy = proxy is not None and (proxy.host, proxy.port) == (question.host, question.port)
    return _caused(unresolved(origin, question.host, error, by_proxy=by_proxy), error.__cause__)


def reaching(origin: Origin, deadline: Deadline) -> Stage:
    """Say whose failure it is if a race is lost."""
    deadline.begin(Step.CONNECT)
    return Stage(partial(_unreached, origin, deadline))


def _unreached(origin: Origin, deadline: Deadline, error: BaseException) -> BaseException | None:
    if not isinstance(error, RaceLost):
        return None
    return _caused(unreached(origin, deadline.seconds, error), error.cause)


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
