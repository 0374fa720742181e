"""`tests/lock.txt` pins whatever the extras for tests ask for, to versions that they allow, and says no more than that."""

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
LINES = (ROOT / "tests" / "lock.txt").read_text(encoding="utf-8").splitlines()
LOCKED = [Requirement(line) for line in LINES if not line.startswith("#")]
PINS = {canonicalize_name(pin.name): pin for pin in LOCKED}


def test_every_line_pins_one_version():
    assert LOCKED
    for pin in LOCKED:
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
