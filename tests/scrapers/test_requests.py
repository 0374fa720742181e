"""A scraper written for requests, with nothing changed but its imports, does the same over keeppool."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

from scrapers.conftest import run

PROGRAM = (Path(__file__).parent / "programs" / "with_requests.py").read_text(encoding="utf-8")


def replaced(source: str) -> str:
    """Change the imports as docs/moving-from-requests.md says."""
    source = re.sub(r"^import requests$", "import keeppool.requests as requests", source, flags=re.MULTILINE)
    return re.sub(r"^from requests\.", "from keeppool.requests.", source, flags=re.MULTILINE)


def mounted(source: str) -> str:
    """Change the one import that says what a session is mounted with."""
    theirs = "from requests.adapters import HTTPAdapter"
    assert theirs in source
    return source.replace(theirs, "from keeppool.adapters.requests import KeepPoolAdapter as HTTPAdapter")


def test_a_scraper_does_the_same_over_keeppool_and_over_the_mount(town, tmp_path):
    results, asked = {}, {}
    for name, moved in [("requests", str), ("keeppool.requests", replaced), ("the mount", mounted)]:
        place = town()
        printed = run(moved(PROGRAM), place.arguments, tmp_path / name)
        results[name] = json.loads(place.named(printed))
        asked[name] = Counter(place.was_asked())
    for name in ("keeppool.requests", "the mount"):
        assert results[name] == results["requests"], name
        # The one thing that is asked more often: a GET that died unanswered on a connection used before goes out once
        # more, beside the tries of `max_retries`.
        assert [one.target for one in (asked[name] - asked["requests"])] == ["/broken/hang"], name
        assert asked["requests"] - asked[name] == Counter(), name
