"""A program whose threads are gevent's or eventlet's: `green_program.py gevent before`, or `after` the import.

Prints what it found, as JSON. The servers run in a process of their own, whose threads are the system's.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any


def patch(which: str) -> None:
    """Put green threads and sockets in the place of Python's."""
    if which == "gevent":
        from gevent import monkey

        monkey.patch_all()
    else:
        import eventlet

        eventlet.monkey_patch()


def all_of(which: str, work: list[Callable[[], Any]]) -> list[Any]:
    """Run functions in green threads of their own; give what they give."""
    if which == "gevent":
        import gevent

        spawned = [gevent.spawn(function) for function in work]
        return [one.get(timeout=30) for one in spawned]
    import eventlet

    green = [eventlet.spawn(function) for function in work]
    return [one.wait() for one in green]


def main(which: str, when: str, url: str, secure: str, roots: str) -> None:
    """Try what a program does with a session."""
    if when == "before":
        patch(which)
    import requests

    import keeppool
    from keeppool.adapters.requests import KeepPoolAdapter

    keeppool.Session.get  # noqa: B018  # loads what a program that has imported it has loaded
    if when == "after":
        patch(which)
    found: dict[str, Any] = {}
    with keeppool.Session(keeppool.Limits(per_host=3), timeout=20) as session:
        turns: list[int] = []

        def tick() -> None:
            for number in range(5):
                time.sleep(0.01)
                turns.append(number)

        gets = [lambda: session.get(url).status_code for _ in range(9)]
        found["statuses"] = all_of(which, [*gets, tick])[:9]
        found["turns"] = len(turns)
        found["peak"] = session.stats().peak_open
        try:
            session.get(f"{url}/slow", timeout=0.05)
        except keeppool.errors.ReadTimeout as error:
            found["slow"] = type(error).__name__
        found["large"] = len(session.get(f"{url}/large").content)
        found["posted"] = session.post(f"{url}/echo", data=iter([b"x" * 70_000] * 10)).text
        with session.get(f"{url}/large", stream=True) as response:
            found["streamed"] = sum(map(len, response.iter_content(1000)))
        found["closing"] = session.get(f"{url}/closing").status_code
        found["after a close"] = session.get(url).status_code
        if secure:
            found["secure"] = [session.get(secure, verify=roots).status_code for _ in range(2)]
    with requests.Session() as mounted:
        mounted.mount("http://", KeepPoolAdapter())
        found["mounted"] = all_of(which, [lambda: mounted.get(url).status_code for _ in range(3)])
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
