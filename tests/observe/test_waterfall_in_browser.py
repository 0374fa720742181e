"""The waterfall in a headless browser: no complaints, and everything is there, by pointer, by keyboard, as a table."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live.servers import program
from observe.made import A, closed, done, opened, told
from observe.test_waterfall import HOSTILE

from keeppool.cli import main
from keeppool.events import Room, Waited, Why
from keeppool.observe import Recorder

pytestmark = [pytest.mark.sdk, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

webdriver = pytest.importorskip("selenium.webdriver")

#: Pixels: margin beside the picture, the axis above it, a host's line, and the middle of the first lane below that.
EDGE, FIRST_LANE = 12, 24 + 24 + 7


class Page:
    """A page of ours in the browser."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, path: Path, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.driver.get(path.as_uri())
        self.settle()

    def settle(self) -> None:
        """Wait until what was asked for is drawn."""
        wait = "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done));"
        self.driver.execute_async_script(wait)

    def ask(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(f"return {script}", *arguments)

    def text(self, name: str) -> str:
        return self.ask("document.getElementById(arguments[0]).innerText", name)

    @property
    def bars(self) -> int:
        return int(self.ask("document.getElementById('chart').dataset.bars"))

    def choose(self, name: str, value: str) -> None:
        script = """const one = document.getElementById(arguments[0]); one.value = arguments[1];
        one.dispatchEvent(new Event("input", {bubbles: true}));"""
        self.driver.execute_script(script, name, value)
        self.settle()

    def point(self, x: float, y: float) -> None:
        """Move the pointer over the picture, to a place in it."""
        chart = self.driver.find_element("id", "chart")
        size = self.ask("[arguments[0].clientWidth, arguments[0].clientHeight]", chart)
        chain = webdriver.ActionChains(self.driver, duration=0)
        chain.move_to_element_with_offset(chart, int(x - size[0] / 2), int(y - size[1] / 2)).perform()
        self.settle()

    def press(self, *keys: str) -> None:
        self.driver.execute_script("document.getElementById('chart').focus()")
        webdriver.ActionChains(self.driver).send_keys(*keys).perform()
        self.settle()

    def complaints(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = program("chromium")
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(program("chromedriver")))
    driver.set_script_timeout(30)
    yield driver
    driver.quit()


@pytest.fixture
def page(browser: Any) -> Iterator[Page]:
    browser.get("about:blank")
    page = Page(browser)
    page.complaints()
    yield page
    assert page.complaints() == [], "the browser complains"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo") / "demo.html"
    assert main(["demo", "--pages", "240", "--waterfall", str(path)]) == 0
    return path


def made(tmp_path: Path, *events: Any, title: str = "made") -> Path:
    path = tmp_path / "made.html"
    told(Recorder(), *events).save_waterfall(path, title)
    return path


def test_every_request_of_the_demo_is_a_bar(page, demo):
    page.open(demo)
    assert page.bars == 240
    assert page.text("summary").startswith("240 requests to 12 hosts over ")
    assert "page 1 of 3" in page.text("pages")
    assert page.ask("document.querySelectorAll('#requests tbody tr').length") == 100


def test_a_filter_leaves_one_host(page, demo):
    page.open(demo)
    name = page.ask("document.getElementById('by-host').options[3].text.replace(/ \\(.*/, '')")
    page.choose("by-host", "2")
    assert page.bars == 20
    assert page.ask("document.getElementById('chart').dataset.hosts") == "1"
    rows = page.ask(
        "[...document.querySelectorAll('#requests tbody tr td:nth-child(2)')].map((cell) => cell.innerText)"
    )
    assert len(rows) == 20
    assert all(row.startswith(f"GET {name}/") for row in rows)
    sockets = page.ask(
        "[...document.querySelectorAll('#sockets tbody tr td:first-child')].map((cell) => cell.innerText)"
    )
    assert set(sockets) == {name}
    page.driver.find_element("id", "clear").click()
    page.settle()
    page.driver.execute_async_script("setTimeout(arguments[0])")
    page.settle()
    assert page.bars == 240


def test_filters_for_status_reason_and_text(page, tmp_path):
    failed = done(2, connection=None, begun_at=None, status=None, error="PoolTimeout", complete=False)
    events = [opened(1), opened(2), done(0), done(1, connection=2, status=503), failed, closed(2, Why.PEER_CLOSED)]
    page.open(made(tmp_path, *events))
    for choice, value, bars in (
        ("by-status", "5xx", 1),
        ("by-status", "failed", 1),
        ("by-status", "marked", 2),
        ("by-why", "peer_closed", 1),
        ("by-why", "open", 1),
        ("by-text", "page/2", 1),
        ("by-text", "nothing like it", 0),
    ):
        page.choose(choice, value)
        assert page.bars == bars, (choice, value)
        page.choose(choice, "")
    assert page.bars == 3


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_is_drawn_wide_and_narrow_light_and_dark(page, demo, width, dark):
    page.open(demo, width=width, height=844, dark=dark)
    shot = page.driver.get_screenshot_as_png()
    assert len(shot) > 20_000, "a picture without content is a fifth of that"
    assert struct.unpack(">I", shot[16:20]) == (width,)
    ground = page.ask("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground)[:3])) < 200) is dark, (
        "the ground is of the scheme that was asked for"
    )
    assert page.ask("document.documentElement.scrollWidth") <= width, "nothing sticks out"
    drawn = page.ask(
        """(() => { const c = document.getElementById("chart"),
        d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data,
        seen = new Set(); for (let at = 0; at < d.length; at += 4) seen.add(d[at] << 16 | d[at + 1] << 8 | d[at + 2]);
        return seen.size; })()"""
    )
    assert drawn > 10, "the picture has its colours"


def test_the_pointer_shows_the_facts_of_what_is_under_it(page, tmp_path):
    waits = (Waited(Room.HOST, 6, 0.3),)
    second = done(1, waits=waits, begun_at=1001.3, sent_at=1001.4, status=503, reason="Busy", resent=1)
    page.open(made(tmp_path, done(0), second, done(9), title="known"))
    width = page.ask("document.getElementById('chart').clientWidth")
    lane = FIRST_LANE + 6 + 5  # below a queue of one row

    def at(seconds: float) -> float:
        span = page.ask(
            "Math.max(...JSON.parse(document.getElementById('data').textContent).requests.map((one) => one[10]))"
        )
        return EDGE + seconds * 1000 / span * (width - 2 * EDGE)

    page.point(at(0.5), lane)
    facts = page.text("facts")
    assert f"GET {A}/page/0" in facts
    assert "200 OK · 900 ms" in facts
    for fact in ("first byte\n600 ms", "receiving\n200 ms", "socket\n#1, new", "peer\n192.0.2.1", "100 B, 1.0 kB"):
        assert fact in facts
    page.point(at(1.8), lane)
    facts = page.text("facts")
    assert "503 Busy" in facts
    assert "300 ms for room at its host (per_host) = 6" in facts
    assert "resent\nonce" in facts
    page.point(at(5.0), lane)
    assert "Socket #1 to" in page.text("facts")
    page.point(at(5.0), 5)
    assert page.ask("document.getElementById('facts').hidden")


def test_the_keyboard_reaches_every_request(page, tmp_path):
    keys = pytest.importorskip("selenium.webdriver.common.keys").Keys
    events = [done(at, connection=1 + at % 2) for at in range(6)]
    page.open(made(tmp_path, *events))
    page.press(keys.HOME)
    assert f"GET {A}/page/0" in page.text("facts")
    page.press(keys.ARROW_RIGHT)
    assert f"GET {A}/page/2" in page.text("facts"), "the next one of the same socket"
    page.press(keys.ARROW_DOWN)
    assert f"/page/{1}" in page.text("facts") or f"/page/{3}" in page.text("facts"), "one of the next socket"
    page.press(keys.END)
    assert f"GET {A}/page/5" in page.text("facts")
    assert page.text("said").startswith(f"GET {A}/page/5, 200, ")
    page.press("+", "+", keys.HOME)
    assert f"GET {A}/page/0" in page.text("facts"), "what is out of sight is brought into it"
    page.press("0", keys.ESCAPE)
    assert page.ask("document.getElementById('facts').hidden")
    seen = set()
    page.press(keys.HOME)
    for _ in range(8):
        seen.add(page.text("facts").splitlines()[0])
        page.press(keys.ARROW_RIGHT)
    assert len(seen) >= 3


def test_requests_that_share_a_socket_at_a_time_share_its_lane(page, tmp_path):
    page.open(made(tmp_path, *(done(at / 10, request=at, url=f"{A}/{at}") for at in range(3)), title="pipelined"))
    assert page.bars == 3
    width = page.ask("document.getElementById('chart').clientWidth")
    seen = []
    for row in range(3):
        page.point(width / 2, FIRST_LANE - 2 + row * 5)
        seen.append(page.text("facts").splitlines()[0])
    assert seen == [f"GET {A}/{at}" for at in range(3)]


def test_a_row_of_the_table_leads_to_its_bar(page, tmp_path):
    page.open(made(tmp_path, *(done(at) for at in range(5))))
    page.driver.execute_script("document.querySelector('tr[data-request=\"4\"]').click()")
    page.settle()
    assert f"GET {A}/page/3" in page.text("facts")
    headings = page.ask("[...document.querySelectorAll('#requests th')].map((one) => one.innerText)")
    assert len(headings) == 21
    page.driver.execute_script("document.querySelectorAll('#requests th button')[0].click()")
    page.driver.execute_script("document.querySelectorAll('#requests th button')[0].click()")
    assert page.ask("document.querySelector('#requests tbody td').innerText") == "5", "the last one first"


def test_hostile_content_is_text(page, tmp_path):
    events = [
        done(
            at, url=f"{A}/{text}", origin=f"{text[:99]} {at}", reason=text, peer=text[:50], connection=at + 1, served=0
        )
        for at, text in enumerate(HOSTILE)
    ]
    page.open(made(tmp_path, *events, title=HOSTILE[0]))
    assert page.bars == len(HOSTILE)
    assert page.ask("document.querySelectorAll('script').length") == 2
    assert page.ask("document.querySelectorAll('img, iframe, object').length") == 0
    assert HOSTILE[0] in page.ask("document.querySelector('h1').textContent")
    cells = page.ask("[...document.querySelectorAll('#requests td:nth-child(2)')].map((cell) => cell.textContent)")
    assert f"GET {A}/{HOSTILE[1]}" in cells
    assert f"GET {A}/\\u202egpj.exe" in cells
    assert f"GET {A}/\\u2028\\u0000\\u001b[31m" in cells
    assert page.ask("document.documentElement.scrollWidth") <= 1280
    shown = page.ask("document.body.textContent")
    assert not set(shown) & set("\u202e\u2028\x00\x1b")


def test_ten_thousand_requests_are_drawn_and_moved_about_in(page, tmp_path):
    keys = pytest.importorskip("selenium.webdriver.common.keys").Keys
    events = []
    for number in range(10_000):
        origin, at = f"http://host{number % 50}.example:80", number / 100
        times = {
            "started_at": 1000 + at,
            "begun_at": 1000 + at,
            "sent_at": 1000.1 + at,
            "first_byte_at": 1000.2 + at,
            "ended_at": 1000.4 + at,
        }
        events.append(done(number, origin=origin, connection=1 + number % 300, **times))
    page.open(made(tmp_path, *events))
    assert page.bars == 10_000
    page.press(keys.HOME, *"+++++", *[keys.ARROW_RIGHT] * 20, *[keys.ARROW_DOWN] * 20, "0", keys.END)
    assert "/page/9999" in page.text("facts")
    page.choose("by-text", "/page/77")
    assert page.bars == 111
    assert json.loads(page.ask("document.getElementById('data').textContent"))["span"] > 0


def test_an_empty_record_is_a_page_too(page, tmp_path):
    page.open(made(tmp_path))
    assert page.bars == 0
    assert page.text("summary").startswith("0 requests")
