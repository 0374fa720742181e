"""The paths every embedded site answers by itself.

Knows: paths and the responses they name; `ROUTES` is the list.
Does not know: connections and framing. A path that is not in the list gets the site's own status and body.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import parse_qsl

from keeppool.testing.behaviour import filler
from keeppool.testing.messages import Answer, Request

_TEXT = (("Content-Type", "text/plain; charset=utf-8"),)
_JSON = (("Content-Type", "application/json"),)


def route(request: Request) -> Answer | None:
    """Find the response a path names; `None` if it names none, 400 if its argument is no number."""
    name, _, argument = request.path[1:].partition("/")
    answer = ROUTES.get(name)
    if answer is None:
        return None
    try:
        return answer(request, argument)
    except ValueError as error:
        return Answer(status=400, headers=_TEXT, body=f"{request.path}: {error}\n".encode())


def encode(answer: Answer, coding: str) -> Answer:
    """Give the response with its body compressed, unless it is empty or coded already."""
    if not answer.body or any(name.lower() == "content-encoding" for name, _ in answer.headers):
        return answer
    body = compress(b"".join(answer.pieces), coding)
    return replace(answer, body=body, headers=(*answer.headers, ("Content-Encoding", coding)))


def compress(body: bytes, coding: str) -> bytes:
    """Compress with "gzip" or "deflate" (which means the zlib format, RFC 9110 §8.4.1.2)."""
    return gzip.compress(body, mtime=0) if coding == "gzip" else zlib.compress(body)


def _bytes(_: Request, argument: str) -> Answer:
    return Answer(headers=(("Content-Type", "application/octet-stream"),), body=filler(int(argument)))


def _status(_: Request, argument: str) -> Answer:
    status = int(argument)
    if not 200 <= status <= 599:
        raise ValueError("a final status is 200 to 599")
    return Answer(status=status, headers=_TEXT, body=f"{status}\n".encode())


def _echo(request: Request, _: str) -> Answer:
    seen = {
        "method": request.method,
        "target": request.target,
        "headers": request.headers,
        "body": request.body.decode("latin-1"),
        "connection": request.connection,
    }
    return Answer(headers=_JSON, body=json.dumps(seen).encode())


def _redirect(request: Request, argument: str) -> Answer:
    left = int(argument)
    options = dict(parse_qsl(request.query))
    if left <= 0:
        return Answer(headers=_TEXT, body=b"arrived\n")
    query = f"?{request.query}" if request.query else ""
    target = options.get("to", "/redirect/0") if left == 1 else f"/redirect/{left - 1}{query}"
    return Answer(status=int(options.get("status", "302")), headers=(("Location", target),), body=b"moved\n")


def _slow(_: Request, argument: str) -> Answer:
    return Answer(headers=_TEXT, body=b"at last\n", delay_s=float(argument))


def _coded(request: Request, _: str) -> Answer:
    return encode(Answer(headers=_TEXT, body=filler(10_000)), request.path[1:])


def _cookies(request: Request, argument: str) -> Answer:
    if argument == "set":
        fields = tuple(("Set-Cookie", f"{name}={value}; Path=/") for name, value in parse_qsl(request.query))
        return Answer(headers=(*_TEXT, *fields), body=b"set\n")
    pairs = (pair.strip().partition("=") for pair in request.headers.get("cookie", "").split(";") if pair.strip())
    return Answer(headers=_JSON, body=json.dumps({name: value for name, _, value in pairs}).encode())


def _stream(request: Request, argument: str) -> Answer:
    lines = tuple(b"line %d\n" % number for number in range(int(argument)))
    pause = float(dict(parse_qsl(request.query)).get("pause", "0"))
    return Answer(headers=_TEXT, body=lines, framing="chunked", pause_s=pause)


#: First segment of a path → what answers it, given the request and the rest of the path.
ROUTES: dict[str, Callable[[Request, str], Answer]] = {
    "bytes": _bytes,
    "status": _status,
    "echo": _echo,
    "redirect": _redirect,
    "slow": _slow,
    "gzip": _coded,
    "deflate": _coded,
    "cookies": _cookies,
    "stream": _stream,
}
