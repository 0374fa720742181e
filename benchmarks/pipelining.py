"""GETs of 1 KiB by 64 tasks, one behind the other on a connection or not: over a link of 20 ms, and on the loopback.

The link is that of `benchmarks.link`. Through one connection and through six, each with 1 and with 8 requests in
flight, go keeppool's tasks and undici's: version 7, on Node, installed by npm into a folder below the temporary one, or
left out; with `blocking: false`, without which it waits for each head. nginx counts the connections. On the loopback it
is 1 and 4 in flight: there the round trip is nothing, so what shows is what a request costs.

All take turns, in a shuffled order; ratios are medians of each round's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import program
from benchmarks.link import HERE, THERE, enter_namespace, slow_link
from benchmarks.measure import Cost, in_turns, median_ratio, median_us
from benchmarks.nginx_server import BODY, sites
from benchmarks.program import CannotRunError, Effort, Rows

TASKS = 64
#: Where npm has put undici; set before the program enters a namespace without a network.
_UNDICI = "KEEPPOOL_BENCHMARK_UNDICI"
#: Reads how many requests to make, makes them, and says so.
_SCRIPT = """
import { Pool } from 'undici'
import { createInterface } from 'node:readline'
const [origin, path, connections, pipelining, tasks, size] = process.argv.slice(2)
const pool = new Pool(origin, { connections: +connections, pipelining: +pipelining })
const one = async (requests) => {
  for (let n = 0; n < requests; n++) {
    const { body } = await pool.request({ path, method: 'GET', blocking: false })
    if ((await body.arrayBuffer()).byteLength !== +size) throw new Error('not what was asked for')
  }
}
for await (const line of createInterface({ input: process.stdin })) {
  await Promise.all(Array.from({ length: +tasks }, () => one(+line)))
  console.log('done')
}
await pool.close()
"""


def install_undici() -> None:
    """Have npm fetch undici; without it, or without Node, the rows are left out."""
    if os.environ.get(_UNDICI) is not None:
        return
    os.environ[_UNDICI] = ""
    if shutil.which("node") is None or (npm := shutil.which("npm")) is None:
        return
    folder = tempfile.mkdtemp(prefix="keeppool-undici-")
    command = [npm, "install", "--no-audit", "--no-fund", "--silent", "undici@7"]
    if subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0:
        Path(folder, "ask.mjs").write_text(_SCRIPT, encoding="utf-8")
        os.environ[_UNDICI] = folder
    else:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def undici(url: str, connections: int, depth: int, requests: int) -> Iterator[Callable[[], None]]:
    """Run Node with undici's pool.

    Raises:
        ImportError: There is none.
    """
    folder = os.environ.get(_UNDICI)
    if not folder:
        raise ImportError("no undici: node and npm, and a network, are needed to install it")
    origin, _, path = url.rpartition("/")
    command = ["node", str(Path(folder, "ask.mjs")), origin, f"/{path}"]
    command += [str(number) for number in (connections, depth, TASKS, len(BODY))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def run() -> None:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(f"{requests}\n")
            process.stdin.flush()
            if process.stdout.readline() != "done\n":
                raise SystemExit("undici has ended")

        run()
        yield run
        process.stdin.close()


@contextlib.contextmanager
def keeppool(url: str, connections: int, depth: int, requests: int) -> Iterator[Callable[[], None]]:
    """Open a session on an event loop of its own, which stands still while others run."""
    from keeppool import AsyncSession, HostConfig, Limits

    with asyncio.Runner() as runner:
        session = AsyncSession(limits=Limits(per_host=connections), defaults=HostConfig(pipelining=depth))

        async def one() -> None:
            for _ in range(requests):
                if (await session.get(url)).content != BODY:
                    raise SystemExit("what nginx serves was not fetched")

        async def crowd() -> None:
            await asyncio.gather(*(one() for _ in range(TASKS)))

        runner.run(crowd())
        yield lambda: runner.run(crowd())
        runner.run(session.aclose())


CLIENTS = {"keeppool": keeppool, "undici": undici}


def serial(site: str) -> int:
    """Ask nginx how many connections it has seen."""
    with urlopen(f"{site}/serial") as response:
        return int(response.read())


def measured(site: str, depths: tuple[int, int], wide: tuple[int, ...], effort: Effort, where: str) -> Rows:
    """Let every client that is there ask in every way."""
    rows: dict[str, dict[str, float | None]] = {}
    for connections in wide:
        with contextlib.ExitStack() as stack:
            calls: dict[str, Callable[[], None]] = {}
            sockets: dict[str, int] = {}
            for name, client in CLIENTS.items():
                for depth in depths:
                    before = serial(site)
                    try:
                        opened = client(f"{site}/1k.bin", connections, depth, effort.requests)
                        calls[f"{name}, {depth} deep"] = stack.enter_context(opened)
                    except ImportError as error:
                        print(f"left out: {name} ({error})", file=sys.stderr)
                        break
                    sockets[f"{name}, {depth} deep"] = serial(site) - before - 1
            costs = in_turns(calls, rounds=effort.rounds, each=1)
        for name, own in costs.items():
            rows[f"{name}, {connections} connections, {where}"] = _figures(name, own, costs, depths, effort, sockets)
    return rows


def _figures(
    name: str,
    own: list[Cost],
    costs: dict[str, list[Cost]],
    depths: tuple[int, int],
    effort: Effort,
    sockets: dict[str, int],
) -> dict[str, float | None]:
    client, _, depth = name.partition(", ")
    flat, others = costs[f"{client}, {depths[0]} deep"], costs.get(f"undici, {depth}")
    each = TASKS * effort.requests
    return {
        "per_s": 1e6 * each / median_us(own),
        "rate_by_one in flight": median_ratio(flat, own),
        "rate_by_undici": None if others is None else median_ratio(others, own),
        "cpu_us": sorted(cost.cpu for cost in own)[len(own) // 2] / each if client == "keeppool" else None,
        "sockets": sockets[name],
    }


@contextlib.contextmanager
def link_apart() -> Iterator[None]:
    """Let a process of its own carry the packets: in this one they would wait for the client under measurement.

    Raises:
        CannotRunError: As `slow_link`.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            with slow_link():
                os.write(writing, b"1")
                signal.pause()
        except CannotRunError as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    try:
        said = os.read(reading, 4096)
        if said != b"1":
            raise CannotRunError(said.decode())
        yield
    finally:
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)
        os.close(reading)
        os.close(writing)


def ask(effort: Effort) -> Rows:
    """Measure over the link, where one can be made, and on the loopback."""
    rows: dict[str, dict[str, float | None]] = {}
    try:
        with link_apart(), sites(address=HERE) as [site]:
            rows |= measured(site.replace(HERE, THERE), (1, 8), (1, 6), effort, "20 ms")
    except CannotRunError as error:
        print(f"left out: the link ({error})", file=sys.stderr)
    with sites() as [site]:
        rows |= measured(site, (1, 4), (6,), Effort(effort.rounds, 10 * effort.requests), "loopback")
    return rows


if __name__ == "__main__":
    install_undici()
    enter_namespace()
    program.main(ask, Effort(5, 5), about=__doc__, one_core=False)
