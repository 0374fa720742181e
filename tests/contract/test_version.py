"""One version, wherever it is written."""

from __future__ import annotations

import re
from pathlib import Path

import keeppool

CHANGELOG = Path(__file__).parents[2] / "CHANGELOG.md"


def test_the_version_is_the_newest_in_the_changelog():
    versions = re.findall(r"^## \[(\d[^\]]*)\] - \d{4}-\d\d-\d\d$", CHANGELOG.read_text(encoding="utf-8"), re.MULTILINE)
    assert versions[0] == keeppool.__version__


def test_every_heading_of_the_changelog_is_a_version_or_what_is_to_come():
    headings = re.findall(r"^## (.*)$", CHANGELOG.read_text(encoding="utf-8"), re.MULTILINE)
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d|\[Unreleased\]", heading) for heading in headings)


def test_the_version_is_a_semantic_one():
    assert re.fullmatch(r"\d+\.\d+\.\d+", keeppool.__version__)
