"""Run a soak, and print its table; 1 if anything in it is not zero.

Knows: the command line, the parts, the table. Does not know: what a part does.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.measure import machine, table
from benchmarks.nginx_server import Certificate, certificate
from benchmarks.soak.asking import CAPS
from benchmarks.soak.caller import MARKS, ROOT
from benchmarks.soak.ledger import KINDS
from benchmarks.soak.plan import at_hand, front_of
from benchmarks.soak.real import PROGRAMS, missing

#: What a part may grow by, from the first mark on; and where that comes after fewer requests than fill all caches.
GROWTH = 0.05
SHORT_GROWTH = 0.5
WARM = 20_000
#: Has glibc take large blocks from the system and give them back, and keep one heap for all threads. As it is by
#: default, holes are left between small blocks, which grow for hours: after 56,000 requests in threads there were 6 MiB
#: more of them, and not a byte more in use.
PLAIN_MALLOC = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
FRONTS = ("threads", "tasks", "forks")
#: What a child may hold beside its parent; and what the parent has closed is closed when the child has closed it too.
OF_CHILDREN = 4


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--requests", type=int, default=30_000)
    parser.add_argument("--seed", type=int, default=20261130)
    parser.add_argument("--front", choices=(*FRONTS, "mixed"), default="mixed")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="send one request again, and tell what it is")
    return parser.parse_args(arguments)


class Part:
    """A front's process, and what it has told so far."""

    def __init__(self, front: str, options: argparse.Namespace, tls: Certificate, hosts: dict[str, int]) -> None:
        self.front = front
        is_all = options.front == front
        self.requests = sum(is_all or front_of(number) == front for number in range(options.requests))
        self.mib: list[float] = []
        self.seconds = 0.0
        self.told: dict[str, Any] = {}
        extra = OF_CHILDREN if front == "forks" else 0
        caps = {name: cap + extra for name, cap in CAPS.items()}
        servers = {"seed": options.seed, "requests": options.requests, "hosts": hosts, "caps": caps}
        settings = {
            "front": front,
            "seed": options.seed,
            "requests": options.requests,
            "only": options.only,
            "is_all": is_all,
            "hosts": hosts,
            "roots": tls.roots,
            "real": [host for host in hosts if host in PROGRAMS],
            "servers": {**servers, "tls": [tls.chain, tls.key]},
        }
        command = [sys.executable, "-m", "benchmarks.soak.caller", json.dumps(settings)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=os.environ | PLAIN_MALLOC
        )

    def wait(self) -> None:
        """Read what it tells, to its end."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            told = json.loads(line)
            if "mark" in told:
                self.mib.append(told["mib"])
                self.seconds = told["seconds"]
                print(
                    f"{self.front}: {told['mark']:.0%} after {told['seconds']:.0f} s, {told['mib']:.1f} MiB", flush=True
                )
            elif "only" in told:
                print(told["only"])
            else:
                self.told = told
        self.process.wait()

    def close(self) -> None:
        """End it, if it has not ended."""
        self.process.terminate()
        self.process.wait()

    def faults(self) -> dict[str, int]:
        """Count them, by kind."""
        found = Counter(self.told.get("faults", {}))
        if "stuck" in self.told or self.process.returncode:
            found["never ended"] += 1
        found["memory grown"] += has_grown(self.mib, self.requests)
        return {kind: found[kind] for kind in KINDS}


def has_grown(mib: Sequence[float], requests: int) -> bool:
    """Tell whether memory has grown from the first mark on by more than it may, over so many requests."""
    growth = GROWTH if requests * MARKS[0] >= WARM else SHORT_GROWTH
    return len(mib) > 1 and max(mib[1:]) > mib[0] * (1 + growth)


def report(parts: Sequence[Part]) -> str:
    """Write the tables."""
    total = Counter[str]()
    for part in parts:
        total.update(part.faults())
    rows = [[kind, *(str(part.faults()[kind]) for part in parts), str(total[kind])] for kind in KINDS]
    lines = [table(["fault", *(part.front for part in parts), "in all"], rows), ""]
    for part in parts:
        lines += [
            f"{part.front}: {part.seconds:.0f} s; resident " + told_memory(part.mib),
            *told_outcomes(part.told),
            "",
        ]
    return "\n".join(lines)


def told_memory(mib: Sequence[float]) -> str:
    """Write what the process had at each mark."""
    return ", ".join(f"{size:.1f} MiB at {mark:.0%}" for size, mark in zip(mib, MARKS, strict=False))


def told_outcomes(told: Mapping[str, Any]) -> list[str]:
    """Write what requests ended with, and what was found in words."""
    lines = []
    if outcomes := told.get("outcomes"):
        lines.append("  ends: " + ", ".join(f"{name} {times:,}" for name, times in Counter(outcomes).most_common()))
        lines.append(f"  crossed a close, and ended with an error that says so: {told['lost']:,}")
        lines.append("  pool: " + ", ".join(f"{name} {number:,}" for name, number in told["pool"].items()))
        lines.append("  closed: " + ", ".join(f"{why} {times:,}" for why, times in told["closed_by"].items()))
        lines.append(f"  servers told to reload {told['reloads']:,} times")
        lines.append("  most connections at once: " + ", ".join(f"{n} {peak}" for n, peak in told["peaks"].items()))
    for kind, found in told.get("told", {}).items():
        lines += [f"  {kind}: {words}" for words in found]
    if "stuck" in told:
        lines.append(f"  never ended: {told['stuck']}; {told['stats']}")
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts beside each other, and print what came of them."""
    options = parsed(arguments)
    fronts = FRONTS if options.front == "mixed" else (options.front,)
    if options.only is not None and options.front == "mixed":
        fronts = (front_of(options.only),)
    left_out = missing()
    for host, why in left_out.items():
        print(f"left out: {host} ({why})")
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        tls = stack.enter_context(certificate("127.0.0.1", "tunnelled.test", "no-tunnel.test"))
        parts = [
            stack.enter_context(contextlib.closing(Part(front, options, tls, at_hand(left_out)))) for front in fronts
        ]
        with ThreadPoolExecutor(len(parts)) as threads:
            list(threads.map(Part.wait, parts))
    print(f"\n{machine()}; {options.requests:,} requests, seed {options.seed}; {time.monotonic() - began:.0f} s\n")
    print(report(parts))
    return int(any(sum(part.faults().values()) for part in parts))


if __name__ == "__main__":
    sys.exit(main())
