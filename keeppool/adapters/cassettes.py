"""vcrpy's cassettes, for requests that do not go through urllib3: played from there, and recorded there.

Decides: what of a request and a response a cassette is given: the same as where urllib3 sends, so that a cassette that
    requests has recorded is played here, and the other way round.
Knows: the interface of vcrpy's cassettes that its own stubs use.
Does not know: who sends; a pool manager is asked for what the cassette has not.
"""

from __future__ import annotations

from typing import Any, cast

from keeppool.errors import InvalidBody
from keeppool.fakers import cassette, faker, seen
from keeppool.pools.manager import ExchangeArguments, Manager
from keeppool.pools.manager_threads import PoolManager
from keeppool.pools.recalled import Recalled, locate, recall
from keeppool.pools.response import Response
from keeppool.urls.address import Address, parse_as_given
from keeppool.wire.decode import decoded_whole
from keeppool.wire.head import ResponseHead


def recorded(pool: PoolManager) -> PoolManager:
    """Give what sends for a pool manager now: itself, or what plays from the cassette in use and records there.

    Where another tool is active it has been asked by now, and what it lets pass may go to the network.
    """
    if (tape := cassette()) is not None:
        return cast("PoolManager", _Recorded(tape, pool))
    return pool if faker() is None else cast("PoolManager", _Passed(None, pool))


class Recording:
    """Stands in for a pool manager while a cassette is in use; but for the waiting.

    Args:
        tape: The cassette.
        pool: Sends what that has not.
    """

    def __init__(self, tape: Any, pool: Manager) -> None:
        self._tape = tape
        self._pool: Any = pool

    def __getattr__(self, name: str) -> Any:
        if name == "_pool":  # Not made yet: while it is copied.
            raise AttributeError(name)
        return getattr(self._pool, name)

    def exchange(self, *given: Any) -> Any:
        """As the pool manager's; its arguments by place, the last of which may be left out."""
        return self._answer(cast("ExchangeArguments", (*given, True)[:8]))

    def _answer(self, given: ExchangeArguments) -> Any:
        """Answer a request from the cassette, or send it and record it there.

        Raises:
            CannotOverwriteExistingCassetteException: vcrpy's own: it has no such request, and takes no new one.
        """
        raise NotImplementedError

    def _played(self, request: Any) -> Recalled | None:
        """Give the response that the cassette has for a request; `None` if that is to be sent. Raises as `_answer`."""
        tape = self._tape
        if tape.can_play_response_for(request):
            return _recalled(tape.play_response(request))
        if tape.write_protected and tape.filter_request(request):
            from vcr.errors import CannotOverwriteExistingCassetteException

            raise CannotOverwriteExistingCassetteException(cassette=tape, failed_request=request)
        return None

    def _record(self, request: Any, head: ResponseHead, body: bytes) -> Recalled:
        """Hand a response to the cassette; give it as it came."""
        headers: dict[str, list[str]] = {}
        for name, value in zip(head.names, head.values, strict=True):
            headers.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
        status = {"code": head.status, "message": head.reason}
        clear = decoded_whole(body, head.get(b"content-encoding") or b"")
        kept = {"status": status, "headers": headers, "body": {"string": body if clear is None else clear}}
        self._tape.append(request, kept)
        return Recalled(head.status, list(zip(head.names, head.values, strict=True)), body, head.reason, head.version)


class _Recorded(Recording):
    """For threads."""

    def _answer(self, given: ExchangeArguments) -> Response:
        locate(self._pool, given)
        body = given[3]
        if body is not None and body.is_async:
            raise InvalidBody("an async iterable can be sent by a session for tasks only")
        request, given = asked(given, None if body is None else b"".join(body.payload()))
        found = self._played(request)
        if found is None:
            with seen():
                raw = self._pool.exchange(*plainly(given))
            found = self._record(request, raw.head, raw.read())
        response = recall(self._pool, Response, given, found.on_the_wire(given[0]))
        if not given[5]:
            response.preload()
        return response


class _Passed(Recording):
    """For threads, where there is no cassette."""

    def _answer(self, given: ExchangeArguments) -> Response:
        with seen():
            response: Response = self._pool.exchange(*given)
        return response


def plainly(given: ExchangeArguments) -> ExchangeArguments:
    """Ask for a body as it is sent: undecoded, and so before it is there."""
    return (*given[:5], True, given[6], False)


def asked(given: ExchangeArguments, content: bytes | None) -> tuple[Any, ExchangeArguments]:
    """Describe a request to vcrpy; give it also as it can be sent now that its body was read."""
    from vcr.request import Request

    method, url, fields, body = given[:4]
    address = url if isinstance(url, Address) else parse_as_given(url)
    sent = f"{address.scheme}://{address.authority}{address.target}"
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in fields.pairs}
    request = Request(method.decode(), sent, content or None, headers)
    if body is not None and content is not None:
        given = (*given[:3], body.holding(content), *given[4:])
    return request, given


def _recalled(response: dict[str, Any]) -> Recalled:
    status, body = response["status"], (response.get("body") or {}).get("string") or b""
    fields = [
        (name, value)
        for name, values in response["headers"].items()
        for value in (values if isinstance(values, (list, tuple)) else (values,))
    ]
    content = body.encode() if isinstance(body, str) else bytes(body)
    codings = ", ".join(value for name, value in fields if name.lower() == "content-encoding")
    if codings and decoded_whole(content, codings.encode("latin-1", "replace")) is None:
        # Decoded already: so cassettes have it since urllib3 2, with the field.
        fields = [pair for pair in fields if pair[0].lower() != "content-encoding"]
    return Recalled(status["code"], fields, content, status.get("message") or "")
