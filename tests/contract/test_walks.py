"""The walks in ARCHITECTURE.md are true: each station is reached, in the order written there, and only once.

The test takes each walk: it makes a request over the loopback and notes every function of keeppool that begins.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType

import pytest

import keeppool

ROOT = Path(keeppool.__file__).parent
TEXT = (ROOT.parent / "ARCHITECTURE.md").read_text(encoding="utf-8").split("\n## Walks\n")[1].split("\n## ")[0]
#: Stations of each walk, by its heading.
WALKS = {
    part.partition("\n")[0]: re.findall(r"^\d+\. `([\w/]+\.py:[\w.]+)`", part, re.MULTILINE)
    for part in TEXT.split("\n### ")[1:]
}
each_walk = pytest.mark.parametrize("walk", WALKS)


@contextmanager
def noted() -> Iterator[list[str]]:
    """Note the functions that begin in this thread; a coroutine that goes on has begun before."""
    places: list[str] = []
    begun: set[FrameType] = set()  # Held, so that no frame is taken for another one.

    def note(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and frame not in begun and code.co_filename.startswith(str(ROOT)):
            begun.add(frame)
            places.append(place_of(code))

    sys.setprofile(note)
    try:
        yield places
    finally:
        sys.setprofile(None)


def place_of(code: CodeType) -> str:
    return f"{Path(code.co_filename).relative_to(ROOT)}:{code.co_qualname}"


def request_for_threads(url: str) -> list[str]:
    with keeppool.Session() as session:
        session.get(url)
        with noted() as places:
            session.get(url)
    return places


def request_for_tasks(url: str) -> list[str]:
    async def main() -> list[str]:
        async with keeppool.AsyncSession() as session:
            await session.get(url)
            with noted() as places:
                await session.get(url)
        return places

    return asyncio.run(main())


def connection_for_threads(url: str) -> list[str]:
    pool = keeppool.PoolManager()
    with noted() as places:
        pool.request("GET", url)
        pool.close()
    return places


def connection_for_tasks(url: str) -> list[str]:
    async def main() -> list[str]:
        pool = keeppool.AsyncPoolManager()
        with noted() as places:
            await pool.request("GET", url)
            await pool.aclose()
        return places

    return asyncio.run(main())


TAKEN: dict[str, Callable[[str], list[str]]] = {
    "A request, for threads": request_for_threads,
    "A request, for tasks": request_for_tasks,
    "A connection, for threads": connection_for_threads,
    "A connection, for tasks": connection_for_tasks,
}


def test_the_four_walks_are_written_down() -> None:
    assert list(WALKS) == list(TAKEN)


@each_walk
def test_a_walk_has_at_most_twelve_stations_and_none_twice(walk: str) -> None:
    assert 1 < len(WALKS[walk]) <= 12
    assert len(set(WALKS[walk])) == len(WALKS[walk])


@each_walk
def test_each_station_is_reached_once_and_in_this_order(walk, sites) -> None:
    places = TAKEN[walk](sites.add().url)
    stations = WALKS[walk]
    assert {station: places.count(station) for station in stations} == dict.fromkeys(stations, 1)
    assert [place for place in places if place in stations] == stations
