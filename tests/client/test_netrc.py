"""Credentials from netrc files: which file, what counts in it, when it is read again."""

from __future__ import annotations

import os

import pytest
from requests.utils import get_netrc_auth

from keeppool.client.auth.netrc import Netrc, credentials_for
from keeppool.testing import FakeClock

FILE = """
machine a.example login ann password secret-a
machine b.example account bob password secret-b
machine c.example login carl
machine d.example password secret-d
machine e.example
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)
    return tmp_path


def test_nothing_is_found_where_there_is_no_file(home):
    assert Netrc().credentials_for("a.example") is None
    assert not Netrc().is_there()


@pytest.mark.parametrize("name", [".netrc", "_netrc"])
@pytest.mark.parametrize("host", ["a.example", "b.example", "c.example", "d.example", "e.example", "f.example"])
@pytest.mark.parametrize("default", ["", "default login anybody password secret"])
def test_the_file_at_home_says_what_it_says_to_requests(home, name, host, default):
    (home / name).write_text(FILE + default)
    expected = get_netrc_auth(f"https://{host}:8443/x")
    assert Netrc().credentials_for(host) == credentials_for(host) == expected
    assert Netrc().is_there()
    assert (expected is None) == (host in ("e.example", "f.example") and not (default and host == "f.example"))


def test_of_two_files_at_home_the_one_with_the_dot_counts(home):
    (home / ".netrc").write_text("machine a.example login dot password x")
    (home / "_netrc").write_text("machine a.example login line password x\nmachine b.example login line password x")
    assert credentials_for("a.example") == ("dot", "x")
    assert credentials_for("b.example") is None


def test_a_file_that_is_named_counts_alone(home):
    (home / ".netrc").write_text(FILE)
    (home / "other").write_text("machine a.example login other password x")
    assert credentials_for("a.example", "~/other") == ("other", "x")
    assert credentials_for("a.example", str(home / "none")) is None
    assert credentials_for("a.example", "") is None
    assert credentials_for("a.example", "a\0b") is None


@pytest.mark.parametrize("content", [b"machine", b"nonsense", b"machine a.example login", b"macdef x", b"\xff\x00\xfe"])
def test_a_file_that_is_malformed_counts_as_none(home, content):
    (home / ".netrc").write_bytes(content)
    assert credentials_for("a.example") is None


def test_a_folder_counts_as_none(home):
    (home / ".netrc").mkdir()
    assert credentials_for("a.example") is None
    assert not Netrc().is_there()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_counts_as_none(home):
    (home / ".netrc").write_text(FILE)
    (home / ".netrc").chmod(0)
    assert credentials_for("a.example") is None


def test_within_a_second_the_file_is_not_looked_at_again_and_after_it_a_change_is_seen(home):
    clock = FakeClock()
    netrc = Netrc(clock)
    assert netrc.credentials_for("a.example") is None
    (home / ".netrc").write_text(FILE)
    clock.advance(0.99)
    assert netrc.credentials_for("a.example") is None
    clock.advance(0.02)
    assert netrc.credentials_for("a.example") == ("ann", "secret-a")
    (home / ".netrc").write_text(FILE.replace("secret-a", "renewed-a"))
    assert netrc.credentials_for("a.example") == ("ann", "secret-a")
    clock.advance(1)
    assert netrc.credentials_for("a.example") == ("ann", "renewed-a")
    (home / ".netrc").unlink()
    clock.advance(1)
    assert netrc.credentials_for("a.example") is None
    assert not netrc.is_there()


def test_a_file_that_has_not_changed_is_not_read_again(home):
    clock = FakeClock()
    netrc = Netrc(clock)
    path = home / ".netrc"
    path.write_text(FILE)
    assert netrc.credentials_for("a.example") == ("ann", "secret-a")
    state = path.stat()
    path.write_text(FILE.replace("secret-a", "as-long!"))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    clock.advance(5)
    assert netrc.credentials_for("a.example") == ("ann", "secret-a")


def test_each_file_is_remembered_for_itself(home):
    netrc = Netrc()
    (home / "one").write_text("machine a.example login one password x")
    (home / "two").write_text("machine a.example login two password x")
    for _ in range(2):
        assert netrc.credentials_for("a.example", "~/one") == ("one", "x")
        assert netrc.credentials_for("a.example", "~/two") == ("two", "x")
        assert netrc.credentials_for("a.example") is None
