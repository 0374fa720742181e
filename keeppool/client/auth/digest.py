"""Digest authentication: the password is proved, never sent.

Decides: which challenge is answered, with which nonce and count, and how often.
Knows: the hashes; the last challenge of each origin, so that later requests are signed before they are challenged.
Does not know: how anything is sent. What it has to know of a request on its way stands in that request's own
    Authorization field.

Source: RFC 7616; RFC 2617 §3.2.2.1 for servers that offer no `qop` (it is RFC 2069's scheme).
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from keeppool.client.auth.base import AuthBase
from keeppool.client.auth.challenges import parse_challenges, parse_parameters, quoted
from keeppool.client.auth.schemes import has_same_credentials

if TYPE_CHECKING:
    from keeppool.client.request.prepared import PreparedRequest

#: Algorithms from weak to strong, by the name hashlib has for them. SHA and SHA-512 are in no RFC, but servers and
#: requests have them.
_HASHES: Final = {"MD5": "md5", "SHA": "sha1", "SHA-256": "sha256", "SHA-512": "sha512", "SHA-512-256": "sha512_256"}
_STRENGTH: Final = {name: strength for strength, name in enumerate(_HASHES)}

#: Why a request was signed: in advance, in answer to a challenge, in answer to "that nonce is stale". Written
#: as the first character of the client's nonce, where it survives whatever is done with the request in between.
_AHEAD, _ANSWER, _AGAIN = "0", "1", "2"
#: Random bytes of the client's nonce: RFC 7616 §5.9 leaves the size open; 128 bits never repeat.
_RANDOM: Final = 16
#: What a scheme has learned from servers, and what guards it; a pickle leaves it behind.
_LEARNED: Final = ("_lock", "_spaces", "_last_tries")
#: Origins remembered, the least recently used one is forgotten: it will challenge again.
_REMEMBERED: Final = 1024

#: The controls that no field may hold; a tab is none of them (RFC 9110 §5.5).
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

_Origin = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Terms:
    """What a server wants proved, and how.

    Attributes:
        realm: Which users and passwords count.
        nonce: The server's nonce.
        opaque: To be sent back as it is; `None` if there is none.
        algorithm: The hash as the server writes it, `-sess` included; empty if it names none.
        qop: "auth", "auth-int", or empty for servers from before 1999.
        is_utf8: True if the server says that it reads UTF-8.
        hides_user: True if the server can find the user by a hash of the name.
        is_stale: True if the proof was right and only the nonce too old.
    """

    realm: bytes
    nonce: bytes
    opaque: bytes | None
    algorithm: str
    qop: str
    is_utf8: bool = False
    hides_user: bool = False
    is_stale: bool = False

    @property
    def is_session(self) -> bool:
        """True if user and password are hashed with both nonces."""
        return self.algorithm.upper().endswith("-SESS")

    @property
    def is_reusable(self) -> bool:
        """True if requests may be signed before they are challenged.

        Not without `qop`: there is no client's nonce then, in which to write why a request was signed. Not with
        `-sess`: servers disagree on whether the client's nonce of the first request counts, or each one's own.
        """
        return bool(self.qop) and not self.is_session

    @property
    def strength(self) -> int:
        """How good the hash is, compared with others."""
        return _STRENGTH[_name_of_hash(self.algorithm)]

    def hashed(self, *parts: bytes) -> bytes:
        """Hash parts joined by colons, and write it in hexadecimal."""
        # "Not for security": a machine under FIPS rules would refuse MD5, and the server has chosen it.
        made = hashlib.new(_HASHES[_name_of_hash(self.algorithm)], b":".join(parts), usedforsecurity=False)
        return made.hexdigest().encode()

    def proof(
        self, user: bytes, password: bytes, method: bytes, target: bytes, content: bytes, nc: bytes, cnonce: bytes
    ) -> bytes:
        """Compute the parameter `response`.

        Args:
            user: The user's name.
            password: The password.
            method: The request's.
            target: The request's, path and query.
            content: The body; counts for auth-int alone.
            nc: How many requests this nonce has signed, this one included: 8 hexadecimal digits.
            cnonce: The client's nonce.

        Source: RFC 7616 §3.4.1 to §3.4.3; without qop RFC 2617 §3.2.2.1.
        """
        secret = self.hashed(user, self.realm, password)
        if self.is_session:
            secret = self.hashed(secret, self.nonce, cnonce)
        shown = [method, target, self.hashed(content)] if self.qop == "auth-int" else [method, target]
        if not self.qop:
            return self.hashed(secret, self.nonce, self.hashed(*shown))
        return self.hashed(secret, self.nonce, nc, cnonce, self.qop.encode(), self.hashed(*shown))


class _Space:
    """The last challenge of an origin, and how many requests its nonce has signed."""

    __slots__ = ("count", "terms")

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.count = 0


class HTTPDigestAuth(AuthBase):
    """User and password by Digest authentication.

    The first request to an origin is sent unsigned and challenged; it is then sent again, signed. Later requests to
    the origin are signed in advance with the same nonce, unless the server knows no `qop`, or wants `-sess`. A request
    is sent again once, and once more if the server calls the nonce stale.

    Of several challenges the one with the strongest hash is answered: MD5, SHA, SHA-256, SHA-512 and SHA-512-256, with
    `-sess` or without. `qop=auth-int` is answered if nothing else is offered and the body is text or bytes.

    Args:
        username: Text is hashed and sent in UTF-8, bytes as they are.
        password: The same.

    Two objects with equal user and password are equal; they cannot be hashed. Pickled, it keeps those alone.

    Thread safety: any number of threads and tasks may share one.
    """

    def __init__(self, username: str | bytes, password: str | bytes) -> None:
        self.username = username
        self.password = password
        #: Guards `_spaces` and the counts in it: a server refuses a count that comes twice.
        self._lock = threading.Lock()
        #: By origin, least recently used first; `None` for one that has not challenged yet. Only challenges of these
        #: origins are answered: no other was ever meant to get the credentials.
        self._spaces: dict[_Origin, _Space | None] = {}
        #: Nonces, oldest first, with which a request was signed again without a client's nonce, which would say so.
        self._last_tries: dict[tuple[_Origin, bytes], None] = {}

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Sign a request in advance, if its origin has challenged before."""
        origin = request.address.origin
        with self._lock:
            space = self._spaces.pop(origin, None)
            self._spaces[origin] = space
            if len(self._spaces) > _REMEMBERED:
                del self._spaces[next(iter(self._spaces))]
            if space is None or not space.terms.is_reusable or not _may_sign(space.terms, request.body):
                return request
            space.count += 1
            terms, count = space.terms, space.count
        self._sign(request, terms, count, _AHEAD)
        return request

    def answered(self, response: Any) -> PreparedRequest | None:
        """Answer a challenge; see `AuthBase.answered`.

        Returns:
            The request signed, or `None`: there is no challenge, none that can be answered, it comes from another
            origin than the request was meant for, or the proof was refused.
        """
        request: PreparedRequest = response.request
        # Any 4xx, as in requests: some servers challenge with 403 (RFC 9110 §11.6.1 allows it).
        if not 400 <= response.status_code < 500:
            self._take_next_nonce(request, response.headers.get("Authentication-Info"))
            return None
        terms = _strongest(response.headers.get("WWW-Authenticate"), request.body)
        if terms is None:
            return None
        reason = self._reason_to_answer(request, terms)
        count = None if reason is None else self._counted(request.address.origin, terms)
        if reason is None or count is None:
            return None
        again = request.copy()
        if reason == _AGAIN and not terms.qop and not terms.is_session:
            self._note_last_try(request.address.origin, terms.nonce)
        self._sign(again, terms, count, reason)
        return again

    def __eq__(self, other: object) -> bool:
        return has_same_credentials(self, other)

    __hash__ = None  # type: ignore[assignment]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in _LEARNED}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock(), _spaces={}, _last_tries={})

    def _reason_to_answer(self, request: PreparedRequest, terms: Terms) -> str | None:
        """Tell why a request is worth sending again with another proof; `None` if its proof was refused for good."""
        sent = self._proof_in(request)
        if sent is None or "cnonce" in sent:
            return _reason_to_answer(sent, terms)
        # A proof without a client's nonce (RFC 2069) is always the answer to a challenge, first or last.
        with self._lock:
            was_last = (request.address.origin, _raw(sent["nonce"])) in self._last_tries
        return _AGAIN if terms.is_stale and not was_last else None

    def _note_last_try(self, origin: _Origin, nonce: bytes) -> None:
        with self._lock:
            self._last_tries[origin, nonce] = None
            if len(self._last_tries) > _REMEMBERED:
                del self._last_tries[next(iter(self._last_tries))]

    def _counted(self, origin: _Origin, terms: Terms) -> int | None:
        """Remember what an origin asks for, and count its nonce; `None` if nothing was ever meant for the origin."""
        with self._lock:
            if origin not in self._spaces and _before_upgrade(origin) not in self._spaces:
                return None
            space = self._spaces.get(origin)
            if space is None or space.terms.nonce != terms.nonce:
                space = self._spaces[origin] = _Space(terms)
            space.terms = terms
            space.count += 1
            return space.count

    def _take_next_nonce(self, request: PreparedRequest, field: str | None) -> None:
        """Use the nonce the server wants to see next (RFC 7616 §3.5)."""
        said = parse_parameters(field).get("nextnonce", "") if field else ""
        nonce = b"" if _CONTROL.search(said) else _raw(said)
        if not nonce or self._proof_in(request) is None:
            return
        origin = request.address.origin
        with self._lock:
            space = self._spaces.get(origin)
            if space is not None and space.terms.nonce != nonce:
                self._spaces[origin] = _Space(replace(space.terms, nonce=nonce))

    def _sign(self, request: PreparedRequest, terms: Terms, count: int, reason: str) -> None:
        cnonce = (reason + os.urandom(_RANDOM).hex()).encode()
        nc = b"%08x" % count
        target = _raw(request.address.target)
        proof = self._proof(terms, request, nc, cnonce)
        name, user = self._user_field(terms)
        # Any order is right; this is the one of RFC 2617's examples, which servers have seen most.
        fields = [name + b"=" + user, b"realm=" + quoted(terms.realm)]
        fields += [b"nonce=" + quoted(terms.nonce), b"uri=" + quoted(target)]
        if terms.algorithm:
            fields.append(b"algorithm=" + terms.algorithm.encode())
        if terms.qop:
            fields += [b"nc=" + nc, b"qop=" + terms.qop.encode()]
        if terms.qop or terms.is_session:
            fields.append(b"cnonce=" + quoted(cnonce))
        fields.append(b'response="%b"' % proof)
        if terms.opaque is not None:
            fields.append(b"opaque=" + quoted(terms.opaque))
        if terms.hides_user:
            fields.append(b"userhash=true")
        # As text, which is what other code expects of a header; each byte stays what it is.
        request.headers["Authorization"] = (b"Digest " + b", ".join(fields)).decode("latin-1")

    def _user_field(self, terms: Terms) -> tuple[bytes, bytes]:
        """Write the user's name, in the form that names outside ASCII have (RFC 7616 §3.4, §3.4.4)."""
        user = _encoded(self.username)
        if terms.hides_user:
            return b"username", b'"%b"' % terms.hashed(user, terms.realm)
        if terms.is_utf8 and not user.isascii():
            return b"username*", b"UTF-8''" + quote(user, safe="").encode()
        return b"username", quoted(user)

    def _proof(self, terms: Terms, request: PreparedRequest, nc: bytes, cnonce: bytes) -> bytes:
        user, password = _encoded(self.username), _encoded(self.password)
        content = _content_of(request.body) or b""
        return terms.proof(user, password, _encoded(request.method), _raw(request.address.target), content, nc, cnonce)

    def _proof_in(self, request: PreparedRequest) -> dict[str, str] | None:
        """Return the parameters a request was signed with, if it was signed here and as it stands.

        After a redirect a request may still carry the proof for another target or method: that was not refused yet.
        """
        value = request.headers.get("Authorization") or ""
        text = value.decode("latin-1") if isinstance(value, bytes) else value
        sent = next((one.parameters for one in parse_challenges(text) if one.scheme == "digest"), None)
        terms = None if sent is None else _terms_of(sent, request.body)
        if sent is None or terms is None:
            return None
        nc, cnonce = _raw(sent.get("nc", "")), _raw(sent.get("cnonce", ""))
        is_own = _raw(sent.get("response", "")) == self._proof(terms, request, nc, cnonce)
        return sent if is_own else None


def _reason_to_answer(sent: dict[str, str] | None, terms: Terms) -> str | None:
    """Tell why a request is worth sending again with another proof; `None` if its proof was refused for good."""
    if sent is None:
        return _ANSWER
    before = sent.get("cnonce", "")[:1]
    is_other = (terms.realm, terms.nonce) != (_raw(sent["realm"]), _raw(sent["nonce"]))
    if before == _AHEAD and (terms.is_stale or is_other):
        # Not each server says that a nonce it does not know any more is stale; and another part of it may be another
        # realm.
        return _ANSWER
    return _AGAIN if before == _ANSWER and terms.is_stale else None


def _strongest(field: str | None, body: object) -> Terms | None:
    """Choose among the challenges of a field; the first of equally strong ones, `None` if none can be answered.

    RFC 7616 §3.7 lets the server's order count "unless a local policy dictates otherwise". It does: whoever sits in
    between could change the order.
    """
    found = [_terms_of(one.parameters, body) for one in parse_challenges(field or "") if one.scheme == "digest"]
    return max((terms for terms in found if terms is not None), key=lambda terms: terms.strength, default=None)


def _terms_of(parameters: dict[str, str], body: object) -> Terms | None:
    """Read a challenge's parameters, or a proof's; `None` if there is nothing to prove or no way to do it."""
    qop = _chosen_qop(parameters.get("qop", ""))
    algorithm = parameters.get("algorithm", "")
    if "realm" not in parameters or "nonce" not in parameters or qop is None or not _can_hash(algorithm):
        return None
    opaque = parameters.get("opaque")
    if _CONTROL.search("".join((parameters["realm"], parameters["nonce"], algorithm, opaque or ""))):
        return None  # They would have to go back, and no field may hold them.
    terms = Terms(
        realm=_raw(parameters["realm"]),
        nonce=_raw(parameters["nonce"]),
        opaque=None if opaque is None else _raw(opaque),
        algorithm=algorithm,
        qop=qop,
        is_utf8=parameters.get("charset", "").upper() == "UTF-8",
        hides_user=parameters.get("userhash", "").lower() == "true",
        is_stale=parameters.get("stale", "").lower() == "true",
    )
    return terms if _may_sign(terms, body) else None


def _chosen_qop(offered: str) -> str | None:
    """Choose what is protected: `auth` where it is offered, as all clients do; `None` for what nobody knows."""
    names = re.split(r"[,\s]+", offered.lower().strip(", \t"))
    return next((name for name in ("auth", "auth-int", "") if name in names), None)


def _may_sign(terms: Terms, body: object) -> bool:
    return terms.qop != "auth-int" or _content_of(body) is not None


def _name_of_hash(algorithm: str) -> str:
    return algorithm.upper().removesuffix("-SESS") or "MD5"


def _can_hash(algorithm: str) -> bool:
    name = _HASHES.get(_name_of_hash(algorithm))
    # SHA-512-256 depends on how Python's OpenSSL was built.
    return name is not None and name in hashlib.algorithms_available


def _before_upgrade(origin: _Origin) -> _Origin | None:
    """Return the http origin whose credentials are good for an https one too: `redirect.py` has the same rule."""
    return ("http", origin[1], 80) if origin[0] == "https" and origin[2] == 443 else None


def _content_of(body: object) -> bytes | None:
    """Return a body that is at hand; `None` for one that would have to be read."""
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode()
    return bytes(body) if isinstance(body, (bytes, bytearray, memoryview)) else None


def _encoded(part: object) -> bytes:
    """Take what is no text for its text, as requests does."""
    return part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogatepass")


def _raw(text: str) -> bytes:
    """Return the bytes of a header's value, which was decoded as ISO 8859-1: the server hashes what it has sent."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
