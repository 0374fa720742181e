"""Speaking with Redis, or Valkey, by the client a program has given: for threads, and for tasks.

Waits: for Redis, as long as the fleet's `timeout` says where the client can be told so.
Knows: redis-py's and valkey-py's interface, which are the same: pipelines, EVALSHA, cluster clients.
Does not know: what the script does.

Each member has a client of its own, made like the one that was given: a call that hangs holds up nobody else, the
program's own timeouts and retries do not matter, and after a fork no socket is shared. Where a client was made in a way
that cannot be repeated here (Sentinel), the one that was given is used as it is.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import inspect
import pickle
from collections.abc import Sequence
from typing import Any, Final

from keeppool.fleet.script import PARTS, SCRIPT

SHA: Final = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()
#: Pools of connections that are made of their arguments and nothing else.
_PLAIN: Final = frozenset(("ConnectionPool", "BlockingConnectionPool"))
#: Arguments that would make a call wait longer than it may.
_DROPPED: Final = frozenset(("retry", "retry_on_error", "retry_on_timeout", "socket_timeout", "socket_connect_timeout"))
#: Arguments that are objects of the program's. All other objects are the library's, made anew with the client.
_OBJECTS: Final = frozenset(
    (
        "credential_provider",
        "redis_connect_func",
        "socket_keepalive_options",
        "valkey_connect_func",
        "ssl_exclude_verify_flags",
        "ssl_include_verify_flags",
        "ssl_ocsp_context",
    )
)
#: What each node of a cluster has of its own, and each client.
_OF_CLUSTERS: Final = frozenset(("redis_connect_func", "valkey_connect_func", "host", "port", "db"))

#: A call of the script: keys and arguments.
Invocation = tuple[Sequence[str], Sequence[Any]]


class Recipe:
    """How to make another client like the one that was given.

    Args:
        client: Of redis-py or valkey-py.
        timeout: Seconds a call may take.
        finds_cluster: The client's server is a node of a cluster, and the clients that are made are of the cluster.

    Attributes:
        is_async: It is one for tasks.

    Picklable, as far as the client's arguments are.
    """

    def __init__(self, client: Any, timeout: float, *, finds_cluster: bool = False) -> None:
        self.is_async = asyncio.iscoroutinefunction(getattr(type(client), "execute_command", None))
        self._timeout = timeout
        #: Used as it is, because no other can be made like it.
        self._client: Any = None
        #: A cluster's nodes that are asked first; of none where there is no cluster.
        self._nodes: list[tuple[str, int]] = []
        self._kinds: tuple[Any, ...] = (type(client),)
        self._arguments: dict[str, Any] = {}
        pool, cluster = getattr(client, "connection_pool", None), getattr(client, "nodes_manager", None)
        if cluster is not None:
            given = getattr(client, "connection_kwargs", None) or cluster.connection_kwargs
            self._nodes = [(node.host, node.port) for node in cluster.startup_nodes.values()]
            self._arguments = _of_cluster(given, given.get("connection_class"))
        elif pool is None or type(pool).__name__ not in _PLAIN:
            self._client = client
        elif finds_cluster:
            given = pool.connection_kwargs
            self._nodes = [(given.get("host", "localhost"), given.get("port", 6379))]
            self._kinds = (_cluster_kind(self._library, is_async=self.is_async),)
            self._arguments = _of_cluster(given, pool.connection_class)
        else:
            self._kinds += type(pool), pool.connection_class
            self._arguments = _kept(pool.connection_kwargs)

    @property
    def _library(self) -> str:
        return str(self._kinds[0].__module__.partition(".")[0])

    def make(self) -> Any:
        """Make a client, with sockets of its own. Those of a cluster ask the nodes who they are."""
        if self._client is not None:
            return self._client
        client, library = self._kinds[0], self._library
        # Without retries of its own: a call that has failed is the breaker's business.
        options = self._arguments | {"socket_timeout": self._timeout, "socket_connect_timeout": self._timeout}
        options["retry"] = _imported(library, "asyncio.retry" if self.is_async else "retry").Retry(
            _imported(library, "backoff").NoBackoff(), 0
        )
        if self._nodes:
            node = _imported(library, "asyncio.cluster" if self.is_async else "cluster").ClusterNode
            return client(startup_nodes=[node(*place) for place in self._nodes], **_understood(client, options))
        _, pool, connection = self._kinds
        return client(connection_pool=pool(connection_class=connection, retry_on_error=[], **options))

    @property
    def patience(self) -> float:
        """Seconds for a call with all that comes before a first one: a connection, a cluster's nodes."""
        return self._timeout * (4 if self._nodes else 2)

    def close(self, client: Any) -> None:
        """Close a client that was made for threads."""
        if client is not self._client:
            client.close() if self._nodes else client.connection_pool.disconnect()

    async def aclose(self, client: Any) -> None:
        """Close a client that was made for tasks."""
        if client is not self._client:
            await (client.aclose() if self._nodes else client.connection_pool.disconnect())

    def __getstate__(self) -> dict[str, Any]:
        for name, value in {"client": self._client, **self._arguments}.items():
            try:
                pickle.dumps(value)
            except Exception as error:
                text = f"a fleet cannot be pickled with the {name} of its Redis client: make it anew in each process"
                raise TypeError(f"{text} ({error})") from error
        return self.__dict__


def _kept(given: dict[str, Any]) -> dict[str, Any]:
    """Choose the arguments that say something by themselves, and can be used by another client."""
    return {
        name: value
        for name, value in given.items()
        if name not in _DROPPED
        and (value is None or isinstance(value, (str, bytes, int, float, bool)) or name in _OBJECTS)
        and type(value) is not object  # what stands for a default
    }


def _of_cluster(given: dict[str, Any], connection_class: Any) -> dict[str, Any]:
    """Choose the arguments for a cluster's client from those of its connections."""
    kept = {name: value for name, value in _kept(given).items() if name not in _OF_CLUSTERS}
    return kept | ({"ssl": True} if getattr(connection_class, "__name__", "") == "SSLConnection" else {})


def _cluster_kind(library: str, *, is_async: bool) -> Any:
    module = _imported(library, "asyncio.cluster" if is_async else "cluster")
    return getattr(module, "RedisCluster" if library == "redis" else "ValkeyCluster")


def _understood(kind: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Choose the arguments that a cluster's client takes; others are of connections it makes by itself."""
    known = inspect.signature(kind).parameters
    if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in known.values()):
        return options
    return {name: value for name, value in options.items() if name in known}


def _imported(library: str, module: str) -> Any:
    return importlib.import_module(f"{library}.{module}")


# What comes back for a call is the script's reply, or the error for that call alone; what goes wrong for all is raised.


def run(client: Any, calls: Sequence[Invocation]) -> list[Any]:
    """Run the script for several keys, in one round trip; with a cluster, in one to each node."""
    if len(calls) == 1:
        try:
            results = [client.evalsha(SHA, len(PARTS), *calls[0][0], *calls[0][1])]
        except Exception as error:
            results = [error]
    else:
        pipe = client.pipeline(transaction=False)
        for keys, arguments in calls:
            pipe.execute_command("EVALSHA", SHA, len(PARTS), *keys, *arguments)
        results = pipe.execute(raise_on_error=False)
    return [_again(client, call) if is_unknown(one) else one for call, one in zip(calls, results, strict=True)]


def _again(client: Any, call: Invocation) -> Any:
    """Try once more, with all of the script's text: Redis does not know it yet."""
    keys, arguments = call
    try:
        return client.eval(SCRIPT, len(PARTS), *keys, *arguments)
    except Exception as error:
        return error


async def run_awaited(client: Any, calls: Sequence[Invocation], *, seconds: float) -> list[Any]:
    """As `run`, on an event loop."""
    async with asyncio.timeout(seconds):
        if len(calls) == 1:
            try:
                results = [await client.evalsha(SHA, len(PARTS), *calls[0][0], *calls[0][1])]
            except Exception as error:
                results = [error]
        else:
            pipe = client.pipeline(transaction=False)
            for keys, arguments in calls:
                pipe.execute_command("EVALSHA", SHA, len(PARTS), *keys, *arguments)
            results = await pipe.execute(raise_on_error=False)
        return [
            await _again_awaited(client, call) if is_unknown(one) else one
            for call, one in zip(calls, results, strict=True)
        ]


async def _again_awaited(client: Any, call: Invocation) -> Any:
    keys, arguments = call
    try:
        return await client.eval(SCRIPT, len(PARTS), *keys, *arguments)
    except Exception as error:
        return error


def is_unknown(result: Any) -> bool:
    """Tell whether this is Redis' word for a script it does not have, after a restart or a failover."""
    return type(result).__name__ == "NoScriptError"


def is_of_the_key(error: Exception) -> bool:
    """Tell whether an error is about what stands at one key, of which other keys know nothing."""
    text = str(error)
    return type(error).__name__ == "ResponseError" and ("WRONGTYPE" in text or text.startswith("user_script:"))
