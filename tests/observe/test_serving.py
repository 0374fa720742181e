"""`serve` and `Remote`: what is told, to whom, on which files; forks, sessions that go, askers that do not."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

import keeppool
from keeppool import HostConfig, Limits, observe
from keeppool.errors import ConfigError
from keeppool.observe import serving as module
from keeppool.pools import pool_tasks
from keeppool.testing import Behaviour, Site, Sites

LONG = bytes(1 << 20)


@pytest.fixture
def session() -> Iterator[keeppool.Session]:
    with keeppool.Session(Limits(per_host=2)) as made:
        yield made


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "pool.sock")


@pytest.fixture
def site(sites: Sites) -> Site:
    return sites.add(Behaviour(body=LONG))


def until(holds: Callable[[], bool]) -> None:
    """Wait for what a thread of somebody else brings about; the test's own limit ends it."""
    while not holds():
        time.sleep(0.005)


def left_over(path: str) -> None:
    """Leave a socket as a process that was killed does."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)


def hangs_up(asker: socket.socket) -> bool:
    asker.settimeout(30)
    try:
        return asker.recv(1) == b""
    except ConnectionResetError:
        return True


# What is told


def test_what_is_told_equals_the_sessions_own_figures(session: keeppool.Session, site: Site, path: str) -> None:
    for _ in range(3):
        session.get(site.url)
    held = session.get(site.url, stream=True)
    with observe.serve(session, path), observe.Remote(path) as remote:
        before = session.stats().to_dict()
        told = remote.told()
        after = session.stats().to_dict()
        seconds = told.stats.hosts[site.url].held_s
        assert before["hosts"][site.url]["held_s"] <= seconds <= after["hosts"][site.url]["held_s"]
        for figures in (before, after, plain := told.stats.to_dict()):
            figures["hosts"][site.url].pop("held_s")
        assert before == plain == after
        assert (told.pid, told.program) == (os.getpid(), Path(sys.argv[0]).name)
        (one,) = told.held
        assert (one.origin, one.connection, one.served) == (site.url, 1, 4)
        assert one.unread_since is not None
        assert "test_serving.py:" in one.unread_since
    held.close()


def test_under_load_of_sixteen_threads_each_answer_is_a_moment_of_the_pool(sites: Sites, path: str) -> None:
    several = [sites.add(), sites.add(Behaviour(keep_alive=False)), sites.add(Behaviour(hint_max=5))]
    over = threading.Event()

    def load(session: keeppool.Session, number: int) -> None:
        while not over.is_set():
            session.get(several[number % 3].url)

    with keeppool.Session(Limits(per_host=3, total=8)) as session:
        threads = [threading.Thread(target=load, args=(session, number)) for number in range(16)]
        for thread in threads:
            thread.start()
        with observe.serve(session, path), observe.Remote(path) as remote:
            for _ in range(30):
                before, stats, after = session.stats(), remote.told().stats, session.stats()
                for name in ("requests", "opened", "reused", "queued", "closed", "waited_s"):
                    assert getattr(before, name) <= getattr(stats, name) <= getattr(after, name), name
                assert stats.open == stats.idle + stats.busy == sum(host.open for host in stats.hosts.values())
                assert stats.open + stats.connecting <= 8
                assert stats.opened - stats.closed == stats.open
                assert all(host.open + host.connecting <= 3 for host in stats.hosts.values())
            over.set()
            for thread in threads:
                thread.join()
            assert remote.told().stats.requests == session.stats().requests == sum(site.requests for site in several)


def test_it_explains_urls_with_what_the_process_knows(session: keeppool.Session, site: Site, path: str) -> None:
    session.get(site.url)
    with observe.serve(session, path), observe.Remote(path) as remote:
        found = remote.explain(f"{site.url}/a?b=c&d=%20")
        assert found.url == f"{site.url}/a?b=c&d=%20"
        assert found.now["repeatable"].startswith("takes connection 1")
        assert found.setting("per_host").value == "2"
        with pytest.raises(observe.RemoteError, match="answers 400") as caught:
            remote.explain("nonsense")
        assert caught.value.status == 400


def test_any_client_of_http_can_ask(session: keeppool.Session, path: str) -> None:
    with observe.serve(session, path), keeppool.PoolManager(defaults=HostConfig(unix_socket=path)) as pool:
        response = pool.request("GET", "http://localhost/stats")
        assert response.status == 200
        assert response.json()["stats"]["schema"] == 1
        assert pool.request("GET", "http://localhost/stats?x=1").status == 200
        assert pool.stats().opened == 1
        assert pool.request("GET", "http://localhost/elsewhere").status == 404
        assert pool.request("POST", "http://localhost/stats", body=b"x").status == 501


def test_no_url_and_no_secret_is_told(session: keeppool.Session, site: Site, path: str) -> None:
    session.headers["Authorization"] = "Bearer secret"
    session.cookies.set("sid", "secret")
    session.proxies["http"] = site.url.replace("//", "//user:secret@")
    held = session.get("http://user:secret@far.example/secret?key=secret", stream=True)
    with observe.serve(session, path), keeppool.PoolManager(defaults=HostConfig(unix_socket=path)) as pool:
        assert b"secret" not in pool.request("GET", "http://localhost/stats").data
        assert b"secret" not in pool.request("GET", "http://localhost/explain?url=http://far.example/").data
    held.close()


def test_a_session_for_tasks_is_served_too(site: Site, path: str) -> None:
    async def main() -> None:
        async with keeppool.AsyncSession() as session:
            await session.get(site.url)
            with observe.serve(session, path), observe.Remote(path) as remote:
                told = await asyncio.to_thread(remote.told)
                assert told.stats.requests == 1
                found = await asyncio.to_thread(remote.explain, site.url)
                assert found.now["repeatable"].startswith("takes connection 1")

    asyncio.run(main())


def test_a_blocked_event_loop_is_told_as_such(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_tasks, "LONGEST_LOOK", 0.05)

    async def main() -> None:
        async with keeppool.AsyncSession() as session:
            session.pool._pool.bind()
            with observe.serve(session, path), observe.Remote(path) as remote:
                # Asked on the loop's own thread: nothing else runs there until there is an answer.
                with pytest.raises(observe.RemoteError, match="something blocks it") as caught:
                    remote.told()
                assert caught.value.status == 503

    asyncio.run(main())


# Files


def test_the_socket_is_its_owners_alone_and_is_gone_afterwards(session: keeppool.Session, path: str) -> None:
    before = os.umask(0)
    try:
        serving = observe.serve(session, path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600
    assert serving.token is None
    serving.close()
    assert not os.path.lexists(path)
    serving.close()
    with observe.serve(session, Path(path)), observe.Remote(path) as remote:
        remote.told()


def test_a_left_over_file_is_replaced(session: keeppool.Session, path: str) -> None:
    left_over(path)
    with observe.serve(session, path), observe.Remote(path) as remote:
        assert remote.told().pid == os.getpid()
    assert not list(Path(path).parent.iterdir())


def test_where_somebody_answers_the_file_stays(session: keeppool.Session, path: str) -> None:
    with observe.serve(session, path), observe.Remote(path) as remote:
        with pytest.raises(OSError, match="listens there already"):
            observe.serve(session, path)
        remote.told()
        assert [str(one) for one in Path(path).parent.iterdir()] == [path]


def test_where_somebody_listens_who_has_no_time_the_file_stays(session: keeppool.Session, path: str) -> None:
    with ExitStack() as stack:
        busy = stack.enter_context(socket.socket(socket.AF_UNIX))
        busy.bind(path)
        busy.listen(0)
        for _ in range(2):  # Fills the queue: the next to come is told to wait.
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            try:
                client.connect(path)
            except BlockingIOError:
                break
        with pytest.raises(OSError, match="listens there already"):
            observe.serve(session, path)
        assert os.path.lexists(path)


def test_what_is_no_socket_stays(session: keeppool.Session, path: str) -> None:
    Path(path).write_text("precious", encoding="utf-8")
    with pytest.raises(FileExistsError, match="no socket"):
        observe.serve(session, path)
    assert Path(path).read_text(encoding="utf-8") == "precious"


def test_a_link_is_neither_followed_nor_removed(session: keeppool.Session, path: str, tmp_path: Path) -> None:
    left_over(str(tmp_path / "target"))
    Path(path).symlink_to(tmp_path / "target")
    with pytest.raises(FileExistsError, match="no socket"):
        observe.serve(session, path)
    assert (tmp_path / "target").exists()


def test_a_file_that_another_process_has_put_there_meanwhile_is_left_alone(
    session: keeppool.Session, path: str
) -> None:
    serving = observe.serve(session, path)
    Path(path).unlink()
    left_over(path)
    serving.close()
    assert os.path.lexists(path)


def test_of_many_that_find_a_left_over_file_at_once_one_listens_and_is_found(
    session: keeppool.Session, path: str
) -> None:
    for _ in range(20):
        left_over(path)
        made: list[observe.Serving] = []
        start = threading.Barrier(4)

        def try_it(start: threading.Barrier = start, made: list[observe.Serving] = made) -> None:
            start.wait()
            try:
                made.append(observe.serve(session, path))
            except OSError:
                pass

        threads = [threading.Thread(target=try_it) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(made) <= 1
        for serving in made:
            with observe.Remote(path) as remote:
                remote.told()
            serving.close()
        Path(path).unlink(missing_ok=True)


@pytest.mark.parametrize("address", ["", b"bytes.sock", ("192.0.2.1", 0), ("example.com", 0), ("0.0.0.0", 0)])
def test_where_nothing_may_listen_is_refused(session: keeppool.Session, address: object) -> None:
    with pytest.raises(ConfigError):
        observe.serve(session, address)  # type: ignore[arg-type]


def test_a_path_that_cannot_be_used_says_which(session: keeppool.Session, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        observe.serve(session, str(tmp_path / "nowhere" / "pool.sock"))
    with pytest.raises(OSError, match="too long"):
        observe.serve(session, str(tmp_path / ("x" * 200)))


# Ports


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_on_a_port_a_token_has_to_be_known(session: keeppool.Session, host: str) -> None:
    with observe.serve(session, (host, 0)) as serving:
        assert serving.token is not None
        assert len(serving.token) >= 32
        assert serving.token not in repr(serving)
        with observe.Remote(serving.address, serving.token) as remote:
            assert remote.told().pid == os.getpid()
        for wrong in (None, "", "x", serving.token[:-1]):
            with observe.Remote(serving.address, wrong) as remote:
                with pytest.raises(observe.RemoteError, match="token") as caught:
                    remote.told()
                assert caught.value.status == 401


def test_a_token_may_be_given_and_is_checked(session: keeppool.Session) -> None:
    with (
        observe.serve(session, ("127.0.0.1", 0), token="open sesame") as serving,
        observe.Remote(serving.address, "open sesame") as remote,
    ):
        remote.told()
    for token in ("", "  ", "a\nb", "\xfc"):
        with pytest.raises(ConfigError) as caught:
            observe.serve(session, ("127.0.0.1", 0), token=token)
        assert repr(token) not in str(caught.value)


# Who asks, and who does not


def test_an_asker_too_many_is_hung_up_on_and_the_others_are_answered(
    session: keeppool.Session, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_ASKERS", 2)
    with observe.serve(session, path) as serving, ExitStack() as stack, observe.Remote(path) as remote:
        remote.told()
        silent = stack.enter_context(socket.socket(socket.AF_UNIX))
        silent.connect(path)
        until(lambda: len(serving._askers) == 2)
        third = stack.enter_context(socket.socket(socket.AF_UNIX))
        third.connect(path)
        assert hangs_up(third)
        remote.told()
        assert remote._pool.stats().opened == 1


@pytest.mark.parametrize("said", [b"\0" * 100_000, b"GET / HTTP/1.1\r\nX: " + b"y" * 100_000, b"GET /stats\r\n"])
def test_nonsense_ends_the_connection_and_nothing_else(session: keeppool.Session, path: str, said: bytes) -> None:
    with observe.serve(session, path), observe.Remote(path) as remote, socket.socket(socket.AF_UNIX) as asker:
        asker.connect(path)
        asker.settimeout(30)
        try:
            asker.sendall(said)
            asker.shutdown(socket.SHUT_WR)
            while asker.recv(65536):
                pass
        except (BrokenPipeError, ConnectionResetError):
            pass
        remote.told()


def test_to_close_hangs_up_on_who_asks_and_ends_every_thread(session: keeppool.Session, path: str) -> None:
    serving = observe.serve(session, path)
    with closing(socket.socket(socket.AF_UNIX)) as asker:
        asker.connect(path)
        until(lambda: len(serving._askers) == 1)
        serving.close()
        assert hangs_up(asker)
    until(lambda: not [one for one in threading.enumerate() if one.name.startswith("keeppool-observe")])
    with observe.Remote(path) as remote, pytest.raises(observe.RemoteError, match="nobody answers"):
        remote.told()
    assert "closed" in repr(serving)


def test_a_session_that_is_served_can_be_collected_and_then_nobody_listens(path: str) -> None:
    session = keeppool.Session()
    observe.serve(session, path)
    del session
    gc.collect()
    until(lambda: not os.path.lexists(path))


def test_a_closed_session_still_tells_what_it_has_done(session: keeppool.Session, site: Site, path: str) -> None:
    session.get(site.url)
    with observe.serve(session, path), observe.Remote(path) as remote:
        session.close()
        assert remote.told().stats.requests == 1


# Processes


def test_a_forked_child_does_not_go_on_listening_and_leaves_the_file(session: keeppool.Session, path: str) -> None:
    with observe.serve(session, path) as serving, observe.Remote(path) as remote:
        remote.told()  # So that a connection is open which the child inherits.
        with forked(lambda: (serving.close(), session.stats())):
            remote.told()
            serving.close()
            # The child lives, and whoever asks is refused at once: it holds neither the listener nor a connection.
            with pytest.raises(observe.RemoteError, match="nobody answers"):
                remote.told()
            second = observe.serve(session, path)
        with second, observe.Remote(path) as other:
            other.told()


@contextmanager
def forked(finish: Callable[[], object]) -> Iterator[None]:
    """Have a child beside the block, which does `finish` after it."""
    go_read, go_write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(go_write)
            os.read(go_read, 1)
            finish()
        finally:
            os._exit(0)
    os.close(go_read)
    try:
        yield
    finally:
        os.close(go_write)
        os.waitpid(child, 0)


PROGRAM = """
import os, sys, time, keeppool
from keeppool import observe
session = keeppool.Session()
observe.serve(session, sys.argv[1])
if os.fork() == 0:
    sys.exit()
os.wait()
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def program(path: str) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that serves at `path` and has had a child; it ends with its standard input."""
    environment = os.environ | {"PYTHONPATH": str(Path(keeppool.__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROGRAM, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            process.kill()


def test_the_file_outlives_a_childs_exit_and_goes_with_its_process(program: subprocess.Popen[bytes], path: str) -> None:
    with observe.Remote(path) as remote:
        assert remote.told().pid == program.pid
    _, errors = program.communicate(b"", timeout=60)
    assert (program.returncode, errors) == (0, b"")
    assert not os.path.lexists(path)


def test_after_a_kill_the_next_one_takes_the_place(
    program: subprocess.Popen[bytes], session: keeppool.Session, path: str
) -> None:
    program.kill()
    program.wait(60)
    assert os.path.lexists(path)
    with observe.serve(session, path), observe.Remote(path) as remote:
        assert remote.told().pid == os.getpid()


# The one who asks


@pytest.mark.parametrize(
    "told",
    [
        b"[]",
        b"{}",
        b"nothing",
        b'{"schema": 1, "at": 1, "process": {"pid": 1, "program": ""}, "stats": {}, "held": []}',
    ],
)
def test_what_is_not_understood_is_said_to_be_so(sites: Sites, told: bytes) -> None:
    site = sites.add(Behaviour(body=told))
    with observe.Remote(site.url.removeprefix("http://")) as remote, pytest.raises(observe.RemoteError):
        remote.told()


def test_figures_of_a_newer_version_are_read_as_far_as_they_are_known(
    session: keeppool.Session, sites: Sites, path: str
) -> None:
    with observe.serve(session, path), keeppool.PoolManager(defaults=HostConfig(unix_socket=path)) as pool:
        told = pool.request("GET", "http://localhost/stats").json()
    told["new"] = told["stats"]["new"] = told["process"]["new"] = 1
    told["held"] = [{"origin": "http://a:80", "connection": 1, "held_s": 0.5, "served": 1, "new": 1}]
    site = sites.add(Behaviour(body=json.dumps(told).encode()))
    with observe.Remote(site.url) as remote:
        assert remote.told().held[0].unread_since is None


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError):
        observe.Remote("")
    with observe.Remote("127.0.0.1:99999") as remote, pytest.raises(observe.RemoteError):
        remote.told()
    with observe.Remote("/nowhere/at/all.sock") as remote, pytest.raises(observe.RemoteError, match="nobody answers"):
        remote.told()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            lambda session, path: (path, session),
            "watched='[^']*': must be a session or a pool manager, and comes first",
        ),
        (lambda session, path: (session, 9999), r"address=9999: must be .* a pair such as \('127.0.0.1', 9000\)"),
        (lambda session, path: (session, None), "address=None: must be the path of a Unix socket"),
    ],
    ids=["the other way round", "a port alone", "nothing"],
)
def test_what_cannot_be_served_or_listened_at_is_said(session, path, given, says):
    with pytest.raises(ConfigError, match=says):
        observe.serve(*given(session, path))
