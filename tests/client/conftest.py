"""Sites, plain and with TLS, and a session."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme
from drivers import DRIVERS, Threads, name_of

import keeppool
from keeppool.testing import Answer, Request, Site


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as running:
        yield running


@pytest.fixture
def session(request: pytest.FixtureRequest) -> Iterator[keeppool.Session]:
    """A session of ours, or of requests' kind for a test marked `of_requests`."""
    with getattr(request, "param", keeppool.Session)() as opened:
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


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def roots(authority: trustme.CA, tmp_path: Path) -> str:
    """The path of a file with the authority's certificate in it."""
    path = str(tmp_path / "authority.pem")
    authority.cert_pem.write_to_path(path)
    return path


@pytest.fixture
def secured(authority: trustme.CA) -> Iterator[Site]:
    """A site with TLS, whose certificate nobody trusts unless told to."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with Site(tls=context) as running:
        yield running


@pytest.fixture(params=DRIVERS, ids=name_of)
def on(request: pytest.FixtureRequest) -> Iterator[Threads]:
    """What runs a test on `Session`, again on `AsyncSession`, and on those of requests' kind."""
    driver = request.param()
    yield driver
    driver.end()
