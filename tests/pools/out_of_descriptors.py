"""A program whose first https request finds no file descriptor left, and whose second one does.

python out_of_descriptors.py (threads|tasks) URL ROOTS
"""

import asyncio
import os
import resource
import sys

from keeppool import AsyncPoolManager, HostConfig, PoolManager, errors


def used_up() -> list[int]:
    """Take every descriptor there is."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    taken = []
    while True:
        try:
            taken.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            return taken


def told(error: BaseException | None, pool: PoolManager | AsyncPoolManager) -> None:
    cause = error and error.__cause__
    print(type(error).__name__, type(cause).__name__, getattr(cause, "errno", None), pool.stats().open)


def threads(url: str, roots: str) -> None:
    with PoolManager(defaults=HostConfig(verify=roots)) as pool:
        taken = used_up()
        try:
            pool.request("GET", url)
        except errors.KeepPoolError as error:
            told(error, pool)
        for number in taken:
            os.close(number)
        print(pool.request("GET", url).status)


async def tasks(url: str, roots: str) -> None:
    async with AsyncPoolManager(defaults=HostConfig(verify=roots)) as pool:
        taken = used_up()
        try:
            await pool.request("GET", url)
        except errors.KeepPoolError as error:
            told(error, pool)
        for number in taken:
            os.close(number)
        print((await pool.request("GET", url)).status)


if sys.argv[1] == "threads":
    threads(*sys.argv[2:])
else:
    asyncio.run(tasks(*sys.argv[2:]))
