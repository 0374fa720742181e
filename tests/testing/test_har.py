"""`keeppool.har`: what is built is read again as it was, and what is no HAR is refused with its place."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from keeppool import har
from keeppool.errors import HarError

TYPE = "Content-Type"


def an_entry(body=b"hello", headers=((TYPE, "text/plain"),), **more):
    request = har.request("POST", "http://a.test/x?b=1&b=2&c=#top", [("Cookie", "i=1; j=2"), *headers], b"p=q")
    return har.entry(request, har.response(200, "OK", headers, body), started=0.25, **more)


def whole(entry):
    """Through a file's text and back, held to all the format asks for."""
    return har.parse(json.dumps(har.document([entry])), is_whole=True)[0]


def test_an_entry_says_what_was_sent_and_received():
    entry = whole(an_entry(timings={"wait": 12.5, "connect": 3, "ssl": 2}, connection="7", serverIPAddress=None))
    assert entry["startedDateTime"] == "1970-01-01T00:00:00.250+00:00"
    assert entry["time"] == 15.5, "ssl is a part of connect, and what does not apply is not counted"
    assert entry["timings"]["dns"] == -1
    assert entry["connection"] == "7"
    assert "serverIPAddress" not in entry
    assert entry["request"]["url"] == "http://a.test/x?b=1&b=2&c="
    assert har.pairs_of(entry["request"]["queryString"]) == [("b", "1"), ("b", "2"), ("c", "")]
    assert har.pairs_of(entry["request"]["cookies"]) == [("i", "1"), ("j", "2")]
    assert entry["request"]["postData"] == {"mimeType": "text/plain", "text": "p=q"}
    assert entry["response"]["content"] == {"size": 5, "mimeType": "text/plain", "text": "hello"}


@pytest.mark.parametrize(
    ("body", "media_type", "is_text"),
    [
        (b"", "text/plain", True),
        ("grüße\n".encode(), "text/plain", True),
        ("grüße".encode("latin-1"), "text/plain; charset=ISO-8859-1", True),
        ("grüße".encode("latin-1"), "text/plain", False),
        ("hallo".encode("utf-16"), "text/plain; charset=utf-16", True),
        (b"\xef\xbb\xbfhello", "text/html; charset=utf-8", True),
        (b"\x89PNG\r\n\x1a\n\0\0", "image/png", False),
        (b"\0", "text/plain", False),
        (b"ok", "text/plain; charset=nonsense", True),
        (b"ok", "text/plain; charset=base64", True),
        (b"ok", "text/plain; charset=undefined", True),
        (b"ok", 'text/plain; charset="', True),
        (bytes(range(256)), "", False),
    ],
)
def test_every_body_comes_back_as_it_was(body, media_type, is_text):
    headers = [(TYPE, media_type)] if media_type else []
    for described in (
        whole(an_entry(body, headers))["response"]["content"],
        har.posted(body, media_type or "application/octet-stream"),
    ):
        assert har.body_of(described, headers) == body
        assert ("encoding" not in described and "_encoding" not in described) == is_text


def test_a_browsers_text_is_written_in_the_charset_of_the_field():
    headers = [("content-type", "text/html; charset=iso-8859-1")]
    assert har.body_of({"mimeType": "text/html", "text": "ü"}, headers) == b"\xfc"
    assert har.body_of({"mimeType": "text/html", "text": "☃"}, headers) == "☃".encode(), "it cannot have been that"


def test_a_form_is_read_from_its_parameters_where_there_is_no_text():
    params = [{"name": "a b", "value": "&"}, {"name": "c"}]
    assert har.body_of({"mimeType": "application/x-www-form-urlencoded", "params": params}) == b"a+b=%26&c="


def test_cookies_are_listed_with_their_attributes():
    field = "sid=a=b; Path=/x; Domain=a.test; Expires=Wed, 21 Oct 2015 07:28:00 GMT; Secure; HttpOnly; SameSite=Lax"
    odd = "; Expires=never"
    listed = har.response(200, "", [("set-cookie", field), ("Set-Cookie", odd)])["cookies"]
    assert listed == [
        {
            "name": "sid",
            "value": "a=b",
            "path": "/x",
            "domain": "a.test",
            "expires": "2015-10-21T07:28:00.000+00:00",
            "secure": True,
            "httpOnly": True,
        },
        {"name": "Expires", "value": "never"},
    ]


def test_fields_that_a_browser_has_joined_are_several():
    assert har.pairs_of([{"name": "set-cookie", "value": "a=1\nb=2"}]) == [("set-cookie", "a=1"), ("set-cookie", "b=2")]


def test_what_is_written_by_hand_needs_no_more_than_is_read():
    text = (
        '\ufeff{"log": {"entries": [{"request": {"method": "GET", "url": "http://a/"}, "response": {"status": 204}}]}}'
    )
    assert len(har.parse(text)) == len(har.parse(text.encode())) == 1
    with pytest.raises(HarError, match=r"log\.version is missing"):
        har.parse(text, is_whole=True)


def test_null_stands_for_what_is_not_there():
    entry = an_entry()
    entry["request"]["postData"] = entry["serverIPAddress"] = None
    assert "postData" not in whole(entry)["request"]


REQUEST = {"method": "GET", "url": "http://a/"}


@pytest.mark.parametrize(
    ("text", "place", "why"),
    [
        ("", "line 1, column 1", "is not JSON"),
        ("{'log'}", "line 1, column 2", "is not JSON"),
        (b"\xff", "byte 0", "is not UTF-8"),
        ("[" * 100_000, "", "cannot be read"),
        ("[]", "", "must be an object"),
        ("{}", "log", "is missing"),
        ('{"log": 3}', "log", "must be an object, not 3"),
        ('{"log": {"entries": {}}}', "log.entries", "must be a list"),
        ('{"log": {"entries": [[]]}}', "log.entries[0]", "must be an object"),
        ('{"log": {"entries": [{}]}}', "log.entries[0].request", "is missing"),
        ([{"request": {"method": "GET"}}], "log.entries[0].request.url", "is missing"),
        ([{"request": REQUEST, "response": {"status": "200"}}], "log.entries[0].response.status", "not '200'"),
        ([{"request": REQUEST, "response": {"status": True}}], "log.entries[0].response.status", "not True"),
        ([{"request": REQUEST, "response": {"status": 1000}}], "log.entries[0].response.status", "must be a status"),
        (
            [{"request": {**REQUEST, "headers": [{"name": "a"}]}, "response": {"status": 1}}],
            "log.entries[0].request.headers[0].value",
            "is missing",
        ),
        (
            [{"request": REQUEST, "response": {"status": 1, "content": {"encoding": "gzip"}}}],
            "log.entries[0].response.content.encoding",
            'must be "base64"',
        ),
        (
            [{"request": REQUEST, "response": {"status": 1, "content": {"text": "%%", "encoding": "base64"}}}],
            "log.entries[0].response.content.text",
            "is not base64",
        ),
        ([{"startedDateTime": "noon", "request": REQUEST, "response": {"status": 1}}], "startedDateTime", "ISO 8601"),
    ],
)
def test_what_is_no_har_is_refused_with_its_place(text, place, why):
    data = text if isinstance(text, (str, bytes)) else json.dumps({"log": {"entries": text}})
    with pytest.raises(HarError) as caught:
        har.parse(data, file="some/file.har")
    assert caught.value.file == "some/file.har"
    assert caught.value.place.endswith(place)
    assert why in str(caught.value)
    assert str(caught.value).startswith("'some/file.har': ")
    assert isinstance(caught.value, ValueError)


def test_a_file_that_is_not_there_is_an_error_of_the_tree(tmp_path):
    with pytest.raises(HarError, match="cannot be read: No such file") as caught:
        har.load(tmp_path / "none.har")
    assert caught.value.file == str(tmp_path / "none.har")


def test_a_file_is_written_and_read(tmp_path):
    path = tmp_path / "new" / "folder" / "a.har"
    har.save(path, [an_entry("☃\ud800".encode("utf-8", "surrogatepass"))])
    (entry,) = har.load(path)
    assert har.body_of(entry["response"]["content"]) == "☃\ud800".encode("utf-8", "surrogatepass")
    har.parse(path.read_bytes(), is_whole=True)
    assert [found.name for found in path.parent.iterdir()] == ["a.har"]


def test_text_of_json_that_utf_8_cannot_write_survives(tmp_path):
    har.save(tmp_path / "a.har", [an_entry(_note="\ud800")])
    assert har.load(tmp_path / "a.har")[0]["_note"] == "\ud800"


@pytest.mark.parametrize("broken", [{"_own": object()}, {"_own": float("nan")}])
def test_a_file_that_cannot_be_written_is_the_old_one(tmp_path, broken):
    path = tmp_path / "a.har"
    path.write_text("old")
    with pytest.raises((TypeError, ValueError)):
        har.save(path, [an_entry(**broken)])
    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["a.har"]


def test_a_disk_that_is_full_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.har"
    path.write_text("old")

    def fail(self, data):
        with self.open("wb") as file:
            file.write(data[:3])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="No space"):
        har.save(path, [an_entry()])
    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["a.har"]


def test_a_link_and_its_mode_stay_what_they_are(tmp_path):
    (tmp_path / "a.har").write_text("old")
    (tmp_path / "a.har").chmod(0o640)
    (tmp_path / "link.har").symlink_to("a.har")
    har.save(tmp_path / "link.har", [])
    assert (tmp_path / "link.har").is_symlink()
    assert har.load(tmp_path / "a.har") == []
    assert (tmp_path / "a.har").stat().st_mode & 0o777 == 0o640


def test_a_pipe_is_written_to_and_stays_one(tmp_path):
    path, read = tmp_path / "pipe", []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()))
    reader.start()
    har.save(path, [an_entry()])
    reader.join(5)
    assert path.is_fifo()
    assert len(har.parse(read[0])) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_two_who_write_the_same_file_leave_one_of_both(tmp_path):
    path = tmp_path / "a.har"
    threads = [threading.Thread(target=har.save, args=(path, [an_entry(b"x" * 100_000)] * count)) for count in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(har.load(path)) in (1, 2)
