"""`keeppool explain`: who decides what, in the words of the file, and what goes wrong."""

from __future__ import annotations

import json

import pytest

import keeppool
from keeppool import observe
from keeppool.cli import main

FILE = """
preset = "CHROME"
[limits]
total = 256
[timeout]
read = 60
[default]
headers = {Cookie = "secret", X-Plain = "seen"}
[host."*.example.com"]
per_host = 2
timeout = [9, 8]
proxy = "http://user:secret@proxy:3128"
[host."https://api.example.com"]
verify = false
pipelining = 4
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    path = tmp_path / "keeppool.toml"
    path.write_text(FILE, encoding="utf-8")
    return str(path)


def deciders(out):
    return {f"{one['topic']}.{one['name']}": (one["value"], one["decided_by"]) for one in json.loads(out)["settings"]}


def test_each_setting_is_told_with_its_table_of_the_file(file, capsys):
    assert main(["explain", "https://api.example.com/x", "--config", file, "--json"]) == 0
    by = deciders(capsys.readouterr().out)
    assert by["limits.per_host"] == ("2", '[host."*.example.com"]')
    assert by["limits.total"] == ("256", "[limits]")
    assert by["limits.idle_timeout"] == ("300.0", "preset CHROME")
    assert by["limits.waiting"] == ("None", "default")
    assert by["limits.pipelining"] == ("4", '[host."https://api.example.com"]')
    assert by["timeout.connect"] == ("9", '[host."*.example.com"]')
    assert by["timeout.read"] == ("8", '[host."*.example.com"]')
    assert by["timeout.stall"] == ("60.0", "default")
    assert by["tls.verify"] == ("False", '[host."https://api.example.com"]')
    assert by["way.proxy"] == ("'http://***@proxy:3128'", '[host."*.example.com"]')
    assert by["request.headers.X-Plain"] == ("'seen'", "[default]")


def test_where_no_entry_matches_the_general_tables_decide(file, capsys):
    assert main(["explain", "http://other.example/", "--config", file, "--json"]) == 0
    by = deciders(capsys.readouterr().out)
    assert by["timeout.read"] == ("60", "[timeout]")
    assert by["limits.per_host"] == ("6", "default")


def test_a_preset_on_the_command_line_wins_over_the_files_limits(file, capsys):
    assert main(["explain", "http://other.example/", "--config", file, "--preset", "IE6", "--json"]) == 0
    by = deciders(capsys.readouterr().out)
    assert by["limits.per_host"] == ("2", "preset IE6")
    assert by["limits.pipelining"] == ("1", "default")
    assert by["limits.total"][1] == "preset IE6"


def test_people_get_a_table_without_secrets(file, capsys):
    assert main(["explain", "https://me:secret@api.example.com/x", "--config", file]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert lines[0] == "https://api.example.com/x"
    assert "entries   https://api.example.com, *.example.com" in lines
    assert "now       opens a new connection (per_host 0/2, per_proxy 0/32, total 0/256)" in lines
    assert any(line.split() == ["per_host", "2", '[host."*.example.com"]'] for line in lines)
    assert "secret" not in out


@pytest.mark.parametrize(
    "arguments",
    [
        ["ftp://a.example/"],
        ["http://"],
        ["http://a.example/", "--config", "nowhere.toml"],
        ["http://a.example/", "--preset", "LYNX"],
    ],
)
def test_what_cannot_be_explained_ends_with_the_code_for_wrong_usage(arguments, capsys):
    assert main(["explain", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("keeppool: ")


def test_nobody_who_reads_any_more_is_no_fault_to_be_told(start):
    process = start("explain", "http://a.example/")
    process.stdout.close()
    assert process.wait(60) in (0, 1)
    assert "Traceback" not in process.stderr.read()


def test_a_running_process_says_what_it_would_do_and_has_learned(tmp_path, sites, capsys):
    site = sites.add()
    address = str(tmp_path / "pool.sock")
    with keeppool.Session(keeppool.Limits(per_host=3)) as session, observe.serve(session, address):
        for _ in range(2):
            session.get(site.url)
        assert main(["explain", f"{site.url}/x", "--at", address, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["now"]["repeatable"].startswith("takes connection 1, ")
        assert found["learned"] == ["its server keeps connections: one has carried a second request"]
        assert main(["explain", site.url, "--at", address]) == 0
        assert "per_host           3 " in capsys.readouterr().out
        assert main(["explain", "nonsense", "--at", address]) == 1
        assert main(["explain", site.url, "--at", address, "--preset", "CHROME"]) == 2
    assert main(["explain", site.url, "--at", address]) == 1
    assert "nobody answers" in capsys.readouterr().err


def test_a_file_of_windows_notepads_is_read(tmp_path, capsys):
    file = tmp_path / "keeppool.toml"
    file.write_bytes(b"\xef\xbb\xbf" + FILE.replace("\n", "\r\n").encode())
    assert main(["explain", "https://api.example.com/", "--config", str(file)]) == 0
    assert '[host."*.example.com"]' in capsys.readouterr().out
