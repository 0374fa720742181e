"""A site, a session, and a pair of sessions (ours and requests') for the tests that compare the two."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

import keeppool
from keeppool.testing import Answer, Request, Site


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as running:
        yield running


@pytest.fixture
def session() -> Iterator[keeppool.Session]:
    with keeppool.Session() as opened:
        yield opened


@pytest.fixture
def answering() -> Iterator[Callable[..., Site]]:
    """Start sites: `answering({"/path": Answer(...)})`; a function as a value takes the request."""
    started: list[Site] = []

    def start(answers: dict[str, Answer | Callable[[Request], Answer]], host: str = "127.0.0.1") -> Site:
        def handler(request: Request) -> Answer | None:
            answer = answers.get(request.path)
            return answer(request) if callable(answer) else answer

        running = Site(host=host, handler=handler)
        running.start()
        started.append(running)
        return running

    yield start
    for running in started:
        running.close()
        assert not running.errors
