"""Whole crawls, each in a process of its own, with Scrapy's asyncio reactor and without a reactor."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import scrapy

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

#: Scrapy runs without a reactor since 2.15.
REACTORS = ["asyncio", "none"] if scrapy.version_info >= (2, 15) else ["asyncio"]


def run(start, *arguments, folder=HERE):
    """Run a line of Python as a program, warnings as errors, with this checkout to be imported."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.argv = {['scrapy', *arguments]!r}; {start}"
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=100)


@pytest.mark.parametrize("reactor", REACTORS)
def test_a_crawl_over_servers_that_drop_idle_connections_fails_nowhere_and_keeps_its_caps(reactor):
    done = run("from scrapy_crawl import main; main(sys.argv[1])", reactor)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    seen = json.loads(done.stdout)
    assert (seen["came"], seen["failed"], seen["exceptions"], seen["requests"]) == (200, 0, 0, 200)
    assert seen["most_at_one_host"] <= 2
    stats = seen["stats"]
    assert stats["keeppool/peak_open"] <= 12
    # A dial that nobody needed any more is broken off; its server may have accepted it.
    assert 0 <= seen["opened"] - stats["keeppool/opened"] <= stats["keeppool/connect_failed"]
    assert stats["keeppool/opened"] + stats["keeppool/reused"] >= 200
    assert seen["dropped"] > 0
    closed = sum(count for name, count in stats.items() if name.startswith("keeppool/closed/"))
    assert closed == stats["keeppool/opened"]


@pytest.mark.parametrize("reactor", REACTORS)
def test_a_crawl_over_names_that_nobody_answers_for_ends_when_its_pages_have(reactor):
    """The look-ups hang for ever, so this process would, too, if the crawl waited for one of them."""
    done = run("from scrapy_dead_names import main; main(sys.argv[1])", reactor)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"came": 1, "failed": 12}


@pytest.mark.parametrize("reactor", REACTORS)
def test_the_example_project_crawls_and_logs_the_pools_figures(reactor):
    settings = ["-s", f"TWISTED_REACTOR_ENABLED={reactor == 'asyncio'}"]
    folder = ROOT / "examples" / "scrapy_project"
    done = run("from scrapy.cmdline import execute; execute()", "crawl", "pages", *settings, folder=folder)
    assert done.returncode == 0, done.stderr
    assert "ERROR" not in done.stderr, done.stderr
    assert "'item_scraped_count': 60" in done.stderr
    assert re.search(r"'keeppool/closed/peer_closed': \d+", done.stderr)
    assert re.search(r"'keeppool/reused': \d+", done.stderr)


def test_the_benchmark_compares_ours_with_scrapys_default():
    program = f"""
sys.path.insert(0, {str(ROOT)!r})
from benchmarks import crawl
del crawl.HANDLERS["Scrapy's aiohttp"]
crawl.CRAWLS = crawl.CRAWLS[1:2]
crawl.report(8, 2, as_json=True)
"""
    done = run(f"exec({program!r})")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert [(name, seen["pages"], seen["failed"]) for name, seen in rows.items()] == [
        ("in flight, keeppool", 8, 0),
        ("in flight, Scrapy's default (Twisted)", 8, 0),
    ]
