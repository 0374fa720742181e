"""For the tests of keeppool.testing: certificates, and a look for what is left behind."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator

import pytest
import trustme


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Each test ends with the threads it began with; those of the client's pools end in their own time."""
    before = set(threading.enumerate())
    yield
    left = set(threading.enumerate()) - before
    assert not [thread.name for thread in left if not thread.name.startswith("keeppool-")]


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


@pytest.fixture(scope="session")
def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context
