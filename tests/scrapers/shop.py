"""A shop on loopback for scrapers to work on, and the proxy in front of it.

The shop has what sites have: a login form with a token, cookies, pages that link to the next one, redirects, files to
download and to go on with, uploads, areas with Basic and Digest authentication, pages in old charsets, and pages that
fail. `Proxy` answers whole URLs for the shop. Both tell what was asked of them, each request as `Seen`.
"""

from __future__ import annotations

import email.parser
import email.policy
import gzip
import hashlib
import json
import re
import threading
from collections import Counter
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from keeppool.testing import Answer, Request

USER, PASSWORD = "ada", "pass word&1"
TOKEN = "f3a9-token"
ITEMS = 48
PER_PAGE = 10
#: How often `/flaky/N` is unavailable before it answers.
FAILURES = 2
FILE = hashlib.sha256(b"file").digest() * 12_500
REALM, NONCE = "shop", "8f1b2c"

#: Fields that say how a message travels or who sends it, not what was asked.
NOT_COMPARED = {"connection", "host", "content-length", "transfer-encoding", "user-agent", "accept", "accept-encoding"}

HTML = ("Content-Type", "text/html; charset=utf-8")


class Seen(NamedTuple):
    """What a request asked for, without what may differ from run to run."""

    method: str
    target: str
    fields: tuple[tuple[str, str], ...]
    body: bytes


def seen(request: Request) -> Seen:
    """Keep of a request what has to be the same whoever sends it; boundaries and a client's nonces get one name."""
    body, fields = request.body, {}
    for name, value in request.headers.items():
        if name in NOT_COMPARED:
            continue
        if match := re.search(r'boundary="?([^";]+)', value):
            body, value = body.replace(match[1].encode(), b"BOUNDARY"), value.replace(match[1], "BOUNDARY")
        if value.startswith("Digest "):
            # Which of its parts stand in quotation marks, and in which order they come, is anybody's choice.
            parts = re.findall(r'(\w+)="?([^",]+)', value)
            value = " ".join(sorted(f"{key}={'...' if key in ('cnonce', 'response') else part}" for key, part in parts))
        fields[name] = "; ".join(sorted(value.split("; "))) if name == "cookie" else value
    return Seen(request.method, request.target, tuple(sorted(fields.items())), body)


class Shop:
    """The handler of a site: `Site(handler=Shop())`.

    Attributes:
        uploads: Each file that was uploaded, by its name.
        elsewhere: Another shop's URL, which `/away` leads to.
    """

    def __init__(self) -> None:
        self.uploads: dict[str, str] = {}
        self.elsewhere = ""
        self._tries: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Answer:
        first, _, rest = request.path[1:].partition("/")
        page = getattr(self, f"on_{first or 'home'}", None)
        if page is None:
            return Answer(status=404, headers=(HTML,), body=b"<h1>Not here</h1>")
        return page(request, rest)

    def forget(self) -> None:
        """Begin anew: nothing was uploaded, nothing was unavailable yet."""
        self.uploads.clear()
        self._tries.clear()

    def on_home(self, _: Request, __: str) -> Answer:
        return Answer(headers=(HTML,), body=b"<h1>A shop</h1>")

    def on_login(self, request: Request, _: str) -> Answer:
        if request.method == "GET":
            form = f'<form method="post"><input type="hidden" name="csrf" value="{TOKEN}"><input name="user"></form>'
            visitor = ("Set-Cookie", "visitor=v1; Path=/; Max-Age=3600")
            return Answer(headers=(HTML, visitor), body=form.encode())
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        if "visitor=v1" not in request.headers.get("cookie", "") or form.get("csrf") != TOKEN:
            return Answer(status=400, headers=(HTML,), body=b"no token")
        if (form.get("user"), form.get("password")) != (USER, PASSWORD):
            return Answer(status=403, headers=(HTML,), body=b"wrong password")
        cookies = ("session=s-42; Path=/; HttpOnly", "theme=dark; Path=/account", "visitor=; Path=/; Max-Age=0")
        fields = tuple(("Set-Cookie", cookie) for cookie in cookies)
        return Answer(status=302, headers=(("Location", "/account?from=login"), *fields))

    def on_account(self, request: Request, _: str) -> Answer:
        if not is_known(request):
            return Answer(status=302, headers=(("Location", "/login?next=/account"),))
        theme = "dark" if "theme=dark" in request.headers["cookie"] else "light"
        return Answer(headers=(HTML,), body=f"<h1>Account of {USER}</h1><p>{theme}</p>".encode())

    def on_catalogue(self, request: Request, _: str) -> Answer:
        if not is_known(request):
            return Answer(status=401, headers=(HTML,), body=b"log in")
        number = int(parse_qs(request.query).get("page", ["1"])[0])
        ids = range((number - 1) * PER_PAGE, min(number * PER_PAGE, ITEMS))
        kind = ("Content-Type", "application/json")
        links = [f'</catalogue?sort=name&page={n}>; rel="{rel}"' for n, rel in ((number + 1, "next"), (1, "first"))]
        if number * PER_PAGE >= ITEMS:
            links = links[1:]
        body = json.dumps({"page": number, "items": [{"id": n, "href": f"../item/{n}"} for n in ids]})
        return Answer(headers=(kind, ("Link", ", ".join(links))), body=body.encode(), framing="chunked")

    def on_item(self, request: Request, number: str) -> Answer:
        if not is_known(request):
            return Answer(status=401)
        text = (
            f'<meta charset="windows-1251"><h1>Товар {number}</h1><span class="price">{int(number) * 3 + 1}.50 €</span>'
        )
        coded = gzip.compress(text.encode("windows-1251"), mtime=0)
        kind = ("Content-Type", "text/html; charset=windows-1251" if int(number) % 2 else "text/html")
        return Answer(headers=(kind, ("Content-Encoding", "gzip")), body=coded)

    def on_file(self, request: Request, name: str) -> Answer:
        kind = ("Content-Type", "application/octet-stream")
        named = ("Content-Disposition", f'attachment; filename="{name}"')
        etag = ("ETag", '"v1"')
        if match := re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", "")):
            start = int(match[1])
            place = ("Content-Range", f"bytes {start}-{len(FILE) - 1}/{len(FILE)}")
            return Answer(status=206, headers=(kind, named, etag, place), body=FILE[start:])
        if request.headers.get("if-none-match") == '"v1"':
            return Answer(status=304, headers=(etag,))
        pieces = tuple(FILE[start : start + 30_000] for start in range(0, len(FILE), 30_000))
        return Answer(headers=(kind, named, etag), body=pieces)

    def on_prices(self, _: Request, __: str) -> Answer:
        lines = "".join(f"{n};{n * 3 + 1}.50\r\n" for n in range(ITEMS))
        kind = ("Content-Type", "text/csv; charset=utf-8")
        coded = gzip.compress(f"id;price\r\n{lines}".encode(), mtime=0)
        return Answer(headers=(kind, ("Content-Encoding", "gzip")), body=coded, framing="chunked")

    def on_flaky(self, request: Request, name: str) -> Answer:
        with self._lock:
            self._tries[name] += 1
            tries = self._tries[name]
        if tries <= FAILURES or name == "never":
            return Answer(status=503, headers=(("Retry-After", "0"), HTML), body=b"later")
        return Answer(headers=(HTML,), body=f"{name} after {tries}".encode())

    def on_upload(self, request: Request, _: str) -> Answer:
        head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
        form = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + request.body)
        parts = []
        for part in form.iter_parts():
            content = part.get_payload(decode=True)
            name = part.get_param("name", header="content-disposition")
            digest = hashlib.sha256(content).hexdigest()[:12]
            parts.append([name, part.get_filename(), part.get_content_type() if part.get_filename() else "", digest])
            if part.get_filename():
                self.uploads[part.get_filename()] = digest
        return json_of({"parts": parts}, 201)

    def on_echo(self, request: Request, _: str) -> Answer:
        names = ("authorization", "cookie", "referer")
        kept = {name: value for name, value in request.headers.items() if name in names or name.startswith("x-")}
        digest = hashlib.sha256(request.body).hexdigest()[:12]
        body = {"method": request.method, "target": request.target, "fields": kept}
        body |= {"size": len(request.body), "sha": digest}
        return json_of(body)

    def on_put(self, request: Request, _: str) -> Answer:
        return Answer(status=307, headers=(("Location", f"/echo/moved?{request.query}"),))

    def on_away(self, _: Request, __: str) -> Answer:
        return Answer(status=301, headers=(("Location", f"{self.elsewhere}/echo/away#part"),))

    def on_loop(self, _: Request, number: str) -> Answer:
        return Answer(status=303, headers=(("Location", f"{int(number) + 1}"),))

    def on_old(self, _: Request, __: str) -> Answer:
        return Answer(status=301, headers=(("Location", "/robots%20file.txt?a=b c"),), body=b"moved")

    def on_basic(self, request: Request, _: str) -> Answer:
        if request.headers.get("authorization", "").startswith("Basic "):
            return json_of({"authorization": request.headers["authorization"]})
        return Answer(status=401, headers=(("WWW-Authenticate", 'Basic realm="shop"'),))

    def on_digest(self, request: Request, _: str) -> Answer:
        fields = dict(re.findall(r'(\w+)="?([^",]+)"?', request.headers.get("authorization", "")))
        if fields.get("response") == digest_of(request, fields):
            return json_of({"user": fields["username"]})
        challenge = f'Digest realm="{REALM}", nonce="{NONCE}", qop="auth", algorithm=MD5'
        return Answer(status=401, headers=(("WWW-Authenticate", challenge),), body=b"who?")

    def on_broken(self, _: Request, kind: str) -> Answer:
        if kind == "json":
            return Answer(headers=(("Content-Type", "application/json"),), body=b'{"half": ')
        if kind == "gzip":
            return Answer(headers=(("Content-Encoding", "gzip"),), body=b"this is no gzip")
        if kind == "slow":
            return Answer(body=b"at last", delay_s=60)
        return Answer(hang_up=True)

    def on_latin(self, _: Request, kind: str) -> Answer:
        if kind == "unsaid":
            return Answer(headers=(("Content-Type", "text/plain"),), body="Grüße aus Köln, schöne Grüße".encode())
        return Answer(headers=(("Content-Type", "text/plain; charset=iso-8859-1"),), body="Grüße".encode("latin-1"))


class Proxy:
    """The handler of a site that is a proxy for one shop: it takes whole URLs only, and signs what it passes on."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop

    def __call__(self, request: Request) -> Answer:
        parts = urlsplit(request.target)
        if parts.scheme != "http":
            return Answer(status=400, body=b"a proxy takes whole URLs")
        if "proxy-authorization" not in request.headers:
            return Answer(status=407, headers=(("Proxy-Authenticate", 'Basic realm="proxy"'),))
        inner = self._shop(request._replace(target=f"{parts.path}?{parts.query}" if parts.query else parts.path))
        return Answer(status=inner.status, headers=(*inner.headers, ("Via", "1.1 small")), body=inner.body)


def is_known(request: Request) -> bool:
    return "session=s-42" in request.headers.get("cookie", "")


def json_of(value: object, status: int = 200) -> Answer:
    return Answer(status=status, headers=(("Content-Type", "application/json"),), body=json.dumps(value).encode())


def digest_of(request: Request, fields: dict[str, str]) -> str:
    """What a client that knows the password answers to the challenge (RFC 7616 §3.4.1)."""

    def md5(text: str) -> str:
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    mine = md5(f"{USER}:{REALM}:{PASSWORD}"), md5(f"{request.method}:{request.target}")
    return md5(f"{mine[0]}:{NONCE}:{fields.get('nc')}:{fields.get('cnonce')}:auth:{mine[1]}")
