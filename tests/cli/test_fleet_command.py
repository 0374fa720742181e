"""`keeppool fleet`: it shows what pools hold; what it takes away is another's at once; and every way it can end."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from cli.conftest import lines_of
from cli.terminals import terminal
from live import servers

from keeppool import HostConfig, PoolManager, Timeout
from keeppool.cli import main
from keeppool.errors import PoolClosed, PoolTimeout
from keeppool.fleet.script import keys_of
from keeppool.testing import ScriptedServer, Site

redis = pytest.importorskip("redis")

CAP = 4


@pytest.fixture
def url(redis_port: int) -> str:
    return f"redis://127.0.0.1:{redis_port}/0"


@contextmanager
def member(url: str, site: Site, held: int, name: str = "crawl", **options: Any) -> Iterator[PoolManager]:
    """Have a pool hold so many connections to a site."""
    with PoolManager(
        fleet=f"{url}?name={name}&timeout=0.5", defaults=HostConfig(fleet_per_host=CAP, **options)
    ) as pool:
        responses = [pool.request("GET", f"{site.url}/bytes/1000000", stream=True) for _ in range(held)]
        try:
            yield pool
        finally:
            for response in responses:
                response.close()


def told(capsys: Any, *arguments: str) -> dict[str, Any]:
    assert main(["fleet", "status", *arguments, "--json"]) == 0
    (moment,) = lines_of(capsys.readouterr().out)
    return moment["fleets"]


def test_status_tells_who_holds_what(url: str, capsys: Any) -> None:
    """By host, each pool with its machine and process; the pace; whoever asks and gets nothing."""
    with Site() as site, member(url, site, 3, pace=5) as one, member(url, site, 1) as two:
        key = f"127.0.0.1:{site.port}"

        def ask() -> None:
            with pytest.raises(PoolClosed):
                two.request("GET", site.url, timeout=Timeout(pool=60))

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            while not (fleets := told(capsys, url))["crawl"][key]["members"][-1]["asks"]:
                pass
            record = fleets["crawl"][key]
            assert (record["cap"], record["held"], record["pace"]["gap_s"]) == (CAP, CAP, 0.2)
            names = {one.stats().fleet.member: 3, two.stats().fleet.member: 1}  # type: ignore[union-attr]
            assert {row["member"]: row["held"] for row in record["members"]} == names
            assert {(row["host"], row["pid"]) for row in record["members"]} == {
                (socket.gethostname(), str(os.getpid()))
            }
            assert all(row["since_s"] >= 0 and 0 < row["lease_s"] <= 20 for row in record["members"])
            assert main(["fleet", "status", url]) == 0
            out = capsys.readouterr().out
            assert re.search(r"^\d\d:\d\d:\d\d  fleet crawl: 4 connections, 2 members$", out, re.MULTILINE)
            assert re.search(rf"^{re.escape(key)} +4 of 4 +1 +5/s$", out, re.MULTILINE)
            asks = two.stats().fleet.member  # type: ignore[union-attr]
            assert re.search(rf"^  {re.escape(asks)} +1 .* s  asks$", out, re.MULTILINE)
        finally:
            two.close()
            asking.join()


def test_one_fleet_of_several_is_shown_by_its_name(url: str, capsys: Any) -> None:
    """Names that mean something to a pattern are names all the same."""
    with Site() as site, member(url, site, 1, "a*"), member(url, site, 1, "ab"):
        assert set(told(capsys, url)) == {"a*", "ab"}
        assert set(told(capsys, url, "--name", "a*")) == {"a*"}
        assert set(told(capsys, f"{url}?name=ab")) == {"ab"}
        assert main(["fleet", "status", url, "--name", "[a]b"]) == 0
        assert capsys.readouterr().out == "nobody has or wants anything of fleet [a]b\n"


def test_drop_takes_away_what_a_process_holds(url: str, capsys: Any) -> None:
    """What a process holds that hangs is another's at once, though its leases would last."""
    with Site() as site, member(url, site, 0) as other:
        key = site.url.removeprefix("http://")
        by_hand(url, "one:17:aa.1", "one:17:aa.2", key=key)
        with pytest.raises(PoolTimeout, match="the fleet allows 0"):
            other.request("GET", site.url, timeout=Timeout(pool=0.05))
        assert main(["fleet", "drop", "crawl", "17", "--url", url]) == 0
        said = f"one:17 (2 pools) has lost {CAP} connections of fleet crawl\n  {key}  {CAP}\n"
        assert capsys.readouterr().out.startswith(said)
        assert other.request("GET", site.url, timeout=Timeout(pool=30)).status == 200


def by_hand(url: str, *members: str, key: str = "a.example:443") -> Any:
    client = redis.Redis.from_url(url)
    keys = keys_of("crawl", key)
    for name in members:
        client.zadd(keys[0], {name: 9e12})
        client.hset(keys[1], name, 2)
        client.hincrby(keys[1], "*", 2)
    return client


def test_drop_says_whom_it_cannot_mean(url: str, capsys: Any) -> None:
    client = by_hand(url, "one:17:aa", "two:17:bb", "two:18:cc", "x::1:19:dd")
    for arguments, code, said in (
        (("other", "17"), 1, "nobody has or wants anything of fleet other; there is crawl"),
        (("crawl", "16"), 1, "no member 16 is in fleet crawl; there are one:17, two:17, two:18, x::1:19"),
        (("crawl", "17"), 2, "17 means several processes: say which, one of one:17, two:17"),
    ):
        assert main(["fleet", "drop", *arguments, "--url", url]) == code
        assert capsys.readouterr().err == f"keeppool: {said}\n"
    assert client.hget(keys_of("crawl", "a.example:443")[1], "*") == b"8"
    for pid in ("two:17", "18", "x::1:19"):
        assert main(["fleet", "drop", "crawl", pid, "--url", url]) == 0
    assert client.hget(keys_of("crawl", "a.example:443")[1], "*") == b"2"
    assert client.zrange(keys_of("crawl", "a.example:443")[0], 0, -1) == [b"one:17:aa"]


def test_drop_takes_two_containers_with_one_name_and_number_for_two(url: str, capsys: Any) -> None:
    """Who is meant has to be said; the process with all its pools, or one of these."""
    client = by_hand(url, "app:1:aa.1", "app:1:aa.2", "app:1:bb.1", "other:1:cc.1", "app:2:dd.1")
    for pid, said in (("1", "app:1:aa, app:1:bb, other:1"), ("app:1", "app:1:aa, app:1:bb")):
        assert main(["fleet", "drop", "crawl", pid, "--url", url]) == 2
        error = f"keeppool: {pid} means several processes: say which, one of {said}\n"
        assert capsys.readouterr().err == error
    assert main(["fleet", "drop", "crawl", "9", "--url", url]) == 1
    assert "; there are app:1:aa, app:1:bb, app:2, other:1" in capsys.readouterr().err
    held = keys_of("crawl", "a.example:443")[1]
    assert client.hget(held, "*") == b"10", "nothing was taken away"
    for pid, title, left in (
        ("app:1:aa", "app:1:aa (2 pools) has lost 4 connections", b"6"),
        ("app:1:bb.1", "app:1:bb.1 has lost 2 connections", b"4"),
        ("1", "other:1 has lost 2 connections", b"2"),
    ):
        assert main(["fleet", "drop", "crawl", pid, "--url", url]) == 0
        assert capsys.readouterr().out.startswith(title)
        assert client.hget(held, "*") == left


def test_members_of_one_process_have_one_mark_and_those_of_another_have_another(url: str, capsys: Any) -> None:
    with Site() as site, member(url, site, 1), member(url, site, 1):
        names = [row["member"] for row in told(capsys, url)["crawl"][f"127.0.0.1:{site.port}"]["members"]]
        ours, theirs = os.pipe()
        if not (child := os.fork()):
            try:
                with PoolManager(fleet=url) as pool:
                    os.write(theirs, pool.stats().fleet.member.encode())  # type: ignore[union-attr]
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        another = os.read(ours, 200).decode()
        os.close(ours)
        os.close(theirs)
    assert len(set(names)) == 2
    assert len({name.rpartition(".")[0] for name in names}) == 1
    marks = [name.rpartition(":")[2].partition(".")[0] for name in (names[0], another)]
    assert marks[0] != marks[1]


def test_drop_in_json(url: str, capsys: Any) -> None:
    by_hand(url, "one:17:aa.1", "one:17:aa.2")
    assert main(["fleet", "drop", "crawl", "17", "--url", url, "--json"]) == 0
    dropped = {name: {"a.example:443": 2} for name in ("one:17:aa.1", "one:17:aa.2")}
    assert json.loads(capsys.readouterr().out) == {"fleet": "crawl", "dropped": dropped}


def test_the_url_comes_from_the_environment_too(url: str, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KEEPPOOL_FLEET", raising=False)
    assert main(["fleet", "status"]) == 2
    assert "KEEPPOOL_FLEET" in capsys.readouterr().err
    monkeypatch.setenv("KEEPPOOL_FLEET", url)
    assert told(capsys) == {}


def test_strange_names_and_keys_of_others_are_shown_and_cannot_steer_the_terminal(url: str, capsys: Any) -> None:
    client = by_hand(url, "evil\x1b[31m:1:aa", "no name at all", "\udcff:2:bb".encode("utf-8", "surrogateescape"))  # type: ignore[arg-type]
    client.set(keys_of("crawl", "b\n.example:443")[1], "not a hash")
    client.set("kp:crawl:{c}:elsewhere", "of somebody else")
    client.set(keys_of("crawl", "d")[5], "no number")
    assert main(["fleet", "status", url]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "b\\n.example:443  not as a fleet writes it" in out
    assert "a.example:443" in out
    assert told(capsys, url)["crawl"]["d"]["fault"]


# What stands where a Redis should


def test_without_a_redis_one_line_says_so(capsys: Any) -> None:
    assert main(["fleet", "status", f"redis://u:SECRET@127.0.0.1:{servers.free_port()}"]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert re.match(r"keeppool: 127.0.0.1:\d+: .*refused", err)
    assert "SECRET" not in err


@pytest.mark.parametrize(
    "said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", b"$-7\r\n", b"*99999999\r\n", b"\xff\xfe\r\n", b"+OK\r\n" * 20]
)
def test_a_server_that_is_no_redis_is_told(said: bytes, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keeppool.fleet.ledger.PATIENCE", 0.3)

    def speak(connection: Any) -> None:
        connection.read()
        connection.send(said)

    with ScriptedServer(speak) as server:
        assert main(["fleet", "status", f"redis://127.0.0.1:{server.port}"]) == 1
        assert main(["fleet", "drop", "crawl", "1", "--url", f"redis://127.0.0.1:{server.port}"]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 2)
    assert err.startswith(f"keeppool: 127.0.0.1:{server.port}: ")


def test_a_wrong_password_and_missing_rights_are_told_apart(url: str, capsys: Any) -> None:
    client = redis.Redis.from_url(url)
    client.config_set("requirepass", "right")
    client = redis.Redis.from_url(url, password="right")
    client.execute_command("ACL", "SETUSER", "guest", "on", ">guest", "~*", "+ping")
    for user, said in (
        (":wrong", "missing, or refused"),
        ("guest:guest", "may not do this"),
        ("", "missing, or refused"),
    ):
        at = url.replace("//", f"//{user}@" if user else "//")
        assert main(["fleet", "status", at]) == 1
        assert said in capsys.readouterr().err


# How it ends


def test_a_reader_that_has_gone_ends_it_quietly(url: str, start: Any) -> None:
    by_hand(url, "one:17:aa")
    process = start("fleet", "status", url, "--watch", "--interval", "0.1", "--json")
    assert process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(30) == 1


def test_ctrl_c_ends_it(url: str, start: Any) -> None:
    process = start("fleet", "status", url, "--watch", "--interval", "0.1")
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "keeppool: interrupted\n")


def test_watching_outlives_a_redis_that_goes_away(tmp_path: Any, start: Any) -> None:
    """It says so once, and goes on when Redis is back."""
    with servers.redis(tmp_path) as server:
        process = start("fleet", "status", f"redis://127.0.0.1:{server.port}", "--watch", "--interval", "0.1", "--json")
        assert process.stdout.readline()
        server.stop()
        said = process.stderr.readline()  # There is one line: whichever end of the connection was noticed first.
        assert str(server.port) in said, said
        again = servers.Redis(servers.program("redis-server"), server.port, tmp_path)
        try:
            again.wait_until_ready()
            for _ in range(200):  # what was written before is still to be read
                line = json.loads(process.stdout.readline())
                if line["fleets"] == {}:
                    break
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 130
        finally:
            again.stop()


def test_on_a_terminal_it_is_drawn_live(url: str) -> None:
    client = by_hand(url, "one:17:aa")
    with terminal("fleet", "status", url, "--watch", "--interval", "0.1") as shown:
        shown.until("2 connections, 1 member")
        by_hand(url, "two:18:bb")
        shown.until("4 connections, 2 members")
        client.flushall()
        shown.until("nobody has or wants")
        shown.process.send_signal(signal.SIGINT)
        assert shown.end() == (130, "keeppool: interrupted\n")
