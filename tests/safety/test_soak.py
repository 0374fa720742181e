"""A seeded soak: servers that end connections in every way at once, threads that mix GETs and POSTs.

What happens on a connection is drawn when it begins, from a seed; threads and sockets bring the rest of the chance.
Some seconds, plain and TLS; `KEEPPOOL_SOAK=600` makes it ten minutes. A failure names its seed: `KEEPPOOL_SEED=...`.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from seams import assert_settled

from keeppool import Limits, Timeout, errors
from keeppool.testing import RawConnection, ScriptedServer

SECONDS = float(os.environ.get("KEEPPOOL_SOAK", "3"))
SEED = int(os.environ.get("KEEPPOOL_SEED", "20260101"))
THREADS = 8
SERVERS = 3
LATE_408 = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-Id: evil\r\n\r\npoison"


class HostileWorld:
    """What the servers do on each connection, and how often each request was carried out there."""

    def __init__(self, seed: int) -> None:
        self._lock = threading.Lock()
        self._chance = random.Random(seed)
        self.executed: Counter[str] = Counter()
        self.endings: Counter[str] = Counter()

    def __call__(self, connection: RawConnection) -> None:
        """Serve one connection: some answers, then an end."""
        with self._lock:
            answers = self._chance.choice((0, 1, 1, 2, 3, 5, 20))
            ending = self._chance.choice(ENDINGS)
            chunked = self._chance.random() < 0.4
        for _ in range(answers):
            connection.send(self.whole(self.execute(connection), chunked))
        with self._lock:
            self.endings[ending.__name__] += 1
        ending(self, connection)

    def execute(self, connection: RawConnection) -> str:
        """Read a request and carry it out; give its id."""
        request = connection.read_request()
        name = request.headers["x-id"]
        with self._lock:
            self.executed[name] += 1
        return name

    @staticmethod
    def whole(name: str, chunked: bool = False, fields: str = "") -> bytes:
        """Write the answer to one request."""
        if chunked:
            pieces = "".join(f"{len(piece):x}\r\n{piece}\r\n" for piece in (name[:3], name[3:]))
            return f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{fields}\r\n{pieces}0\r\n\r\n".encode()
        return f"HTTP/1.1 200 OK\r\nContent-Length: {len(name)}\r\n{fields}\r\n{name}".encode()

    # The endings

    def closes_idle(self, connection: RawConnection) -> None:
        connection.cut()

    def resets_idle(self, connection: RawConnection) -> None:
        connection.reset()

    def half_closes(self, connection: RawConnection) -> None:
        connection.half_close()
        connection.read_until_closed()

    def says_408(self, connection: RawConnection) -> None:
        connection.send(LATE_408)

    def poisons(self, connection: RawConnection) -> None:
        connection.send(self.whole(self.execute(connection)) + POISON)
        connection.read_until_closed()

    def poisons_and_closes(self, connection: RawConnection) -> None:
        name = self.execute(connection)
        connection.send(self.whole(name, fields="Connection: close\r\n") + POISON)

    def reads_and_closes(self, connection: RawConnection) -> None:
        connection.read_head()

    def executes_and_closes(self, connection: RawConnection) -> None:
        self.execute(connection)

    def executes_and_resets(self, connection: RawConnection) -> None:
        self.execute(connection)
        connection.reset()

    def breaks_off(self, connection: RawConnection) -> None:
        answer = self.whole(self.execute(connection))
        connection.send(answer[: 1 + len(answer) * 2 // 3])

    def breaks_off_chunked(self, connection: RawConnection) -> None:
        connection.send(self.whole(self.execute(connection), chunked=True)[:-3])

    def sends_too_little(self, connection: RawConnection) -> None:
        name = self.execute(connection)
        connection.send(f"HTTP/1.1 200 OK\r\nContent-Length: {len(name) + 5}\r\n\r\n{name}".encode())

    def sends_too_much(self, connection: RawConnection) -> None:
        connection.send(self.whole(self.execute(connection)) + b"and more")
        connection.read_until_closed()

    def drips(self, connection: RawConnection) -> None:
        answer = self.whole(self.execute(connection), chunked=True)
        for place in range(len(answer)):
            connection.send(answer[place : place + 1])

    def stays_silent(self, connection: RawConnection) -> None:
        self.execute(connection)
        connection.read_until_closed()

    def talks_nonsense(self, connection: RawConnection) -> None:
        self.execute(connection)
        connection.send(b"220 smtp.example ESMTP\r\n")

    def says_close(self, connection: RawConnection) -> None:
        connection.send(self.whole(self.execute(connection), fields="Connection: close\r\n"))


NO_ENDINGS = {"execute", "whole"}
ENDINGS = [end for name, end in vars(HostileWorld).items() if not name.startswith("_") and name not in NO_ENDINGS]


def visit(pool, urls, thread: int, until: float) -> tuple[Counter[str], set[str]]:
    """Send requests until the time is up; count what came of them, and give the POSTs that were answered."""
    chance = random.Random(SEED * 100 + thread)
    outcomes: Counter[str] = Counter()
    answered = set()
    number = 0
    while time.monotonic() < until:
        number += 1
        method = chance.choice(("GET", "GET", "POST"))
        name = f"{method}-{thread}-{number}"
        upload = b"x" * chance.choice((0, 10, 100_000)) if method == "POST" else None
        try:
            response = pool.request(
                method, chance.choice(urls), headers={"X-Id": name}, body=upload, stream=chance.random() < 0.3
            )
            with response:
                if chance.random() < 0.05:
                    continue  # given up unread
                body = response.read()
            if response.status == 408 and not response.reused:
                outcomes["408 on a new connection"] += 1
                continue  # the server's word for this request, as far as anybody can know
            assert body == name.encode(), f"{name} was answered with {response.status} {body!r}; seed {SEED}"
            outcomes["answered"] += 1
            if method == "POST":
                answered.add(name)
        except errors.ExchangeError as error:
            outcomes[type(error).__name__] += 1
            outcomes["unexplained"] += not error.sent and not error.retry_safe
        except errors.ConnectError as error:
            outcomes["reset before anything was sent"] += 1
            outcomes["unexplained"] += not isinstance(error.__cause__, ConnectionResetError)
    return outcomes, answered


@pytest.mark.slow
@pytest.mark.timeout(max(120, 3 * SECONDS))
def test_a_hostile_world_costs_nothing_but_errors_that_say_so(plant):
    worlds = [HostileWorld(SEED + number) for number in range(SERVERS)]
    limits, timeout = Limits(per_host=3, total=7), Timeout(connect=20, read=0.1, pool=60)
    with plant.pool(limits, timeout=timeout) as pool:
        servers = [ScriptedServer(world, tls=plant.tls, timeout=20) for world in worlds]
        try:
            urls = [server.__enter__().url for server in servers]
            until = time.monotonic() + SECONDS
            with ThreadPoolExecutor(THREADS) as threads:
                jobs = [threads.submit(visit, pool, urls, number, until) for number in range(THREADS)]
                results = [job.result() for job in jobs]
            assert_settled(pool)
            assert pool.stats().peak_open <= 7
        finally:
            for server in servers:
                server.close()
    outcomes = sum((outcome for outcome, _ in results), Counter())
    executed = sum((world.executed for world in worlds), Counter())
    posts = {name for _, answered in results for name in answered}
    assert outcomes["answered"] > 100, outcomes
    assert outcomes["unexplained"] == 0, outcomes
    twice = {name for name, times in executed.items() if times > 1 and name.startswith("POST")}
    assert not twice, f"POSTs carried out twice; seed {SEED}"
    assert {executed[name] for name in posts} == {1}, f"a POST that was answered was carried out once; seed {SEED}"
    assert set(outcomes) > {"answered", "ServerDisconnected"}, "the world was not hostile"
