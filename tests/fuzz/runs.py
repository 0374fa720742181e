"""What the command does: runs by atheris, one or several; planted faults; coverage; and cases that are kept.

A run is a process of its own, `tests.fuzz.by_atheris`: libFuzzer ends the process it runs in.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.fuzz.planting import Patch, patches
from tests.fuzz.smaller import failure, smaller

ROOT: Final = Path(__file__).parents[2]
#: Where an input that failed is written; git ignores it.
FOUND: Final = ROOT / "fuzz-found"
#: Seconds after which one input counts as endless. The longest honest ones take 0.2 s with instruments in.
ENDLESS: Final = 20
#: Share of the lines of the covered files that the corpora must reach.
ENOUGH: Final = 0.9


@dataclass(frozen=True)
class Run:
    """What a run came to.

    Attributes:
        name: The target's.
        failed: An oracle failed, or the process died.
        seconds: How long it took, imports included.
        inputs: How many inputs were tried.
        output: What it wrote.
    """

    name: str
    failed: bool
    seconds: float
    inputs: int
    output: str


def run(name: str, seconds: int, root: Path = ROOT, *, shown: bool = False) -> Run:
    """Run a target by atheris.

    Args:
        name: The target's.
        seconds: How long.
        root: The checkout whose keeppool is run.
        shown: Its output goes to the terminal as it comes.
    """
    from tests.fuzz.target import targets

    target = targets()[name]
    began = time.monotonic()
    FOUND.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        seeds, tokens = Path(folder) / "seeds", Path(folder) / "tokens"
        seeds.mkdir()
        for number, data in enumerate(target.corpus.read()):
            (seeds / f"{number:04}").write_bytes(data)
        tokens.write_text("".join(map(_for_dictionary, target.tokens)), encoding="ascii")
        options = [f"-max_total_time={seconds}", f"-max_len={target.most}", f"-timeout={ENDLESS}", "-rss_limit_mb=1500"]
        options += [f"-artifact_prefix={FOUND}/{name}-", f"-dict={tokens}", "-print_final_stats=1", str(seeds)]
        command = [sys.executable, "-m", "tests.fuzz.by_atheris", target.module, name, *options]
        environment = {**os.environ, "PYTHONPATH": str(root)}
        with subprocess.Popen(
            command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            lines = []
            for line in process.stdout or ():
                lines.append(line)
                if shown and not line.startswith("INFO: Instrumenting"):
                    sys.stdout.write(line)
            code = process.wait()
    output = "".join(lines)
    tried = re.findall(r"number_of_executed_units: *(\d+)|^#(\d+)\t", output, re.MULTILINE)
    return Run(name, code != 0, time.monotonic() - began, max([int(a or b) for a, b in tried], default=0), output)


def _for_dictionary(token: bytes) -> str:
    return '"' + "".join(f"\\x{byte:02x}" for byte in token) + '"\n'


def one(name: str, seconds: int) -> int:
    """Run one target and show what it says."""
    return int(run(name, seconds, shown=True).failed)


def all_of_them(seconds: int) -> int:
    """Run all targets, as many at a time as there are cores; each gets its share of the time."""
    from tests.fuzz.target import targets

    names, cores = list(targets()), os.cpu_count() or 1
    share = max(1, seconds * cores // len(names))
    with ThreadPoolExecutor(cores) as pool:
        runs = list(pool.map(lambda name: run(name, share), names))
    for done in runs:
        print(f"{done.name:<16} {done.inputs:>8} inputs {done.seconds:>6.1f} s  {'FAILED' if done.failed else 'ok'}")
    for done in runs:
        if done.failed:
            print(f"\n{done.name}\n{done.output[-4000:]}")
    return int(any(done.failed for done in runs))


def planted(names: list[str], seconds: int) -> int:
    """Plant each known fault in a copy of the sources, and let its target find it; print what it took."""
    known = {patch.name: patch for patch in patches()}
    missed = 0
    print(f"{'fault':<36} {'target':<14} {'found after':>12} {'inputs':>9}")
    for patch in [known[name] for name in names] if names else known.values():
        with _copy(patch) as root:
            done = run(patch.target, seconds, root)
        missed += not done.failed
        after = f"{done.seconds:.1f} s" if done.failed else "not found"
        print(f"{patch.name:<36} {patch.target:<14} {after:>12} {done.inputs:>9}", flush=True)
        for file in FOUND.glob(f"{patch.target}-*"):
            file.unlink()
    print(f"{missed} of them not found")
    return int(bool(missed))


@contextlib.contextmanager
def _copy(patch: Patch) -> Iterator[Path]:
    """Copy what a run needs, with the fault in it."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        no_caches = shutil.ignore_patterns("__pycache__")
        for part in ("keeppool", "tests/fuzz", "tests/wire"):
            shutil.copytree(ROOT / part, root / part, ignore=no_caches)
        patch.apply(root)
        yield root


def saved(name: str, file: str) -> int:
    """Keep an input in the target's corpus, as small as it gets while it fails in the same way."""
    from tests.fuzz.target import targets

    target = targets()[name]
    data = smaller(target.run, Path(file).read_bytes())
    how = failure(target.run, data)
    note = "reaches what no other does" if how is None else f"{how[0].__name__}, {Path(how[1]).name}"
    new = target.corpus.add(data, note)
    print(f"{name}: {len(data)} bytes, {note}{'' if new else '; it is there already'}: {data!r}")
    return 0


def listed() -> int:
    """Print the targets."""
    from tests.fuzz.target import targets

    for name, target in targets().items():
        print(f"{name:<16} {len(target.corpus.read()):>4} inputs kept; {', '.join(target.covers)}")
    return 0


def coverage() -> int:
    """Replay the corpora; print which share of the covered files' lines they reach."""
    import coverage as tool

    measured = tool.Coverage(source_pkgs=["keeppool"], data_file=None, config_file=False)
    measured.start()
    from tests.fuzz.target import targets

    for target in targets().values():
        for data in target.corpus.read():
            target.run(data)
    measured.stop()
    total = reached = 0
    for path in sorted({path for target in targets().values() for path in target.covers}):
        _, lines, _, missing, where = measured.analysis2(str(ROOT / "keeppool" / path))
        total, reached = total + len(lines), reached + len(lines) - len(missing)
        print(f"{path:<34} {1 - len(missing) / len(lines):>5.0%} of {len(lines):>4} lines  {where}")
    print(f"{'all':<34} {reached / total:>5.0%} of {total:>4} lines")
    return int(reached < ENOUGH * total)
