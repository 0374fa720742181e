"""Which adapter sends the requests to a URL, and how the session gets on with one that is not its own.

Decides: what can be mounted; that the longest prefix wins; how a timeout is written for an adapter of requests', what
    its response still lacks, and which error of ours stands for its own.
Does not know: what an adapter does.
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import timedelta
from http.cookiejar import CookieJar
from typing import TYPE_CHECKING, Any, Final, Self

import keeppool.errors as ours
from keeppool.checks import bad
from keeppool.client.cookies import jar_of, keep_lines
from keeppool.client.request.prepared import PreparedRequest
from keeppool.clock import clock
from keeppool.config import INHERIT, Inherit, Timeout
from keeppool.errors import InvalidSchema
from keeppool.urls.address import parse

if TYPE_CHECKING:
    from keeppool.client.call import Send


class Mounts(OrderedDict[str, Any]):
    """Adapters by prefix, the longest first.

    Thread safety: mount before the threads start.
    """

    def mount(self, prefix: str, adapter: Any) -> None:
        """Let an adapter send the requests to URLs that begin with `prefix`, in any case.

        Raises:
            ConfigError: `prefix` is no text, or `adapter` no object with a method `send`. Nothing has changed.
        """
        if not isinstance(prefix, str):
            raise bad("prefix", prefix, "must be the text that URLs begin with, such as 'https://api.example.com/'")
        if isinstance(adapter, type) or not callable(getattr(adapter, "send", None)):
            raise bad("adapter", adapter, _rule_for(adapter))
        self[prefix] = adapter
        for shorter in [key for key in self if len(key) < len(prefix)]:
            self.move_to_end(shorter)

    def find(self, url: str) -> Any:
        """Find the adapter of a URL.

        Raises:
            InvalidSchema: No prefix fits.
        """
        for prefix, adapter in self.items():
            if url.lower().startswith(prefix.lower()):
                return adapter
        parse(url)  # Says it in the words that every session has for a scheme that is neither http nor https.
        raise InvalidSchema(f"no adapter is mounted for {url!r}", url=url)


def _rule_for(adapter: object) -> str:
    if isinstance(adapter, type):
        return f"must be an adapter, not a class of them: {adapter.__name__}()"
    rule = "must be an object with send and close, such as keeppool.HTTPAdapter()"
    if hasattr(adapter, "handle_request") or hasattr(adapter, "handle_async_request"):
        return f"{rule}; this is a transport of httpx's, which its own clients take: httpx.Client(transport=...)"
    return rule


def plain_timeout(timeout: Any) -> Any:
    """Write a timeout as adapters of other people's know it: seconds, a (connect, read) pair, or `None` for none."""
    if isinstance(timeout, Timeout):
        total = timeout.total
        # As much of a total as they can keep: their waits end no later than it where a server stays silent.
        timeout = tuple(
            total if wait is None or (total is not None and total < wait) else wait
            for wait in (timeout.connect, timeout.read)
        )
    return None if timeout == (None, None) else timeout


class Checked:
    """While an adapter sends: whether `verify=True` was given. What requests' errors it ends with are made ours.

    An adapter gets True in any case, which says nothing (requests' default). The request remembers it, because between
    the session and `HTTPAdapter.send` there may be a `send` of the program's own.

    Attributes:
        began: When the sending began.
    """

    __slots__ = ("_request", "began")

    _NAME: Final = "_is_checked"

    def __init__(self, step: Send) -> None:
        self._request = vars(step.request)
        self._request[self._NAME] = step.override is not None and step.override.verify is True

    def __enter__(self) -> Self:
        self.began = clock()
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._request.pop(self._NAME, None)
        if error is not None and (own := ours_for(error)) is not None:
            raise own from own.__cause__

    @classmethod
    def verify_for(cls, request: PreparedRequest, verify: bool | str) -> bool | str | Inherit:
        """Read what an adapter is given, where True may be the default."""
        return INHERIT if verify is True and not vars(request).get(cls._NAME) else verify


def ours_for(error: BaseException) -> ours.KeepPoolError | None:
    """Find the error of ours that stands for one of requests', which an adapter has raised; `None` for any other error.

    It is known by its name, as the class cannot be imported where requests is not there.
    """
    names = [kind.__name__ for kind in type(error).__mro__ if kind.__module__ == "requests.exceptions"]
    if not names:
        return None
    if isinstance(own := error.__cause__, ours.KeepPoolError):
        # Whoever raises ours has this error as its context: no circle of both may keep what their tracebacks hold.
        error.__cause__ = error.__context__ = None
        return own
    kind = next((getattr(ours, name) for name in names if hasattr(ours, name)), ours.RequestException)
    made: ours.KeepPoolError = kind(str(error))
    made.__cause__, made.response = error, getattr(error, "response", None)
    return made


def complete(response: Any, request: PreparedRequest, seconds: float) -> None:
    """Add to an adapter's response what its author leaves to the session, as requests' session does.

    Args:
        response: What the adapter returned.
        request: What it was given.
        seconds: How long it took.
    """
    if not isinstance(getattr(response, "request", None), PreparedRequest):
        response.request = request
    if not getattr(response, "elapsed", None):
        response.elapsed = timedelta(seconds=seconds)


def keep_foreign_cookies(jar: CookieJar, response: Any) -> None:
    """Put into `jar` the cookies of a response that somebody else's adapter has made.

    Those it has read itself, and what its raw response's Set-Cookie fields say: one that is to be deleted shows only
    there.
    """
    for cookie in jar_of(getattr(response, "cookies", None) or {}):
        jar.set_cookie(cookie)
    fields: Any = getattr(getattr(response, "raw", None), "headers", None)
    if hasattr(fields, "getlist"):
        keep_lines(jar, response.request, fields.getlist("set-cookie"))
