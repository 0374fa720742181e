"""`Remote`: the pool of another process, as that one tells it.

Knows: what `serve` speaks. It asks by this library's own pool, over a Unix socket or to a loopback port.
Does not know: what becomes of the figures.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote

from keeppool.checks import bad
from keeppool.closing import Closing
from keeppool.config import HostConfig, Limits, Timeout
from keeppool.errors import InvalidRequest, KeepPoolError
from keeppool.explanation import Explanation
from keeppool.pools.manager_threads import PoolManager
from keeppool.stats import Held, Stats

#: Host and port; everything else is a path.
_PORT: Final = re.compile(r"(?:http://)?(\[[0-9A-Fa-f:.]+\]|[\w.-]+):([0-9]{1,5})/?")
#: Seconds another process may take to answer: longer than it waits for an event loop of its own.
_PATIENCE: Final = 5.0


T = TypeVar("T")


class RemoteError(KeepPoolError):
    """Another process has not told what was asked for. The message says why.

    Attributes:
        status: What it has answered; `None` if it has not.
    """

    status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What another process has told at one moment.

    Attributes:
        at: When, as `time.time` counts on this machine.
        pid: Its process number.
        program: The file name of its program.
        stats: The figures of its pool.
        held: The connections that were carrying a request, the longest held first.
    """

    at: float
    pid: int
    program: str
    stats: Stats
    held: tuple[Held, ...]

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Self:
        """Read what `/stats` has given.

        Raises:
            ValueError: Its schema is another one.
            KeyError, TypeError: It is something else.
        """
        process = told["process"]
        held = [Held(**{name: one.get(name) for name in Held.__slots__}) for one in told["held"]]
        return cls(
            at=float(told["at"]),
            pid=int(process["pid"]),
            program=str(process["program"]),
            stats=Stats.from_dict(told["stats"]),
            held=tuple(held),
        )


class Remote(Closing):
    """Asks a process that serves its pool (`serve`). A context manager.

    Args:
        address: The path of its Unix socket; or "127.0.0.1:PORT".
        token: What has to be known on a port.

    Raises:
        ConfigError: The address is empty.

    Thread safety: any thread.
    """

    def __init__(self, address: str, token: str | None = None) -> None:
        if not isinstance(address, str) or not address:
            raise bad("address", address, "must be the path of a Unix socket, or host:port")
        self.address = address
        port = _PORT.fullmatch(address)
        entry = HostConfig() if port else HostConfig(unix_socket=address)
        self._url = f"http://{port[1]}:{port[2]}" if port else "http://localhost"
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        # Nothing of it is learned or kept for long: what it asks may end at any time.
        self._pool = PoolManager(Limits(per_host=2), timeout=Timeout(_PATIENCE, total=_PATIENCE), defaults=entry)

    def told(self) -> Told:
        """Ask for the figures.

        Raises:
            RemoteError: They are not to be had.
        """
        return _read(Told.from_dict, self._ask("/stats"))

    def explain(self, url: str) -> Explanation:
        """Ask which entry decides what for a URL there, and what a request would get.

        Raises:
            RemoteError: It is not to be had.
        """
        return _read(Explanation.from_dict, self._ask(f"/explain?url={quote(url, safe='')}"))

    def close(self) -> None:
        """Hang up."""
        self._pool.close()

    def _ask(self, target: str) -> Mapping[str, Any]:
        try:
            response = self._pool.request("GET", self._url + target, headers=self._headers)
        except InvalidRequest as error:
            raise RemoteError(f"{self.address} cannot be asked: {error}") from error
        except KeepPoolError as error:
            raise RemoteError(f"nobody answers at {self.address}: {error}") from error
        try:
            told = response.json()
        except ValueError:
            told = None
        if response.status == 200 and isinstance(told, dict):
            return told
        why = told.get("error") if isinstance(told, dict) else None
        text = f"{self.address} answers {response.status}: {why or 'not what was asked'}"
        raise RemoteError(text, status=response.status)


def _read(kind: Callable[[Mapping[str, Any]], T], told: Mapping[str, Any]) -> T:
    try:
        return kind(told)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RemoteError(f"what was told cannot be read: {error}") from error
