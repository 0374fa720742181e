"""Fixtures for all rooms: embedded sites, a recorder, and real servers.

`nginx`, `apache` and `node_server` are functions that start a server and stop it when the test ends::

    def test_something(apache):
        server = apache(KeepAliveTimeout=2, MaxKeepAliveRequests=3)
        ... server.url, server.port, server.log()

What such a server has logged is shown with a test that fails.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from live import servers

from keeppool.testing import Recorder, Sites, recorded_events

#: What a machine's environment may say, and a test has to say itself.
FROM_OUTSIDE = re.compile(
    r"(http|https|all|no)_proxy|request_method|netrc|.*ca_bundle|ssl_cert_(file|dir)", re.IGNORECASE
)

STARTED = pytest.StashKey[list[servers.RealServer]]()


def pytest_configure() -> None:
    """Run with an environment that says nothing, here and in the programs that tests start."""
    for name in filter(FROM_OUTSIDE.fullmatch, list(os.environ)):
        del os.environ[name]


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run all tests in two processes for each core; a part of them, chosen by path or mark, in this one.

    A test waits for servers more than half of its time. Without pytest-xdist everything runs in this process; so it
    does with `-n0` and `--pdb`.
    """
    chosen = config.args_source is not pytest.Config.ArgsSource.TESTPATHS or "-m" in config.invocation_params.args
    # A worker is given no path either, and would start workers of its own.
    if chosen or "PYTEST_XDIST_WORKER" in os.environ or not config.pluginmanager.hasplugin("xdist"):
        return
    if config.option.numprocesses is None:
        config.option.numprocesses = 2 * (os.cpu_count() or 1)
        config.option.dist = "loadgroup"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse names that hold an object's address: each worker that runs a share of the tests would see others."""
    if unstable := [item.nodeid for item in items if " at 0x" in item.nodeid]:
        raise pytest.UsageError("give these parameters names (ids=) that are the same in every run: " + unstable[0])


def pytest_collection_finish() -> None:
    """Keep the collected tests out of the garbage collector's sight: a `gc.collect()` takes 0.4 s with 11,000."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish() -> None:
    """Show them again: Hypothesis asks for referrers when it is first imported, which may be at the end."""
    gc.unfreeze()


@pytest.fixture
def sites() -> Iterator[Sites]:
    """Embedded sites: `sites.add(Behaviour(...), host="127.0.0.2")`."""
    with Sites() as several:
        yield several


@pytest.fixture
def recorder() -> Recorder:
    """A recorder, for `on_event=recorder`."""
    return recorded_events()


class Keeper:
    """Starts real servers for one test, gives each a folder of its own, and stops them all."""

    def __init__(self, item: pytest.Item, folder: Path) -> None:
        self._stack = contextlib.ExitStack()
        self._started = item.stash.setdefault(STARTED, [])
        self._folders = (folder / f"server-{number}" for number in itertools.count(1))

    def start(self, run: Callable[..., contextlib.AbstractContextManager[servers.RealServer]], *arguments: object):
        folder = next(self._folders)
        folder.mkdir()
        server = self._stack.enter_context(run(folder, *arguments))
        self._started.append(server)
        return server

    def stop_all(self) -> None:
        self._stack.close()


@pytest.fixture
def server_keeper(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Keeper]:
    keeper = Keeper(request.node, tmp_path)
    yield keeper
    keeper.stop_all()


@pytest.fixture
def nginx(server_keeper: Keeper) -> Callable[..., servers.RealServer]:
    """Start nginx: `nginx(keepalive_timeout="2s")`; `tls=(certificate, key)` for HTTPS."""

    def start(*, tls: tuple[str, str] | None = None, **directives: object) -> servers.RealServer:
        return server_keeper.start(servers.nginx, directives, tls)

    return start


@pytest.fixture
def apache(server_keeper: Keeper) -> Callable[..., servers.RealServer]:
    """Start Apache httpd: `apache(KeepAliveTimeout=2)`."""
    return lambda **directives: server_keeper.start(servers.apache, directives)


@pytest.fixture
def node_server(server_keeper: Keeper) -> Callable[..., servers.RealServer]:
    """Start Node's http server: `node_server(keepAliveTimeout=2000, maxRequestsPerSocket=3)`."""
    return lambda **settings: server_keeper.start(servers.node, settings)


@pytest.fixture
def redis_port(server_keeper: Keeper) -> int:
    """The port of a Redis with nothing in it."""
    pytest.importorskip("redis")
    return server_keeper.start(servers.redis).port


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    # A test that says what it lacks is skipped on a machine that lacks it; in CI nothing may be lacking.
    if report.skipped and os.environ.get("CI") and "skipped: " in str(report.longrepr):
        report.outcome = "failed"
    if report.failed:
        for server in item.stash.get(STARTED, []):
            report.sections.append((f"log of {server.name} on port {server.port}", server.log()))
    return report
