"""Many threads, many hosts, one pool: caps per host and in total, limits of their own for one host, and a ledger.

Run it as it stands; it brings its own servers on loopback.
"""

from concurrent.futures import ThreadPoolExecutor

from keeppool import HostConfig, HostLedger, Limits, PoolManager
from keeppool.testing import Behaviour, Sites

PAGES = 40


def main(urls: list[str], polite: str) -> None:
    ledger = HostLedger()
    limits = Limits(per_host=4, total=10)
    hosts = {polite.removeprefix("http://"): HostConfig(per_host=1, headers={"From": "me@example.org"})}
    with PoolManager(limits, timeout=10, hosts=hosts, on_event=ledger) as pool, ThreadPoolExecutor(16) as threads:
        pages = [f"{url}/page/{number}" for number in range(PAGES) for url in [*urls, polite]]
        statuses = list(threads.map(lambda url: pool.request("GET", url).status, pages))
        print(f"{statuses.count(200)} of {len(pages)} pages; {pool.stats().peak_open} connections at once")
    for origin, tally in ledger.hosts().items():
        print(f"{origin}: {tally.requests} requests over {tally.opened} connections, at most {tally.peak_open} at once")


if __name__ == "__main__":
    with Sites() as sites:
        main(
            [sites.add(Behaviour(hint_timeout=5, hint_max=20)).url, sites.add(Behaviour(framing="chunked")).url],
            polite=sites.add(Behaviour(delay_s=0.001)).url,
        )
