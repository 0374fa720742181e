"""What proxies answer: a tunnel is open only where the answer says so and ends there."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from keeppool.core.origin import Origin, Proxy
from keeppool.errors import ProxyError, ResolveError
from keeppool.net.proxy import MAX_ANSWER_BYTES, connect_steps
from keeppool.net.socks import socks_steps
from keeppool.net.steps import Steps
from tests.fuzz.oracles import in_steps, outcome, same_however_cut
from tests.fuzz.target import target
from tests.fuzz.targets.heads import heads_in

HOSTS = ["a.example", "1.2.3.4", "::1", "x" * 64 + ".example", "a..b", "fe80::1%eth0"]


def origin(scheme: str, host: str, *, secret: bool = False) -> Origin:
    proxy = Proxy(scheme=scheme, host="proxy.example", port=1080, credentials=(b"user", b"p\xe9ss") if secret else None)
    return Origin(scheme="https", host=host, port=443, proxy=proxy)


def opened(steps: Steps[None], parts: list[bytes]) -> tuple[list[bytes], int]:
    """Drive steps with what a proxy sends and then its close; give what was sent, and how many parts were read."""
    sent, read = [], 0
    try:
        asked = next(steps)
        while True:
            if asked:
                sent.append(asked)
            asked = steps.send(parts[read] if read < len(parts) else b"")
            read += 1
    except StopIteration:
        return sent, read + 1


def through(where: Origin, parts: list[bytes]) -> Any:
    """Ask for the tunnel; give what was sent and what is left unread, or the error."""

    def ask() -> Any:
        steps = connect_steps(where) if where.proxy is None or not where.proxy.is_socks else socks_steps(where)
        sent, read = opened(steps, parts)
        return b"".join(sent), b"".join(parts[read:])

    made = outcome(ask)
    return made.error or made.value


@target(covers=("net/proxy.py",), also=("heads",))
def connects(data: bytes) -> None:
    """The first byte chooses the host; what follows it is what an http proxy answers to CONNECT."""
    where, wire = origin("http", HOSTS[data[0] % len(HOSTS) if data else 0]), data[1:]
    whole = in_steps(40, 1500, len(wire), lambda: through(where, [wire]))
    heads, error, rest = heads_in([wire], MAX_ANSWER_BYTES)
    is_open = error is None and rest == b"" and 200 <= heads[-1].status < 300
    assert isinstance(whole, tuple) == is_open, f"{whole!r}, though the heads are {heads}, {error}, {rest!r}"
    assert is_open or whole is ProxyError

    def read(parts: list[bytes]) -> Any:
        result = through(where, parts)
        # Bytes that come later than the answer are the origin's.
        return result if not isinstance(result, tuple) else (result[0], rest)

    if rest in (None, b""):
        same_however_cut(read, wire)
    request = through(where, [b"HTTP/1.1 200 OK\r\n\r\n"])[0]
    assert request.count(b"\r\n\r\n") == 1
    assert request.startswith(b"CONNECT ")
    assert b"%" not in request


@target(most=600, covers=("net/socks.py",))
def socks(data: bytes) -> None:
    """The first byte chooses version, host and credentials; what follows it is what a SOCKS proxy answers."""
    how, wire = (data[0] if data else 0), data[1:]
    scheme = ("socks5h", "socks5", "socks4a", "socks4")[how & 3]
    where = origin(scheme, HOSTS[(how >> 2 & 7) % len(HOSTS)], secret=bool(how & 32))
    imported()
    turns = [wire[at:end] for at, end in answers(wire, scheme.startswith("socks5"))]
    whole = in_steps(60, 3000, len(wire), lambda: through(where, turns))
    assert isinstance(whole, tuple) or issubclass(whole, (ProxyError, ResolveError))
    check_open(scheme, turns, whole, secret=bool(how & 32))
    # A turn comes in any pieces; two turns at once are more than an answer.
    for cut in range(1, len(wire)):
        parts = [piece for turn, at in located(turns) for piece in split(turn, cut - at)]
        other = through(where, parts)
        if isinstance(other, tuple) and other[1] and not isinstance(whole, tuple):
            # What came later than the last answer is the origin's; together with it, it was too much.
            assert isinstance(through(where, [piece for piece in parts if piece is not parts[-1]]), tuple)
            continue
        assert kind_of(other) == kind_of(whole), f"whole: {whole!r}, cut at {cut}: {other!r}"
        if isinstance(whole, tuple):
            assert other[0] == whole[0]
    if len(turns) > 1 and isinstance(whole, tuple):
        assert not isinstance(through(where, [wire]), tuple), "an answer before it was asked for"


@cache
def imported() -> None:
    """Import python-socks, which is no work of an input's."""
    socks_steps(origin("socks5h", "a.example"))


def kind_of(result: Any) -> Any:
    return "open" if isinstance(result, tuple) else result


def located(turns: list[bytes]) -> list[tuple[bytes, int]]:
    """Give each turn with the place where it begins."""
    found, at = [], 0
    for turn in turns:
        found.append((turn, at))
        at += len(turn)
    return found


def split(turn: bytes, at: int) -> list[bytes]:
    """Cut a turn in two, if the place is in it."""
    return [turn[:at], turn[at:]] if 0 < at < len(turn) else [turn]


def answers(wire: bytes, is_fifth: bool) -> list[tuple[int, int]]:
    """Cut what a proxy sends into its answers by RFC 1928 and RFC 1929, or SOCKS 4; what is left is one more."""
    sizes = [2] if is_fifth else [8]
    if is_fifth and wire[1:2] == b"\x02":
        sizes.append(2)
    places, at = [], 0
    for size in sizes:
        places.append((at, min(at + size, len(wire))))
        at += size
    if at < len(wire):
        places.append((at, len(wire)))
    return [(start, end) for start, end in places if start < end]


def check_open(scheme: str, turns: list[bytes], whole: Any, *, secret: bool) -> None:
    """Hold the tunnel to be open where the answers say so, read by hand, and nowhere else."""
    if whole is ResolveError:
        return
    wire = b"".join(turns)
    wire = wire.removesuffix(whole[1]) if isinstance(whole, tuple) else wire
    says = says_open_4(wire) if scheme.startswith("socks4") else says_open_5(wire, secret=secret)
    assert says is None or says == isinstance(whole, tuple), f"{whole!r} for {wire!r}"


def says_open_4(wire: bytes) -> bool:
    return len(wire) == 8 and wire[:2] == b"\x00\x5a"


def says_open_5(wire: bytes, *, secret: bool) -> bool | None:
    """Read the answers of version 5; `None` where a name in them may be no name."""
    if wire[:1] != b"\x05" or wire[1:2] not in ((b"\x00", b"\x02") if secret else (b"\x00",)):
        return False
    if wire[1] == 2:
        if wire[2:4] != b"\x01\x00":
            return False
        wire = wire[2:]
    reply = wire[2:]
    if len(reply) < 5 or reply[:3] != b"\x05\x00\x00":
        return None if reply[:2] == b"\x05\x00" and len(reply) > 4 else False
    size = {1: 4, 3: 1 + reply[4], 4: 16}.get(reply[3])
    if size is None or len(reply) != 4 + size + 2:
        return False
    return True if reply[3] != 3 or re.fullmatch(rb"[a-z.]+", reply[5 : 5 + reply[4]]) else None
