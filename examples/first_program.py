"""A first program: one session, a page, a form, a stream, and what the pool did.

Run it as it stands; it brings its own server on loopback.
"""

import keeppool
from keeppool.testing import Site


def main(url: str) -> None:
    with keeppool.Session(timeout=10) as session:
        session.headers["User-Agent"] = "my-crawler/1.0"

        answer = session.get(f"{url}/search", params={"q": "keep-alive"})
        answer.raise_for_status()
        print(answer.status_code, answer.headers["content-length"], answer.text.strip())

        answer = session.post(f"{url}/echo", json={"name": "socket"})
        print(answer.json()["body"])

        with session.get(f"{url}/bytes/200000", stream=True) as answer:
            print(sum(len(piece) for piece in answer.iter_content(65536)), "bytes streamed")

        stats = session.stats()
        print(f"{stats.opened} connection opened, reused {stats.reused} times")


if __name__ == "__main__":
    with Site() as site:
        main(site.url)
