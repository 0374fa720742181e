"""`Behaviour`: how an embedded site treats its connections and writes its responses.

Decides: which `Connection` and `Keep-Alive` fields a response carries, and whether it is the connection's last.
Knows: the two readings of `Keep-Alive: max=` in the wild, and HTTP/1.0's keep-alive by request.
Does not know: sockets, requests' contents, time.
Source: RFC 9112 §9.3 (persistence) and appendix C.2.2 (HTTP/1.0 keep-alive); the `Keep-Alive` field's parameters were
never standardised, so Apache httpd 2.4 and Node 20 are the reference (tests/testing compares with both).
"""

from __future__ import annotations

from dataclasses import dataclass

from keeppool.checks import bad, check_count, check_seconds

#: What a body of a given size consists of; not one repeated letter, so that a shifted piece is noticed.
FILLER = b"0123456789abcdefghijklmnopqrstuvwxyz-\n"

_CHOICES: dict[str, tuple[str | None, ...]] = {
    "http_version": ("1.1", "1.0"),
    "hint_style": ("left", "constant"),
    "framing": ("length", "chunked", "close"),
    "coding": (None, "gzip", "deflate"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How an embedded site behaves. Frozen; checked at birth.

    An end the site *states* is `Connection: close` in a response, or the passing of the `hint_timeout` it sent. It then
    closes its sending side and goes on listening for a moment, so that requests which come too late are counted
    (`Site.late`). All other ends come unannounced and at once.

    Hints go out with every response. Apache httpd is meaner: it sends them only where the request says
    `Connection: keep-alive`, also in HTTP/1.1.

    Attributes:
        http_version: "1.1", or "1.0": keeps a connection only if the request says `Connection: keep-alive`.
        keep_alive: False closes after each response, and says so.
        hint_timeout: Whole seconds for `Keep-Alive: timeout=`. The site closes a connection idle for that long.
        hint_max: Number for `Keep-Alive: max=`; what it means depends on `hint_style`.
        hint_style: "left", as Apache httpd: `max` is how many requests may still follow; it starts at `hint_max` and
            falls by one, and the response after `max=1` says `Connection: close`. "constant", as Node: `max` is how
            many requests the connection carries in all; the last of them is answered with `Connection: close`.
        framing: How the end of a body is marked: "length", "chunked", or "close" (by closing the connection).
            A client that speaks HTTP/1.0 gets "close" instead of "chunked".
        coding: Content coding of every body, whether the request accepts it or not: "gzip", "deflate" or `None`.
        delay_s: Seconds to wait before each response.
        round_trip_s: Seconds that the site is away, there and back. What a client sends arrives that much later,
            however much is on its way already; on a new connection once more, for TCP's handshake. So requests that
            follow each other on one connection do not wait for each other, as they do with `delay_s`. What is still
            on its way when the connection is closed is lost.
        drop_idle_s: Seconds after which an idle connection is closed without a word; `None` never.
        close_after: Close without a word after that many answers on one connection; `None` never.
        status: Status of a response to a path without a route of its own.
        body: Body of such a response, or its size in bytes.
        headers: Fields added to every response, as (name, value) pairs.

    Raises:
        ConfigError: A value is invalid; names the field, the value and the rule.
    """

    http_version: str = "1.1"
    keep_alive: bool = True
    hint_timeout: int | None = None
    hint_max: int | None = None
    hint_style: str = "left"
    framing: str = "length"
    coding: str | None = None
    delay_s: float = 0.0
    round_trip_s: float = 0.0
    drop_idle_s: float | None = None
    close_after: int | None = None
    status: int = 200
    body: bytes | int = b"keeppool\n"
    headers: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise bad(name, getattr(self, name), f"must be one of {', '.join(map(repr, choices))}")
        for name in ("hint_timeout", "hint_max", "close_after"):
            check_count(name, getattr(self, name), least=1)
        for name in ("delay_s", "round_trip_s", "drop_idle_s"):
            check_seconds(name, getattr(self, name), zero=name != "drop_idle_s")
        if self.http_version == "1.0" and self.framing == "chunked":
            raise bad("framing", self.framing, "chunked needs HTTP/1.1 (RFC 9112 §7.1)")
        if not isinstance(self.status, int) or not 200 <= self.status <= 599:
            raise bad("status", self.status, "must be a final status, 200 to 599")
        if not isinstance(self.body, bytes):
            check_count("body", self.body, least=0)

    @property
    def payload(self) -> bytes:
        """The body in full, also where only its size was given."""
        return self.body if isinstance(self.body, bytes) else filler(self.body)

    def keeps(self, version: str, connection: str) -> bool:
        """Tell whether a request of that version and `Connection` field allows keeping its connection."""
        options = {option.strip() for option in connection.lower().split(",")}
        if self.http_version == "1.0" or version == "1.0":
            return self.keep_alive and "keep-alive" in options
        return self.keep_alive and "close" not in options

    def is_last(self, number: int) -> bool:
        """Tell whether the hints make request `number` (from 1) the last one on its connection."""
        if self.hint_max is None:
            return False
        return number > self.hint_max if self.hint_style == "left" else number >= self.hint_max

    def kept_fields(self, number: int, version: str) -> str:
        """Write the fields that tell the client how long the connection stays, after request `number`."""
        hints = self._hints(number)
        if hints:
            return f"Connection: keep-alive\r\nKeep-Alive: {hints}\r\n"
        if self.http_version == "1.0" or version == "1.0":
            return "Connection: keep-alive\r\n"
        return ""

    def _hints(self, number: int) -> str:
        hints = [] if self.hint_timeout is None else [f"timeout={self.hint_timeout}"]
        if self.hint_max is not None:
            left = self.hint_max - number + 1 if self.hint_style == "left" else self.hint_max
            hints.append(f"max={left}")
        return ", ".join(hints)


#: The former name of `Behaviour`.
Manners = Behaviour


def filler(size: int) -> bytes:
    """Make a body of `size` bytes, always the same for the same size."""
    return (FILLER * (size // len(FILLER) + 1))[:size]
