"""Reading a HAR document: held to the format before anything of it is used.

Decides: what makes a document no HAR, and which place of it an error names.
Does not know: files.
"""

from __future__ import annotations

import binascii
import json
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NoReturn

from keeppool.errors import HarError, quoted
from keeppool.har.bodies import Object, body_of
from keeppool.har.build import ALWAYS, PHASES

_LAST_STATUS: Final = 999

#: The format's objects: each member's kind, a name with a star for a list of them, and whether it is needed: "!" by
#: whoever reads an entry, "+" by the format alone, "" by nobody.
_FORMAT: Final[Mapping[str, Mapping[str, tuple[str, str]]]] = {
    "har": {"log": ("log", "!")},
    "log": {
        "version": ("text", "+"),
        "creator": ("creator", "+"),
        "browser": ("creator", ""),
        "pages": ("any*", ""),
        "entries": ("entry*", "!"),
    },
    "creator": {"name": ("text", "+"), "version": ("text", "+")},
    "entry": {
        "pageref": ("text", ""),
        "startedDateTime": ("time", "+"),
        "time": ("number", "+"),
        "request": ("request", "!"),
        "response": ("response", "!"),
        "cache": ("any", "+"),
        "timings": ("timings", "+"),
        "serverIPAddress": ("text", ""),
        "connection": ("text", ""),
    },
    "request": {
        "method": ("text", "!"),
        "url": ("text", "!"),
        "httpVersion": ("text", "+"),
        "cookies": ("cookie*", "+"),
        "headers": ("pair*", "+"),
        "queryString": ("pair*", "+"),
        "postData": ("posted", ""),
        "headersSize": ("number", "+"),
        "bodySize": ("number", "+"),
    },
    "posted": {
        "mimeType": ("text", "+"),
        "params": ("param*", ""),
        "text": ("text", ""),
        "_encoding": ("coding", ""),
    },
    "param": {
        "name": ("text", "!"),
        "value": ("text", ""),
        "fileName": ("text", ""),
        "contentType": ("text", ""),
    },
    "response": {
        "status": ("status", "!"),
        "statusText": ("text", "+"),
        "httpVersion": ("text", "+"),
        "cookies": ("cookie*", "+"),
        "headers": ("pair*", "+"),
        "content": ("content", "+"),
        "redirectURL": ("text", "+"),
        "headersSize": ("number", "+"),
        "bodySize": ("number", "+"),
    },
    "content": {
        "size": ("number", "+"),
        "compression": ("number", ""),
        "mimeType": ("text", "+"),
        "text": ("text", ""),
        "encoding": ("coding", ""),
    },
    "timings": {name: ("number", "+" if name in ALWAYS else "") for name in PHASES},
    "pair": {"name": ("text", "!"), "value": ("text", "!")},
    "cookie": {
        "name": ("text", "!"),
        "value": ("text", "!"),
        "path": ("text", ""),
        "domain": ("text", ""),
        "expires": ("text", ""),
        "httpOnly": ("flag", ""),
        "secure": ("flag", ""),
    },
}


def parse(data: bytes | str, *, file: str = "", is_whole: bool = False) -> list[Object]:
    """Read a document's entries. Nothing is given unless all of it is right.

    Args:
        data: The document.
        file: Where it came from, for errors.
        is_whole: Hold it to all that the format asks for, not only to what reading an entry needs: people write such
            files by hand, and not every tool that makes them is careful.

    Raises:
        HarError: It is no HAR; `place` says where.
    """
    try:
        read = json.loads(data.decode("utf-8-sig") if isinstance(data, bytes) else data.removeprefix("\ufeff"))
    except json.JSONDecodeError as error:
        _refuse(file, f"line {error.lineno}, column {error.colno}", f"is not JSON: {error.msg}")
    except UnicodeDecodeError as error:
        _refuse(file, f"byte {error.start}", "is not UTF-8")
    except (RecursionError, ValueError) as error:
        _refuse(file, "", f"cannot be read: {error}")
    _Check(file, is_whole).object("har", read, "")
    entries: list[Object] = read["log"]["entries"]
    for number, one in enumerate(entries):
        _check_bodies(one, f"log.entries[{number}]", file)
    return entries


def _check_bodies(one: Object, place: str, file: str) -> None:
    bodies = {"request.postData": one["request"].get("postData"), "response.content": one["response"].get("content")}
    for name, described in bodies.items():
        try:
            body_of(described)
        except (ValueError, binascii.Error):
            _refuse(file, f"{place}.{name}.text", "is not base64, though it says so")


class _Check:
    """Holds a document to the format.

    Args:
        file: For errors.
        is_whole: As for `parse`.
    """

    def __init__(self, file: str, is_whole: bool) -> None:
        self._file = file
        self._needed = "!+" if is_whole else "!"

    def object(self, kind: str, value: Any, place: str) -> None:
        """Check an object and all in it.

        Raises:
            HarError: One of its members is missing, or of another kind.
        """
        if not isinstance(value, dict):
            _refuse(self._file, place, f"must be an object, not {quoted(value)}")
        for name, (wanted, need) in _FORMAT[kind].items():
            where = f"{place}.{name}" if place else name
            # Tools write null for what they do not know.
            if (member := value.get(name)) is not None:
                self._member(wanted, member, where)
            elif need and need in self._needed:
                _refuse(self._file, where, "is missing")
            elif name in value:
                del value[name]

    def _member(self, kind: str, value: Any, place: str) -> None:
        if kind.endswith("*"):
            if not isinstance(value, list):
                _refuse(self._file, place, f"must be a list, not {quoted(value)}")
            for number, one in enumerate(value):
                self._member(kind[:-1], one, f"{place}[{number}]")
        elif kind in _FORMAT:
            self.object(kind, value, place)
        elif (problem := _problem(kind, value)) is not None:
            _refuse(self._file, place, f"{problem}, not {quoted(value)}")


def _problem(kind: str, value: Any) -> str | None:
    """Tell what is wrong with a plain value; `None` if nothing is."""
    match kind:
        case "text":
            return None if isinstance(value, str) else "must be text"
        case "flag":
            return None if isinstance(value, bool) else "must be true or false"
        case "number":
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
            return None if is_number else "must be a number"
        case "status":
            is_status = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LAST_STATUS
            return None if is_status else "must be a status"
        case "coding":
            return None if value in ("base64", "") else 'must be "base64"'
        case "time":
            try:
                datetime.fromisoformat(value)
            except (TypeError, ValueError):
                return "must be a time as in ISO 8601"
    return None


def _refuse(file: str, place: str, why: str) -> NoReturn:
    named = " ".join(filter(None, (f"{quoted(file)}:" if file else "", place or "the file", why)))
    raise HarError(named, file=file, place=place) from None
