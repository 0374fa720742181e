"""`tests/lock.txt` pins whatever the tests ask for, to versions that they allow, and says no more than that."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ASKED = [
    *PROJECT["dependencies"],
    *PROJECT["optional-dependencies"]["test"],
    *PROJECT["optional-dependencies"]["dev"],
]
LINES = (ROOT / "tests" / "lock.txt").read_text(encoding="utf-8").replace("\\\n", "").splitlines()
#: What is pinned, and the hashes of its files.
LOCKED = {
    Requirement(pin): hashes.split() for pin, _, hashes in (line.partition(" --") for line in LINES if line[0] != "#")
}
PINS = {canonicalize_name(pin.name): pin for pin in LOCKED}


def test_every_line_pins_one_version_by_its_hashes():
    assert LOCKED
    for pin, hashes in LOCKED.items():
        assert hashes, pin
        (one,) = pin.specifier
        assert one.operator == "==", pin
        assert pin.url is None, pin


@pytest.mark.parametrize("asked", ASKED)
def test_what_is_asked_for_is_pinned_to_what_is_allowed(asked):
    requirement = Requirement(asked)
    pin = PINS[canonicalize_name(requirement.name)]
    (one,) = pin.specifier
    assert requirement.specifier.contains(one.version), f"{asked} is pinned by: {pin}"


def test_without_an_extra_the_package_needs_urllib3_and_certifi():
    assert {Requirement(line).name for line in PROJECT["dependencies"]} == {"urllib3", "certifi"}
