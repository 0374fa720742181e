"""`keeppool probe`: what it prints, what of it can be pasted, and how it ends."""

from __future__ import annotations

import json
import re
import signal
import tomllib

import pytest
from cli.conftest import lines_of

import keeppool
from keeppool import HostConfig
from keeppool.cli import main
from keeppool.testing import Behaviour, RawConnection, ScriptedServer, Site

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
NOTHING = "\nNothing to set: nothing was seen that keeppool does not do by itself.\n"
LIMITED = Behaviour(hint_timeout=1, hint_max=4, drop_idle_s=0.4)


def test_a_report_says_what_was_found_and_what_to_paste(run, sites):
    site = sites.add(LIMITED)
    code, out, err = run("probe", site.url)
    assert (code, err) == (0, "")
    assert out.startswith(f"{site.url}\nanswers   HTTP/1.1, status 200\n")
    assert "says      Connection: keep-alive · Keep-Alive: timeout=1, max=4 (max falls, so it is what is left)\n" in out
    assert "requests  it ends a connection after 5, announced (server_close), and closes by FIN\n" in out
    assert re.search(r"^idle      4 closed after [0-9. to]+ s, .*, by FIN\nat once   ", out, re.MULTILINE)
    assert "\nat once   2 requests sent at once had their responses, whole; whether in order could not be seen: " in out
    assert "see docs/pipelining.md\nunasked   nothing\n" in out
    pasted = re.escape(f'\nin Python\n\nhosts={{"{site.url}": HostConfig(idle_timeout=')
    pasted += r"([0-9.]+), max_requests=5\)}\n\nor in keeppool.toml\n\n"
    pasted += re.escape(f'[host."{site.url}"]\nidle_timeout = ') + r"\1\nmax_requests = 5\n\Z"
    assert re.search(pasted, out)


def test_json_is_one_object_with_the_same_facts(run, sites):
    site = sites.add(LIMITED)
    code, out, err = run("probe", site.url, "--json")
    (found,) = lines_of(out)
    assert (code, err) == (0, "")
    assert (found["url"], found["host"], found["http_version"], found["status"]) == (site.url, site.url, "1.1", 200)
    assert (found["keep_alive"], found["timeout"], found["max"], found["max_means"]) == (
        "timeout=1, max=4",
        1,
        4,
        "left",
    )
    assert [found[f"requests{end}"] for end in ("", "_limit", "_why_close", "_hangup")] == [5, 5, "server_close", "fin"]
    assert [end["hangup"] for end in found["idle_ends"]] == ["fin"] * 4
    assert found["settings"]["idle_timeout"] < found["idle_seconds"] <= found["seconds"]
    assert set(found["settings"]) == {"idle_timeout", "max_requests"}
    assert (found["idle_408"], found["unasked"], found["troubles"]) == (False, False, [])
    assert (found["pipelined"]["verdict"], found["pipelined"]["may_set"]) == ("whole_in_order", 2)


@pytest.mark.parametrize("behaviour", [LIMITED, Behaviour(keep_alive=False)], ids=["limited", "never kept"])
def test_what_is_to_be_pasted_can_be_pasted(behaviour, sites, capsys, tmp_path):
    """Both forms are read back, and mean the same for the host that was asked."""
    site = sites.add(behaviour)
    assert main(["probe", site.url, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    path = tmp_path / "keeppool.toml"
    path.write_text(found["toml"], encoding="utf-8")
    hosts = eval(f"dict({found['python']})['hosts']", {"HostConfig": HostConfig, "dict": dict})
    assert hosts == dict(keeppool.load_config(path).hosts) == {site.url: HostConfig(**found["settings"])}
    assert tomllib.loads(found["toml"])["host"][site.url] == found["settings"]
    with keeppool.PoolManager(hosts=hosts) as pool:
        assert pool.request("GET", site.url).status == 200


def test_nothing_is_recommended_where_nothing_happened(sites, capsys):
    site = sites.add()
    assert main(["probe", site.url, "--max-wait", "0.5", "--max-requests", "3"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "says      nothing about it\nrequests  3 on one connection did not end it\nidle      open after 0." in out
    assert " s, and answered then\nat once   4 requests sent at once had their responses, whole; " in out
    assert out.endswith("\nunasked   nothing\n" + NOTHING)
    assert site.requests == 7 + 4 + 3 + 1


@pytest.mark.parametrize(
    ("behaviour", "sentence"),
    [
        (Behaviour(drop_idle_s=0.3, close_after=3), "requests  it closes after 3, unannounced, by FIN\n"),
        (Behaviour(drop_idle_s=0.3, close_after=3), " s, unannounced, by FIN\nat once   2 requests sent at once had "),
        (Behaviour(drop_idle_s=0.3, close_after=2), "\nat once   could not tell: it ends connections after 2 requests"),
        (
            Behaviour(hint_timeout=1, hint_max=3, hint_style="constant"),
            ", max=3 (max is constant, so it is the whole)\n",
        ),
        (Behaviour(hint_timeout=20, drop_idle_s=0.3), " s, earlier than announced, by FIN\n"),
        (Behaviour(hint_timeout=1), " s, as announced, by FIN\n"),
        (Behaviour(keep_alive=False), "says      Connection: close\nrequests  it ends a connection after 1, announced"),
        (Behaviour(http_version="1.0", drop_idle_s=0.3), "answers   HTTP/1.0, status 200\nsays      Connection: keep"),
    ],
)
def test_each_habit_has_its_sentence(sites, capsys, behaviour, sentence):
    assert main(["probe", sites.add(behaviour).url, "--max-requests", "6"]) == 0
    assert sentence in capsys.readouterr().out


def test_a_dead_idle_connection_is_not_called_open(capsys):
    """It looks open for as long as nobody sends; the counting fails too, as its connection is refused."""
    asked = [RawConnection.read_request, OK]
    script = [*asked, RawConnection.read_request, RawConnection.reset]
    with ScriptedServer(asked, script, RawConnection.reset) as server:
        assert main(["probe", server.url, "--max-wait", "0.2"]) == 0
    out = capsys.readouterr().out
    assert "requests  could not be counted\n" in out
    assert " s, but dead: something on the way had dropped it silently\n" in out
    assert "but       1 instead of 4 connections were left idle: " in out
    assert out.endswith("An idle_timeout is needed, and was not found: try with a smaller --max-wait.\n")


@pytest.mark.parametrize(
    ("responses", "sentence", "entry"),
    [
        (
            OK + b"no HTTP\r\n",
            "1 of 2 requests sent at once had their response, what followed is no HTTP: leave pipelining off\n",
            {"verdict": "mixed", "asked": 2, "answered": 1, "ordered": False, "may_set": 1},
        ),
        (
            OK,
            "1 of 2 requests sent at once had their response, then the connection was closed, unannounced: leave ",
            {"verdict": "closed_after_first", "asked": 2, "answered": 1, "ordered": False, "may_set": 1},
        ),
    ],
)
def test_a_server_that_breaks_off_requests_sent_at_once_is_named(capsys, responses, sentence, entry):
    ask = RawConnection.read_request
    scripts = [ask, OK, ask, ask, responses], [ask, OK]
    with ScriptedServer(*scripts) as server:
        assert main(["probe", server.url]) == 0
    assert f"\nat once   {sentence}" in capsys.readouterr().out
    with ScriptedServer(*scripts) as server:
        assert main(["probe", server.url, "--json"]) == 0
    (found,) = lines_of(capsys.readouterr().out)
    why = found["pipelined"].pop("why")
    assert (found["pipelined"], sentence.startswith(why)) == (entry, True)
    assert "pipelining" not in found["settings"]


def test_what_a_server_says_cannot_steer_the_terminal(capsys):
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\nKeep-Alive: \x9b31m\r\n\r\n"
    with ScriptedServer([RawConnection.read_request, answer]) as server:
        assert main(["probe", server.url]) == 0
    assert "Keep-Alive: \\x9b31m\n" in capsys.readouterr().out


def test_a_dead_host_is_one_line_and_exit_code_1(capsys):
    with Site() as site:
        url = site.url
    assert main(["probe", url]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"failed {url}  RefusedError: {url}: cannot connect: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["localhost"], "URL 'localhost' has no scheme; https://localhost perhaps"),
        (["http://localhost", "--max-wait", "0"], "max_wait=0.0: must be more than 0 seconds, or None for no limit"),
        (["http://localhost", "--timeout", "nan"], "must be more than 0 seconds, or None for no limit"),
    ],
)
def test_arguments_that_cannot_be_meant_are_one_line_and_exit_code_2(capsys, arguments, why):
    assert main(["probe", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("keeppool: ")
    assert err.endswith(f"{why}\n")
    assert err.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_ctrl_c_prints_no_half_result(start, sites, arguments):
    site = sites.add()
    process = start("probe", site.url, "--max-requests", "2", *arguments)
    assert site.wait_for(lambda: site.requests == 7 + 4 + 2, timeout=20)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30) == ("", "keeppool: interrupted\n")
    assert process.returncode == 130


def test_progress_is_shown_on_a_terminal_and_gone_at_the_end(sites, monkeypatch, capsys):
    """Rich takes anything for a terminal if told so by this variable."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    site = sites.add(Behaviour(drop_idle_s=0.5))
    assert main(["probe", site.url, "--max-requests", "2", "--json"]) == 0
    out, err = capsys.readouterr()
    assert " connections idle and open · " in err
    assert err.endswith("\x1b[2K")
    assert len(lines_of(out)) == 1


def test_it_goes_through_the_proxy_that_fetch_goes_through(sites, capsys, monkeypatch):
    """And says so, without the credentials."""
    proxy = sites.add(Behaviour(hint_timeout=1, hint_max=3))
    monkeypatch.setenv("http_proxy", proxy.url.replace("//", "//user:secret@"))
    arguments = ["probe", "http://origin.example/", "--max-wait", "5"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"http://origin.example/\nthrough   {proxy.url}\nanswers   ")
    assert main([*arguments, "--json"]) == 0
    assert lines_of(capsys.readouterr().out)[0]["proxy"] == proxy.url
    assert {request.target for request in proxy.log} == {"http://origin.example/"}
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    site = sites.add(Behaviour(hint_timeout=1, hint_max=3))
    assert main(["probe", site.url, "--max-wait", "5", "--json"]) == 0
    assert lines_of(capsys.readouterr().out)[0]["proxy"] is None
