"""A server's half of Digest authentication, written from RFC 7616 with the standard library's parsers alone."""

from __future__ import annotations

import hashlib
import itertools
from urllib.parse import unquote_to_bytes
from urllib.request import parse_http_list, parse_keqv_list

from keeppool.testing import Answer, Request

HASHES = {"MD5": "md5", "SHA": "sha1", "SHA-256": "sha256", "SHA-512": "sha512", "SHA-512-256": "sha512_256"}


class DigestServer:
    """A handler for `Site` that lets in whoever proves to know the password.

    Attributes:
        refused: Why each request that was not let in was not, in order.
        counts: The `nc` of each proof that was right, by nonce.
        uses: How often a nonce is good; after that it is stale.
        next_nonce: Whether each good answer names the nonce to use next.
    """

    def __init__(self, user=b"Mufasa", password=b"Circle of Life", algorithm="MD5", qop="auth", **options):
        self.user, self.password, self.algorithm, self.qop = user, password, algorithm, qop
        self.charset: str | None = options.get("charset")
        self.userhash: bool = options.get("userhash", False)
        self.opaque: bytes = options.get("opaque", b'an " opaque')
        self.realm: bytes = options.get("realm", b"a \\ realm")
        self.uses: int = options.get("uses", 1 << 20)
        self.says_stale: bool = options.get("says_stale", True)
        self.next_nonce: bool = options.get("next_nonce", False)
        self.refused: list[str] = []
        self.counts: dict[str, list[int]] = {}
        self._numbers = itertools.count(1)

    def __call__(self, request: Request) -> Answer:
        reason = self.refusal(request)
        if reason is None:
            headers = (("Authentication-Info", f'nextnonce="{self.fresh()}", qop=auth'),) if self.next_nonce else ()
            return Answer(headers=headers, body=request.body or b"welcome")
        self.refused.append(reason)
        return Answer(status=401, headers=(("WWW-Authenticate", self.challenge(reason == "stale")),), body=b"who?")

    def fresh(self) -> str:
        nonce = f"nonce-{next(self._numbers)}=="
        self.counts[nonce] = []
        return nonce

    def challenge(self, stale: bool) -> str:
        realm = self.realm.decode("latin-1").replace("\\", "\\\\").replace('"', '\\"')
        opaque = self.opaque.decode("latin-1").replace('"', '\\"')
        parts = [f'Digest realm="{realm}"', f'nonce="{self.fresh()}"', f'opaque="{opaque}"']
        parts += [f"algorithm={self.algorithm}"] * bool(self.algorithm) + [f'qop="{self.qop}"'] * bool(self.qop)
        parts += [f"charset={self.charset}"] * bool(self.charset) + ["userhash=true"] * self.userhash
        return ", ".join(parts + ["stale=TRUE"] * (stale and self.says_stale))

    def refusal(self, request: Request) -> str | None:
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        if scheme != "Digest":
            return "no proof"
        sent = {name: value.encode("latin-1") for name, value in parse_keqv_list(parse_http_list(text)).items()}
        nonce = sent["nonce"].decode()
        if nonce not in self.counts:
            return "unknown nonce"
        if len(self.counts[nonce]) >= self.uses:
            return "stale"
        if sent["opaque"] != self.opaque or sent["realm"] != self.realm:
            return "opaque or realm changed"
        if sent["uri"].decode() != request.target:
            return f"proof for {sent['uri']!r}, asked for {request.target}"
        if not self.is_user(sent) or sent["response"] != self.proof(sent, request):
            return "wrong"
        count = int(sent.get("nc", b"0"), 16)
        if self.qop and count in self.counts[nonce]:
            return "replayed"
        self.counts[nonce].append(count)
        return None

    def is_user(self, sent: dict[str, bytes]) -> bool:
        if self.userhash:
            return sent["username"] == self.hashed(self.user, self.realm) and sent["userhash"] == b"true"
        if "username*" in sent:
            return unquote_to_bytes(sent["username*"].removeprefix(b"UTF-8''")) == self.user
        return sent["username"] == self.user

    def proof(self, sent: dict[str, bytes], request: Request) -> bytes:
        secret = self.hashed(self.user, self.realm, self.password)
        if self.algorithm.lower().endswith("-sess"):
            secret = self.hashed(secret, sent["nonce"], sent["cnonce"])
        asked = [request.method.encode(), request.target.encode()]
        if sent.get("qop") == b"auth-int":
            asked.append(self.hashed(request.body))
        if not self.qop:
            return self.hashed(secret, sent["nonce"], self.hashed(*asked))
        return self.hashed(secret, sent["nonce"], sent["nc"], sent["cnonce"], sent["qop"], self.hashed(*asked))

    def hashed(self, *parts: bytes) -> bytes:
        name = HASHES[self.algorithm.upper().removesuffix("-SESS") or "MD5"]
        return hashlib.new(name, b":".join(parts)).hexdigest().encode()
