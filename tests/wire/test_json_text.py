"""JSON from bodies: whatever is wrong with it is one error of the tree."""

import json

import pytest

from keeppool.errors import JSONDecodeError
from keeppool.wire.json_text import parse_json

#: Bodies that are no JSON, or beyond what the parser takes, and what their error says.
BAD = {
    "rubbish": (b"<html>", "Expecting value"),
    "empty": (b"", "Expecting value"),
    "nested": (b"[" * 100_000, "nested too deeply"),
    "nested objects": (b'{"a":' * 100_000, "nested too deeply"),
    "digits": (b"7" * 5000, "digits"),
    "digits within": (b'{"a": [-' + b"7" * 5000 + b"]}", "digits"),
    "no encoding": (b'"\xff\xfe\xfd"', "not in utf-8"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_parsed_is_one_error(name):
    body, reason = BAD[name]
    for text in (body, body.decode("latin-1")) if name != "no encoding" else (body,):
        with pytest.raises(JSONDecodeError, match=reason) as caught:
            parse_json(text)
        assert isinstance(caught.value, json.JSONDecodeError)
        assert len(str(caught.value)) < 300


def test_what_is_json_is_parsed_as_the_standard_library_does():
    for text in ('{"a": [1, 2.5, null]}', '"\xfc"'.encode("utf-16"), "7" * 4000):
        assert parse_json(text) == json.loads(text)
    assert parse_json("1.5", parse_float=str) == "1.5"
