"""What each request is, from the seed and its number alone.

Decides: method, body, host, how the caller takes the response, which fault the server commits, and at which byte.
Knows: how common each of them is. Does not know: sockets, or what follows from a fault (`faults.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from struct import unpack
from typing import NamedTuple, TypeVar

#: Hosts, and how many of a thousand requests go there. Each is a port of its own, but for those behind a proxy.
HOSTS: Mapping[str, int] = {
    "plain-1": 170,
    "plain-2": 170,
    "plain-3": 55,
    "piped": 110,  # requests ride there
    "unpiped": 30,  # and here until it breaks; nothing rides for a while then
    "keyless": 50,  # its entry says idempotent=False: nothing is sent twice there
    "fleeting": 35,  # closes behind each response without a word
    "tls-1": 90,
    "tls-2": 25,
    "forwarded": 70,  # through a proxy that forwards
    "tunnelled": 45,  # through a proxy, by CONNECT
    "abrupt": 10,  # resets each third connection when it is accepted
    "refused": 4,  # nobody listens
    "no-tls": 3,  # speaks something else where TLS is expected
    "no-tunnel": 3,  # its proxy refuses
    "nginx": 30,
    "nginx-tls": 15,
    "apache": 20,  # Apache httpd, HAProxy, squid and tinyproxy stand before one of our servers
    "node": 20,
    "haproxy": 15,
    "squid": 10,
    "tinyproxy": 5,
    "fleet": 15,  # two pools share its cap, through Redis
}
#: Programs of others: they commit no faults of ours, and take plain requests.
REAL = frozenset({"nginx", "nginx-tls", "apache", "node", "haproxy", "squid", "tinyproxy"})
#: Of these, such as stand before the scripted servers' port of this name.
BEHIND = "behind"
#: Hosts whose requests never reach a server's application.
UNREACHABLE = frozenset({"refused", "no-tls", "no-tunnel"})
METHODS: Mapping[str, int] = {"GET": 620, "POST": 270, "PUT": 50, "HEAD": 30, "DELETE": 30}
#: Bytes of a response's body.
SIZES: Mapping[int, int] = {0: 60, 30: 600, 1000: 280, 20_000: 50, 200_000: 10}
#: What a POST or PUT brings, by its kind.
UPLOADS: Mapping[str, int] = {"none": 60, "bytes": 620, "large": 20, "file": 100, "generator": 100, "expecting": 100}
#: How the response's body is framed, where no fault says something else.
FRAMINGS: Mapping[str, int] = {"length": 620, "chunked": 280, "gzip": 60, "until close": 40}
#: What the caller does with the response. For threads, who cannot be cancelled, that is a total timeout too.
MANNERS: Mapping[str, int] = {"whole": 760, "stream": 130, "leave": 30, "drop": 20, "total": 30, "cancel": 30}
#: Thousandths of requests that meet a fault, or something that is none but unusual. See `faults.py`.
FAULTS: Mapping[str, int] = {
    "": 746,
    "closes unread": 6,
    "resets unread": 6,
    "executes, closes": 6,
    "executes, resets": 6,
    "cut, closes": 10,
    "cut, resets": 10,
    "cut, silent": 3,
    "silent": 2,
    "drips": 5,
    "in two": 15,
    "flips a byte": 16,
    "no http": 5,
    "interim": 6,
    "interim, closes": 4,
    "bad chunk": 5,
    "too short": 5,
    "too long": 5,
    "second response": 5,
    "two framings": 4,
    "damaged gzip": 4,
    "endless head": 1,
    "says close": 10,
    "last of max": 8,
    "closes behind": 24,
    "closes idle": 40,
    "resets idle": 16,
    "408 when idle": 16,
    "half-closes": 8,
    "refuses upload": 3,
}
#: What a host does to idle connections, now and then. The pool learns from that, so other hosts do not.
OF_THE_MOODY = frozenset(
    {"closes behind", "closes idle", "resets idle", "408 when idle", "half-closes", "flips a byte"}
)
MOODY = frozenset({"plain-3", "keyless", "tls-2"})
#: Closes behind which the pool cannot tell an idle limit from an accident; hosts where connections live on are spared.
OF_THE_RESTLESS = frozenset({"closes unread", "resets unread", "executes, closes", "executes, resets"})
CALM = frozenset({"plain-1", "tls-1"})
#: All that happens at the host where requests ride: a close, or what is no HTTP, would end that for a while.
OF_THE_PIPED = frozenset({"", "drips", "in two", "interim"})
#: Hosts whose entry says that requests may ride.
RIDDEN = frozenset({"piped", "unpiped"})
#: Methods whose requests have a body.
WITH_BODY = frozenset({"POST", "PUT"})
#: How a response's body is framed where the fault asks for it.
FRAMING_OF: Mapping[str, str] = {
    "bad chunk": "chunked",
    "too short": "length",
    "too long": "length",
    "second response": "length",
    "two framings": "length",
    "damaged gzip": "gzip",
    "flips a byte": "length",
}
#: Faults under which a response may end with its connection: a cut one could not be told from a whole one.
MAY_END_WITH_CLOSE = frozenset({"", "drips", "in two", "interim"})
#: Faults in a response's body: there has to be one.
IN_THE_BODY = frozenset({"bad chunk", "too short", "damaged gzip", "two framings"})
Choice = TypeVar("Choice")


class Plan(NamedTuple):
    """One request.

    Attributes:
        number: Counts from 0; it stands in the path, and a response's body repeats it.
        host: One of `HOSTS`.
        method: One of `METHODS`.
        upload: One of `UPLOADS`.
        is_keyed: It carries an Idempotency-Key.
        size: Bytes of the response's body, about.
        framing: One of `FRAMINGS`.
        manner: One of `MANNERS`.
        fault: One of `FAULTS`.
        is_lasting: The fault meets the request each time it arrives, and not the first time only.
        chance: A number below 2³², for whatever else has to be chosen.
    """

    number: int
    host: str
    method: str
    upload: str
    is_keyed: bool
    size: int
    framing: str
    manner: str
    fault: str
    is_lasting: bool
    chance: int

    @property
    def is_repeatable(self) -> bool:
        """It does no harm if it is carried out twice."""
        return self.is_keyed or (self.method != "POST" and self.host != "keyless")

    @property
    def body(self) -> bytes:
        """What a right response brings."""
        mark = b"%d;" % self.number
        return mark * (1 + self.size // len(mark))


def planner(seed: int, hosts: Mapping[str, int] = HOSTS) -> Callable[[int], Plan]:
    """Give the function from a request's number to what it is.

    Args:
        seed: Of the run.
        hosts: Which there are, and their weights.
    """
    key = b"%d" % seed
    where, methods, uploads = _wheel(hosts), _wheel(METHODS), _wheel(UPLOADS)
    sizes, framings, manners, faults = _wheel(SIZES), _wheel(FRAMINGS), _wheel(MANNERS), _wheel(FAULTS)

    def plan(number: int) -> Plan:
        rolls = unpack("<10HI", hashlib.blake2b(b"%d" % number, key=key, digest_size=24).digest())
        host, method, fault = where[rolls[0] % 1000], methods[rolls[1] % 1000], faults[rolls[2] % 1000]
        if host in UNREACHABLE or host in REAL or (host in CALM and fault in OF_THE_RESTLESS):
            fault = ""
        if (fault in OF_THE_MOODY and host not in MOODY) or (host == "piped" and fault not in OF_THE_PIPED):
            fault = ""
        upload = uploads[rolls[3] % 1000] if method in WITH_BODY else "none"
        if fault == "refuses upload":
            method, upload = "POST", "large"
        elif fault in IN_THE_BODY and method == "HEAD":
            method = "GET"
        if host in REAL and upload != "none":
            upload = "bytes"
        framing = FRAMING_OF.get(fault) or framings[rolls[4] % 1000]
        if framing == "until close" and (fault not in MAY_END_WITH_CLOSE or host == "piped"):
            framing = "chunked"
        size = sizes[rolls[6] % 1000]
        if fault == "resets idle":
            size = min(size, 1000)  # All of it has arrived by then.
        if host in REAL:
            size, framing = 0, "length"
        return Plan(
            number,
            host,
            method,
            upload,
            rolls[5] % 10 == 0,
            size,
            framing,
            manners[rolls[7] % 1000],
            fault,
            rolls[8] % 4 == 0,
            rolls[10],
        )

    return plan


def front_of(number: int) -> str:
    """Give the part of a mixed run that a request belongs to."""
    return "forks" if number % 25 == 24 else ("threads", "tasks")[number % 2]


def at_hand(missing: Collection[str]) -> dict[str, int]:
    """Give the hosts without some that there are not; the first one takes their requests."""
    hosts = {host: weight for host, weight in HOSTS.items() if host not in missing}
    hosts["plain-1"] += sum(HOSTS[host] for host in missing)
    return hosts


def _wheel(weights: Mapping[Choice, int]) -> list[Choice]:
    """Write each choice as often as it weighs, so that a thousandth finds it."""
    wheel = [choice for choice, weight in weights.items() for _ in range(weight)]
    if len(wheel) != 1000:
        raise ValueError(f"the weights are {len(wheel)} thousandths: {weights}")
    return wheel
