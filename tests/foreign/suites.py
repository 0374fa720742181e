"""Other projects' own test suites, run against keeppool: fetched, unpacked, and run in a process of their own.

    suite = obtain("requests", "2.34.2")
    plain = run(suite, "tests")
    mounted = run(suite, "tests", plugin="requests_mounted")

A plugin is a module of this folder; it is loaded before the suite's tests are imported. Whatever the suite does to
warnings, the environment or the interpreter stays in that process.

Knows: source distributions, pytest's command line, JUnit's XML. Does not know: what any suite tests.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import xml.etree.ElementTree as ElementTree
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

#: Names a folder of source distributions, for machines that reach no package index.
SDISTS = "KEEPPOOL_SDISTS"
#: Seconds a download may take.
PATIENCE = 60


class Unavailable(Exception):
    """The source distribution is not there and cannot be downloaded."""


class Broken(Exception):
    """The suite did not run to its end; the message is what pytest printed."""


@cache
def obtain(name: str, version: str) -> Path:
    """Give the folder of an unpacked source distribution; it lives as long as the temporary folder of the system.

    Raises:
        Unavailable: Neither in the folder `KEEPPOOL_SDISTS` names nor on the package index.
    """
    folder = Path(tempfile.mkdtemp(prefix="keeppool-foreign-"))
    kept = os.environ.get(SDISTS)
    archive = _archive(Path(kept), name, version) if kept else _downloaded(folder, name, version)
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


def _downloaded(folder: Path, name: str, version: str) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
    try:
        subprocess.run(
            [*command, "--dest", str(folder), f"{name}=={version}"], check=True, capture_output=True, timeout=PATIENCE
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"{name} {version} cannot be downloaded") from error
    return _archive(folder, name, version)


def _archive(folder: Path, name: str, version: str) -> Path:
    found = [*folder.glob(f"{name}-{version}.tar.gz"), *folder.glob(f"{name.replace('-', '_')}-{version}.tar.gz")]
    if not found:
        raise Unavailable(f"no {name}-{version}.tar.gz in {folder}")
    return found[0]


def missing(modules: Iterable[str]) -> list[str]:
    """Name those modules a suite needs that are not installed."""
    return [module for module in modules if importlib.util.find_spec(module) is None]


def run(
    suite: Path,
    *select: str,
    plugin: str | None = None,
    without: str = "",
    options: Iterable[str] = (),
    timeout: float = 240,
) -> dict[str, str]:
    """Run a suite's tests in a process of their own.

    Args:
        suite: Where it is unpacked; becomes the working directory.
        *select: Files, folders or ids.
        plugin: Module of this folder to be loaded first.
        without: pytest's `-k` expression for tests that are left out.
        options: More for pytest's command line.
        timeout: Seconds for all of it.

    Returns:
        "passed", "failed" or "skipped" by `package.module.Class::test[parameters]`.

    Raises:
        Broken: It could not be collected, or did not end in time.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore", *options]
        command += ["-p", plugin] if plugin else []
        command += ["-k", f"not ({without})"] if without else []
        command += [f"--junit-xml={report}", *select]
        try:
            done = subprocess.run(
                command, cwd=suite, env=_environment(), capture_output=True, text=True, timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise Broken(f"not done within {timeout:g} s: {error.stdout!r}") from error
        # 0: all passed, 1: some failed. All else is pytest's word for a run that was none.
        if done.returncode > 1:
            raise Broken(done.stdout + done.stderr)
        return _outcomes(report)


def _environment() -> dict[str, str]:
    """Give what the process inherits, without proxies, and with this checkout and its plugins to be imported."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    paths = [str(ROOT), str(HERE), *filter(None, [kept.get("PYTHONPATH")])]
    return kept | {"PYTHONPATH": os.pathsep.join(paths)}


def _outcomes(report: Path) -> dict[str, str]:
    cases = ElementTree.parse(report).iter("testcase")
    return {f"{case.get('classname')}::{case.get('name')}": _outcome(case) for case in cases}


def _outcome(case: ElementTree.Element) -> str:
    tags = {child.tag for child in case}
    if tags & {"failure", "error"}:
        return "failed"
    return "skipped" if "skipped" in tags else "passed"


def expected_failures(name: str) -> Mapping[str, str]:
    """Read the list of tests that fail under a plugin, each with its reason, from a TOML file of this folder."""
    reasons: Mapping[str, str] = tomllib.loads((HERE / name).read_text())["fails"]
    return reasons


def varying(name: str) -> Mapping[str, str]:
    """Read from the same file which tests end one way or the other, depending on how the packets come."""
    reasons: Mapping[str, str] = tomllib.loads((HERE / name).read_text()).get("varies", {})
    return reasons


def compare(
    plain: Mapping[str, str], ours: Mapping[str, str], expected: Mapping[str, str], varies: Collection[str] = ()
) -> list[str]:
    """List what is not as it should be: one line for each test that passes plainly, and does not with the plugin.

    A test that fails plainly too (it needs the internet, say) does not count. A listed test that passes is named as
    well, so that the list stays short and true. What varies may do either.
    """
    passing = [test for test, outcome in plain.items() if outcome == "passed" and test not in varies]
    lost = [
        f"{test}: {ours.get(test, 'not run')}"
        for test in passing
        if ours.get(test) != "passed" and test not in expected
    ]
    stale = [f"{test}: listed, and not failing" for test in expected if ours.get(test) != "failed"]
    return lost + stale
