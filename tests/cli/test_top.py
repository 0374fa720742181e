"""`keeppool top`: what it shows equals what the pool says; keys, sizes, and every way it can end."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from io import StringIO

import pytest
from cli.conftest import LIMIT_S
from cli.terminals import terminal
from rich.console import Console

import keeppool
from keeppool import Limits, observe
from keeppool.cli import arguments, keys, main
from keeppool.cli.top_figures import ORDERS, History, ordered
from keeppool.cli.top_view import Outlook, View
from keeppool.events import Why
from keeppool.observe import Told
from keeppool.stats import Held, HostStats, PaceStats, ProxyStats, Stats
from keeppool.testing import Behaviour

LONG = bytes(1 << 20)


@pytest.fixture
def session():
    with keeppool.Session(Limits(per_host=2)) as made:
        yield made


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "pool.sock")


# Without a terminal


def test_once_writes_the_table_that_the_process_itself_would_print(session, path, sites, run):
    site = sites.add()
    for _ in range(3):
        session.get(site.url)
    with observe.serve(session, path):
        code, out, err = run("top", path, "--once")
    assert (code, err) == (0, "")
    first, _, rest = out.partition("\n")
    assert re.fullmatch(rf"\d\d:\d\d:\d\d  .* \(pid {os.getpid()}\)", first)
    assert rest.strip() == str(session.stats())


def test_json_has_the_same_values_and_a_rate(session, path, sites, start):
    site = sites.add()
    session.get(site.url)
    with observe.serve(session, path):
        process = start("top", path, "--json", "--interval", "0.1")
        first = json.loads(process.stdout.readline())
        session.get(site.url)
        second = json.loads(process.stdout.readline())
        while second["stats"]["requests"] < 2:
            second = json.loads(process.stdout.readline())
        assert second["rate"] > 0
        assert second["stats"] == session.stats().to_dict()
    assert (first["rate"], first["pid"]) == (None, os.getpid())
    # Who serves has hung up: nothing more comes, and it says so.
    assert process.wait(LIMIT_S) == 0
    assert f"(pid {os.getpid()}) tells no more" in process.stderr.read()


def test_a_reader_that_has_gone_ends_it(session, path, start):
    with observe.serve(session, path):
        process = start("top", path, "--json", "--interval", "0.1")
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(LIMIT_S) == 1
        assert process.stderr.read() == ""


def test_ctrl_c_ends_it(session, path, start):
    with observe.serve(session, path):
        process = start("top", path, "--interval", "0.1")
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT_S) == 130
        assert process.stderr.read() == "keeppool: interrupted\n"
        with observe.Remote(path) as remote:  # Who is looked at has not noticed.
            remote.told()


@pytest.mark.parametrize("address", ["/nowhere/pool.sock", "127.0.0.1:1"])
def test_where_nobody_answers_it_says_so(address, capsys):
    assert main(["top", address]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"keeppool: nobody answers at {address}: ")


def test_on_a_port_the_token_comes_from_the_environment_or_a_file(session, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("KEEPPOOL_TOKEN", raising=False)
    with observe.serve(session, ("127.0.0.1", 0)) as serving:
        assert main(["top", serving.address, "--once"]) == 1
        assert "token" in capsys.readouterr().err
        monkeypatch.setenv("KEEPPOOL_TOKEN", serving.token)
        assert main(["top", serving.address, "--once"]) == 0
        monkeypatch.delenv("KEEPPOOL_TOKEN")
        file = tmp_path / "token"
        file.write_text(f"{serving.token}\n")
        assert main(["top", serving.address, "--once", "--token-file", str(file)]) == 0
        capsys.readouterr()
        assert main(["top", serving.address, "--token-file", str(tmp_path / "none")]) == 2
        assert "the token cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("seconds", ["0", "0.01", "nan", "x", "-1", "99999"])
def test_an_interval_that_makes_no_sense_is_refused(seconds, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["top", "x.sock", "--interval", seconds])
    assert caught.value.code == 2
    assert "--interval" in capsys.readouterr().err


def test_the_help_lists_the_orders_there_are():
    assert tuple(ORDERS) == arguments._TOP_ORDERS


# On a terminal


def test_keys_choose_sort_pause_and_look_closer(session, path, sites):
    one, two = sites.add(), sites.add(Behaviour(body=LONG))
    for _ in range(3):
        session.get(one.url)
    held = session.get(two.url, stream=True)
    with observe.serve(session, path), terminal("top", path, "--interval", "0.1") as shown:
        shown.until("by busiest")
        shown.until(one.url)
        shown.until("unread since")
        shown.press("s")
        shown.until("by waiting")
        shown.press("\x1b[B\x1b[B\x1b[A")
        shown.until("▸")
        shown.press("\r")
        shown.until("a request ")
        shown.press("\x1b")
        shown.until("by waiting")
        shown.press("p")
        shown.until("PAUSED")
        session.get(one.url)
        shown.press("p")
        shown.until("5 in all")
        shown.press("q")
        assert shown.end() == (0, "")
    held.close()


def test_it_ends_when_the_other_side_does(session, path):
    serving = observe.serve(session, path)
    with terminal("top", path, "--interval", "0.1") as shown:
        shown.until("nobody")
        serving.close()
        code, errors = shown.end()
    assert code == 0
    assert f"(pid {os.getpid()}) tells no more" in errors


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_it_and_leaves_the_terminal_as_it_was(session, path, number, code):
    with observe.serve(session, path), terminal("top", path, "--interval", "0.1") as shown:
        shown.until("nobody")
        shown.process.send_signal(number)
        ended, errors = shown.end()
    assert ended == code
    assert errors == ("keeppool: interrupted\n" if number == signal.SIGINT else "")


@pytest.mark.slow
def test_a_process_that_does_not_answer_is_waited_for_and_keys_still_work(session, path, monkeypatch):
    from keeppool.observe import serving as module

    told, gate = module._told, threading.Event()
    gate.set()

    def slow(watched):
        gate.wait(LIMIT_S)
        return told(watched)

    monkeypatch.setattr(module, "_told", slow)
    with observe.serve(session, path), terminal("top", path, "--interval", "0.1") as shown:
        shown.until("nobody")
        gate.clear()
        shown.press("s")
        shown.until("by waiting")
        shown.until("no answer since")
        gate.set()
        shown.press("p")
        shown.until("PAUSED")
        shown.press("q")
        assert shown.end()[0] == 0


# What is drawn


def told(at: float, hosts: dict[str, HostStats], **figures: int) -> Told:
    held = tuple(Held(origin=name, connection=7, held_s=4.2, served=3, unread_since="crawl.py:33") for name in hosts)
    stats = Stats(hosts=hosts, closed_by={Why.EVICTED: 12, Why.SERVER_CLOSE: 3}, cap=256, **figures)
    return Told(at=at, pid=4711, program="crawl.py", stats=stats, held=held)


def drawn(outlook: Outlook, width: int, height: int, hosts: dict[str, HostStats], encoding: str = "utf-8") -> list[str]:
    out = StringIO()
    console = Console(file=out, width=width, height=height, force_terminal=True, color_system=None, markup=False)
    console.file = _Encoded(out, encoding)
    history = History()
    history.frame(told(100.0, hosts))
    frame = history.frame(told(101.0, hosts, requests=20, queued=3, waiting=sum(one.waiting for one in hosts.values())))
    console.print(View(console, "a.sock").draw(frame, history, outlook), end="")
    return out.getvalue().removesuffix("\n").split("\n")


class _Encoded:
    """A file with an encoding of its own."""

    def __init__(self, file: StringIO, encoding: str) -> None:
        self.write, self.flush, self.encoding = file.write, file.flush, encoding


MANY = {
    f"http://host-{number}.{'long-' * 20}example:80": HostStats(
        open=number % 7, busy=number % 7, waiting=number, waiting_s=number, cap=6, requests=10**9, held_s=1e6
    )
    for number in range(60)
}


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (40, 10), (200, 60)])
@pytest.mark.parametrize("inside", [False, True])
def test_a_frame_fills_the_terminal_and_no_more(width, height, inside, encoding):
    outlook = Outlook(chosen=next(iter(MANY)), inside=inside, notice="no answer since 12:00:00")
    lines = drawn(outlook, width, height, MANY, encoding)
    assert len(lines) == height
    assert max(map(len, lines)) <= width
    assert "q quit" in lines[-1]
    if encoding == "ascii":
        assert all(line.isascii() for line in lines)


def test_wide_terminals_get_more_columns():
    narrow, wide = (next(line for line in drawn(Outlook(), width, 30, MANY) if "req/s" in line) for width in (80, 120))
    assert "requests" not in narrow.partition("busiest")[2]
    assert wide.split()[-3:] == ["requests", "failed", "closed"]


def test_the_chosen_host_is_on_the_screen_however_many_there_are():
    for chosen in MANY:
        assert any(line.startswith("▸") for line in drawn(Outlook(chosen=chosen, order="name"), 80, 24, MANY))


def test_a_host_cannot_steer_the_terminal():
    hosts = {"http://\x1b[2Jevil\x07:80": HostStats(open=1, cap=6)}
    for inside in (False, True):
        text = "".join(drawn(Outlook(chosen=next(iter(hosts)), inside=inside), 80, 24, hosts))
        assert "\x1b[2J" not in text
        assert "\x07" not in text


def test_an_empty_pool_and_proxies_are_drawn_too():
    assert any("nobody" in line for line in drawn(Outlook(), 80, 24, {}))
    stats = Stats(proxies={"http://proxy:3128": ProxyStats(open=3, cap=32)})
    frame = History().frame(Told(at=1.0, pid=1, program="", stats=stats, held=()))
    out = StringIO()
    console = Console(file=out, width=100, height=20, force_terminal=True, color_system=None)
    console.print(View(console, "a.sock").draw(frame, History(), Outlook()), end="")
    assert "http://proxy:3128 3/32" in out.getvalue()


# Figures


def test_rates_are_what_has_come_between_two_frames():
    history = History()
    a, b = "http://a:80", "http://b:80"
    first = history.frame(told(10.0, {a: HostStats(requests=100)}, requests=100))
    assert (first.rate, first.lines[0].rate) == (None, None)
    second = history.frame(told(12.0, {a: HostStats(requests=120), b: HostStats(requests=5)}, requests=125, opened=4))
    assert (second.rate, second.opened_rate, second.queued_rate) == (12.5, 2.0, 0.0)
    assert [line.rate for line in second.lines] == [10.0, None]
    assert history.rates(a) == [10.0]


def test_a_host_that_was_away_comes_back_with_the_rate_of_the_whole_time():
    history, a = History(), "http://a:80"
    history.frame(told(10.0, {a: HostStats(requests=100)}))
    history.frame(told(11.0, {}))
    assert history.frame(told(15.0, {a: HostStats(requests=110)})).lines[0].rate == 2.0
    # Forgotten by the pool, which counts it anew.
    history.frame(told(16.0, {}))
    assert history.frame(told(17.0, {a: HostStats(requests=1)})).lines[0].rate is None


def test_a_clock_that_is_set_back_makes_no_rates():
    history = History()
    history.frame(told(10.0, {}, requests=1))
    assert history.frame(told(9.0, {}, requests=2)).rate is None


@pytest.mark.parametrize("order", ORDERS)
def test_hosts_of_equal_rank_stand_by_name(order):
    frame = History().frame(told(1.0, {name: HostStats() for name in ("c", "a", "b")}))
    assert [line.name for line in ordered(frame, order)] in (["a", "b", "c"], ["c", "b", "a"])


def test_the_busiest_is_who_waits_then_who_works():
    hosts = {"idle": HostStats(open=6, idle=6), "works": HostStats(busy=6), "waits": HostStats(waiting=1)}
    frame = History().frame(told(1.0, hosts))
    assert [line.name for line in ordered(frame, "busiest")] == ["waits", "works", "idle"]


def test_several_keys_at_once_are_told_apart():
    read, write = os.pipe()
    try:
        os.write(write, b"s\x1b[Bq\x1bOA\x1b[6~\r\x1b")
        pressed = keys.Keys(read)
        names = [pressed.wait(0) for _ in range(8)]
    finally:
        os.close(write)
    assert names == ["s", "down", "q", "up", "page down", "enter", "escape", None]
    assert pressed.wait(0) is None
    os.close(read)


def test_a_pace_is_shown_where_there_is_one():
    paces = {"a.example:443": PaceStats(waiting=3, held_s=2.0), "b.example:80": PaceStats(waiting=1)}
    frame = History().frame(Told(at=1.0, pid=1, program="", stats=Stats(paces=paces), held=()))
    out = StringIO()
    console = Console(file=out, width=80, height=24, force_terminal=True, color_system=None)
    console.print(View(console, "a.sock").draw(frame, History(), Outlook()), end="")
    assert "pace      4 in line at 2 hosts   1 held by Retry-After" in out.getvalue()
    assert len(out.getvalue().removesuffix("\n").split("\n")) == 24
