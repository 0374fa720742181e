"""The programs of docs/distributed.md, as processes: what they print, and the server's count of their sockets."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from keeppool.testing import Behaviour, Site, Sites

redis = pytest.importorskip("redis")

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "distributed.md"
CAP = 6


def written(name: str, site: Site, redis_port: int, folder: Path) -> Path:
    """Write a program of the page to a file, for servers that are there; give the file."""
    (text,) = re.findall(rf"```python\n(# {re.escape(name)}\n.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    url = f"redis://127.0.0.1:{redis_port}"
    text = text.replace("https://example.com", site.url).replace("redis://localhost", url)
    # A machine under load may take longer than a tenth of a second.
    for given, more in (
        (f'fleet="{url}"', f'fleet="{url}?timeout=0.5"'),
        ("fleet=REDIS", 'fleet=REDIS + "?timeout=0.5"'),
    ):
        text = text.replace(given, more)
    assert "timeout=0.5" in text
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def held(site: Site, redis_port: int) -> int:
    """What Redis believes the members to have."""
    return int(redis.Redis(port=redis_port).hget(f"kp:crawl:{{127.0.0.1:{site.port}}}:held", "*"))


def test_the_program_for_multiprocessing(redis_port: int, sites: Sites, tmp_path: Path) -> None:
    site = sites.add(Behaviour(delay_s=0.01))
    program = written("crawl.py", site, redis_port, tmp_path)
    done = subprocess.run(
        [sys.executable, "-W", "error", str(program)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "200 pages\n", "")
    assert site.requests == 200
    assert site.peak_open <= CAP
    assert held(site, redis_port) == 0


@pytest.mark.sdk
def test_the_program_for_celery(redis_port: int, sites: Sites, tmp_path: Path) -> None:
    """Eight processes of two workers, and a cap of six."""
    pytest.importorskip("celery")
    site = sites.add(Behaviour(delay_s=0.01))
    written("tasks.py", site, redis_port, tmp_path)
    caller = f"import sys, tasks; print([tasks.fetch.delay({site.url!r}) for _ in range(200)][-1].get(timeout=60))"
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    options = ["--concurrency", "4", "--without-gossip", "--without-mingle", "--loglevel", "WARNING"]
    workers = []
    try:
        for number in range(2):
            command = [sys.executable, "-m", "celery", "-A", "tasks", "worker", "-n", f"w{number}@%h", *options]
            workers.append(subprocess.Popen(command, cwd=tmp_path, env=environment))
        asked = subprocess.run(
            [sys.executable, "-c", caller], env=environment, capture_output=True, text=True, check=False, timeout=90
        )
        assert (asked.returncode, asked.stdout) == (0, "200\n"), asked.stderr
        assert site.wait_for(lambda: site.requests == 200, 30)
        for worker in workers:
            worker.send_signal(signal.SIGTERM)
        assert [worker.wait(30) for worker in workers] == [0, 0]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    assert site.requests == 200
    assert site.peak_open <= CAP
    assert held(site, redis_port) == 0
