"""The waterfall's page, as it is written: one file, nothing in it that the record could turn into markup."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re

from observe.made import A, closed, done, opened, told

from keeppool.events import Room, Waited, Why
from keeppool.observe import Recorder

#: What servers and links may hold.
HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "]]><!--",
    "&lt;b&gt;",
    "\u202egpj.exe",
    "\u2028\x00\x1b[31m",
    "x" * 100_000,
)


def data_of(page: str) -> dict:
    """Read what the page is to draw."""
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    return json.loads(text)


def test_a_page_needs_nothing_else():
    page = told(Recorder(), opened(1), done(0), closed(1, Why.EVICTED)).waterfall("a title")
    assert "<title>a title</title>" in page
    assert not re.findall(r"""(?:src|href)\s*=|url\(|@import|https?://(?!a\.example)""", page)
    policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1])
    assert policy.startswith("default-src 'none'; ")
    for name, pattern in (("script-src", r"<script>(.*?)</script>"), ("style-src", r"<style>(.*?)</style>")):
        (part,) = re.findall(pattern, page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()
        assert f"{name} 'sha256-{digest}'" in policy


def test_what_is_hostile_is_text():
    events = [
        done(
            at,
            url=f"{A}/{text}",
            origin=text[:300] or A,
            reason=text,
            method="GET",
            error=None,
            peer=text[:50],
            connection=None,
            begun_at=None,
        )
        for at, text in enumerate(HOSTILE)
    ]
    page = told(Recorder(), *events).waterfall("</title><script>alert(2)</script>")
    assert page.count("<script") == 2
    assert page.count("</script") == 2
    assert "<img" not in page
    assert "alert(2)</script>" not in page
    assert page.isascii() or not re.search("[\u202e\u2028\x00\x1b]", page)
    rows = data_of(page)["requests"]
    assert rows[0][4] == f"{A}/{HOSTILE[0]}"
    assert len(rows[-1][4]) < 3000, "what is very long is cut"


def test_what_is_drawn_is_what_was_recorded():
    events = [
        opened(1),
        done(0, waits=(Waited(Room.TOTAL, 40, 0.2),), begun_at=1000.3, sent_at=1000.4, per_host=2),
        done(1, connection=7, served=4),
        done(2, connection=None, begun_at=None, error="PoolTimeout", status=None, complete=False),
        closed(1, Why.PEER_CLOSED),
    ]
    data = data_of(told(Recorder(), *events).waterfall())
    assert data["total"] == 40
    assert data["hosts"] == [{"name": A, "cap": 6}]
    requests = [dict(zip(data["requestFields"], row, strict=True)) for row in data["requests"]]
    sockets = [dict(zip(data["socketFields"], row, strict=True)) for row in data["sockets"]]
    assert [one["socket"] for one in requests] == [0, 1, -1]
    assert requests[0]["waits"] == [["total", 40, 200.0]]
    assert requests[0]["begun"] - requests[0]["start"] == 300
    assert sum(ms or 0 for ms in requests[0]["phases"]) == requests[0]["end"] - requests[0]["start"] == 900
    assert requests[2]["error"] == "PoolTimeout"
    assert (sockets[0]["why"], sockets[0]["connection"]) == ("peer_closed", 1)
    # A socket that was opened, and forgotten, before: it lasted as long as it is known to.
    assert (sockets[1]["connection"], sockets[1]["opened"], sockets[1]["closed"]) == (7, 1000.0, 1900.0)
    assert data["whys"]["peer_closed"]["side"] == "server"


def test_nothing_recorded_is_a_page_too(tmp_path):
    recorder = Recorder()
    recorder.save_waterfall(tmp_path / "empty.html")
    data = data_of((tmp_path / "empty.html").read_text())
    assert (data["requests"], data["hosts"], data["span"]) == ([], [], 0.0)
    assert data["epoch"] > 1.7e12, "it is of now"


def test_a_notebook_shows_it_in_a_frame_of_its_own():
    recorder = told(Recorder(), done(0))
    shown = recorder._repr_html_()
    assert shown.startswith("<iframe")
    assert 'sandbox="allow-scripts"' in shown
    assert html.unescape(re.search(r'srcdoc="([^"]*)"', shown)[1]) == recorder.waterfall()
