"""Known faults, kept as patches: what a target must find.

A patch is a unified diff of one file below the checkout. The lines in front of it say what goes wrong, and
`Target: NAME` who finds it. Where a hunk stands is told by its text alone, which must occur once: line numbers would be
out of date with every change above it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "planted"


@dataclass(frozen=True)
class Patch:
    """One fault.

    Attributes:
        name: The file's.
        target: Who finds it.
        file: What it changes.
        hunks: What stands there, and what in its place.
    """

    name: str
    target: str
    file: str
    hunks: tuple[tuple[str, str], ...]

    def apply(self, root: Path) -> None:
        """Change a checkout."""
        path = root / self.file
        path.write_text(self.changed(path.read_text(encoding="utf-8")), encoding="utf-8")

    def changed(self, text: str) -> str:
        """Change the file's text."""
        for old, new in self.hunks:
            found = text.count(old)
            assert found == 1, f"{self.file} has this text {found} times; bring {self.name}.patch up to date:\n{old}"
            text = text.replace(old, new)
        return text


def patches() -> list[Patch]:
    """Read all of them."""
    return [_read(path) for path in sorted(FOLDER.glob("*.patch"))]


def _read(path: Path) -> Patch:
    before, *hunks = re.split(r"^@@.*\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    target, file = (
        re.search(r"^Target: (\w+)$", before, re.MULTILINE),
        re.search(r"^\+\+\+ (\S+)$", before, re.MULTILINE),
    )
    assert target is not None, f"{path.name} names no target"
    assert file is not None, f"{path.name} names no file"
    return Patch(path.stem, target[1], file[1], tuple(map(_sides, hunks)))


def _sides(hunk: str) -> tuple[str, str]:
    lines = hunk.splitlines()
    old = [line[1:] for line in lines if line[:1] in (" ", "-", "")]
    new = [line[1:] for line in lines if line[:1] in (" ", "+", "")]
    return "\n".join(old) + "\n", "\n".join(new) + "\n"
