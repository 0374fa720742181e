"""A polite crawler: caps and names per host from a TOML file, links followed within each site, nothing asked twice.

Run it as it stands; it brings its own servers on loopback.
"""

import re
import tempfile
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import keeppool
from keeppool.testing import Answer, Behaviour, Request, Sites

LINK = re.compile(r'href="([^"]+)"')
PAGES = 30

CONFIG = """
[limits]
per_host = 4
total = 8
idle_timeout = 10

[timeout]
connect = 3
read = 10

[default.headers]
From = "me@example.org"

# A host that has asked for patience gets one connection.
[host."{shy}"]
per_host = 1
"""


def crawl(session: keeppool.Session, start: list[str], threads: int = 16) -> dict[str, int]:
    """Fetch everything the start pages lead to on their own hosts; tell each page's status, 0 where it failed."""
    allowed = {urlsplit(url).netloc for url in start}
    found: dict[str, int] = dict.fromkeys(start, 0)

    def fetch(url: str) -> tuple[str, int, list[str]]:
        with session.get(url, stream=True) as answer:
            if not answer.ok or "html" not in answer.headers.get("content-type", ""):
                return url, answer.status_code, []
            return url, answer.status_code, [urljoin(url, link) for link in LINK.findall(answer.text)]

    with ThreadPoolExecutor(threads) as workers:
        running: set[Future[tuple[str, int, list[str]]]] = {workers.submit(fetch, url) for url in start}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for one in done:
                try:
                    url, status, links = one.result()
                except keeppool.errors.KeepPoolError as error:
                    print("lost:", error)
                    continue
                found[url] = status
                fresh = {link for link in links if urlsplit(link).netloc in allowed and link not in found}
                found.update(dict.fromkeys(fresh, 0))
                running |= {workers.submit(fetch, link) for link in fresh}
    return found


def page(request: Request) -> Answer:
    """Answer with a page that links to two others: a site of `PAGES` pages."""
    number = int(request.path.rpartition("/")[2] or 0)
    links = "".join(f'<a href="/page/{(number * 2 + step) % PAGES}">next</a>' for step in (1, 2))
    return Answer(headers=(("Content-Type", "text/html"),), body=links.encode())


def main() -> None:
    with Sites() as sites, tempfile.TemporaryDirectory() as folder:
        site, shy = (
            sites.add(Behaviour(hint_timeout=5), handler=page),
            sites.add(Behaviour(delay_s=0.001), handler=page),
        )
        file = Path(folder, "crawler.toml")
        file.write_text(CONFIG.format(shy=urlsplit(shy.url).netloc))
        with keeppool.Session(config=keeppool.load_config(file), retries=1) as session:
            pages = crawl(session, [f"{site.url}/page/0", f"{shy.url}/page/0"])
            print(f"{list(pages.values()).count(200)} of {len(pages)} pages")
            print(f"connections at once, as the servers saw it: {site.peak_open} and {shy.peak_open}")
            print(f"{session.stats().reused} requests on connections that were open already")


if __name__ == "__main__":
    main()
