"""`keeppool fetch`: what arrives, what is said about what does not, and what is left in the folder."""

from __future__ import annotations

import collections
import threading

import pytest
from cli.conftest import lines_of

from keeppool.cli import main
from keeppool.testing import Behaviour, ScriptedServer, Site, Sites
from keeppool.testing.behaviour import filler

CUT_BODY = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this"


def cut_off(connection):
    """Promise a body, send a part of it, hang up."""
    connection.read_request()
    connection.send(CUT_BODY)


def test_many_urls_on_several_hosts_arrive_under_the_caps(run, sites: Sites):
    """500 URLs, duplicates among them, each fetched as often as it was named, never on more sockets than allowed."""
    hosts = [sites.add() for _ in range(3)]
    urls = [f"{hosts[number % 3].url}/bytes/{number // 2}" for number in range(500)]
    code, out, err = run("fetch", "-i", "-", "--json", "--per-host", "4", "--total", "10", text="\n".join(urls))
    *lines, totals = lines_of(out)
    assert (code, err) == (0, "")
    assert collections.Counter(line["url"] for line in lines) == collections.Counter(urls)
    assert all(line["status"] == 200 and line["error"] is None and line["file"] is None for line in lines)
    assert sum(line["bytes"] for line in lines) == totals["bytes"] == sum(number // 2 for number in range(500))
    assert totals["requests"] == totals["arrived"] == sum(host.requests for host in hosts) == 500
    assert totals["opened"] + totals["reused"] == 500 + totals["resent"]
    assert totals["peak_total"] <= 10
    assert max(host.peak_open for host in hosts) <= 4


def test_files_are_whole_and_nothing_else_is_in_the_folder(tmp_path, capsys):
    """Bodies are written decoded, under names made of their URLs; what failed leaves nothing behind."""
    with Site() as site, ScriptedServer(cut_off) as broken:
        folder = tmp_path / "a" / "b"
        port = site.port
        urls = [f"{site.url}/bytes/100000", f"{site.url}/gzip", f"{site.url}/status/404", f"{broken.url}/cut"]
        assert main(["fetch", *urls, f"{site.url}/gzip", "-o", str(folder)]) == 1
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert found == {
        f"127.0.0.1_{port}_bytes_100000": filler(100000),
        f"127.0.0.1_{port}_gzip": filler(10000),
        f"127.0.0.1_{port}_gzip-2": filler(10000),
    }
    out, err = capsys.readouterr()
    assert out.startswith("3 arrived, 2 failed: ")
    assert f"failed {site.url}/status/404  HTTPError: 404 Not Found\n" in err
    assert f"failed {broken.url}/cut  IncompleteBody: " in err


def test_a_file_is_not_seen_under_its_name_before_it_is_whole(tmp_path, start):
    """While the body is on its way there is only a hidden file; Ctrl-C removes that too."""
    import signal
    import threading

    sent = threading.Event()

    def hang(connection):
        connection.read_request()
        connection.send(CUT_BODY)
        sent.set()
        connection.read_until_closed()

    with ScriptedServer(hang) as server:
        process = start("fetch", f"{server.url}/big", "-o", str(tmp_path))
        assert sent.wait(10)
        assert [path for path in tmp_path.iterdir() if not path.name.startswith(".")] == []
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out.startswith("0 arrived, 0 failed: ")
    assert err == "keeppool: interrupted\n"
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_the_same_name_is_replaced_only_when_the_new_one_is_whole(tmp_path, capsys):
    """A second run refreshes the first one's files, and a failure leaves the old ones alone."""
    with Site() as site:
        main(["fetch", f"{site.url}/page", "-o", str(tmp_path)])
        (file,) = tmp_path.iterdir()
        site.behaviour = Behaviour(body=b"new")
        main(["fetch", f"{site.url}/page", "-o", str(tmp_path)])
        assert file.read_bytes() == b"new"
        site.behaviour = Behaviour(status=500)
        assert main(["fetch", f"{site.url}/page", "-o", str(tmp_path)]) == 1
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"new"]


def test_each_failure_is_one_line_that_says_why(capsys):
    """Whatever is wrong with a URL is said beside it, cannot steer the terminal, and stops nothing else."""
    with Site() as site:
        wrong = ["nonsense", "ftp://a/", "http://", "http://127.0.0.1:1/", "http://a\x1b[31m/"]
        assert main(["fetch", *wrong, f"{site.url}/"]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("1 arrived, 5 failed: ")
    lines = sorted(err.splitlines())
    assert len(lines) == 5
    assert "\x1b" not in err
    expected = ["InvalidURL", "InvalidURL", "RefusedError", "InvalidSchema", "MissingSchema"]
    for kind in expected:
        assert any(f"  {kind}: " in line for line in lines), (kind, lines)


def test_redirects_are_followed_and_the_last_status_counts(capsys):
    """A redirect is no arrival of its own."""
    with Site() as site:
        assert main(["fetch", f"{site.url}/redirect/3", f"{site.url}/redirect/1?to=/status/410", "--json"]) == 1
    *lines, totals = lines_of(capsys.readouterr().out)
    assert {line["url"][len(site.url) :]: (line["status"], line["error"]) for line in lines} == {
        "/redirect/3": (200, None),
        "/redirect/1?to=/status/410": (410, "HTTPError: 410 Gone"),
    }
    assert (totals["arrived"], totals["errors"]) == (1, 1)


def test_an_answer_that_counts_as_failure_does_not_cost_its_connection(capsys):
    """Ten times 404, with bodies that do not come along with the head: the rest is read, and hardly a socket lost."""
    with Site(Behaviour(status=404, body=100_000)) as site:
        main(["fetch", *[f"{site.url}/x"] * 10, "--threads", "1"])
        assert site.opened < 5


def test_urls_come_from_arguments_and_then_from_the_file(tmp_path, capsys):
    """Blank lines and comments are skipped; Windows line ends, a byte order mark and odd bytes do no harm."""
    with Site() as site:
        file = tmp_path / "urls.txt"
        text = f"\ufeff{site.url}/first\r\n\n  # {site.url}/comment\n\t{site.url}/caf\u00e9 \n{site.url}/".encode()
        file.write_bytes(text + b"\xff-last")
        assert main(["fetch", f"{site.url}/argument", "-i", str(file), "--threads", "1"]) == 0
        assert [request.path for request in site.log] == ["/argument", "/first", "/caf%C3%A9", "/%FF-last"]


def test_results_of_a_pipe_come_before_its_end(start):
    """Lines are read as they come: the first URL's result is there while the second is not written yet."""
    import subprocess

    with Site() as site:
        process = start("fetch", "-i", "-", "--json", stdin=subprocess.PIPE)
        for number in range(3):
            process.stdin.write(f"{site.url}/{number}\n")
            process.stdin.flush()
            assert f'"{site.url}/{number}"' in process.stdout.readline()
        out, err = process.communicate(timeout=30)
        assert (process.returncode, err) == (0, "")
        assert lines_of(out)[-1]["requests"] == 3


@pytest.mark.parametrize("text", ["", "\n# none of these\n\n"], ids=["empty", "comments"])
def test_no_urls_at_all_are_a_mistake(tmp_path, capsys, run, text):
    """Who gives a list means something by it; an empty one is a wrong path or a pipe that broke."""
    file = tmp_path / "list"
    file.write_text(text)
    assert main(["fetch", "-i", str(file)]) == 2
    assert capsys.readouterr() == ("", f"keeppool: no URLs in {file}\n")
    code, _, err = run("fetch", "-i", "-", text=text)
    assert (code, err) == (2, "keeppool: no URLs in -\n")


def test_a_file_that_is_no_text_is_refused_in_one_line(tmp_path, capsys, run):
    """Nothing of it is asked for, nor are the lines before."""
    file = tmp_path / "list"
    with Site() as site:
        for rest, line in ((bytes(25_000), 2), (b"\x89PNG\r\n\x1a\n", 3), (b"x" * 70_000, 2)):
            file.write_bytes(f"{site.url}/\n".encode() + rest)
            assert main(["fetch", "-i", str(file)]) == 2
            assert capsys.readouterr() == ("", f"keeppool: the file of URLs is no text: see line {line}\n")
        assert site.opened == 0
    code, _, err = run("fetch", "-i", "-", text="\0")
    assert (code, err) == (2, "keeppool: the file of URLs is no text: see line 1\n")


def test_urls_are_cut_in_messages_and_whole_in_json(capsys):
    url = "http://127.0.0.1:1/" + "x" * 5000
    assert main(["fetch", url]) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"failed {url[:200]}…  ")
    assert len(err) < 1000
    assert main(["fetch", url, "--json"]) == 1
    assert lines_of(capsys.readouterr().out)[0]["url"] == url


def test_a_cap_may_be_none(capsys):
    """Nothing holds up eight requests that are answered when all of them have come."""
    with Site() as site:
        urls = [f"{site.url}/{number}" for number in range(8)]
        site.pause()
        threading.Thread(target=lambda: site.wait_for(lambda: site.requests == 8, 30) and site.resume()).start()
        assert main(["fetch", *urls, "--per-host", "none", "--total", "None"]) == 0
        assert site.peak_open == 8


def test_a_pace_holds_for_hosts_that_have_none_of_their_own(tmp_path, capsys):
    with Site() as site, Site() as other:
        file = tmp_path / "keeppool.toml"
        file.write_text(f'[host."127.0.0.1:{other.port}"]\npace = 1000\n')
        urls = [f"{one.url}/{number}" for number in range(4) for one in (site, other)]
        assert main(["fetch", *urls, "--config", str(file), "--pace", "10"]) == 0
        first, *_, last = sorted(request.at for request in site.log)
        # Three tenths of a second, but for what the first of them may be late.
        assert last - first > 0.2
    capsys.readouterr()


def test_configuration_file_and_preset_and_options_lie_over_each_other(tmp_path, capsys):
    """The file's hosts and headers hold; a preset and single limits win over its limits."""
    with Site() as site:
        file = tmp_path / "keeppool.toml"
        file.write_text('preset = "IE6"\n[host."127.0.0.1"]\nheaders = {X-From = "file"}\n')
        urls = [f"{site.url}/{number}" for number in range(20)]
        site.behaviour = Behaviour(delay_s=0.01)
        assert main(["fetch", *urls, "--config", str(file)]) == 0
        assert site.peak_open == 2
        assert main(["fetch", *urls, "--config", str(file), "--preset", "netscape", "--per-host", "3"]) == 0
        assert site.peak_open == 3
        assert {request.headers.get("x-from") for request in site.log} == {"file"}


def test_a_read_that_takes_too_long_fails_by_name(capsys):
    """--timeout bounds the silence of a server."""
    with Site() as site:
        site.pause()
        assert main(["fetch", f"{site.url}/", "--timeout", "0.05"]) == 1
    assert "  ReadTimeout: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--preset", "mosaic"], "--preset mosaic: must be one of NETSCAPE"),
        (["--per-host", "0"], "--per-host 0: must be 1 or more, or none for no limit\n"),
        (["--total", "-3"], "--total -3: must be 1 or more"),
        (["--pace", "0"], "--pace 0: must be a finite number above 0\n"),
        (["--timeout", "-1"], "--timeout -1: must be more than 0 seconds\n"),
        (["--fleet", "http://host"], "--fleet ***: must begin with one of redis://"),
        (["-i", "/nowhere/at/all"], "cannot read /nowhere/at/all: No such file"),
        (["-i", "/"], "cannot read /: Is a directory"),
        (["-o", "/dev/null/x"], "cannot write to /dev/null/x: "),
        (["--config", "/nowhere.toml"], "/nowhere.toml: cannot be read"),
    ],
)
def test_what_cannot_be_meant_ends_with_2_before_anything_is_fetched(capsys, arguments, said):
    """One line that names it; no traceback, no request."""
    with Site() as site:
        assert main(["fetch", f"{site.url}/", *arguments]) == 2
        assert site.opened == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"keeppool: {said}")
    assert err.count("\n") == 1


def test_a_wrong_configuration_file_is_told_by_file_and_field(tmp_path, capsys):
    """The line says where to look."""
    file = tmp_path / "keeppool.toml"
    file.write_text("[limits]\nper_host = -1\n")
    assert main(["fetch", "http://127.0.0.1/", "--config", str(file)]) == 2
    assert capsys.readouterr().err.startswith(f"keeppool: {file}: limits.per_host=-1: ")


@pytest.mark.parametrize("arguments", [[], ["fetch"], ["fetch", "http://a/", "--threads", "0"], ["frobnicate"]])
def test_arguments_that_cannot_be_read_end_with_2(arguments):
    """Argparse's own ending."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2


def test_requests_follow_each_other_on_one_connection_where_that_is_asked_for(run, tmp_path):
    """The same results, over fewer waits; what is no page is told as ever."""
    with Site() as site:
        urls = [f"{site.url}/bytes/{number}" for number in range(200)] + [f"{site.url}/status/404"]
        command = ["fetch", "-i", "-", "--json", "--per-host", "2", "--pipelining", "8", "-o", str(tmp_path / "here")]
        code, out, _ = run(*command, text="\n".join(urls))
        *lines, totals = lines_of(out)
        assert code == 1
        assert [line["status"] for line in lines if line["error"]] == [404]
        assert sum(line["bytes"] for line in lines) == totals["bytes"] == sum(range(200))
        assert site.peak_open <= 2
        assert all(int(path.name.rpartition("_")[2]) == path.stat().st_size for path in (tmp_path / "here").iterdir())


@pytest.mark.parametrize(
    ("unknown", "says"),
    [
        (["--retries", "3"], "unrecognized arguments: --retries 3\n"),
        (["-H", "X: 1"], "-H X: 1 (write headers = { User-Agent = "),
        (["--user-agent=me"], "(write headers = { User-Agent = "),
        (["--insecure"], "(write verify = false"),
    ],
)
def test_an_option_that_there_is_not_shows_those_of_the_verb(capsys, unknown, says):
    with pytest.raises(SystemExit, match="2"):
        main(["fetch", "http://127.0.0.1:1/", *unknown])
    said = capsys.readouterr().err
    assert said.startswith("usage: keeppool fetch ")
    assert says in said
