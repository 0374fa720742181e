"""Environments: a strict interpreter, a locale without letters, a home that is no use, one family of addresses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from keeppool.testing import Behaviour, Sites
from tests.faults import network

ROOT = Path(__file__).parents[2]
#: ASCII is what Python then believes of files, arguments and output.
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
#: Every warning an error, text opened without saying its encoding included; a memory allocator that checks.
STRICT = {"PYTHONWARNDEFAULTENCODING": "1", "PYTHONMALLOC": "debug", "PYTHONDEVMODE": "1", "PYTHONWARNINGS": "error"}
PYTEST = ("-m", "pytest", "-q", "-p", "pytest_timeout", "-p", "no:cacheprovider")
ROUND_TRIPS = (*PYTEST, "tests/platforms/test_round_trips.py")


def run(command: list[str], environment: dict[str, str], **options: object) -> subprocess.CompletedProcess[bytes]:
    outside = {name: value for name, value in os.environ.items() if name != "HOME"}
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**outside, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **environment},
        capture_output=True,
        timeout=100,
        **options,
    )


@pytest.mark.parametrize("home", ["none", "not to be written"])
def test_a_strict_interpreter_a_c_locale_and_a_home_of_no_use(home: str, tmp_path: Path) -> None:
    place = tmp_path / "home"
    place.mkdir(mode=0o500)
    done = run([sys.executable, *ROUND_TRIPS], STRICT | ASCII | ({} if home == "none" else {"HOME": str(place)}))
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    assert list(place.iterdir()) == []


def test_the_command_takes_letters_that_the_locale_does_not_have(sites: Sites, tmp_path: Path) -> None:
    site = sites.add(Behaviour(body=b"page"))
    url = f"{site.url}/gr\xfc\xdfe"
    done = run([sys.executable, "-m", "keeppool", "fetch", "-o", str(tmp_path), url], STRICT | ASCII)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    assert [request.target for request in site.log] == ["/gr%C3%BC%C3%9Fe"]
    names = [os.fsencode(path.name) for path in tmp_path.iterdir()]
    assert [name.decode().rpartition("_")[2] for name in names] == ["gr\xfc\xdfe"]


def test_bytes_of_no_text_are_asked_for_as_they_were_typed(sites: Sites) -> None:
    site = sites.add(Behaviour(body=b"page"))
    url = f"{site.url}/gr\xfc\xdfe".encode("latin-1")
    assert run([sys.executable, "-m", "keeppool", "fetch", url], ASCII).returncode == 0
    assert [request.target for request in site.log] == ["/gr%FC%DFe"]


#: Two names: one of an address that is there, one of both families; for threads and tasks.
ONE_FAMILY = """
import asyncio, sys
from keeppool import AsyncSession, Config, Session, errors
from keeppool.testing import Site
from tests.faults import network

family = sys.argv[1]
network.without_ipv4() if family == "6" else network.without_ipv6()
here, gone = ("::1", "127.0.0.1") if family == "6" else ("127.0.0.1", "::1")
names = {"both.example": [gone, here], "gone.example": [gone]}
config = Config(resolver=lambda host, port: names[host])

async def by_tasks(url):
    async with AsyncSession(config=config) as session:
        return (await session.get(url, timeout=20)).status_code

def by_threads(url):
    with Session(config=config) as session:
        return session.get(url, timeout=20).status_code

with Site(host=here) as site:
    for ask in (by_threads, lambda url: asyncio.run(by_tasks(url))):
        assert ask(site.url) == ask(f"http://both.example:{site.port}/") == 200
        try:
            ask(f"http://gone.example:{site.port}/")
        except errors.ConnectError as error:
            assert gone in str(error), error
        else:
            raise AssertionError("an address that is not there was connected to")
"""


@pytest.mark.parametrize("family", ["4", "6"])
def test_one_family_of_addresses_is_enough(family: str) -> None:
    done = run(network.alone("-X", "dev", "-W", "error", "-c", ONE_FAMILY, family), {})
    assert done.returncode == 0, done.stderr.decode()
