"""Location against a base: RFC 3986 word by word, and nothing of one origin told to another."""

from __future__ import annotations

import re

from keeppool.client.request.prepared import PreparedRequest
from keeppool.client.response.redirect import next_request, unsigned
from keeppool.errors import InvalidSchema, InvalidURL, MissingSchema
from keeppool.urls.address import is_same_origin, parse
from keeppool.urls.reference import resolve, without_dot_segments
from keeppool.wire.body import request_body
from keeppool.wire.fields import field_block
from tests.fuzz.oracles import in_steps, outcome, repeated
from tests.fuzz.target import target

STATUSES = (301, 302, 303, 307, 308)
#: What a request says about its sender, and what it says to one host.
SENDER = field_block(
    [("Authorization", "secret"), ("Cookie", "a=secret"), ("Proxy-Authorization", "secret"), ("Host", "x")]
)
BODY = field_block([("Content-Type", "text/plain"), ("Content-Length", "4"), ("X-Own", "kept")])


@target(covers=("urls/reference.py",))
def redirects(data: bytes) -> None:
    """The first byte chooses the status; then a base, a line end, and the Location."""
    status, (base, _, location) = STATUSES[data[0] % len(STATUSES) if data else 0], data[1:].partition(b"\n")
    base_text, reference = base.decode("latin-1"), location.decode("latin-1")
    joined = in_steps(20, 200, len(data), lambda: resolve(base_text, reference))
    assert joined == by_the_book(base_text, reference)
    path = reference.partition("?")[0]
    assert without_dot_segments(path) == remove_dot_segments(path)
    if more := repeated(location, 4096):
        text = more.decode("latin-1")
        in_steps(20, 200, len(more), lambda: resolve(base_text, text))
    was = outcome(parse, base_text).value
    if was is None:
        return
    body = request_body(b"body", content_length=4, method=b"POST")
    request = PreparedRequest(b"POST", was, SENDER.joined(BODY), body, b"body")
    made = outcome(next_request, request, status, location)
    if made.error is not None:
        assert issubclass(made.error, (InvalidURL, InvalidSchema, MissingSchema))
        return
    follow: PreparedRequest = made.value
    address = follow.address
    assert address.credentials is None
    assert address.scheme in ("http", "https")
    assert not re.search(r"[\x00-\x20\x7f]", address)
    # What is sent is read again as what it is.
    assert parse(str(address)) == address
    same = is_same_origin(was, address)
    names = follow.fields.names
    assert not {b"cookie", b"proxy-authorization"} & names
    assert same or b"host" not in names
    assert (b"content-length" in names) == (status in (307, 308))
    assert b"x-own" in names
    assert follow.verb == (b"POST" if status in (307, 308) else b"GET")
    assert b"authorization" not in unsigned(follow).fields.names
    if same:
        assert (address.host, address.scheme) == (was.host, was.scheme) or was.scheme == "http"


# RFC 3986 Appendix B, with the scheme's grammar of §3.1.
PARTS = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.DOTALL)


def by_the_book(base: str, reference: str) -> str:
    """Resolve as RFC 3986 §5.2.2, §5.2.3 and §5.3 write it."""
    b, r = PARTS.fullmatch(base), PARTS.fullmatch(reference)
    assert b is not None
    assert r is not None
    b_scheme, b_authority, b_path, b_query, _ = b.groups()
    scheme, authority, path, query, fragment = r.groups()
    if scheme is not None:
        path = remove_dot_segments(path)
    else:
        scheme = b_scheme
        if authority is not None:
            path = remove_dot_segments(path)
        else:
            authority = b_authority
            if path == "":
                path = b_path
                query = b_query if query is None else query
            elif path.startswith("/"):
                path = remove_dot_segments(path)
            elif b_authority is not None and b_path == "":
                path = remove_dot_segments(f"/{path}")
            else:
                path = remove_dot_segments(b_path[: b_path.rfind("/") + 1] + path)
    result = "" if scheme is None else f"{scheme}:"
    result += "" if authority is None else f"//{authority}"
    result += path
    result += "" if query is None else f"?{query}"
    return result + ("" if fragment is None else f"#{fragment}")


def remove_dot_segments(path: str) -> str:
    """Take dot segments out as RFC 3986 §5.2.4 does, step by step."""
    output = ""
    while path:
        if path.startswith("../"):
            path = path[3:]
        elif path.startswith(("./", "/./")):
            path = path[2:]
        elif path == "/.":
            path = "/"
        elif path.startswith("/../"):
            path, output = path[3:], output[: max(0, output.rfind("/"))]
        elif path == "/..":
            path, output = "/", output[: max(0, output.rfind("/"))]
        elif path in (".", ".."):
            path = ""
        else:
            end = path.find("/", 1)
            end = len(path) if end < 0 else end
            path, output = path[end:], output + path[:end]
    return output
