"""`Replay`: responses from a file or made up by a test, in the place of the network.

Decides: for each request whether it is answered from a pattern, from the recording, by the network, or not at all; and
    what is wrong at the end.
Knows: the one method of both pool managers that sends.
Does not know: what a request or a response looks like (`recording.py`, `patterns.py`, `canned.py`).

What is above the pool managers is tried for true: sessions, redirects, cookies, authentication, retries, decoding,
streams, the mount for requests. What is below is not: `Site` and `ScriptedServer` try connections.
"""

from __future__ import annotations

import copy
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NoReturn, Self

from keeppool import har
from keeppool.checks import bad
from keeppool.clock import clock
from keeppool.errors import HarError, InvalidBody, KeepPoolError, name_call, quoted, quoted_url
from keeppool.har.secrets import Secrets
from keeppool.pools.manager import ExchangeArguments, Manager
from keeppool.pools.recalled import Recalled, blame, locate, recall
from keeppool.pools.response import Response
from keeppool.pools.response_tasks import AsyncResponse
from keeppool.testing import canned, recording
from keeppool.testing.canned import Canned
from keeppool.testing.compared import Compared
from keeppool.testing.messages import Request
from keeppool.testing.modes import MODE_VARIABLE, mode_of
from keeppool.testing.patterns import UNSET, FieldPatterns, Params, Pattern, UrlPattern, passing
from keeppool.testing.recording import Entry, Filter, Recorded, Recording
from keeppool.testing.seam import Seam, authority_of, payload, plainly, pool_of, url_of
from keeppool.testing.unexpected import UnexpectedRequest, UnusedResponses, unexpected
from keeppool.wire.head import ResponseHead


@dataclass(slots=True)
class _Asking:
    """A request that is to be answered.

    Attributes:
        given: As the pool manager was given it.
        request: As patterns and functions see it.
        described: As it is recorded; `None` where nothing is, or nothing of this one.
    """

    given: ExchangeArguments
    request: Request
    described: Entry | None


class Replay:
    """Answers requests from a HAR file, and from patterns with made-up responses; and makes such files.

    In its `with` block every request that a `PoolManager` or `AsyncPoolManager` would send comes here, whoever makes
    it: sessions of both kinds, `keeppool.get`, `keeppool.requests`, the mount for requests. Patterns (`on`) are asked
    first, in their order; then the recording. What neither knows is refused, and nothing goes to the network unless
    `mode` or `passes` says so.

    A recorded exchange is one request and its response; a redirect makes two of them. Bodies are kept decoded and
    unframed, binary ones in base64, repeated fields one by one. The response is the server's own in the run that
    records, and the file's afterwards. In both its body is whole before the program sees it, also with `stream=True`:
    what has no end cannot be recorded, and belongs into `passes`. Errors are not recorded; `Canned.fail` makes some.

    Args:
        path: The file. Without one there are patterns alone.
        mode: "play" takes all responses from the file. "record" asks the network for all and writes the file anew.
            "once" plays a file that is there, and records where there is none. "extend" plays what the file has, and
            asks the network for the rest, which is added. If not given, the variable KEEPPOOL_REPLAY of the environment
            says it, and "play" holds where it does not.
        over: A session, a pool manager or a mounted adapter: only its requests come here. If not given, those of the
            whole process do; there can be one such block at a time, or others inside it, which are asked first.
        match: What of a request is compared with recorded ones: "method", "url" or its parts "scheme", "host", "path"
            and "query" (in any order), "body" (JSON and forms by their values); or a function that is given HAR's
            descriptions of both requests and tells whether they are the same.
        repeats: A recorded exchange may be played any number of times, instead of once.
        strict: At the end of the block, patterns that were not asked for, and requests that were refused although
            nobody has noticed, are errors.
        complete: So are recorded exchanges that were not played.
        passes: Patterns of URLs, as for `on`, whose requests go to the network and are not recorded.
        hide: Names, in any case, of fields, query parameters, and members of forms and JSON whose values are left out
            of the file. Always left out are user and password in URLs, credentials for proxies, and the values of
            Authorization, Proxy-Authorization, Cookie, Set-Cookie, X-Api-Key, Api-Key, X-Auth-Token,
            X-Amz-Security-Token, password, client_secret, access_token and refresh_token.
        show: Which of these are kept all the same.
        filter_request: Given HAR's description of each request, to change and return it, or to return `None` if it is
            to go to the network unrecorded. It is asked when playing too: what is compared is what was recorded.
        filter_response: Given HAR's description of each response before it is recorded, to change and return it, or to
            return `None` if the exchange is not to be recorded.

    The file is written at the end of a block without an error, in one piece: what is interrupted leaves the old one.

    Attributes:
        calls: Every request that was answered or refused here, in its order.

    Raises:
        ConfigError: An argument that cannot be meant.
        HarError: From the `with` statement: the file cannot be read, or is no HAR. Nothing is replaced.
        OSError: At the end of the block: the file cannot be written, and is as it was.

    Thread safety: any thread may send requests; one enters and leaves the block.

    Example:
        with Replay() as replay, keeppool.Session() as session:
            replay.on("GET", "https://api.example.com/items/*").respond(json={"name": "socket"})
            assert session.get("https://api.example.com/items/7").json()["name"] == "socket"
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        mode: str | None = None,
        over: object = None,
        match: Iterable[str | Callable[[Entry, Entry], bool]] = ("method", "url", "body"),
        repeats: bool = False,
        strict: bool = True,
        complete: bool = False,
        passes: Iterable[UrlPattern] = (),
        hide: Iterable[str] = (),
        show: Iterable[str] = (),
        filter_request: Filter | None = None,
        filter_response: Filter | None = None,
    ) -> None:
        self._path = path
        self._mode = mode_of(path, mode)
        self._pool = None if over is None else pool_of(over)
        for name, value in {"match": match, "passes": passes, "hide": hide, "show": show}.items():
            if isinstance(value, (str, bytes)):
                raise bad(name, value, "must be a list, not one text")
        self._passes = [passing(pattern) for pattern in passes]
        self._settings = (tuple(match), repeats, Secrets(hide, show), filter_request, filter_response)
        Recording((), *self._settings)  # What is wrong with them is said here.
        self._strict = strict
        self._complete = complete
        # A program's own filters and conditions are asked under it, and may send requests.
        self._lock = threading.RLock()
        self._recording: Recording | None = None
        self._records = False
        self._canned: list[Canned] = []
        self._refused: list[UnexpectedRequest] = []
        self._seam: Seam | None = None
        self.calls: list[Request] = []

    def on(
        self,
        method: str | None = None,
        url: UrlPattern = None,
        *,
        params: Params = None,
        headers: FieldPatterns | None = None,
        content: bytes | str | Any = None,
        data: Params = None,
        json: object = UNSET,
        where: Callable[[Request], bool] | None = None,
    ) -> Canned:
        """Say for which requests a made-up response is; what is not given may be anything.

        Args:
            method: In any case.
            url: A URL, or a path for any host, in both with `*` for any run of characters; or a regular expression for
                the whole. Text with a `?` says all of the query; without, it says nothing about that.
            params: All parameters of the query.
            headers: Fields, each with its value, a regular expression for the whole of it, or `None` if the field must
                not be there.
            content: The body, or a regular expression for the whole of it as text.
            data: The body as a form.
            json: The body as JSON.
            where: A function that is given the request, its URL as `target`, and tells whether it is meant.

        Returns:
            What takes the responses: `respond`, `fail`. Of several that fit, the first that is not used up answers.

        Raises:
            ConfigError: A condition that cannot be met.
        """
        pattern = Pattern(
            method, url, params=params, headers=headers, content=content, data=data, json=json, where=where
        )
        with self._lock:
            made = Canned(pattern, len(self._canned) + 1)
            self._canned.append(made)
        return made

    @property
    def is_recording(self) -> bool:
        """True in a block that may ask the network and record it: there a program needs true credentials."""
        return self._seam is not None and self._records

    def __enter__(self) -> Self:
        if self._seam is not None:
            raise RuntimeError("this Replay is in use already")
        self._recording, self._records = self._opened()
        self._refused.clear()
        self._seam = Seam(self, self._pool)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        seam, self._seam = self._seam, None
        if seam is not None:
            seam.close()
        if error is not None:
            return
        if self._strict and self._refused:
            raise self._refused[0]
        if self._records and self._recording is not None and self._path is not None:
            har.save(self._path, self._recording.entries)
        if left := self._left():
            raise UnusedResponses("nobody has asked for:" + "".join(f"\n  - {one}" for one in left))

    def _opened(self) -> tuple[Recording | None, bool]:
        """Read the file, if there is one to be read; tell also whether requests may be recorded."""
        if self._path is None:
            return None, False
        is_there = os.path.exists(self._path)  # noqa: PTH110  # bytes are a path too
        if self._mode == "record" or (not is_there and self._mode in ("once", "extend")):
            return Recording((), *self._settings), True
        if not is_there:
            name = os.fsdecode(self._path)
            how = f"mode='record', or {MODE_VARIABLE}=record in the environment, makes it"
            raise HarError(f"{quoted(name)} is not there: {how}", file=name)
        file = os.fsdecode(self._path)
        entries = har.load(self._path)
        for number, entry in enumerate(entries, 1):
            recording.check(entry, number, file)
        return Recording(entries, *self._settings), self._mode == "extend"

    def _left(self) -> list[str]:
        left = [f"{one!r}"[1:-1] for one in self._canned if not one._is_met] if self._strict else []
        if self._complete and self._recording is not None:
            left += [str(one) for one in self._recording.recorded if one.why_not is None and not one.played]
        return left

    # Requests

    def _refuse(self, origin: str) -> NoReturn:
        """Refuse a request that cannot be answered here, and must not go to the network either."""
        how = "use a keeppool.testing.Site for them, or Replay(over=...) for all others"
        error = UnexpectedRequest(f"a request to {origin} by a drop-in for urllib3, whose requests are not seen: {how}")
        self._refused.append(error)
        raise error

    def _in_thread(
        self, carry: Callable[[ExchangeArguments], Response], pool: Manager, given: ExchangeArguments
    ) -> Any:
        """Answer a request.

        Args:
            carry: Sends one over the network.
            pool: Whose request it is.
            given: The request.
        """
        locate(pool, given)
        if self._lets_pass(given):
            return carry(given)
        body = given[3]
        if body is not None and body.is_async:
            raise name_call(
                InvalidBody(
                    "an async iterable can only be sent on an event loop, by an AsyncSession or AsyncPoolManager"
                ),
                *given[:2],
            )
        asking = self._asking(given, None if body is None else b"".join(body.payload()))
        answer = self._answer(pool, asking)
        if answer is None:
            started, began = time.time(), clock()
            with carry(plainly(asking.given)) as raw:
                answer = self._record(asking, raw.head, raw.read(), started, (began, raw.answered_at, clock()))
        response = recall(pool, Response, asking.given, answer)
        if not given[5]:
            response.preload()
        return response

    async def _in_task(
        self, carry: Callable[[ExchangeArguments], Awaitable[AsyncResponse]], pool: Manager, given: ExchangeArguments
    ) -> Any:
        """As `_in_thread`, for tasks."""
        locate(pool, given)
        if self._lets_pass(given):
            return await carry(given)
        asking = self._asking(given, None if given[3] is None else await payload(given[3]))
        answer = self._answer(pool, asking)
        if answer is None:
            started, began = time.time(), clock()
            async with await carry(plainly(asking.given)) as raw:
                answer = self._record(asking, raw.head, await raw.read(), started, (began, raw.answered_at, clock()))
        response = recall(pool, AsyncResponse, asking.given, answer)
        if not given[5]:
            await response.preload()
        return response

    def _lets_pass(self, given: ExchangeArguments) -> bool:
        if not self._passes:
            return False
        asked = url_of(given)
        return any(passes(asked, asked.partition("?")[0]) for passes in self._passes)

    def _asking(self, given: ExchangeArguments, content: bytes | None) -> _Asking:
        method, _, fields, body = given[:4]
        if body is not None and content is not None:
            # The caller's may be gone by now, and is to be sent yet, perhaps, and to be read again for a redirect.
            given = (*given[:3], body.holding(content), *given[4:])
        framing = () if body is None else body.framing.pairs
        pairs = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in (*fields.pairs, *framing)]
        if b"host" not in fields.names:
            pairs.insert(0, ("Host", authority_of(given)))
        headers: dict[str, str] = {}
        for name, value in pairs:
            headers[name.lower()] = f"{headers[name.lower()]}, {value}" if name.lower() in headers else value
        with self._lock:
            number = len(self.calls) + 1
            request = Request(method.decode(), url_of(given), "1.1", pairs, headers, content or b"", 0, number, clock())
            self.calls.append(request)
            described = None if self._recording is None else self._recording.described(request)
        return _Asking(given, request, described)

    def _answer(self, pool: Manager, asking: _Asking) -> bytes | None:
        """Find the response to a request; `None` if the network is to be asked.

        Raises:
            UnexpectedRequest: There is none.
            BaseException: That is what was to be answered.
        """
        request = asking.request
        with self._lock:
            found = next((one for one in self._canned if not one._differences(request)), None)
            made = None if found is None else found._take(request)
            recorded = None if made is not None else self._recorded(asking)
        method = asking.given[0]
        if isinstance(made, BaseException):
            if isinstance(made, KeepPoolError):
                # It may be raised for several requests, and names the one it is raised for.
                raise blame(pool, asking.given, copy.copy(made))
            raise made.with_traceback(None)
        if made is not None:
            return canned.recalled(made, request).on_the_wire(method)
        return None if recorded is None else recording.recalled(recorded.entry).on_the_wire(method)

    def _recorded(self, asking: _Asking) -> Recorded | None:
        """Find the recorded exchange of a request; `None` if it goes to the network."""
        if self._recording is None:
            raise self._unexpected(asking)
        if asking.described is None:
            return None  # The program's own filter wants it so.
        found = self._recording.find(asking.described)
        if found is None and not self._records:
            raise self._unexpected(asking)
        return found

    def _record(
        self, asking: _Asking, head: ResponseHead, body: bytes, started: float, at: tuple[float, float, float]
    ) -> bytes:
        """Record an exchange; give its response, as it came."""
        began, answered, ended = at
        if asking.described is not None and self._recording is not None:
            timings = {"wait": round(1000 * (answered - began), 3), "receive": round(1000 * (ended - answered), 3)}
            with self._lock:
                self._recording.add(asking.described, head, body, started=started, timings=timings)
        fields = list(zip(head.names, head.values, strict=True))
        return Recalled(head.status, fields, body, head.reason, head.version).on_the_wire(asking.given[0])

    def _unexpected(self, asking: _Asking) -> UnexpectedRequest:
        """Build the error for a request that nothing is for, with what comes nearest."""
        request, recorded = self._without_secrets(asking.request), self._recording
        shown = f"{request.method} {quoted_url(request.target)[1:-1]}"
        near = [(self._against(one, asking.request, request), f"{one!r}"[1:-1]) for one in self._canned]
        if recorded is not None and asking.described is not None:
            compared = Compared.of(asking.described)
            near += [([*recorded.differences(asking.described, compared, one)], str(one)) for one in recorded.recorded]
        error = unexpected(shown, "" if self._path is None else os.fsdecode(self._path), near)
        self._refused.append(error)
        return error

    def _without_secrets(self, request: Request) -> Request:
        """Give a request as an error may show it: a test's output is kept and read by many."""
        secrets = self._settings[2]
        body = secrets.in_body(request.body, request.headers.get("content-type", ""))
        return request._replace(target=secrets.in_url(request.target), body=body)

    def _against(self, one: Canned, request: Request, shown: Request) -> list[str]:
        """List what keeps a request from a pattern, in words about what is shown of it."""
        found = one._differences(request)
        return (one._differences(shown) or ["it differs in what is secret"]) if found and shown != request else found
