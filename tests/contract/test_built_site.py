"""The site as it is built: strictly; every link leads somewhere, nothing comes from outside, what matters is near."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import pytest

pytestmark = pytest.mark.docs
ROOT = Path(__file__).parents[2]

#: A page that says it, and words that stand there.
NEAR = {
    "per-host caps": ("configuration.html", "most to one origin"),
    "the meaning of peer_closed": ("reasons.html", "The server closed the connection while it was idle"),
    "the drop-in for urllib3": ("moving-from-urllib3.html", "keeppool.adapters.urllib3"),
}


class Page(HTMLParser):
    """A page's links, those of its text apart from those of the menu, its anchors, and what it loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.of_text: list[str] = []
        self.anchors: set[str] = set()
        self.loads: list[str] = []
        self._is_text = False
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        self._is_text = self._is_text or tag == "article"
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
            self.of_text += [given["href"]] if self._is_text else []
        elif tag == "link" and given.get("rel") not in ("canonical", "prev", "next", "edit"):
            self.loads.append(given.get("href", ""))
        elif "src" in given:
            self.loads.append(given["src"])

    def handle_endtag(self, tag: str) -> None:
        self._is_text = self._is_text and tag != "article"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Page]]:
    """Build the site; give its pages by their paths."""
    pytest.importorskip("mkdocs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    return {path.relative_to(folder).as_posix(): Page(path) for path in sorted(folder.glob("**/*.html"))}


def inside(place: str, link: str) -> tuple[str, str] | None:
    """Give the page and the anchor that a link leads to; `None` if it leads out of the site."""
    whole, anchor = urldefrag(urljoin(f"http://site/{place}", link))
    parts = urlsplit(whole)
    if parts.scheme != "http" or parts.netloc != "site":
        return None
    return parts.path[1:], unquote(anchor)


def test_every_link_leads_to_a_page_and_an_anchor(site):
    for place, page in site.items():
        if place == "404.html":
            continue
        for target in filter(None, (inside(place, link) for link in page.links)):
            path, anchor = target
            if path.endswith(".html"):
                assert path in site, f"{place} links to {path}"
                assert not anchor or anchor in site[path].anchors, f"{place} links to {path}#{anchor}"


def test_nothing_is_loaded_from_outside(site):
    for place, page in site.items():
        assert [load for load in page.loads if urlsplit(load).netloc] == [], place
        assert re.findall(r"(?:@import|url\()\s*['\"]?(?:https?:)?//", page.source) == [], place


def steps_from_the_first_page(site: dict[str, Page]) -> dict[str, int]:
    """Count links to each page, by the links of the text alone: who does not look at the menu follows them too."""
    steps, last = {"index.html": 0}, ["index.html"]
    while last:
        targets = [inside(place, link) for place in last for link in site[place].of_text]
        last = sorted({target[0] for target in targets if target and target[0] in site} - steps.keys())
        steps |= dict.fromkeys(last, max(steps.values()) + 1)
    return steps


def test_every_page_is_at_most_three_links_from_the_first_page(site):
    far = {place for place, count in steps_from_the_first_page(site).items() if count > 3}
    lost = set(site) - set(steps_from_the_first_page(site)) - {"404.html"}
    assert sorted(far | lost) == [], "link these pages from docs/index.md, or from a page it links to"


@pytest.mark.parametrize("what", NEAR)
def test_what_matters_is_at_most_three_links_from_the_first_page(site, what):
    goal, words = NEAR[what]
    assert words in re.sub(r"<[^>]+>", "", site[goal].source)
    assert steps_from_the_first_page(site)[goal] <= 3
