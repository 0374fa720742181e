"""A recorder's HAR: whole by the format, true to the clock, without secrets."""

from __future__ import annotations

import json
from datetime import datetime

import pytest
from observe.made import A, done, told
from pools.on_a_loop import PoolOnALoop

from keeppool import HostConfig, Limits, PoolManager, errors, har
from keeppool.adapters.urllib3 import PoolManager as DropIn
from keeppool.events import Room, Waited
from keeppool.observe import Recorder
from keeppool.phases import Dial, Step
from keeppool.testing import Site

#: Milliseconds that rounding may take from a sum.
CLOSE = 1.0


def entries(recorder: Recorder, tmp_path) -> list[dict]:
    """Write the file, read it by the whole format, and give its entries."""
    path = tmp_path / "made.har"
    recorder.save_har(path)
    read = har.parse(path.read_bytes(), is_whole=True)
    assert json.loads(path.read_text())["log"]["entries"] == recorder.har()["log"]["entries"]
    for entry in read:
        timings = entry["timings"]
        assert entry["time"] == pytest.approx(sum(ms for name, ms in timings.items() if ms > 0 and name != "ssl"))
        assert timings["ssl"] <= max(timings["connect"], -1)
    return read


@pytest.mark.parametrize("manager", [PoolManager, PoolOnALoop], ids=["threads", "tasks"])
def test_a_crawl_is_whole_and_its_times_add_up(manager, tmp_path):
    recorder = Recorder()
    with Site() as site, manager(Limits(per_host=1), on_event=recorder) as pool:
        for number in range(5):
            pool.request("GET", f"{site.url}/{number}?q={number}", headers={"X-Number": str(number)})
        pool.request("POST", site.url, body=b"x" * 50)
        with pytest.raises(errors.RefusedError):
            pool.request("GET", "http://127.0.0.1:1/")
    read = entries(recorder, tmp_path)
    assert len(read) == 7
    for entry, event in zip(read, recorder.requests, strict=True):
        assert entry["time"] == pytest.approx(event.total_s * 1000, abs=CLOSE)
        began = datetime.fromisoformat(entry["startedDateTime"]).timestamp()
        assert began == pytest.approx(recorder._epoch + event.started_at, abs=0.002)
    first, second, *_, posted, refused = read
    assert first["timings"]["dns"] >= 0
    assert first["timings"]["connect"] >= 0
    assert first["timings"]["ssl"] == -1
    for reused in (second, posted):
        assert {reused["timings"][name] for name in ("dns", "connect", "ssl")} == {-1}
        assert reused["connection"] == first["connection"] == "1"
    assert first["serverIPAddress"] == "127.0.0.1"
    assert {"name": "X-Number", "value": "0"} in first["request"]["headers"]
    assert first["request"]["queryString"] == [{"name": "q", "value": "0"}]
    assert posted["request"]["bodySize"] == 50
    assert first["response"]["content"]["size"] == first["response"]["bodySize"] == len(b"keeppool\n")
    assert (refused["response"]["status"], refused["_error"]) == (0, "RefusedError")
    assert "connection" not in refused


def test_phases_stand_where_the_format_has_them(tmp_path):
    dial = Dial(((Step.NAME, 1000.5), (Step.CONNECT, 1000.52), (Step.PROXY, 1000.55), (Step.TLS, 1000.6)), 1000.7)
    event = done(
        0,
        waits=(Waited(Room.HOST, 6, 0.3), Waited(Room.TOTAL, 9, 0.1)),
        dial=dial,
        lost_s=0.05,
        resent=1,
        begun_at=1000.7,
        sent_at=1000.71,
        first_byte_at=1000.8,
        ended_at=1000.9,
    )
    (entry,) = entries(told(Recorder(), event), tmp_path)
    assert entry["timings"] == pytest.approx(
        {"blocked": 550, "dns": 20, "connect": 130, "ssl": 100, "send": 10, "wait": 90, "receive": 100}
    )
    assert entry["_waited"] == {"host": 300, "total": 100}
    assert entry["_lost"] == pytest.approx(50)
    assert entry["_proxy"] == pytest.approx(50)
    assert (entry["_resent"], entry["time"]) == (1, pytest.approx(900))


def test_what_urllib3_has_written_is_not_known_in_parts(tmp_path):
    recorder = Recorder()
    with Site() as site, DropIn(on_event=recorder) as pool:
        pool.request("POST", site.url + "/x", body=b"abc")
    (entry,) = entries(recorder, tmp_path)
    assert (entry["request"]["headersSize"], entry["request"]["bodySize"]) == (-1, -1)
    assert entry["request"]["url"] == site.url + "/x"
    assert entry["response"]["status"] == 200


SECRETS = {
    "request_head": b"GET / HTTP/1.1\r\nAuthorization: Bearer hush1\r\nCookie: a=hush2\r\nX-Api-Key: hush3\r\n"
    b"Proxy-Authorization: Basic hush4\r\nX-Session-Id: hush5\r\nReferer: http://u:hush6@a/?token=hush7\r\n\r\n",
    "response_lines": (b"Set-Cookie: sid=hush8; Path=/", b"Location: /?access_token=hush9&page=2", b"Server: seen"),
    "url": f"{A}/?api_key=hush10&q=seen&password=hush11",
}


def test_secrets_are_left_out(tmp_path):
    recorder = told(Recorder(), done(0, **SECRETS))
    text = json.dumps(entries(recorder, tmp_path))
    assert "hush" not in text
    assert "q=seen" in text
    assert "page=2" in text
    assert "seen" in text
    assert "hush" not in recorder.waterfall()


def test_all_of_the_query_can_be_left_out(tmp_path):
    recorder = told(Recorder(hide_query=True), done(0, url=f"{A}/x?q=hush&flag&empty="))
    (entry,) = entries(recorder, tmp_path)
    assert entry["request"]["url"] == f"{A}/x?q=***&***&empty=***"
    assert "hush" not in recorder.waterfall()


def test_credentials_of_a_pool_are_in_neither_file(tmp_path):
    recorder = Recorder()
    with Site() as site:
        host = HostConfig(headers={"Authorization": "Basic hush"}, proxy=site.url.replace("://", "://me:hush@"))
        with PoolManager(defaults=host, on_event=recorder) as pool:
            pool.request("GET", "http://me:hush@elsewhere.example/")
    (entry,) = entries(recorder, tmp_path)
    assert {"name": "Proxy-Authorization", "value": "***"} in entry["request"]["headers"]
    for text in (json.dumps(entry), recorder.waterfall(), repr(recorder.requests)):
        assert "hush" not in text
        assert "aHVzaA" not in text  # in base64
        assert "bWU6aHVzaA" not in text


def test_a_file_that_cannot_be_written_leaves_what_was_there(tmp_path):
    (tmp_path / "file").write_text("here")
    with pytest.raises(OSError, match="file"):
        Recorder().save_har(tmp_path / "file" / "x.har")
    assert (tmp_path / "file").read_text() == "here"
