"""WWW-Authenticate and Digest: challenges are read as they are written, and answered with the proof they ask for."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.request import parse_http_list, parse_keqv_list

from keeppool.auth import HTTPDigestAuth
from keeppool.client.auth.challenges import parse_challenges, parse_parameters, quoted
from keeppool.client.request.prepared import PreparedRequest
from keeppool.urls.address import parse
from tests.fuzz.oracles import in_steps, repeated
from tests.fuzz.target import target

USER, PASSWORD = "Mufasa", "Circle of Life"  # of RFC 7616's examples
HASHES = {"": "md5", "MD5": "md5", "SHA": "sha1", "SHA-256": "sha256", "SHA-512": "sha512", "SHA-512-256": "sha512_256"}


@dataclass
class Reply:
    """As much of a response as a scheme looks at."""

    request: PreparedRequest
    status_code: int
    headers: dict[str, str] = field(default_factory=dict)


@target(covers=("client/auth/challenges.py", "client/auth/digest.py"))
def digests(data: bytes) -> None:
    """The first byte chooses the status and the body; each line that follows challenges what the last one made."""
    how, lines = data[:1], data[1:].decode("latin-1").split("\n")[:4]
    for line in lines:
        check_challenges(line)
    auth = HTTPDigestAuth(USER, PASSWORD)
    body = b"body" if how and how[0] & 1 else None
    request = PreparedRequest(b"POST", parse("http://a.example/p?q"), body=body)
    request = auth(request)
    for number, line in enumerate(lines):
        last = how and how[0] & 2 and number == len(lines) - 1
        reply = Reply(request, 200 if last else 401, {"Authentication-Info" if last else "WWW-Authenticate": line})
        again = in_steps(600, 6000, len(line), lambda reply=reply: auth.answered(reply))
        if again is None:
            break
        check_proof(str(again.headers["Authorization"]), line, body or b"")
        # Nothing of a challenge gets out of its field.
        assert b"\n" not in again.fields.get(b"authorization").replace(b"\r\n", b"\n")
        request = again
    signed = auth(PreparedRequest(b"POST", parse("http://a.example/p?q"), body=body))
    if "Authorization" in signed.headers:
        assert parse_challenges(str(signed.headers["Authorization"]))[0].scheme == "digest"
    elsewhere = auth(PreparedRequest(b"GET", parse("http://b.example/")))
    assert "Authorization" not in elsewhere.headers, "signed for one who has not challenged"


def check_challenges(line: str) -> None:
    """Hold what is read to be what is written again."""
    challenges = in_steps(60, 200, len(line), lambda: parse_challenges(line))
    written = ", ".join(
        f"{one.scheme} {one.token}"
        if one.token is not None
        else f"{one.scheme} " + ", ".join(f"{name}={as_quoted(value)}" for name, value in one.parameters.items())
        for one in challenges
        if one.token is None or not one.parameters
    )
    again = parse_challenges(written)
    assert again == [one for one in challenges if one.token is None or not one.parameters]
    for one in challenges:
        assert one.scheme == one.scheme.lower()
        assert all(name == name.lower() for name in one.parameters)
    # A comma, or a scheme of its own in front, changes nothing.
    assert parse_challenges(f", {line}") == challenges
    assert parse_parameters(line) == parse_challenges(f"Info, {line}")[0].parameters
    if more := repeated(line.encode("latin-1"), 8192):
        long = more.decode("latin-1")
        in_steps(60, 200, len(more), lambda: parse_challenges(long))


def as_quoted(value: str) -> str:
    return quoted(value.encode("latin-1")).decode("latin-1")


def check_proof(said: str, line: str, body: bytes) -> None:
    """Compute the proof by hand, from what the standard library reads of our own field."""
    scheme, _, rest = said.partition(" ")
    assert scheme == "Digest"
    mine = parse_challenges(said)[0].parameters
    if "\\" not in rest and '""' not in rest:
        theirs: dict[str, Any] = parse_keqv_list(parse_http_list(rest))
        assert {name: value.strip('"') for name, value in theirs.items()} == {k: v.strip('"') for k, v in mine.items()}
    offers = [one.parameters for one in parse_challenges(line) if one.scheme == "digest"]
    offered = [one for one in offers if one.get("nonce") == mine["nonce"] and one.get("realm") == mine["realm"]]
    assert offered, "an answer to a challenge that did not come"
    assert any(one.get("opaque") == mine.get("opaque") for one in offered)
    name = mine.get("algorithm", "").upper().removesuffix("-SESS")
    encoded = {key: value.encode("latin-1") for key, value in mine.items()}

    def hashed(*parts: bytes) -> bytes:
        return hashlib.new(HASHES[name], b":".join(parts)).hexdigest().encode()

    secret = hashed(USER.encode(), encoded["realm"], PASSWORD.encode())
    if mine.get("algorithm", "").upper().endswith("-SESS"):
        secret = hashed(secret, encoded["nonce"], encoded["cnonce"])
    shown = hashed(b"POST", b"/p?q") if mine.get("qop") != "auth-int" else hashed(b"POST", b"/p?q", hashed(body))
    if "qop" in mine:
        wanted = hashed(secret, encoded["nonce"], encoded["nc"], encoded["cnonce"], encoded["qop"], shown)
    else:
        wanted = hashed(secret, encoded["nonce"], shown)
    assert encoded["response"] == wanted
    user = hashed(USER.encode(), encoded["realm"]).decode() if mine.get("userhash") == "true" else USER
    assert mine["username"] == user
    assert mine["uri"] == "/p?q"
    assert PASSWORD not in said
    assert re.fullmatch(r"[0-9a-f]{8}", mine.get("nc", "00000001"))
