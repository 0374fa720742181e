"""Whole responses as h11, llhttp and curl read them, beside ours; and where we differ on purpose.

The tables for llhttp and h11 stand in `tests/wire/readings.py`, the one for curl here. curl is asked over a socket pair
into which the whole response was written before it begins: one thread, no port.
"""

from __future__ import annotations

import importlib
import io
import re
import socket
from functools import cache
from typing import Any, Final

import h11

from keeppool.core.reuse import why_not_reusable
from keeppool.errors import InvalidHead
from keeppool.wire.framing import framing_of
from tests.fuzz.oracles import outcome
from tests.fuzz.targets.heads import heads_in
from tests.wire.readings import (
    FAILED,
    MULTIPART,
    PEERS,
    SAYS_NO_CODING,
    Difference,
    Reading,
    difference,
    in_chunks,
    in_head,
    ours,
)

#: Bytes that a socket pair takes before somebody reads: what is longer, curl is not asked about.
MOST_FOR_CURL: Final = 60_000
_IDENTITY: Final = rb"\ntransfer-encoding:(?:[ \t,]|\r?\n[ \t]|identity)*\r?\n"
_STATUS = re.compile(rb"HTTP/1\.[0-9] [1-9][0-9]{2}[ \r\n]")


@cache
def pycurl() -> Any:
    """Import pycurl; `None` if it is not installed."""
    try:
        return importlib.import_module("pycurl")
    except ImportError:
        return None


def curls(wire: bytes, method: bytes = b"GET") -> Reading:
    """Have curl read a response and then the close; it tells neither fields nor where the message ended."""
    curl = pycurl()
    handle, body, (near, far) = curl.Curl(), io.BytesIO(), socket.socketpair()
    with near:
        near.sendall(wire)
        near.shutdown(socket.SHUT_WR)
        handle.setopt(curl.URL, "http://a.example/")
        handle.setopt(curl.OPENSOCKETFUNCTION, lambda _purpose, _address: far)
        handle.setopt(curl.SOCKOPTFUNCTION, lambda _descriptor, _purpose: curl.SOCKOPT_ALREADY_CONNECTED)
        handle.setopt(curl.RESOLVE, ["a.example:80:127.0.0.1"])
        handle.setopt(curl.NOPROXY, "*")
        handle.setopt(curl.WRITEFUNCTION, body.write)
        handle.setopt(curl.NOBODY, method == b"HEAD")
        handle.setopt(curl.TIMEOUT, 10)
        try:
            handle.perform()
        except curl.error:
            return FAILED
        finally:
            status = handle.getinfo(curl.RESPONSE_CODE)
            handle.close()
            far.close()
    return Reading(True, status, (), body.getvalue())


def check_peers(wire: bytes, method: bytes) -> None:
    """Compare with all who have a word; a difference that is not listed fails."""
    if b"HTTP/" not in wire or _switches(wire):
        return
    if method in (b"GET", b"POST"):
        for peer in ("llhttp", "h11"):
            assert difference(peer, wire) != "unknown", differing(peer, wire)
        if pycurl() is not None and len(wire) < MOST_FOR_CURL:
            assert curl_difference(wire) != "unknown", differing("curl", wire)
        check_kept_by_h11(wire)


def differing(peer: str, wire: bytes) -> str:
    """Say what two make of the same."""
    return f"{peer} reads otherwise:\nwe   {ours(wire)}\nthey {curls(wire) if peer == 'curl' else PEERS[peer](wire)}"


def curl_difference(wire: bytes) -> str:
    """As `difference`, for curl."""
    mine, theirs = ours(wire)._replace(fields=(), end=None), curls(wire)
    if mine == theirs:
        return ""
    body = mine.read and theirs.read
    for known in CURL_DIFFERENCES:
        if (known.ours, known.theirs, known.body) == (mine.read, theirs.read, body) and known.explains(wire, mine):
            return known.reason
    return "unknown"


def _switches(wire: bytes) -> bool:
    """Tell whether a 101 is among the heads: who has not asked for one may do as he likes."""
    return any(head.status == 101 for head in heads_in([wire])[0])


def check_kept_by_h11(wire: bytes) -> None:
    """Where h11 says that the connection must close, we keep it only for a reason that is listed."""
    heads, error, _ = heads_in([wire])
    if error is not None or not heads or not ours(wire).read:
        return
    head = heads[-1]
    why = framing_of(b"GET", head).why_close
    if why_not_reusable(why, head.status, head.version, head.get(b"connection"), True, False) is not None:
        return
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    connection.send(h11.EndOfMessage())
    try:
        connection.receive_data(wire)
        while type(event := connection.next_event()) is not h11.EndOfMessage:
            if event is h11.NEED_DATA:
                return
    except h11.RemoteProtocolError:
        return
    closes = connection.their_state is h11.MUST_CLOSE
    # h11 closes behind every HTTP/1.0; that `keep-alive` keeps it is the one extension of it that everybody has.
    assert not closes or head.version == 10, f"h11 closes, we do not: {head.get(b'connection')!r}"


def _is_cut_head(wire: bytes, mine: Reading) -> bool:
    return not mine.read and heads_in([wire])[1] is None and heads_in([wire])[2] is None


def _is_unoffered(wire: bytes, _mine: Reading) -> bool:
    heads, error, _ = heads_in([wire])
    return error is None and bool(heads) and outcome(framing_of, b"GET", heads[-1]).error is InvalidHead


CURL_DIFFERENCES: list[Difference] = [
    Difference(
        "curl",
        False,
        True,
        "a head that stops short of its empty line is no response, RFC 9112 §8; curl takes the close for its end",
        _is_cut_head,
        b"HTTP/1.1 200 OK\r\n",
    ),
    Difference(
        "curl",
        True,
        False,
        "a higher minor version is read as HTTP/1.1, RFC 9110 §2.5",
        in_head(rb"(?:\A|\n)HTTP/1\.[2-9] "),
        b"HTTP/1.5 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    ),
    Difference(
        "curl",
        False,
        True,
        "control characters, a bare CR among them, have no place in a chunk's extension",
        in_chunks(rb"(?:\A|\r\n)[0-9A-Fa-f]+[ \t]*;[^\n]*[\x00-\x08\x0b-\x1f\x7f](?!\n)"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0;\r\x00\r\n\r\n",
    ),
    Difference(
        "curl",
        False,
        True,
        "in chunks only CRLF ends a line: no leniency in what frames",
        in_chunks(rb"(?<!\r)\n"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\n\r\n",
    ),
    Difference(
        "curl",
        True,
        False,
        "chunked overrides Content-Length, also one that is no number, RFC 9112 §6.3 3; the connection is closed",
        in_head(rb"\ncontent-length:(?:.*\n)*transfer-encoding:|\ntransfer-encoding:(?:.*\n)*content-length:"),
        b"HTTP/1.1 200 OK\r\nContent-Length: f5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    Difference(
        "curl",
        False,
        True,
        "a status is three digits, and a space or the line's end behind them, RFC 9112 §4",
        lambda wire, mine: not mine.read and heads_in([wire])[1] is InvalidHead and not _STATUS.match(wire),
        b"HTTP/1.1 304:\r\n\r\n",
    ),
    Difference(
        "curl",
        True,
        False,
        "a folded line in a trailer section is joined to the one before, as in a head, RFC 9112 §5.2",
        in_chunks(rb"\n[ \t]"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n c\r\n\r\n",
    ),
    Difference(
        "curl",
        False,
        True,
        "a line of a head that is no field is an error, RFC 9112 §5.1; curl passes it on",
        lambda wire, _mine: heads_in([wire])[1] is InvalidHead and _STATUS.match(wire) is not None,
        b"HTTP/1.1 200 OK\r\n}: x\r\n\r\n",
    ),
    *(
        Difference(
            "curl",
            mine,
            theirs,
            "identity, or no coding at all, leaves the length to Content-Length; the connection is closed",
            in_head(_IDENTITY + rb"(?:.*\n)*content-length:|\ncontent-length:(?:.*\n)*.*" + _IDENTITY[2:]),
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: identity\r\n\r\n" + body,
            body=mine and theirs,
        )
        for mine, theirs, body in ((False, True, b"hell"), (True, True, b"hello, and more"))
    ),
    Difference(
        "curl",
        False,
        True,
        "what stands behind a chunk's size is an extension or an error, RFC 9112 §7.1; curl skips it",
        in_chunks(rb"(?:\A|\n)[0-9A-Fa-f]+[^0-9A-Fa-f\n]"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0H\r\n\r\n",
    ),
    Difference(
        "curl",
        False,
        True,
        "multipart/byteranges without a length ends with its own delimiter, as in RFC 2616 §4.4, or is incomplete",
        MULTIPART,
        b"HTTP/1.1 206 X\r\nContent-Type: multipart/byteranges; boundary=b\r\n\r\n--b\r\n",
    ),
    Difference(
        "curl",
        False,
        True,
        "lengths that differ, or are more than a file can have, are an error, RFC 9112 §6.3 5; curl takes one, or none",
        in_head(rb"\ncontent-length:[^\n]*(?:[0-9]{19,}|,)"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhello",
    ),
    Difference(
        "curl",
        True,
        False,
        "identity, in the RFC until 2014, and empty elements of a list (RFC 9110 §5.6.1) say nothing",
        SAYS_NO_CODING,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    ),
    Difference(
        "curl",
        False,
        True,
        "a transfer coding that was not offered is an error, not a body to be given out still encoded, RFC 9112 §6.1",
        _is_unoffered,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: \xa0\r\n\r\nhello",
    ),
]
