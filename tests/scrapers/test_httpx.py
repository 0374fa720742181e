"""A scraper written for httpx, moved as docs/moving-from-httpx.md says, does the same over keeppool."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from pathlib import Path

import pytest
from scrapers.conftest import Town, run
from scrapers.shop import FILE, ITEMS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "moving-from-httpx.md").read_text(encoding="utf-8")
PROGRAM = (Path(__file__).parent / "programs" / "with_httpx.py").read_text(encoding="utf-8")

#: What is changed, in this order: each is a row of the page.
MOVES = [
    (r"\bimport httpx\b", "import keeppool"),
    (r"httpx\.Client\(", "keeppool.Session("),
    (r"httpx\.AsyncClient\(", "keeppool.AsyncSession(follow_redirects=False, "),
    (r"httpx\.Timeout\b", "keeppool.Timeout"),
    (
        r"httpx\.Limits\(max_connections=(\d+), max_keepalive_connections=(\d+), keepalive_expiry=([\d.]+)\)",
        r"keeppool.Limits(total=\1, per_host=\2, idle_timeout=\3)",
    ),
    (r'client\.stream\("GET", (.+)\) as', r"client.get(\1, stream=True) as"),
    (r"\.iter_lines\(\)", ".iter_lines(decode_unicode=True)"),
    (r"\.aread\(\)", ".read()"),
    (r"response\.is_success", "response.ok"),
    (r"response\.is_error", "not response.ok"),
    (r"\.reason_phrase", ".reason"),
    (r"\.next_request", ".next"),
    (r"verify=(ssl\.create_default_context\(.+?\))", r"defaults=keeppool.HostConfig(ssl_context=\1)"),
    (r"client\.build_request\((.+)\)$", r"client.prepare_request(keeppool.Request(\1))"),
    (r"httpx\.BasicAuth", "keeppool.auth.HTTPBasicAuth"),
    (r"httpx\.DigestAuth", "keeppool.auth.HTTPDigestAuth"),
    (r"httpx\.codes\b", "keeppool.codes"),
    (r"httpx\.HTTPStatusError", "keeppool.HTTPError"),
    (r"httpx\.RequestError", "keeppool.RequestException"),
    (r"httpx\.TimeoutException", "keeppool.errors.Timeout"),
    (r"httpx\.DecodingError", "keeppool.ContentDecodingError"),
    (r"httpx\.UnsupportedProtocol", "keeppool.InvalidSchema"),
    (r"httpx\.RemoteProtocolError", "keeppool.errors.ServerDisconnected"),
    (r"httpx\.(ConnectError|ConnectTimeout|ReadTimeout|TooManyRedirects)", r"keeppool.errors.\1"),
]


def moved(source: str) -> str:
    for old, new in MOVES:
        source, changed = re.subn(old, new, source, flags=re.MULTILINE)
        assert changed, f"nothing in the program is like {old}"
    return source


def meant(body: bytes) -> bytes:
    """Write JSON in one way; there are several for the same value."""
    try:
        return json.dumps(json.loads(body)).encode()
    except ValueError:
        return body


def told(town: Town, source: str, folder: Path) -> tuple[dict[str, object], Counter[tuple[str, str, bytes]]]:
    """Run a program; tell what it printed, and what the sites were asked for."""
    printed = run(source, town.arguments, folder)
    asked = [(one.method, one.target, meant(one.body)) for one in town.was_asked()]
    return json.loads(town.named(printed)), Counter(asked)


def test_the_page_has_each_name_that_is_changed():
    names = {"import", "httpx", "client", "stream", "ssl", "create_default_context"}
    for old, new in MOVES:
        for name in set(re.findall(r"[A-Za-z_]{4,}", f"{old} {new}".replace(r"\b", ""))) - names:
            assert name in PAGE, name


def test_a_moved_scraper_finds_what_there_is(town, tmp_path):
    """What it has to find is known from the shop, so that this runs without httpx."""
    found, asked = told(town(), moved(PROGRAM), tmp_path / "moved")
    digest = hashlib.sha256(FILE).hexdigest()[:12]
    assert found["login"] == [
        200,
        "http://127.0.0.1:SHOP/account?from=login",
        [302],
        "<h1>Account of ada</h1><p>dark</p>",
    ]
    assert found["prices"] == [[f"Товар {number}", number * 3 + 1.5] for number in range(ITEMS)]
    assert found["download"] == found["resumed"] == [True, digest, 'attachment; filename="data.bin"']
    assert found["together"] == [[number, len(FILE), digest] for number in range(20)]
    assert found["errors"]["/missing"] == ["status", 404, "Not Found", "GET"]
    assert (found["unfollowed"], found["cancelled"], found["one failed"]) == (301, 200, [200, True])
    assert sum(count for (_, target, _), count in asked.items() if target.startswith("/item/")) == ITEMS


@pytest.mark.sdk
def test_a_moved_scraper_finds_what_it_found_with_httpx(town, tmp_path):
    pytest.importorskip("httpx")
    found, asked = told(town(), PROGRAM, tmp_path / "before")
    found_now, asked_now = told(town(), moved(PROGRAM), tmp_path / "after")
    assert found_now == found
    # A GET that died unanswered on a connection used before goes out once more, and ten more redirects are followed.
    assert {target.rpartition("/")[0] for _, target, _ in asked_now - asked} == {"/broken", "/loop"}
    assert asked - asked_now == Counter()
