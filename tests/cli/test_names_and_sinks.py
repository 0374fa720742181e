"""File names from URLs, and files that are there only when they are whole."""

from __future__ import annotations

import errno
from io import FileIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeppool.cli import main, sinks
from keeppool.cli.endings import UsageError
from keeppool.cli.names import Names, file_name, numbered
from keeppool.cli.sinks import Folder
from keeppool.testing import Site


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://example.com/", "example.com"),
        ("https://example.com", "example.com"),
        ("https://example.com/a/b.html", "example.com_a_b.html"),
        ("http://example.com:8080/a?page=2&q=x y#part", "example.com_8080_a_page=2_q=x_y"),
        ("https://user:secret@example.com/a", "example.com_a"),
        ("https://example.com/../../etc/passwd", "example.com_.._.._etc_passwd"),
        ("http://../..", "_.."),
        ("https://example.com/a%2F..%2Fb", "example.com_a%2F..%2Fb"),
        ("https://bücher.example/ö", "bücher.example_ö"),
        ("", "index"),
        ("///", "index"),
        (".hidden", "hidden"),
    ],
)
def test_names(url, name):
    assert file_name(url) == name


@given(st.text())
def test_no_name_leaves_its_folder_is_hidden_or_too_long(url):
    """Whatever the URL, the name is one plain component that a file system takes."""
    name = file_name(url)
    assert name
    assert not name.startswith(".")
    assert not set(name) & set("/\\\0\n\r\t ")
    assert len(name.encode()) <= 200


def test_long_names_are_shortened_to_different_ones_with_their_extension():
    """Two long URLs that differ only at their ends stay two files."""
    one, other = (file_name(f"https://a.example/{'x' * 500}{end}.html") for end in "ab")
    assert one != other
    assert one.endswith(".html")
    assert len(one) == 200


@given(st.lists(st.sampled_from(["http://a/x", "http://a/X", "http://a/x-2", "http://a/y.gz", "http://a/x?"])))
def test_names_never_collide_not_even_where_case_does_not_count(urls):
    """Numbers are given out until a name is free, names that look numbered included."""
    names = Names()
    given_out = [names.name_for(url).casefold() for url in urls]
    assert len(set(given_out)) == len(given_out)


def test_numbers_stand_in_front_of_an_extension():
    assert numbered("a.example_page.html", 2) == "a.example_page-2.html"
    assert numbered("a.example", 2) == "a.example-2"


def test_a_finished_file_is_there_and_an_unfinished_one_is_not(tmp_path):
    """Leaving the sink without `finish` is as if it had never been."""
    with Folder(str(tmp_path)) as folder:
        with folder.sink("whole") as sink:
            sink.write(b"12")
            sink.write(b"3")
            assert not (tmp_path / "whole").exists()
            sink.finish()
        with folder.sink("part") as sink:
            sink.write(b"12")
        assert [path.name for path in tmp_path.iterdir()] == ["whole"]
    assert (tmp_path / "whole").read_bytes() == b"123"


def test_a_closed_folder_takes_its_unfinished_files_along(tmp_path):
    """Threads that are still at work can neither finish nor begin a file."""
    folder = Folder(str(tmp_path))
    with folder.sink("late") as sink:
        sink.write(b"1")
        with folder:
            pass
        assert list(tmp_path.iterdir()) == []
        with pytest.raises(OSError, match="not written to any more"):
            sink.finish()
        with pytest.raises(OSError, match="not written to any more"):
            folder.sink("new")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(UsageError, match="cannot write to"):
        Folder(str(file / "below"))


def test_a_folder_nothing_can_be_written_to_is_told_before_anything_is_fetched(tmp_path, monkeypatch, capsys):
    """A full disk, no permission, a read-only file system: all show when a block is written."""

    def full(file, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sinks, "FileIO", type("Full", (FileIO,), {"write": full}))
    with Site() as site:
        assert main(["fetch", f"{site.url}/", "-o", str(tmp_path)]) == 2
        assert site.opened == 0
    assert capsys.readouterr() == ("", f"keeppool: cannot write to {tmp_path}: No space left on device\n")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_later_is_told_by_file(tmp_path, monkeypatch, capsys):
    class Filling(FileIO):
        def write(self, data):
            if len(data) > 5000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    monkeypatch.setattr(sinks, "FileIO", Filling)
    with Site() as site:
        assert main(["fetch", f"{site.url}/bytes/9000", "-o", str(tmp_path)]) == 1
    expected = f"OSError: [Errno 28] No space left on device: '{tmp_path}/127.0.0.1_{site.port}_bytes_9000'\n"
    assert capsys.readouterr().err.endswith(expected)
    assert list(tmp_path.iterdir()) == []
