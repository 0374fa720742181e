"""`Canned`: responses made up by a test, for the requests of one pattern.

Decides: which of several responses is next, and when they are used up.
Knows: how a response is told: by status and content, as an `Answer`, by a function, or as an error.
Does not know: which request comes; `patterns.py` tells whether it is one of these.
"""

from __future__ import annotations

import http
import json as json_module
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Self, TypeAlias

from keeppool.checks import bad, check_count
from keeppool.pools.recalled import Recalled
from keeppool.testing.messages import Answer, Request
from keeppool.testing.patterns import UNSET, Pattern

#: Makes a response from the request; runs in the thread or task that asks.
Answering: TypeAlias = Callable[[Request], Answer]

#: What an `Answer` may not say here: there is no connection that could do it.
_FOR_SITES = ("pause_s", "delay_s", "framing", "close", "hang_up")


class Canned:
    """What is answered to the requests of one pattern. Made by `Replay.on`.

    Attributes:
        calls: The requests that were answered so far.

    Thread safety: any thread.
    """

    def __init__(self, pattern: Pattern, number: int) -> None:
        self._pattern = pattern
        self._number = number
        #: What is answered, and how often it still may be; `None` without an end.
        self._answers: list[tuple[Answer | Answering | BaseException, int | None]] = []
        self._last: object = None
        self.calls: list[Request] = []

    def __repr__(self) -> str:
        return f"<canned {self._number}: {self._pattern}>"

    def respond(
        self,
        status: int | Answer | Answering = 200,
        *,
        headers: Mapping[str, str] | tuple[tuple[str, str], ...] | list[tuple[str, str]] = (),
        content: bytes | str | None = None,
        json: object = UNSET,
        times: int | None = None,
    ) -> Self:
        """Answer with this; said several times, with one after the other.

        Args:
            status: The status; or a whole `Answer`; or a function that is given each request and makes its `Answer`.
            headers: Fields, as a mapping or as pairs.
            content: The body; text goes out in UTF-8.
            json: The body, to be written as JSON.
            times: How often. Without it there is no end, so nothing can follow.

        Returns:
            Itself.

        Raises:
            ConfigError: It could never be answered, or not like this.
        """
        given = (headers != (), content is not None, json is not UNSET)
        if isinstance(status, Answer) or callable(status):
            if any(given):
                raise bad("status", status, "says all of the response: leave headers, content and json out")
            return self._then(_checked(status) if isinstance(status, Answer) else status, times)
        if given[1] and given[2]:
            raise bad("content", content, "of content and json only one can be told")
        pairs = tuple(headers.items() if isinstance(headers, Mapping) else headers)
        body, kind = (json_module.dumps(json).encode(), "application/json") if given[2] else _body(content)
        if kind and not any(name.lower() == "content-type" for name, _ in pairs):
            pairs = (*pairs, ("Content-Type", kind))
        return self._then(_checked(Answer(status=status, headers=pairs, body=body)), times)

    def fail(self, error: BaseException, *, times: int | None = None) -> Self:
        """Raise this instead of an answer; otherwise as `respond`.

        Args:
            error: Such as `keeppool.errors.ReadTimeout("made up")`.
            times: How often.

        Raises:
            ConfigError: It is no error, or can never come.
        """
        if not isinstance(error, BaseException):
            raise bad("error", error, "must be an instance of an exception")
        return self._then(error, times)

    def _then(self, answer: Answer | Answering | BaseException, times: int | None) -> Self:
        check_count("times", times, least=1)
        if self._answers and self._answers[-1][1] is None:
            raise bad("times", None, f"what {self!r} answers before has no end, so this never comes: say times= there")
        self._answers.append((answer, times))
        return self

    # What a `Replay` asks

    @property
    def _is_met(self) -> bool:
        """True if nothing is left that a test expects to be asked for: what has no end was asked for once."""
        if not self._answers:
            return bool(self.calls)
        answer, times = self._answers[0]
        return times is None and answer is self._last

    def _differences(self, request: Request) -> list[str]:
        """List what keeps a request from being answered here."""
        found = self._pattern.differences(request)
        if not found and not self._answers:
            found.append(f"used up after {len(self.calls)} times" if self.calls else "was given no response")
        return found

    def _take(self, request: Request) -> Answer | Answering | BaseException:
        """Give what is next, and count it."""
        answer, times = self._answers[0]
        if times is not None:
            self._answers[:1] = [(answer, times - 1)] if times > 1 else []
        self.calls.append(request)
        self._last = answer
        return answer


def recalled(answer: Answer | Answering, request: Request) -> Recalled:
    """Make the response that a test has told.

    Raises:
        ConfigError: A function has made something else.
    """
    made = answer if isinstance(answer, Answer) else answer(request)
    if not isinstance(made, Answer):
        raise bad("status", made, "a function must give a keeppool.testing.Answer")
    if made is not answer:
        _checked(made)
    body = b"".join(made.pieces)
    fields = made.headers
    if not any(name.lower() in ("content-length", "transfer-encoding") for name, _ in fields):
        fields = (*fields, ("Content-Length", str(len(body))))
    phrase = http.HTTPStatus(made.status).phrase if made.status in _PHRASES else ""
    return Recalled(made.status, fields, body, phrase)


_PHRASES = frozenset(int(status) for status in http.HTTPStatus)


def _checked(answer: Answer) -> Answer:
    """Let pass what can be answered without a connection.

    Raises:
        ConfigError: It cannot.
    """
    if isinstance(answer.status, bool) or not isinstance(answer.status, int) or not 200 <= answer.status <= 999:
        raise bad("status", answer.status, "must be a final status, 200 to 999")
    plain = replace(Answer(), status=answer.status, headers=answer.headers, body=answer.body)
    if answer != plain:
        said = next(name for name in _FOR_SITES if getattr(answer, name) != getattr(plain, name))
        raise bad(
            said, getattr(answer, said), "needs a connection: use a keeppool.testing.Site, or fail() for an error"
        )
    return answer


def _body(content: bytes | str | None) -> tuple[bytes, str]:
    if isinstance(content, str):
        return content.encode(), "text/plain; charset=utf-8"
    if content is not None and not isinstance(content, bytes):
        raise bad("content", content, "must be bytes or text")
    return content or b"", ""
