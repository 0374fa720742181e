"""The sites of `keeppool demo`: a dozen, each with a behaviour of its own, and a pair for pipelining.

Decides: who misbehaves how. Knows: `keeppool.testing`. Does not know: who comes to visit.

Loopback has no distance. So what is sent to a site arrives one round trip late, and one more on a new connection, for
TCP's handshake: as if it were that far away.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from keeppool.config import HostConfig
from keeppool.testing import Answer, Behaviour, Request, Site, Sites

#: Seconds to the sites and back; what a neighbouring country is away.
ROUND_TRIP_S = 0.025
#: Seconds to the pair and back; pipelining is for what is not near.
PAIR_ROUND_TRIP_S = 0.03
#: Requests in flight on each connection to one of the pair.
PIPELINING = 8
#: Seconds the slow one takes on top.
_SLOW_S = 0.02
#: Seconds of idleness after which one site hangs up. Short, so that it happens while the demo runs; long enough that
#: no thread of a busy machine is kept that long between dialling and sending, which would be a fault nobody can mend;
#: the first request of a connection is two round trips on its way.
_IMPATIENCE_S = 0.2 + 2 * ROUND_TRIP_S
#: A page: its path, filled up to what a small one has without its images.
_PAGE_BYTES = 2048


class Character(NamedTuple):
    """One of the dozen: how it is called, how it behaves, and what the client must know to get on with it."""

    label: str
    behaviour: Behaviour
    config: HostConfig = HostConfig()


@dataclass(frozen=True, slots=True)
class Host:
    """A running site.

    Attributes:
        name: Address, with the port where several sites share it.
        label: Its behaviour in a few words.
        site: The server, with its own counts.
        config: What the client must know.
    """

    name: str
    label: str
    site: Site
    config: HostConfig


_CAST = (
    Character("HTTP/1.1, no hints", Behaviour()),
    Character("Apache's hints", Behaviour(hint_timeout=5, hint_max=8)),
    Character("Node's hints", Behaviour(hint_timeout=5, hint_max=8, hint_style="constant")),
    Character("HTTP/1.0 keep-alive", Behaviour(http_version="1.0"), HostConfig(http_version="1.0")),
    Character("HTTP/1.0 without", Behaviour(http_version="1.0", keep_alive=False)),
    Character("closes after each", Behaviour(keep_alive=False)),
    Character("chunked", Behaviour(framing="chunked")),
    Character("gzip", Behaviour(coding="gzip")),
    Character(f"{_SLOW_S * 1000:.0f} ms slower", Behaviour(delay_s=_SLOW_S)),
    Character("drops idle sockets", Behaviour(drop_idle_s=_IMPATIENCE_S)),
    Character("body ends at close", Behaviour(framing="close")),
    Character("hangs up after 9", Behaviour(close_after=9)),
)

_PAIR = (
    Character("one at a time", Behaviour(), HostConfig(pipelining=1)),
    Character(f"{PIPELINING} in flight", Behaviour(), HostConfig(pipelining=PIPELINING)),
)


def open_sites(sites: Sites) -> list[Host]:
    """Start the dozen: each on an address of its own where the system has them, on ports of one otherwise."""
    return _open_all(sites, _CAST, 2, ROUND_TRIP_S)


def open_pair(sites: Sites) -> list[Host]:
    """Start two that are alike; but one is asked for several pages at a time on each connection."""
    return _open_all(sites, _PAIR, 2 + len(_CAST), PAIR_ROUND_TRIP_S)


def page(path: str) -> bytes:
    """Write the page of a path; no other path has the same."""
    line = f"This is {path}.\n".encode()
    return (line * (_PAGE_BYTES // len(line) + 1))[:_PAGE_BYTES]


def _open_all(sites: Sites, cast: Iterable[Character], first: int, away_s: float) -> list[Host]:
    return [_open(sites, one, f"127.0.0.{number}", away_s) for number, one in enumerate(cast, start=first)]


def _open(sites: Sites, character: Character, address: str, away_s: float) -> Host:
    behaviour = replace(character.behaviour, round_trip_s=away_s)
    try:
        site = sites.add(behaviour, host=address, handler=_answer)
    except OSError:  # Only Linux has all of 127.0.0.0/8 without configuration.
        site = sites.add(behaviour, handler=_answer)
    name = site.host if site.host == address else f"{site.host}:{site.port}"
    return Host(name, character.label, site, character.config)


def _answer(request: Request) -> Answer:
    return Answer(headers=(("Content-Type", "text/plain"),), body=page(request.path))
