"""`Fleet`: one cap and one pace for each host, for all pools of all processes that name the same fleet.

Decides: what may be configured.
Does not know: how it is kept.
"""

from __future__ import annotations

from inspect import ismodule
from typing import Any, Self

from keeppool.checks import KEY_RULE, bad, is_key
from keeppool.fleet.duties import POLICIES
from keeppool.fleet.member import Bond, TaskMember, ThreadMember
from keeppool.fleet.membership import Joined
from keeppool.fleet.redis_client import Recipe
from keeppool.fleet.url import read

#: The shortest lease, in seconds: below that a pause of a garbage collector or of a busy machine ends it.
LEAST_TTL = 2.0
#: The longest one: whoever is killed holds up the others for as long.
LONGEST_TTL = 86400.0


class Fleet:
    """A name under which pools share their hosts' caps and paces, through a Redis or Valkey that is there already.

    Args:
        client: A client of redis-py or valkey-py, for threads; one of their `asyncio` for pools of tasks; cluster
            clients too. Members make clients of their own like it.
        name: Pools that name the same one share.
        ttl: Seconds after which what a member holds is free again if it is not heard of, such as after kill -9.
        when_down: What holds while Redis is away: "share" goes on with the member's last share of each cap, "closed"
            dials nothing new, "open" goes by `per_host` alone. Connections that are open are used in any case.
        timeout: Seconds a call to Redis may take.

    Picklable, as the client's arguments are: what arrives makes clients anew.

    Raises:
        ConfigError: An argument of the wrong type or out of range.

    Thread safety: any number of pools in any number of threads may be given one; with an asyncio client, pools of one
        event loop.
    """

    def __init__(
        self,
        client: Any,
        name: str = "crawl",
        *,
        ttl: float = 20.0,
        when_down: str = "share",
        timeout: float = 0.1,
    ) -> None:
        if not hasattr(client, "evalsha") or isinstance(client, type) or ismodule(client):
            rule = "must be a client of redis-py or valkey-py, such as redis.Redis(); a URL is for Fleet.from_url"
            raise bad("client", client, rule)
        if not is_key(name) or ":" in name:
            raise bad("name", name, f"must be {KEY_RULE}, and without colons")
        if not _is_number(ttl) or not LEAST_TTL <= ttl <= LONGEST_TTL:
            raise bad("ttl", ttl, f"must be a number, from {LEAST_TTL:g} seconds to a day")
        if not _is_number(timeout) or not 0 < timeout < ttl / 4:
            raise bad("timeout", timeout, "must be a number of seconds, more than 0 and less than a quarter of ttl")
        if when_down not in POLICIES:
            raise bad("when_down", when_down, f"must be one of {', '.join(POLICIES)}")
        self.name = name
        self.ttl = ttl
        self.when_down = when_down
        self.timeout = timeout
        recipe = Recipe(client, timeout)
        self._recipes = {recipe.is_async: recipe}

    @classmethod
    def from_url(
        cls,
        url: str,
        name: str | None = None,
        *,
        ttl: float | None = None,
        when_down: str | None = None,
        timeout: float | None = None,
    ) -> Fleet:
        """Make a fleet for pools of threads and of tasks alike, from the URL of its Redis or Valkey.

        Wherever a pool or session takes `fleet=`, such a URL may stand as well. Nothing is connected yet.

        Args:
            url: Such as `redis://user:password@host:6379/0?name=crawl&ttl=20`: the scheme is redis, rediss (TLS), unix
                (the path of a socket, and `db=` in the query), valkey or valkeys; the path is the number of a database.
                In the query stand `name`, `ttl`, `when_down` and `timeout` of the fleet, and `cluster=true` where the
                server is a node of a cluster; all else is for the client, as
                redis-py's and valkey-py's own `from_url` take it, such as `ssl_ca_certs`.
            name: As for `Fleet`, like all that follow; wins over the URL.
            ttl: Seconds.
            when_down: "share", "closed" or "open".
            timeout: Seconds.

        Raises:
            ConfigError: It is no such URL, something in it cannot be meant, or neither redis-py nor valkey-py is
                installed (extra `fleet`). The URL, which may hold a password, is not shown.
        """
        said = read(url)
        arguments = {"name": name, "ttl": ttl, "when_down": when_down, "timeout": timeout}
        options = said.options | {key: value for key, value in arguments.items() if value is not None}
        fleet = cls(said.for_threads, **options)
        for client in (said.for_threads, said.for_tasks):
            recipe = Recipe(client, fleet.timeout, finds_cluster=said.finds_cluster)
            fleet._recipes[recipe.is_async] = recipe
        return fleet

    def join(self, pool: Joined, *, for_tasks: bool) -> ThreadMember | TaskMember:
        """Make a pool a member.

        Raises:
            ConfigError: The client is of the other kind.
        """
        recipe = self._recipes.get(for_tasks)
        if recipe is None:
            kind = "of their asyncio modules, for pools of tasks" if for_tasks else "for threads"
            raise bad(
                "fleet", self, f"needs a client of redis-py or valkey-py {kind}; Fleet.from_url(url) does for both"
            )
        bond = Bond(self.name, self.ttl, self.when_down, self.timeout, recipe)
        return (TaskMember if for_tasks else ThreadMember)(bond, pool)

    def __deepcopy__(self, memo: object) -> Self:
        # Settings are copied, as Scrapy's are, and a client of a cluster cannot be; nothing in here changes.
        return self

    def __repr__(self) -> str:
        return f"Fleet({self.name!r}, ttl={self.ttl:g}, when_down={self.when_down!r})"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
