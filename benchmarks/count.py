"""What one keep-alive GET, and one POST, cost in steps instead of time, which nothing else on the machine can change.

Counted, for one request over a connection that is open already:

- calls of keeppool's own Python functions, and of others' as far as keeppool calls them itself;
- calls into the kernel: methods of sockets, `poll` and `epoll`;
- blocks of memory that stay allocated, which have to be none.

What is expected stands in `counts.json`: for every Python (3.11 to 3.13 do not differ), and apart for one that has to
differ. `python -m benchmarks.count` compares, and `--write` makes what is counted now the expectation (with `--apart`
that of the running Python alone). `--strace` asks the system instead which calls arrive there.

Knows: how Python's profiler names what runs. Does not know: what is fast.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import keeppool
from benchmarks.measure import table
from benchmarks.nginx_server import nginx
from benchmarks.program import forget_environment

EXPECTED = Path(__file__).with_name("counts.json")
#: The expectation that holds where none is written for the running Python; and that Python.
EVERY = "every Python"
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
ROOT = Path(__file__).resolve().parent.parent
OURS = f"{Path(keeppool.__file__).parent}/"

#: Requests before anything is counted: caches fill, and the interpreter specialises what is hot.
WARM_UP = 50
#: Requests that are counted one by one. Now and then one has a timer's work in it; what most have is what counts.
COUNTED = 21
#: Requests over which kept memory would add up; a few blocks come and go by themselves.
KEPT = 500
DOCUMENT = {"name": "socket", "tags": ["idle", "kept"], "price": 0.125}

#: A profiler's hook; and what makes so many requests with it set, or with none.
Hook = Callable[[FrameType, str, Any], None]
Requests = Callable[[int, Hook | None], None]


@contextlib.contextmanager
def pool_manager(url: str) -> Iterator[Requests]:
    """Request by `PoolManager`."""
    from keeppool import PoolManager

    def request(times: int, hook: Hook | None) -> None:
        sys.setprofile(hook)
        for _ in range(times):
            pool.request("GET", url).data  # noqa: B018 - reading it belongs to a request
        sys.setprofile(None)

    with PoolManager() as pool:
        yield request


@contextlib.contextmanager
def session(url: str) -> Iterator[Requests]:
    """Request by `Session`."""
    from keeppool import Session

    def request(times: int, hook: Hook | None) -> None:
        sys.setprofile(hook)
        for _ in range(times):
            opened.get(url).content  # noqa: B018 - reading it belongs to a request
        sys.setprofile(None)

    with Session() as opened:
        yield request


@contextlib.contextmanager
def post_of_json(url: str) -> Iterator[Requests]:
    """Post a small document by `Session`, which nginx refuses with a page of its own."""
    from keeppool import Session

    def request(times: int, hook: Hook | None) -> None:
        sys.setprofile(hook)
        for _ in range(times):
            opened.post(url, json=DOCUMENT).content  # noqa: B018 - reading it belongs to a request
        sys.setprofile(None)

    with Session() as opened:
        yield request


@contextlib.contextmanager
def async_session(url: str) -> Iterator[Requests]:
    """Request by `AsyncSession` on asyncio's own loop; what the loop calls in the meantime is counted too."""
    from keeppool import AsyncSession

    async def request(times: int, hook: Hook | None) -> None:
        sys.setprofile(hook)
        for _ in range(times):
            (await opened.get(url)).content  # noqa: B018 - reading it belongs to a request
        sys.setprofile(None)

    with asyncio.Runner() as runner:
        opened = AsyncSession()
        yield lambda times, hook: runner.run(request(times, hook))
        runner.run(opened.aclose())


CLIENTS: Mapping[str, Callable[[str], AbstractContextManager[Requests]]] = {
    "PoolManager": pool_manager,
    "Session": session,
    "Session, POST of JSON": post_of_json,
    "AsyncSession": async_session,
}


class Counts(NamedTuple):
    """What one request took."""

    functions: Mapping[str, int]
    kernel: Mapping[str, int]
    #: Blocks of memory for each request that outlive it.
    kept: int


def count(name: str, url: str) -> Counts:
    """Count what a client's request takes, once it is warm."""
    with CLIENTS[name](url) as request:
        return _counted(request)


def _counted(request: Requests) -> Counts:
    request(WARM_UP, None)
    seen = [_one(request) for _ in range(COUNTED)]
    functions, kernel = max(seen, key=seen.count)
    return Counts(functions, kernel, _blocks_kept(request))


def _one(request: Requests) -> tuple[dict[str, int], dict[str, int]]:
    """Count the calls of one request."""
    functions: Counter[str] = Counter()
    kernel: Counter[str] = Counter()

    def hook(frame: FrameType, event: str, function: Any) -> None:
        if event == "call" and _is_counted(frame):
            functions[_name(frame)] += 1
        elif event == "c_call" and (name := _kernel_name(function)):
            kernel[name] += 1

    request(1, hook)
    return dict(sorted(functions.items())), dict(sorted(kernel.items()))


def _is_counted(frame: FrameType) -> bool:
    if frame.f_code.co_name in _NOT_ALWAYS_FUNCTIONS:
        return False
    caller = frame.f_back
    return _is_ours(frame) or (caller is not None and _is_ours(caller))


#: From Python 3.12 on these run inside the function that has them (PEP 709).
_NOT_ALWAYS_FUNCTIONS = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>"})


def _is_ours(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(OURS)


def _name(frame: FrameType) -> str:
    module = str(frame.f_globals.get("__name__", "?")).removeprefix("keeppool.")
    return f"{module}:{frame.f_code.co_qualname}"


def _kernel_name(function: Any) -> str:
    """Name a C function that is a call into the kernel; empty if it is not."""
    owner = type(getattr(function, "__self__", None))
    name: str = getattr(function, "__name__", "")
    if owner.__module__ == "select" or (owner.__name__ == "socket" and _CALLS_OF_SOCKETS.fullmatch(name)):
        return f"{owner.__name__}.{name}"
    return ""


#: Methods of `socket.socket` behind which there is a system call.
_CALLS_OF_SOCKETS = re.compile(
    "accept|bind|close|connect(_ex)?|get(peername|sockname|sockopt)|listen|recv.*|send.*|setblocking|setsockopt|settimeout"
    "|shutdown"
)


def _blocks_kept(request: Requests) -> int:
    """Count blocks that are still allocated after each of many requests; 0 if no request leaves any."""
    request(WARM_UP, None)
    gc.collect()
    before = sys.getallocatedblocks()
    request(KEPT, None)
    gc.collect()
    return round((sys.getallocatedblocks() - before) / KEPT)


def expectations(path: Path) -> dict[str, dict[str, dict[str, Mapping[str, int]]]]:
    """Read what is expected: by Python, client, kind, name."""
    found: dict[str, dict[str, dict[str, Mapping[str, int]]]] = {}
    if path.exists():
        found = json.loads(path.read_text(encoding="utf-8"))
    return found


def differences(name: str, counts: Counts, path: Path = EXPECTED) -> list[str]:
    """Say, a line each, in what one client differs from what is expected of it on this Python."""
    known = expectations(path)
    expected = known.get(VERSION, known.get(EVERY, {})).get(name, {})
    lines = []
    for kind, now in ("functions", counts.functions), ("kernel", counts.kernel):
        before = expected.get(kind, {})
        lines += [
            f"{name}: {call} {_change(before.get(call, 0), now.get(call, 0))}"
            for call in sorted({*before, *now})
            if before.get(call, 0) != now.get(call, 0)
        ]
    if counts.kept:
        lines.append(f"{name}: {counts.kept} blocks of memory stay allocated after each request")
    return lines


def _change(old: int, new: int) -> str:
    if not old:
        return f"was not called, and is now: {new}"
    return f"called {old} times before, now {new}" if new else f"was called {old} times, and is not any more"


def write(all_counts: Mapping[str, Counts], *, apart: bool, path: Path = EXPECTED) -> None:
    """Make what was counted the expectation: of every Python, or of this one if it has its own or gets it."""
    expected = expectations(path)
    version = VERSION if apart or VERSION in expected else EVERY
    for name, counts in all_counts.items():
        expected.setdefault(version, {})[name] = {"functions": counts.functions, "kernel": counts.kernel}
    path.write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8")


def report(all_counts: Mapping[str, Counts]) -> str:
    """Write the totals as a table."""
    rows = [
        [
            name,
            str(sum(counts.functions.values())),
            ", ".join(f"{call} {times}" for call, times in counts.kernel.items()),
            str(counts.kept),
        ]
        for name, counts in all_counts.items()
    ]
    return table(["one request by", "Python functions called", "calls into the kernel", "blocks kept"], rows)


#: Requests traced, beside a run without any: the difference is what requests cost.
TRACED = 1000
_TRACE_LINE = re.compile(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$", re.MULTILINE)


def traced(name: str, url: str, requests: int) -> Counter[str]:
    """Let strace count the system calls of a process that makes so many requests."""
    with tempfile.NamedTemporaryFile("r", prefix="keeppool-") as file:
        command = ["strace", "-f", "-c", "-o", file.name, sys.executable, str(Path(__file__).resolve())]
        subprocess.run([*command, "--request", name, url, str(requests)], cwd=ROOT, check=True)
        return Counter({call: int(times) for times, call in _TRACE_LINE.findall(file.read()) if call != "total"})


def report_traced() -> str:
    """Write the system calls of each client's request as a table; those that are rare beside requests are left out."""
    rows = []
    with nginx() as url:
        for name in CLIENTS:
            calls = traced(name, url, WARM_UP + TRACED)
            calls.subtract(traced(name, url, WARM_UP))
            each = {call: times / TRACED for call, times in sorted(calls.items()) if times >= TRACED / 100}
            rows.append([name, ", ".join(f"{call} {times:.2f}" for call, times in each.items())])
    return table(["one request by", "system calls"], rows)


def make_requests(name: str, url: str, requests: str) -> None:
    """Be the process that strace watches."""
    with CLIENTS[name](url) as request:
        request(int(requests), None)


def compare(names: Sequence[str], options: argparse.Namespace) -> int:
    """Count, print, and write or compare; 1 if something has changed."""
    with nginx() as url:
        all_counts = {name: count(name, url) for name in names}
    print(report(all_counts))
    if options.write:
        write(all_counts, apart=options.apart)
    changed = [line for name, counts in all_counts.items() for line in differences(name, counts)]
    print("\n".join(["", *changed]) if changed else "")
    return int(bool(changed))


def main() -> int:
    """Read the command line, and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clients", nargs="*", help=f"some of {', '.join(CLIENTS)}; all, if none is named")
    parser.add_argument("--write", action="store_true", help="expect from now on what is counted now")
    parser.add_argument("--apart", action="store_true", help="only of the Python that is running")
    parser.add_argument("--strace", action="store_true", help="count system calls by strace")
    parser.add_argument("--request", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    forget_environment()
    if options.request:
        make_requests(*options.request)
        return 0
    if options.strace:
        if not shutil.which("strace"):
            raise SystemExit("strace is not installed")
        print(report_traced())
        return 0
    return compare(options.clients or list(CLIENTS), options)


if __name__ == "__main__":
    sys.exit(main())
