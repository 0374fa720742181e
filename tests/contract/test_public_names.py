"""Every public name stays where programs import it from; the list is `public_names.txt`."""

from __future__ import annotations

from pathlib import Path

from tests.contract.public_names import missing_modules, public_names

LISTED = Path(__file__).with_name("public_names.txt").read_text().split()


def test_the_names_are_those_of_the_list():
    # Whoever adds a name adds it to the list, whoever takes one away tells CHANGELOG.md of it.
    found, missing = list(public_names()), missing_modules()
    assert sorted(name for name in set(LISTED) - set(found) if name.partition(":")[0] not in missing) == [], "gone"
    assert sorted(set(found) - set(LISTED)) == [], "new: python -m tests.contract.public_names"
