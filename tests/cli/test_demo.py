"""`keeppool demo`: its figures fit together, under every preset."""

from __future__ import annotations

import re
import threading

import pytest
from cli.conftest import lines_of

from keeppool import presets
from keeppool.cli import demo as verb
from keeppool.cli import demo_sites, main
from keeppool.cli.demo_round import Round
from keeppool.cli.demo_sites import Character, open_pair, open_sites
from keeppool.cli.report import _verdict, demo_totals
from keeppool.config import Limits
from keeppool.testing import Answer, Behaviour, Site, Sites


def demo(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict]:
    """Run it in this process, without an error; give its JSON lines."""
    code = main(["demo", "--json", *arguments])
    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    return lines_of(out)


def test_the_totals_are_the_sum_of_the_hosts(capsys):
    """Every page is fetched once, every socket is closed for one reason, and no figure contradicts another."""
    *lines, totals = demo(capsys)
    hosts = totals["hosts"]
    assert totals["requests"] == 600
    assert totals["errors"] == 0
    assert len(hosts) == 12
    for key in ("requests", "opened", "reused", "resent"):
        assert totals[key] == sum(host[key] for host in hosts), key
    assert totals["opened"] + totals["reused"] == totals["requests"] + totals["resent"]
    assert sum(totals["closed_by"].values()) == totals["opened"]
    for host in hosts:
        assert sum(host["closed_by"].values()) == host["opened"], host
        assert host["peak"] <= host["cap"] == 6
        assert host["late"] == 0
    assert [line["keep_alive"] for line in lines if line["kind"] == "host"] == [True] * 12 + [False] * 12
    assert [line for line in lines if line["kind"] != "host"] == [
        {"kind": "pipelining_host", **host} for host in totals["pipelining"]
    ]


def test_without_keep_alive_every_page_costs_a_socket(capsys):
    """The comparison is about the same work, and keep-alive saves sockets."""
    totals = demo(capsys)[-1]
    without = totals["without_keep_alive"]
    assert without["opened"] == without["requests"] == 600
    assert without["reused"] == without["errors"] == 0
    assert totals["opened"] < 400


def test_the_pair_differs_in_nothing_but_pipelining(capsys):
    """The same pages through no more connections, one host with requests behind others and one without."""
    alone, piped = demo(capsys, "--pages", "180")[-1]["pipelining"]
    for host in alone, piped:
        assert (host["requests"], host["errors"], host["round_trip_s"]) == (180, 0, 0.03)
        assert host["opened"] + host["reused"] == host["requests"] + host["resent"]
        assert sum(host["closed_by"].values()) == host["opened"]
        assert host["peak"] <= host["cap"] == 6
    assert (alone["pipelining"], alone["piped"]) == (1, 0)
    assert piped["pipelining"] == 8
    assert piped["piped"] > 0


def test_behaviour_show_in_the_reasons_to_close(capsys):
    """What makes a host special is what its sockets are closed for."""
    reasons = {host["behaviour"]: host["closed_by"] for host in demo(capsys)[-1]["hosts"]}
    assert reasons["HTTP/1.1, no hints"].keys() == {"pool_closed"}
    assert reasons["closes after each"] == {"server_close": 50}
    assert reasons["HTTP/1.0 without"] == {"server_close": 50}
    assert reasons["body ends at close"] == {"close_delimited": 50}
    assert "peer_closed" in reasons["hangs up after 9"]


@pytest.mark.parametrize("name", presets.NAMES)
def test_each_preset_runs_and_its_caps_hold_in_the_servers_eyes(capsys, name):
    """A browser's caps are kept, per host as the servers count and in total as the pool counts."""
    limits = presets.by_name(name)
    totals = demo(capsys, "--preset", name.lower(), "--pages", "120", "--threads", "60")[-1]
    assert totals["errors"] == 0
    assert max(host["peak"] for host in totals["hosts"] + totals["pipelining"]) <= limits.per_host
    assert limits.total is None or totals["peak_total"] <= limits.total


def test_fewer_pages_than_hosts(capsys):
    """Hosts nobody visits are told with noughts."""
    totals = demo(capsys, "--pages", "1")[-1]
    assert totals["requests"] == 1
    assert [host["requests"] for host in totals["hosts"]] == [1] + [0] * 11
    assert [host["requests"] for host in totals["pipelining"]] == [1, 1]


def test_the_table_fits_into_80_columns_and_says_0_errors(run, monkeypatch):
    """A newcomer sees a whole table and no control sequence where standard output is no terminal."""
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = run("demo")
    assert (code, err) == (0, "")
    assert "0 errors;" in out
    assert "\x1b" not in out
    assert "…" not in out
    assert max(map(len, out.splitlines())) <= 80
    assert len(re.findall(r"^127\.0\.0\.", out, re.MULTILINE)) == 12 + 2
    assert "With HostConfig(pipelining=8) " in out


def test_a_wrong_page_is_an_error():
    """The demo compares what it gets: a status or a body that is not the page's is counted."""
    with Sites() as sites:
        hosts = open_sites(sites)
        hosts[0].site.handler = lambda _: Answer(body=b"another page")
        hosts[1].site.handler = lambda _: Answer(status=500)
        current = Round(hosts, 24, 4, Limits(), keep_alive=True)
        errors = [visit.error for visit in current if visit.error]
        outcome = current.outcome()
    assert sorted(outcome.errors) == sorted(errors)
    assert demo_totals(outcome, outcome, [])["errors"] == 4
    assert str(_verdict(outcome, outcome, [])).startswith("8 errors; ")
    assert len(errors) == 4
    assert sum("not the page" in error for error in errors) == 2
    assert sum("HTTPError: 500" in error for error in errors) == 2


def test_a_wrong_page_of_the_pair_is_an_error(capsys, monkeypatch):
    """So it is for tasks: counted for its host and in the sentence with all errors, told, and in the exit code."""
    monkeypatch.setattr(verb, "open_pair", _spoilt_pair)
    assert main(["demo", "--pages", "12", "--json"]) == 1
    out, err = capsys.readouterr()
    totals = lines_of(out)[-1]
    assert totals["errors"] == 0
    assert [host["errors"] for host in totals["pipelining"]] == [1, 12]
    assert "/page/3: not the page that was asked for\n" in err
    assert "HTTPError: 500" in err
    assert main(["demo", "--pages", "12"]) == 1
    assert "13 errors; " in capsys.readouterr().out


def _spoilt_pair(sites: Sites) -> list[demo_sites.Host]:
    one, all_of_it = pair = open_pair(sites)
    right = one.site.handler
    one.site.handler = lambda request: Answer(body=b"another page") if request.path == "/page/3" else right(request)
    all_of_it.site.handler = lambda _: Answer(status=500)
    return pair


def test_an_address_that_is_not_there_is_replaced_by_a_port():
    """Where 127.0.0.2 and its siblings cannot be bound, the sites share 127.0.0.1."""
    with Sites() as sites:
        host = demo_sites._open(sites, Character("plain", Behaviour()), "192.0.2.1", 0.0)
        assert host.site.host == "127.0.0.1"
        assert host.name == f"127.0.0.1:{host.site.port}"


def test_an_unknown_preset_is_told_with_those_there_are(capsys):
    """Exit code 2, and one line."""
    assert main(["demo", "--preset", "mosaic"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"keeppool: preset='mosaic': must be one of {', '.join(presets.NAMES)}\n"


def test_no_thread_is_left(capsys):
    """The sites' thread, the workers and the pool's own threads end with the command."""
    before = set(threading.enumerate())
    demo(capsys, "--pages", "24")
    left = set(threading.enumerate()) - before
    for thread in left:
        thread.join(10)
    assert not any(thread.is_alive() for thread in left)


def test_the_view_shows_sockets_by_state():
    """Busy, idle and free sockets have signs of their own, as many as the cap allows."""
    from keeppool.cli.console import standard_output
    from keeppool.cli.demo_view import View
    from keeppool.stats import HostStats

    with Sites() as sites:
        current = Round(open_sites(sites), 1, 1, Limits(), keep_alive=True)
        view = View(standard_output(), current, "title")
        shown = view._signs.sockets(HostStats(open=3, busy=2, idle=1, connecting=1), current.limits.per_host).plain
        assert len(shown) == 6
        assert len(set(shown)) == 4
        assert list(current)
        assert isinstance(next(iter(sites)), Site)
