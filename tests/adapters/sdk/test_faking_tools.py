"""Tools that fake or record responses, each with `keeppool.requests` and with the mount: the page's table, held to."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import keeppool.requests
from keeppool.adapters.requests import KeepPoolAdapter
from keeppool.testing import Answer, Site

requests = pytest.importorskip("requests")

pytestmark = [pytest.mark.sdk, pytest.mark.filterwarnings("ignore")]

PAGE = Path(__file__).parents[3] / "docs" / "moving-from-requests.md"
MOUNT = "keeppool.adapters.requests.KeepPoolAdapter.send"


def mounted() -> Any:
    session = requests.Session()
    session.mount("http://", KeepPoolAdapter())
    return session


MAKERS: dict[str, Callable[[], Any]] = {"keeppool.requests": keeppool.requests.Session, "the mount": mounted}


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


def with_responses(tool: Any, session: Any, url: str, folder: Path, **options: str) -> str:
    with tool.RequestsMock(assert_all_requests_are_fired=False, **options) as mock:
        mock.add("GET", url, body="fake")
        return str(session.get(url).text)


def with_target(tool: Any, session: Any, url: str, folder: Path) -> str:
    return with_responses(tool, session, url, folder, target=MOUNT)


def with_vcr(tool: Any, session: Any, url: str, folder: Path) -> str:
    for _ in range(2):
        with tool.use_cassette(str(folder / "kept.yaml")):
            text: str = session.get(url).text
    return text


def with_httpretty(tool: Any, session: Any, url: str, folder: Path) -> str:
    with tool.enabled(allow_net_connect=False):
        tool.register_uri("GET", url, body="fake")
        return str(session.get(url, timeout=3).text)


#: Module, how it is used, and how often the real server is asked by each; `None` where it ends in an error.
TRIED = [
    ("betamax", with_betamax, 1, 1),
    ("requests_mock", with_adapter, 0, 0),
    ("requests_mock", with_mocker, 1, 0),
    ("responses", with_responses, 1, 1),
    ("responses", with_target, 1, 0),
    ("vcr", with_vcr, 2, 2),
    ("httpretty", with_httpretty, None, None),
]


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize(("name", "use", "own", "mount"), TRIED, ids=lambda part: getattr(part, "__name__", None))
def test_a_tool_does_what_the_page_says(name, use, own, mount, maker, tmp_path):
    try:
        tool = importlib.import_module(name)
    except ImportError:
        pytest.skip(f"{name} not installed")
    expected = own if maker == "keeppool.requests" else mount
    with Site(handler=lambda request: Answer(body=b"real")) as site, MAKERS[maker]() as session:
        if expected is None:
            with pytest.raises(Exception, match=r"real socket does not exist|[Mm]ock"):
                use(tool, session, f"{site.url}/x", tmp_path)
            return
        text = use(tool, session, f"{site.url}/x", tmp_path)
        assert site.requests == expected
        assert (text == "fake") == (expected == 0)


def test_the_page_has_a_row_for_each():
    page = PAGE.read_text(encoding="utf-8")
    for tool in ("betamax", "requests-mock", "responses", "vcrpy", "pytest-recording", "httpretty"):
        assert f"\n| {tool}" in page or f", {tool} |" in page
    assert MOUNT in page
