"""`--waterfall` and `--har` of `keeppool fetch`, `--waterfall` of `keeppool demo`."""

from __future__ import annotations

import json
import re
import signal

import pytest
from cli.conftest import LIMIT_S, lines_of

from keeppool import har
from keeppool.cli import main
from keeppool.testing import Behaviour, ScriptedServer, Site


def drawn(path) -> dict:
    """Read what a waterfall is to draw."""
    return json.loads(re.search(r'id="data">(.*?)</script>', path.read_text(encoding="utf-8"), re.DOTALL)[1])


def test_fetch_draws_what_it_did(tmp_path, capsys):
    page, archive = tmp_path / "new" / "w.html", tmp_path / "w.har"
    with Site(Behaviour(body=100)) as site:
        urls = [f"{site.url}/{number}?key=hush" for number in range(20)] + ["http://127.0.0.1:1/"]
        assert main(["fetch", *urls, "--waterfall", str(page), "--har", str(archive), "--per-host", "2"]) == 1
    data = drawn(page)
    assert len(data["requests"]) == 21
    assert {host["cap"] for host in data["hosts"]} == {2}
    assert {row[5] for row in data["sockets"]} == {"pool_closed"}, "sockets are drawn to their end"
    entries = har.parse(archive.read_bytes(), is_whole=True)
    assert len(entries) == 21
    assert "hush" not in archive.read_text() + page.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "w.har"]
    capsys.readouterr()


def test_what_was_done_is_drawn_although_it_was_interrupted(start, tmp_path):
    page = tmp_path / "w.html"
    with Site() as site, ScriptedServer(lambda connection: connection.read_until_closed()) as mute:
        process = start("fetch", f"{site.url}/1", f"{mute.url}/2", "--waterfall", str(page), "--json")
        assert json.loads(process.stdout.readline())["status"] == 200
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=LIMIT_S)
        assert process.returncode == 130
    assert "/1" in page.read_text()


@pytest.mark.parametrize("option", ["--waterfall", "--har"])
def test_nothing_is_begun_if_it_cannot_be_written(tmp_path, capsys, option):
    (tmp_path / "file").write_text("")
    with Site() as site:
        for place in (tmp_path / "file" / "w", tmp_path):
            assert main(["fetch", site.url, option, str(place)]) == 2
            assert capsys.readouterr().err.startswith(f"keeppool: cannot write to {place}: ")
        assert site.requests == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_a_pipe_is_written_to(start):
    with Site() as site:
        process = start("fetch", f"{site.url}/1", "--har", "/dev/fd/1")
        said, _ = process.communicate(timeout=LIMIT_S)
    assert len(har.parse(said[said.index("{") : said.rindex("}") + 1].encode())) == 1


def test_the_demo_draws_its_first_round_and_names_the_file_last(tmp_path, capsys):
    page = tmp_path / "demo.html"
    assert main(["demo", "--pages", "60", "--waterfall", str(page)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"what each socket did: {page}"
    data = drawn(page)
    assert len(data["requests"]) == 60
    assert len(data["hosts"]) == 12
    assert all(row[4] is not None for row in data["sockets"])


def test_the_demo_tells_how_to_draw_it(capsys):
    assert main(["demo", "--pages", "12"]) == 0
    assert "keeppool demo --waterfall demo.html" in capsys.readouterr().out.splitlines()[-1]


def test_the_demo_counts_the_same_when_it_is_drawn(tmp_path, capsys):
    assert main(["demo", "--json", "--pages", "120", "--waterfall", str(tmp_path / "demo.html")]) == 0
    *_, totals = lines_of(capsys.readouterr().out)
    assert totals["requests"] == totals["opened"] + totals["reused"] - totals["resent"] == 120
    assert len(drawn(tmp_path / "demo.html")["sockets"]) == totals["opened"]
