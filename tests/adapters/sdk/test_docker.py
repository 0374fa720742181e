"""The docker SDK over the mount, on a Unix socket: logs, events, a pull and an exec, each streamed."""

from __future__ import annotations

import itertools
import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import BinaryIO

import pytest

from keeppool import HostConfig
from keeppool.adapters.requests import KeepPoolAdapter

docker = pytest.importorskip("docker")

pytestmark = pytest.mark.sdk

CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
RAW = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def frame(stream: int, data: bytes) -> bytes:
    return struct.pack(">BxxxL", stream, len(data)) + data


def whole(document: object) -> bytes:
    body = json.dumps(document).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def head_from(file: BinaryIO) -> bytes:
    """Read a request's head; nothing at the end, where lines are empty for ever."""
    return b"".join(itertools.takewhile(lambda line: line not in (b"\r\n", b""), iter(file.readline, None)))


class Daemon:
    """What is asked of it, by the end of the path, and a step of each answer that waits until a test lets it go on."""

    def __init__(self, path: str) -> None:
        self.asked: list[bytes] = []
        self.go_on = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen()
        self._threads: list[threading.Thread] = []
        self._run(self._serve)

    def _run(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._run(self._answer_all, connection)

    def _answer_all(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as file:
            while head := head_from(file):
                self.asked.append(head)
                length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                file.read(int(length[0].split(b":")[1]) if length else 0)
                path = head.split()[1].partition(b"?")[0].split(b"/")
                answer = ANSWERS[path[-1].decode()]
                if not answer(connection.sendall, self.go_on):
                    return

    def close(self) -> None:
        """End, also where a client has left a connection: a thread that goes on would be in the way of later tests."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive()


def logs(send: Callable[[bytes], None], go_on: threading.Event) -> bool:
    send(CHUNKED + chunk(frame(1, b"one\n")))
    go_on.wait(30)
    time.sleep(1.2)  # Longer than the client's timeout, which the SDK lifts for a stream.
    send(chunk(frame(2, b"two\n")[:5]) + chunk(frame(2, b"two\n")[5:]) + b"0\r\n\r\n")
    return True


def events(send: Callable[[bytes], None], go_on: threading.Event) -> bool:
    send(CHUNKED + chunk(b'{"status": "start"}\n'))
    go_on.wait(30)
    send(chunk(b'{"status": "die"}\n') + b"0\r\n\r\n")
    return True


def execute(send: Callable[[bytes], None], go_on: threading.Event) -> bool:
    send(RAW + frame(1, b"out") + frame(2, b"err"))
    return False


def inspect(send: Callable[[bytes], None], go_on: threading.Event) -> bool:
    send(whole({"Config": {"Tty": False}, "Id": "c"}))
    return True


ANSWERS = {"logs": logs, "events": events, "create": events, "start": execute, "json": inspect}


@pytest.fixture
def daemon(tmp_path):
    served = Daemon(str(tmp_path / "docker.sock"))
    yield served
    served.close()


@pytest.fixture
def client(daemon, tmp_path):
    made = docker.APIClient(base_url="http://localhost:80", version="1.44", timeout=1)
    made.mount("http://", KeepPoolAdapter(defaults=HostConfig(unix_socket=str(tmp_path / "docker.sock"))))
    yield made
    made.close()


def test_logs_come_as_they_are_written(client, daemon):
    stream = client.logs("c", stream=True, follow=True)
    assert next(stream) == b"one\n"
    daemon.go_on.set()
    assert list(stream) == [b"two\n"]
    assert client.inspect_container("c")["Id"] == "c"


def test_events_come_one_by_one(client, daemon):
    stream = client.events(decode=True)
    assert next(stream) == {"status": "start"}
    daemon.go_on.set()
    assert list(stream) == [{"status": "die"}]


def test_a_pull_tells_its_progress(client, daemon):
    stream = client.pull("image", tag="latest", stream=True, decode=True)
    assert next(stream) == {"status": "start"}
    daemon.go_on.set()
    assert list(stream) == [{"status": "die"}]


def test_an_exec_gives_both_streams(client, daemon):
    assert client.exec_start("e", demux=True) == (b"out", b"err")
    assert b"upgrade" not in daemon.asked[-1].lower()
    assert b"".join(client.exec_start("e", stream=True)) == b"outerr"
