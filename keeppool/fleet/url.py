"""A fleet by the URL of its Redis or Valkey: what the URL says of the fleet, and the clients for the rest of it.

Decides: which of redis-py and valkey-py is used, and which part of a query is for whom.
Knows: both libraries' `from_url`, which makes clients without connecting.
Does not know: which values are possible; `Fleet` does, and the libraries do.

Source: the provisional registration of the schemes redis and rediss with IANA; redis-py's and valkey-py's `from_url`.
"""

from __future__ import annotations

import importlib
from typing import Any, Final, NamedTuple
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from keeppool.checks import bad
from keeppool.errors import ConfigError

#: What a query says of the fleet, and how it is read; all else is the client's.
_OURS: Final = {"name": str, "ttl": float, "timeout": float, "when_down": str}
#: The server is a node of a cluster.
_CLUSTER: Final = "cluster"
_YES_OR_NO: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
#: What each scheme is called by the two libraries. Either speaks with both servers.
_SCHEMES: Final = {
    "redis": ("redis", "redis"),
    "rediss": ("redis", "rediss"),
    "unix": ("redis", "unix"),
    "valkey": ("valkey", "redis"),
    "valkeys": ("valkey", "rediss"),
}
_NEEDED: Final = (
    "needs redis-py or valkey-py: python -m pip install 'keeppool[fleet]', or '.[fleet]' in the folder of its source"
)


class Said(NamedTuple):
    """What a URL says.

    Attributes:
        options: Arguments for `Fleet`.
        for_threads: A client.
        for_tasks: An asyncio client.
        finds_cluster: Their server is a node of a cluster.
    """

    options: dict[str, Any]
    for_threads: Any
    for_tasks: Any
    finds_cluster: bool


def read(url: str) -> Said:
    """Read a fleet's URL. Nothing is connected.

    Raises:
        ConfigError: It is no such URL, or no client is installed. The URL, which may hold a password, is not shown.
    """
    parts = _split(url)
    options, rest = _divided(parts.query)
    finds_cluster = bool(options.pop(_CLUSTER, False))
    if finds_cluster and (parts.scheme == "unix" or parts.path.strip("/") not in ("", "0")):
        raise bad("url", url, "names a cluster, so it must have host and port, and no database but 0")
    preferred, scheme = _SCHEMES[parts.scheme]
    library = _library(preferred)
    # Not by urlunsplit, which leaves out an empty host: redis:// is the one on this machine, and unix:// has none.
    for_client = f"{scheme}://{parts.netloc}{parts.path}?{urlencode(rest)}"
    for_threads, for_tasks = (
        _client(importlib.import_module(name), for_client) for name in (library, f"{library}.asyncio")
    )
    return Said(options, for_threads, for_tasks, finds_cluster)


def _split(url: str) -> SplitResult:
    if not isinstance(url, str):
        raise bad("url", url, "must be text such as redis://host:6379/0?name=crawl")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:  # Its text may hold a part of a password.
        rule = "is no URL: a port is a number up to 65535, and in a password / ? # @ : are written %2F %3F %23 %40 %3A"
        raise bad("url", url, rule) from None
    if parts.scheme not in _SCHEMES:
        raise bad("url", url, f"must begin with one of {', '.join(f'{scheme}://' for scheme in _SCHEMES)}")
    if parts.scheme == "unix":
        if not parts.path:
            raise bad("url", url, "must name the path of a socket, as in unix:///run/redis.sock")
    elif parts.path.strip("/") and not parts.path.strip("/").isdecimal():
        raise bad("url", url, "must have no path but the number of a database, as in redis://host/0")
    if parts.fragment:
        raise bad("url", url, "has a fragment; a # in a password is written %23")
    return parts


def _divided(query: str) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Divide a query into what is said of the fleet and what is for the client."""
    options: dict[str, Any] = {}
    rest = []
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in options:
            raise bad(name, value, "stands twice in the URL")
        if name == _CLUSTER:
            if value.lower() not in _YES_OR_NO:
                raise bad(name, value, "must be true or false")
            options[name] = _YES_OR_NO[value.lower()]
        elif name not in _OURS:
            rest.append((name, value))
        else:
            try:
                options[name] = _OURS[name](value)
            except ValueError as error:
                raise bad(name, value, "must be seconds as a number") from error
    return options, rest


def _library(preferred: str) -> str:
    """Name the library that is installed: the one that belongs to the scheme, or the other."""
    missing = None
    for name in (preferred, "valkey" if preferred == "redis" else "redis"):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
            missing = error
        else:
            return name
    raise ConfigError(f"fleet: {_NEEDED}", field="url", rule=_NEEDED) from missing


def _client(module: Any, url: str) -> Any:
    """Make a client, and a connection that is not opened: it finds what cannot be meant."""
    try:
        client = module.Redis.from_url(url)  # valkey-py has the class by this name too
        client.connection_pool.make_connection()
    except (TypeError, ValueError, module.RedisError) as error:
        raise bad("url", url, f"is refused by {module.__name__}: {error}") from error
    return client
