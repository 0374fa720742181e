"""An SDK on keeppool's connections: minio takes one of urllib3's pool managers, and keeppool's is one.

Run it as it stands; it brings its own little S3 on loopback. Needs `pip install minio`.
"""

import io
from concurrent.futures import ThreadPoolExecutor

import minio

from keeppool import Limits
from keeppool.adapters.urllib3 import PoolManager
from keeppool.testing import Answer, Behaviour, Request, Site

OBJECTS = 30


class Bucket:
    """As much of S3 as this program needs: put an object, get it again."""

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}

    def __call__(self, request: Request) -> Answer:
        """Answer a request."""
        if request.method == "PUT":
            self._objects[request.path] = request.body
            return Answer(headers=(("ETag", '"1"'),))
        return Answer(body=self._objects[request.path], headers=(("ETag", '"1"'),))


def main(host: str) -> None:
    with PoolManager(limits=Limits(per_host=4, idle_timeout=20)) as pool, ThreadPoolExecutor(12) as threads:
        client = minio.Minio(
            host, access_key="key", secret_key="secret", secure=False, region="us-east-1", http_client=pool
        )

        def store(number: int) -> None:
            client.put_object("pages", f"{number}.txt", io.BytesIO(b"page %d" % number), len(b"page %d" % number))

        def fetch(number: int) -> str:
            answer = client.get_object("pages", f"{number}.txt")
            try:
                return answer.read().decode()
            finally:
                answer.close()
                answer.release_conn()

        list(threads.map(store, range(OBJECTS)))
        pages = list(threads.map(fetch, range(OBJECTS)))
        print(pages[0], "to", pages[-1])
        stats = pool.stats()
        print(
            f"{2 * OBJECTS} requests of 12 threads over {stats.opened} connections, at most {stats.peak_open} at once"
        )


if __name__ == "__main__":
    with Site(Behaviour(hint_timeout=5), handler=Bucket()) as site:
        main(f"127.0.0.1:{site.port}")
