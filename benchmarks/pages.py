"""The pages that show figures: each table stands between two comments that name its question, and is put there anew.

    <!-- figures: sequential -->
    ...
    <!-- end -->

Knows: which pages there are. Does not know: what is measured, and what the words around the tables say of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = (ROOT / "README.md", ROOT / "docs" / "speed.md")
_BLOCK = re.compile(r"(<!-- figures: (\w+) -->\n\n).*?(\n\n<!-- end -->)", re.DOTALL)


def write_pages(figures: Mapping[str, str], pages: tuple[Path, ...] = PAGES) -> None:
    """Put figures into their places; what was not measured stays as it is.

    Args:
        figures: What is to stand there, by the name in the comment.
        pages: Where.
    """

    def anew(match: re.Match[str]) -> str:
        return f"{match[1]}{figures[match[2]]}{match[3]}" if match[2] in figures else match[0]

    for page in pages:
        page.write_text(_BLOCK.sub(anew, page.read_text(encoding="utf-8")), encoding="utf-8")
