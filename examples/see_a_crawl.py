"""Where a crawl's time goes: a recorder draws every request and every socket, and answers questions.

Run it as it stands; it brings its own servers on loopback. Open the file it names in a browser.
"""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from keeppool import HostConfig, Limits, Session
from keeppool.observe import Recorder
from keeppool.testing import Behaviour, Sites

PAGES = 60


def main(urls: list[str], slow: str, folder: Path) -> None:
    recorder = Recorder()
    hosts = {slow.removeprefix("http://"): HostConfig(per_host=2)}
    with Session(Limits(per_host=4), timeout=10, hosts=hosts, on_event=recorder) as session:
        pages = [f"{url}/page/{number}" for number in range(PAGES) for url in [*urls, slow]]
        with ThreadPoolExecutor(16) as threads:
            list(threads.map(session.get, pages))

    slowest = max(recorder.requests, key=lambda done: done.total_s)
    waited = ", ".join(f"{one.seconds * 1000:.0f} ms for room at its {one.room.value}" for one in slowest.waits)
    print(f"slowest: {slowest.url}, {slowest.total_s * 1000:.0f} ms; of these {waited or 'none in the queue'}")
    print(f"{len(recorder.sockets)} sockets for {len(recorder.requests)} requests")

    recorder.save_waterfall(folder / "crawl.html", "A crawl of three hosts")
    recorder.save_har(folder / "crawl.har")
    print(f"see {folder / 'crawl.html'}")


if __name__ == "__main__":
    with Sites() as sites:
        main(
            [sites.add(Behaviour(hint_max=10)).url, sites.add(Behaviour(framing="close")).url],
            slow=sites.add(Behaviour(delay_s=0.01)).url,
            folder=Path(tempfile.mkdtemp()),
        )
