"""Speaking with Redis, or Valkey, by the client a program has given: for threads, and for tasks.

Waits: for Redis, as long as the fleet's `timeout` says where the client can be told so.
Knows: redis-py's and valkey-py's interface, which are the same: pipelines, EVALSHA, cluster clients.
Does not know: what the script does.

Each member has a client of its own, made like the one that was given: a call that hangs holds up nobody else, the
program's own timeouts and retries do not matter, and after a fork no socket is shared. Where a client was made in a way
that cannot be repeated here (a cluster, Sentinel), the one that was given is used as it is.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Any, Final

from keeppool.fleet.script import PARTS, SCRIPT

SHA: Final = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()
#: Pools of connections that are made of their arguments and nothing else.
_PLAIN: Final = frozenset(("ConnectionPool", "BlockingConnectionPool"))
#: Arguments of connections that are objects of the program's, or would make a call wait longer than it may.
_DROPPED: Final = frozenset(
    ("retry", "retry_on_error", "retry_on_timeout", "socket_timeout", "socket_connect_timeout", "event_dispatcher")
)

#: A call of the script: keys and arguments.
Invocation = tuple[Sequence[str], Sequence[Any]]


def _is_plain(value: object) -> bool:
    """Tell whether a value says something by itself, and can travel to another process."""
    return value is None or isinstance(value, (str, bytes, int, float, bool))


class Recipe:
    """How to make another client like the one that was given.

    Args:
        client: Of redis-py or valkey-py.
        timeout: Seconds a call may take.
    """

    def __init__(self, client: Any, timeout: float) -> None:
        self.timeout = timeout
        self.is_async = asyncio.iscoroutinefunction(getattr(type(client), "execute_command", None))
        pool = getattr(client, "connection_pool", None)
        self.client: Any = None
        if pool is None or type(pool).__name__ not in _PLAIN:
            self.client = client
            return
        self._kinds = type(client), type(pool), pool.connection_class
        given = pool.connection_kwargs.items()
        kept = {name: value for name, value in given if name not in _DROPPED and _is_plain(value)}
        self._arguments = kept | {"socket_timeout": timeout, "socket_connect_timeout": timeout}

    def make(self) -> Any:
        """Make a client, with sockets of its own."""
        if self.client is not None:
            return self.client
        client, pool, connection = self._kinds
        # Without retries of its own: a call that has failed is the breaker's business.
        retry = __import__(f"{client.__module__.partition('.')[0]}.retry", fromlist=["Retry"]).Retry
        no_backoff = __import__(f"{client.__module__.partition('.')[0]}.backoff", fromlist=["NoBackoff"]).NoBackoff
        if self.is_async:
            retry = __import__(f"{client.__module__.partition('.')[0]}.asyncio.retry", fromlist=["Retry"]).Retry
        options = self._arguments | {"retry": retry(no_backoff(), 0), "retry_on_error": []}
        return client(connection_pool=pool(connection_class=connection, **options))

    @property
    def has_pipelines(self) -> bool:
        """Whether calls for several keys may go in one round trip."""
        return self.client is None


def run(client: Any, calls: Sequence[Invocation], *, at_once: bool) -> list[Any]:
    """Run the script for several keys; in one round trip, if that may be."""
    if not at_once or len(calls) == 1:
        return [_again(client, call, _tried(client, call)) for call in calls]
    pipe = client.pipeline(transaction=False)
    for keys, arguments in calls:
        pipe.evalsha(SHA, len(PARTS), *keys, *arguments)
    results = pipe.execute(raise_on_error=False)
    return [_again(client, call, result) for call, result in zip(calls, results, strict=True)]


def _tried(client: Any, call: Invocation) -> Any:
    keys, arguments = call
    try:
        return client.evalsha(SHA, len(PARTS), *keys, *arguments)
    except Exception as error:
        if not is_unknown(error):
            raise
        return error


def _again(client: Any, call: Invocation, result: Any) -> Any:
    """Give a result; where Redis did not know the script yet, that of another try with all of its text."""
    if is_unknown(result):
        keys, arguments = call
        return client.eval(SCRIPT, len(PARTS), *keys, *arguments)
    if isinstance(result, Exception):
        raise result
    return result


async def run_awaited(client: Any, calls: Sequence[Invocation], *, at_once: bool, seconds: float) -> list[Any]:
    """As `run`, on an event loop."""
    async with asyncio.timeout(seconds):
        if not at_once or len(calls) == 1:
            return [await _tried_awaited(client, call) for call in calls]
        pipe = client.pipeline(transaction=False)
        for keys, arguments in calls:
            pipe.evalsha(SHA, len(PARTS), *keys, *arguments)
        results = await pipe.execute(raise_on_error=False)
        return [await _again_awaited(client, call, result) for call, result in zip(calls, results, strict=True)]


async def _tried_awaited(client: Any, call: Invocation) -> Any:
    keys, arguments = call
    try:
        return await client.evalsha(SHA, len(PARTS), *keys, *arguments)
    except Exception as error:
        return await _again_awaited(client, call, error)


async def _again_awaited(client: Any, call: Invocation, result: Any) -> Any:
    if is_unknown(result):
        keys, arguments = call
        return await client.eval(SCRIPT, len(PARTS), *keys, *arguments)
    if isinstance(result, Exception):
        raise result
    return result


def is_unknown(result: Any) -> bool:
    """Tell whether this is Redis' word for a script it does not have, after a restart or a failover."""
    return type(result).__name__ == "NoScriptError"
