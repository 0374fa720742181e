"""A program that uses requests, with keeppool's connections under it: two lines more, and nothing else changes.

Run it as it stands; it brings its own server on loopback. Needs `pip install requests`.
"""

from concurrent.futures import ThreadPoolExecutor

import requests

from keeppool import HostConfig, Limits
from keeppool.adapters.requests import KeepPoolAdapter
from keeppool.testing import Behaviour, Site


def main(url: str) -> None:
    adapter = KeepPoolAdapter(
        limits=Limits(per_host=2), hosts={"*.slow.example": HostConfig(timeout=30)}, max_retries=2
    )
    with requests.Session() as session:
        session.mount("https://", adapter)
        session.mount("http://", adapter)

        answer = session.get(f"{url}/cookies/set?user=me", timeout=5)
        print(answer.status_code, session.cookies.get_dict())

        with ThreadPoolExecutor(8) as threads:
            lengths = threads.map(lambda size: len(session.get(f"{url}/bytes/{size}").content), range(20))
        print(sum(lengths), "bytes in 20 answers")

        with session.get(f"{url}/gzip", stream=True) as answer:
            print(sum(len(piece) for piece in answer.iter_content(4096)), "bytes streamed and decoded")

        try:
            session.get(f"{url}/status/503").raise_for_status()
        except requests.HTTPError as error:
            print("as ever:", error.response.status_code)

        stats = adapter.poolmanager.stats()
        print(f"{stats.opened} connections opened, never more than 2, reused {stats.reused} times")


if __name__ == "__main__":
    with Site(Behaviour(hint_timeout=5, hint_max=100)) as site:
        main(site.url)
