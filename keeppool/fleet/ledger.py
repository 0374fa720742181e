"""`Ledger`: what Redis knows of fleets: who holds what, who asks, the pace; and taking away what a member holds.

Knows: the records that `script.py` keeps.
Does not know: pools. A member whose leases were taken away does not hear of it: if it still runs, it registers what it
    has with its next call.

Reading changes nothing, and is done for each key in one step. Which keys there are is found by SCAN, so that takes as
long as the whole database has keys.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Self

from keeppool.errors import readable
from keeppool.fleet.redis_client import Recipe
from keeppool.fleet.script import PARTS, keys_of
from keeppool.fleet.url import read

#: Seconds a person waits for a Redis that does not answer; members wait a tenth of one.
PATIENCE: Final = 5.0
#: Keys that Redis is asked to go through at a time: a few tenths of a millisecond in which it does nothing else.
_SCANNED: Final = 1000

_KEY: Final = re.compile(r"kp:([^:{}]+):\{([^{}]+)\}:(" + "|".join(PARTS) + ")", re.DOTALL)
_GLOB: Final = re.compile(r"([\\*?\[\]^-])")

_READ: Final = """
local leases, held, asks, poor, ranks, pace, hold = unpack(KEYS)
local time = redis.call('TIME')
return {time[1] * 1000 + math.floor(time[2] / 1000), redis.call('ZRANGE', leases, 0, -1, 'WITHSCORES'),
  redis.call('HGETALL', held), redis.call('ZRANGE', asks, 0, -1, 'WITHSCORES'), redis.call('GET', pace) or '',
  redis.call('PTTL', hold)}
"""

_DROP: Final = """
local leases, held, asks, poor, ranks = unpack(KEYS)
local n = tonumber(redis.call('HGET', held, ARGV[1]) or '0')
if n > 0 then redis.call('HINCRBY', held, '*', -n) end
redis.call('HDEL', held, ARGV[1], ARGV[1] .. ':since')
for _, set in ipairs({leases, asks, poor, ranks}) do redis.call('ZREM', set, ARGV[1]) end
return n
"""


class LedgerError(Exception):
    """Redis cannot be asked, or its reply cannot be read; the message says why, in one line."""


class Member(NamedTuple):
    """Who a member is: `host:pid:mark.number`. A process has one mark, and a member for each pool."""

    host: str
    pid: str
    number: str

    @classmethod
    def of(cls, name: str) -> Member:
        """Read a member's name; what has no such form stands as its host."""
        return cls(*name.rsplit(":", 2)) if name.count(":") >= 2 else cls(name, "", "")

    @property
    def place(self) -> str:
        """Its machine, and the number of its process there; two containers may have the same."""
        return f"{self.host}:{self.pid}"

    @property
    def process(self) -> str:
        """What names its process and no other."""
        return f"{self.place}:{self.number.partition('.')[0]}"

    def is_meant(self, text: str) -> bool:
        """Tell whether text names it: a process, as exactly as it needs to be, or all of the name."""
        return text in (self.pid, self.place, self.process, ":".join(self))


@dataclass(frozen=True, slots=True)
class Held:
    """What one member has of one key.

    Attributes:
        member: Its name.
        connections: Those it has registered.
        since_s: Seconds for which it has had some; 0 if it has none.
        lease_s: Seconds until its lease is over, if it is not heard of.
        asks: It wants more than it got.
    """

    member: str
    connections: int
    since_s: float
    lease_s: float
    asks: bool


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One key of a fleet.

    Attributes:
        key: Such as host and port.
        cap: Most connections of all members, as the newest call has it; `None` if that is not known.
        held: Who has or asks, those who have most first.
        gap_s: Seconds between two starts; 0 without a pace.
        next_s: Seconds until a start that nobody has reserved yet may be.
        hold_s: Seconds for which a server's Retry-After holds all.
        fault: Why the record cannot be read; then nothing else is known.
    """

    key: str
    cap: int | None = None
    held: tuple[Held, ...] = ()
    gap_s: float = 0.0
    next_s: float = 0.0
    hold_s: float = 0.0
    fault: str = ""

    @property
    def connections(self) -> int:
        """Connections of all members."""
        return sum(one.connections for one in self.held)


@dataclass(frozen=True, slots=True)
class Moment:
    """What there is at one time.

    Attributes:
        at: When, by Redis' clock, in seconds since 1970; 0 where there is nothing.
        fleets: The keys of each fleet, in order.
    """

    at: float = 0.0
    fleets: dict[str, list[KeyRecord]] = field(default_factory=dict)


class Ledger:
    """The records of fleets in one Redis or Valkey.

    Args:
        url: As for `Fleet.from_url`. Nothing is connected yet.

    Raises:
        ConfigError: As there.

    Thread safety: one thread at a time.
    """

    def __init__(self, url: str) -> None:
        said = read(url)
        #: The fleet that the URL names, if it names one.
        self.name: str | None = said.options.get("name")
        self._recipe = Recipe(said.for_threads, PATIENCE, finds_cluster=said.finds_cluster)
        self._where = _where(said.for_threads.connection_pool.connection_kwargs)
        #: Made with the first call: that of a cluster connects at once.
        self._made: Any = None

    def moment(self, name: str | None = None) -> Moment:
        """Read what there is, of one fleet or of all.

        Raises:
            LedgerError: Redis cannot be asked.
        """
        fleets: dict[str, list[KeyRecord]] = {}
        at = 0.0
        for fleet, key in sorted(self._keys(name)):
            record, then = self._record(fleet, key)
            at = max(at, then)
            if record.held or record.gap_s or record.hold_s or record.fault:
                fleets.setdefault(fleet, []).append(record)
        return Moment(at, fleets)

    def drop(self, name: str, member: str) -> dict[str, int]:
        """Take away what a member has; what it had is others' at once.

        Args:
            name: The fleet's.
            member: The member's, as in `Held.member`.

        Returns:
            Connections that were registered, by key.

        Raises:
            LedgerError: Redis cannot be asked; what was taken away until then is gone.
        """
        taken = {}
        for fleet, key in sorted(self._keys(name)):
            with _explained(self._where):
                parts = [_raw(part) for part in keys_of(fleet, key)]
                n = int(self._client.eval(_DROP, len(PARTS), *parts, _raw(member)))
            if n:
                taken[key] = n
        return taken

    def close(self) -> None:
        """Close the connection."""
        if self._made is not None:
            self._recipe.close(self._made)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _client(self) -> Any:
        if self._made is None:
            self._made = self._recipe.make()
        return self._made

    def _keys(self, name: str | None) -> set[tuple[str, str]]:
        """Find the fleets' keys."""
        which = "*" if name is None else _GLOB.sub(r"\\\1", name)
        with _explained(self._where):
            found = [_text(one) for one in self._client.scan_iter(match=_raw(f"kp:{which}:{{*}}:*"), count=_SCANNED)]
        return {(read[1], read[2]) for read in map(_KEY.fullmatch, found) if read}

    def _record(self, fleet: str, key: str) -> tuple[KeyRecord, float]:
        """Read one key's record, and Redis' clock."""
        with _explained(self._where):
            try:
                raw = self._client.eval(_READ, len(PARTS), *map(_raw, keys_of(fleet, key)))
            except Exception as error:
                # What is in the way of this key is; whatever else goes wrong does for all.
                if "WRONGTYPE" not in str(error):
                    raise
                raw = None
        try:
            return _record_of(key, raw)
        except (ValueError, TypeError):
            return KeyRecord(key, fault="not as a fleet writes it: something else uses its names"), 0.0


def _record_of(key: str, raw: Any) -> tuple[KeyRecord, float]:
    ms, leases, counts, asks, pace, hold = raw
    now = int(ms)
    ends = {member: float(end) - now for member, end in _pairs(leases)}
    # What an emptied lease leaves behind is swept by the next member's call; here it is left out.
    alive = {member: left / 1000 for member, left in ends.items() if left > 0}
    asking = {member for member, end in _pairs(asks) if float(end) > now}
    fields = dict(_pairs(counts))
    held = []
    for member, lease_s in alive.items():
        n, since = int(fields.get(member, 0)), float(fields.get(f"{member}:since", now))
        if n or member in asking:
            held.append(Held(member, n, max(0.0, now - since) / 1000 if n else 0.0, lease_s, member in asking))
    held.sort(key=lambda one: (-one.connections, one.member))
    cap = fields.get("*cap")
    due, gap = map(float, _text(pace).split() or (0, 0))
    return KeyRecord(
        key,
        None if cap is None else int(cap),
        tuple(held),
        gap_s=gap / 1000,
        next_s=max(0.0, due - now) / 1000,
        hold_s=max(0, int(hold)) / 1000,
    ), now / 1000


def _pairs(flat: Any) -> Iterator[tuple[str, str]]:
    texts = [_text(one) for one in flat]
    return zip(texts[::2], texts[1::2], strict=True)


def _text(raw: Any) -> str:
    return raw.decode("utf-8", "surrogateescape") if isinstance(raw, bytes) else str(raw)


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _where(arguments: dict[str, Any]) -> str:
    """Name the server, without a password."""
    if "path" in arguments:
        return str(arguments["path"])
    return f"{arguments.get('host', 'localhost')}:{arguments.get('port', 6379)}"


@contextlib.contextmanager
def _explained(where: str) -> Iterator[None]:
    """Say in one line why Redis cannot be asked."""
    try:
        yield
    # The libraries raise errors of their own, the system's, and whatever comes of reading what is no reply of Redis'.
    except Exception as error:
        raise LedgerError(f"{where}: {_why(error)}") from error


def _why(error: Exception) -> str:
    text, kind = readable(str(error)), type(error).__name__
    if kind in ("AuthenticationError", "AuthenticationWrongNumberOfArgsError"):
        return f"the user or the password is missing, or refused: {text}"
    if kind == "NoPermissionError":
        return f"the user may not do this: {text}"
    if kind in ("InvalidResponse", "ValueError", "TypeError", "IndexError", "UnicodeDecodeError"):
        return f"this is no Redis or Valkey, or not as it has to be: {text}"
    return text or kind
