"""Tools that fake or record responses, each with `keeppool.requests` and with the mount: the page's table, held to."""

from __future__ import annotations

import asyncio
import gc
import socket
import subprocess
import sys
import textwrap
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from unittest import mock

import pytest

import keeppool
import keeppool.errors
import keeppool.requests
from keeppool import HostConfig
from keeppool.adapters.requests import KeepPoolAdapter
from keeppool.testing import Answer, Replay, Site, UnseenWarning

requests = pytest.importorskip("requests")

pytestmark = [pytest.mark.sdk, pytest.mark.filterwarnings("ignore")]

PAGE = Path(__file__).parents[3] / "docs" / "testing.md"
MOUNT = "keeppool.adapters.requests.KeepPoolAdapter.send"


def mounted() -> Any:
    session = requests.Session()
    session.mount("http://", KeepPoolAdapter())
    return session


class Tasks(keeppool.requests.AsyncSession):
    """A session for tasks, asked from outside of any event loop."""

    def __enter__(self) -> Self:
        self._runner = asyncio.Runner()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._runner.run(self.aclose())
        self._runner.close()

    def get(self, url: str, **options: Any) -> Any:
        async def ask() -> Any:
            return await keeppool.requests.AsyncSession.get(self, url, **options)

        return self._runner.run(ask())


MAKERS: dict[str, Callable[[], Any]] = {
    "keeppool.requests": keeppool.requests.Session,
    "its AsyncSession": Tasks,
    "the mount": mounted,
}


def with_betamax(tool: Any, session: Any, url: str, folder: Path) -> str:
    for _ in range(2):
        with tool.Betamax(session, cassette_library_dir=str(folder)) as recorder:
            recorder.use_cassette("kept")
            text: str = session.get(url).text
    return text


def with_adapter(tool: Any, session: Any, url: str, folder: Path) -> str:
    adapter = tool.Adapter()
    adapter.register_uri("GET", url, text="fake")
    session.mount("http://", adapter)
    return str(session.get(url).text)


def with_mocker(tool: Any, session: Any, url: str, folder: Path) -> str:
    with tool.Mocker() as mocker:
        mocker.get(url, text="fake")
        return str(session.get(url).text)


def with_one_session(tool: Any, session: Any, url: str, folder: Path) -> str:
    with tool.Mocker(session=session) as mocker:
        mocker.get(url, text="fake")
        return str(session.get(url).text)


def with_responses(tool: Any, session: Any, url: str, folder: Path, **options: str) -> str:
    with tool.RequestsMock(**options) as faked:
        faked.add("GET", url, body="fake")
        return str(session.get(url).text)


def with_vcr(tool: Any, session: Any, url: str, folder: Path) -> str:
    for _ in range(2):
        with tool.use_cassette(str(folder / "kept.yaml")):
            text: str = session.get(url).text
    return text


def with_recording(tool: Any, session: Any, url: str, folder: Path) -> str:
    """Run a test of the plugin's user twice: it records, and plays; the third time there is no network."""
    maker = next(name for name, make in MAKERS.items() if make is type(session) or name == "the mount")
    (folder / "test_user.py").write_text(
        textwrap.dedent(f"""
            import pytest
            from adapters.sdk.test_faking_tools import MAKERS

            @pytest.mark.vcr
            def test_recorded():
                with MAKERS[{maker!r}]() as session:
                    print("GOT", session.get({url!r}).text)

            @pytest.mark.block_network
            def test_blocked():
                with MAKERS[{maker!r}]() as session, pytest.raises(Exception, match="Network is disabled"):
                    session.get({url!r})
        """)
    )
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "-c", "/dev/null", "-W", "ignore"]
    for mode in ("once", "none"):
        done = subprocess.run(
            [*command, "--rootdir", str(folder), f"--record-mode={mode}", str(folder / "test_user.py")],
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(__file__).parents[2],
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "2 passed" in done.stdout
    return "real"


def with_open_connection(tool: Any, session: Any, url: str, folder: Path) -> str:
    session.get(url)  # It must not be used either.
    return with_httpretty(tool, session, url, folder)


def with_httpretty(tool: Any, session: Any, url: str, folder: Path) -> str:
    with tool.enabled():
        tool.register_uri("GET", url, body="fake")
        return str(session.get(url, timeout=3).text)


WORKS, ERROR, WARNING = "works", "an error says so", "a warning"
#: The page's name, the module, how it is used, how often the real server is asked, and what it does with each.
TRIED: list[tuple[str, str, Callable[..., str], int, tuple[str, str, str]]] = [
    ("vcrpy", "vcr", with_vcr, 1, (WORKS, WORKS, WORKS)),
    ("pytest-recording", "pytest_recording", with_recording, 1, (WORKS, WORKS, WORKS)),
    ("responses", "responses", with_responses, 0, (WORKS, WORKS, WORKS)),
    ("requests-mock, `Mocker()`", "requests_mock", with_mocker, 0, (WORKS, WORKS, WORKS)),
    ("requests-mock, `Mocker(session=...)`", "requests_mock", with_one_session, 0, (ERROR, ERROR, WORKS)),
    ("requests-mock, its `Adapter` mounted", "requests_mock", with_adapter, 0, (WORKS, WORKS, WORKS)),
    ("betamax", "betamax", with_betamax, 1, (WORKS, "an error", WORKS)),
    ("httpretty", "httpretty", with_open_connection, 1, (ERROR, ERROR, ERROR)),
]
SAID = {
    "httpretty": r"httpretty\.is_enabled\(\)=True: .*Replay",
    "requests_mock": "Only a requests.Session object can be mocked",
    "betamax": "'coroutine' object has no attribute",
}


def imported(name: str) -> Any:
    return pytest.importorskip(name)


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize(("row", "name", "use", "asked", "does"), TRIED, ids=[row[0] for row in TRIED])
def test_a_tool_does_what_the_page_says(row, name, use, asked, does, maker, tmp_path):
    tool = imported(name)
    with Site(handler=lambda request: Answer(body=b"real")) as site, MAKERS[maker]() as session:
        if does[list(MAKERS).index(maker)] != WORKS:
            with pytest.raises(Exception, match=SAID[name]):
                use(tool, session, f"{site.url}/x", tmp_path)
            assert site.requests <= asked
            session = None  # What betamax has made of a session for tasks is never awaited, which is said here.
            gc.collect()
            return
        text = use(tool, session, f"{site.url}/x", tmp_path)
        assert site.requests == asked
        assert text == ("real" if asked else "fake")


#: What each does with a `keeppool.Session`; the tests at the end of this file try it.
OF_OURS = [*[WARNING] * 4, *[ERROR] * 4]


def table() -> list[str]:
    """The page's table, as it has to be."""
    head = ["| tool | `keeppool.requests` | its `AsyncSession` | the mount | all else of keeppool |"]
    does = [(row, *of_requests, ours) for (row, *_, of_requests), ours in zip(TRIED, OF_OURS, strict=True)]
    return [*head, "| --- | --- | --- | --- | --- |", *(f"| {' | '.join(cells)} |" for cells in does)]


def test_the_table_of_the_page_is_what_was_tried(capsys):
    with capsys.disabled():
        print("", *table(), sep="\n")
    assert "\n".join(table()) in PAGE.read_text(encoding="utf-8")


# What these tools let pass, and what they refuse


@pytest.mark.parametrize("maker", ["keeppool.requests", "the mount"])
def test_what_a_tool_lets_pass_goes_over_our_connections(maker):
    responses, requests_mock = imported("responses"), imported("requests_mock")
    with Site(handler=lambda request: Answer(body=b"real")) as site, MAKERS[maker]() as session:
        for _ in range(3):
            with responses.RequestsMock() as faked:
                faked.add_passthru(site.url)
                assert session.get(site.url).text == "real"
                assert session.get(site.url, stream=True).raw.read() == b"real"
            with requests_mock.Mocker(real_http=True):
                assert session.get(site.url).text == "real"
        assert (site.requests, site.opened) == (9, 1), "urllib3 would have opened its own"


def test_a_session_for_tasks_says_that_it_cannot_let_pass():
    responses = imported("responses")
    with responses.RequestsMock() as faked, Tasks() as session:
        faked.add_passthru("http://a.test")
        with pytest.raises(keeppool.errors.ConfigError, match="responses=True: it lets this request pass"):
            session.get("http://a.test/")


@pytest.mark.parametrize("maker", MAKERS)
def test_what_a_tool_refuses_or_makes_up_is_an_error_that_the_program_catches(maker):
    responses = imported("responses")
    errors = requests if maker == "the mount" else keeppool.requests
    with responses.RequestsMock() as faked, MAKERS[maker]() as session:
        faked.add("GET", "http://a.test/slow", body=requests.ReadTimeout("made up"))
        with pytest.raises(errors.ReadTimeout, match="made up"):
            session.get("http://a.test/slow")
        with pytest.raises(errors.ConnectionError, match="Connection refused by Responses"):
            session.get("http://a.test/other")
    with pytest.raises(errors.ConnectionError), MAKERS[maker]() as session:
        session.get("http://127.0.0.1:1/")


@pytest.mark.parametrize("maker", ["keeppool.requests", "the mount"])
def test_real_errors_behind_a_tool_are_ours(maker):
    responses = imported("responses")
    errors = requests if maker == "the mount" else keeppool.requests
    with Site(handler=lambda request: Answer(hang_up=True)) as site, MAKERS[maker]() as session:
        with responses.RequestsMock() as faked:
            faked.add_passthru(site.url)
            with pytest.raises(errors.ConnectionError) as caught:
                session.post(site.url, data=b"x", timeout=5)
        error = caught.value.__cause__ if maker == "the mount" else caught.value
        assert isinstance(error, keeppool.errors.ServerDisconnected)


@pytest.mark.parametrize("maker", MAKERS)
def test_redirects_and_cookies_go_on_behind_a_tool(maker):
    responses = imported("responses")
    with responses.RequestsMock() as faked, MAKERS[maker]() as session:
        headers = {"Location": "http://a.test/home", "Set-Cookie": "sid=1; Path=/"}
        faked.add("GET", "http://a.test/in", status=302, headers=headers)
        faked.add("GET", "http://a.test/home", json={"a": 1})
        response = session.get("http://a.test/in")
        assert (response.json(), [hop.status_code for hop in response.history]) == ({"a": 1}, [302])
        assert faked.calls[1].request.headers["Cookie"] == "sid=1"


def test_a_cassette_of_requests_is_played_by_all_and_one_of_ours_by_requests(tmp_path):
    vcr = imported("vcr")
    body = {"a": "b", "c": "d"}

    def run(make, file, mode):
        with make() as session, vcr.use_cassette(str(tmp_path / file), record_mode=mode, match_on=MATCHED):
            posted = session.post if hasattr(session, "post") and not isinstance(session, Tasks) else None
            got = [session.get(f"{site.url}/gzip").content, session.get(f"{site.url}/redirect/1").text]
            return got if posted is None else [*got, posted(f"{site.url}/echo?x=1", data=body).json()["body"]]

    with Site() as site:
        recorded = run(requests.Session, "theirs.yaml", "once")
        own = run(keeppool.requests.Session, "ours.yaml", "once")
        assert own == recorded
        asked = site.requests
        for make in (keeppool.requests.Session, mounted, requests.Session):
            assert run(make, "theirs.yaml", "none") == run(make, "ours.yaml", "none") == recorded
        assert run(Tasks, "theirs.yaml", "none") == recorded[:2]
        assert site.requests == asked


MATCHED = ("method", "scheme", "host", "port", "path", "query", "body")


@pytest.mark.parametrize("maker", MAKERS)
def test_a_request_that_a_cassette_has_not_is_refused_by_vcrpy(maker, tmp_path):
    vcr = imported("vcr")
    with Site() as site, MAKERS[maker]() as session, vcr.use_cassette(str(tmp_path / "a.yaml"), record_mode="none"):
        with pytest.raises(vcr.errors.CannotOverwriteExistingCassetteException):
            session.get(site.url)
        assert site.requests == 0


@pytest.mark.parametrize("maker", MAKERS)
def test_what_vcrpy_is_told_to_leave_out_is_left_out(maker, tmp_path):
    vcr = imported("vcr")
    headers = {"Authorization": "secret"}
    options = {"filter_headers": ["authorization"], "decode_compressed_response": True, "ignore_hosts": ["localhost"]}
    with Site() as site, MAKERS[maker]() as session:
        for _ in range(2):
            with vcr.use_cassette(str(tmp_path / "a.yaml"), **options):
                assert len(session.get(f"{site.url}/gzip", headers=headers).content) == 10_000
                assert session.get(f"http://localhost:{site.port}/bytes/1").ok
        assert site.executed == {"/gzip": 1, "/bytes/1": 2}
    text = (tmp_path / "a.yaml").read_text()
    assert "secret" not in text
    assert "0123456789abcdef" in text


def test_afterwards_all_is_as_before(tmp_path):
    responses, vcr = imported("responses"), imported("vcr")
    with Site(handler=lambda request: Answer(body=b"real")) as site, keeppool.requests.Session() as session:
        with responses.RequestsMock(assert_all_requests_are_fired=False), vcr.use_cassette(str(tmp_path / "a.yaml")):
            pass
        assert session.get(site.url).text == "real"
        assert isinstance(session.get(site.url), keeppool.requests.Response)


@pytest.mark.parametrize("way", ["replaced", "wrapped"])
def test_the_mount_is_seen_by_whoever_stands_in_the_place_of_requests_send(way):
    """Tests replace `HTTPAdapter.send` by hand, and tracers wrap it."""
    seen, original = [], requests.adapters.HTTPAdapter.send

    def replaced(adapter, request, *arguments, **named):
        seen.append(request.url)
        return original(adapter, request, *arguments, **named) if way == "wrapped" else "made up"

    with Site() as site, mounted() as session, mock.patch.object(requests.adapters.HTTPAdapter, "send", replaced):
        url = f"{site.url}/echo"
        adapter = session.get_adapter(url)
        prepared = requests.Request("POST", url, data=iter([b"pie", b"ces"])).prepare()
        got = adapter.send(prepared, timeout=keeppool.Timeout(connect=5, read=5))
        assert seen == [url]
        if way == "replaced":
            assert got == "made up"
        else:
            assert got.json()["body"] == "pieces"
            with pytest.raises(requests.ReadTimeout) as caught:
                session.get(f"{site.url}/slow/3", timeout=(5, 0.05))
            assert isinstance(caught.value.__cause__, keeppool.errors.ReadTimeout)


def test_replay_does_what_all_of_them_do(tmp_path):
    with Site(handler=lambda request: Answer(body=b"real")) as site:
        for maker in MAKERS:
            file = tmp_path / f"{maker}.har"
            for mode in ("record", "play"):
                with MAKERS[maker]() as session, Replay(file, mode=mode):
                    assert session.get(site.url).text == "real"
        assert site.requests == len(MAKERS)


def test_tasks_are_told_of_httpretty_when_they_await():
    httpretty = imported("httpretty")

    async def run() -> None:
        async with keeppool.requests.AsyncSession() as session:
            with httpretty.enabled():
                waiting = session.get("http://a.test/")
                with pytest.raises(keeppool.errors.ConfigError, match=r"GET http://a\.test/: httpretty"):
                    await waiting

    asyncio.run(run())


# Sessions and pool managers of our own, which are no requests


def at_home(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


@pytest.mark.parametrize("tool", ["vcrpy", "responses", "requests_mock"])
@pytest.mark.parametrize("kind", [keeppool.Session, keeppool.PoolManager, keeppool.AsyncSession])
def test_a_request_that_no_tool_sees_is_warned_of(tool, kind, tmp_path):
    active = {
        "vcrpy": lambda: imported("vcr").use_cassette(str(tmp_path / "a.yaml")),
        "responses": lambda: imported("responses").RequestsMock(),
        "requests_mock": lambda: imported("requests_mock").Mocker(),
    }

    async def for_tasks(url: str) -> int:
        async with kind(resolver=at_home) as client:
            return int((await client.request("GET", url)).status_code)

    def ask(url: str) -> int:
        if kind is keeppool.AsyncSession:
            return asyncio.run(for_tasks(url))
        with kind(resolver=at_home) as client:
            response = client.request("GET", url)
            return int(getattr(response, "status_code", 0) or response.status)

    with Site() as site, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with active[tool]():
            assert ask(f"http://a.test:{site.port}/") == 200
            assert ask(site.url) == 200, "a server on this machine is the test's own"
        assert ask(f"http://a.test:{site.port}/") == 200
    texts = [str(one.message) for one in said if one.category is UnseenWarning]
    where = "this request to a.test, which goes to the network"
    assert texts == [f"{tool} is active and does not see {where}: keeppool.testing.Replay sees it"]


@pytest.mark.parametrize("maker", MAKERS)
def test_what_a_tool_was_asked_about_is_not_warned_of(maker, tmp_path):
    vcr, responses = imported("vcr"), imported("responses")
    settings = HostConfig(unix_socket=str(tmp_path / "socket"))
    with warnings.catch_warnings(record=True) as said, unix_server(tmp_path / "socket") as url:
        warnings.simplefilter("always")
        session = MAKERS[maker]()
        if maker == "the mount":
            session.mount("http://", KeepPoolAdapter(defaults=settings))
        else:
            session = type(session)(defaults=settings)
        with session:
            with vcr.use_cassette(str(tmp_path / "a.yaml")):
                assert session.get(url).text == "real"
            if maker != "its AsyncSession":
                with responses.RequestsMock() as faked:
                    faked.add_passthru(url)
                    assert session.get(url, headers={"Connection": "close"}).text == "real"
                    assert session.get(url).text == "real"
    assert [one for one in said if one.category is UnseenWarning] == []


@contextmanager
def unix_server(path: Path) -> Iterator[str]:
    """Serve on a Unix socket, and give a URL whose host is another machine's."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        yield "http://a.test/"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def serve(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            if connection.recv(65536):
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nreal")


@pytest.mark.parametrize(
    ("name", "use", "why"),
    [
        ("requests_mock", with_one_session, "Only a requests.Session object can be mocked"),
        ("requests_mock", with_adapter, r"no attribute 'mount': keeppool\.requests\.Session has it"),
        ("betamax", with_betamax, r"no attribute 'adapters': keeppool\.requests\.Session has it"),
        ("httpretty", with_httpretty, r"httpretty\.is_enabled\(\)=True: .*Replay"),
    ],
)
def test_a_session_of_ours_says_what_it_cannot_be_used_with(name, use, why, tmp_path):
    tool = imported(name)
    with Site() as site, keeppool.Session() as session, pytest.raises(Exception, match=why):
        use(tool, session, site.url.replace("127.0.0.1", "localhost"), tmp_path)
