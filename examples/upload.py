"""Uploading: a large file with progress, a stream without a length, and a form with files in it.

Run it as it stands; it brings its own server on loopback.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import keeppool
from keeppool.testing import Answer, Request, Site


class Watched:
    """A file that says how far it has been read. It can be rewound, so a redirect may ask for it again."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.tell, self.seek = file.tell, file.seek
        self.total = file.seek(0, 2)
        file.seek(0)

    def read(self, size: int = -1) -> bytes:
        """Read on, and say how far it is."""
        piece = self._file.read(size)
        if self.total and self._file.tell() % (1 << 20) == 0:
            print(f"\r{self._file.tell() * 100 // self.total} %", end="", flush=True)
        return piece


def lines(count: int) -> Iterator[bytes]:
    """Make a body piece by piece; nobody knows its length, so it goes out in chunks."""
    for number in range(count):
        yield b"%d\n" % number


def main(url: str, path: Path) -> None:
    with keeppool.Session(timeout=30) as session:
        with path.open("rb") as file:
            answer = session.put(f"{url}/large.bin", data=Watched(file))
            print("\r", answer.text, answer.request.headers["Content-Length"], "bytes said beforehand")

        print(session.post(f"{url}/lines", data=lines(1000)).text)

        with path.open("rb") as file:
            form = {"report": ("report.bin", file, "application/octet-stream"), "note": ("note.txt", "hello")}
            answer = session.post(f"{url}/form", data={"user": "me"}, files=form)
            print(answer.text, "as", answer.request.headers["Content-Type"].partition(";")[0])


def receive(request: Request) -> Answer:
    """Answer with what has arrived."""
    return Answer(body=f"{request.method} {request.path}: {len(request.body)} bytes arrived".encode())


if __name__ == "__main__":
    with Site(handler=receive) as site, tempfile.TemporaryDirectory() as folder:
        sample = Path(folder, "large.bin")
        sample.write_bytes(bytes(8 << 20))
        main(site.url, sample)
