"""A response as a notebook shows it.

Decides: what is shown, and what is left out: the body, which may be anything, and values of fields that may be secrets.
    A notebook is kept, and passed on.
Does not know: the response; it is handed what is to be shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from keeppool.checks import HIDDEN, PRIVATE_NAME
from keeppool.errors import plain_url
from keeppool.tables import as_html, seconds


def shown(
    method: str, url: str, status: str, elapsed_s: float, size: int | None, fields: Iterable[tuple[str, str]]
) -> str:
    """Lay a response out as HTML.

    Args:
        method: The request's.
        url: What answered.
        status: Code and reason.
        elapsed_s: Seconds until its head was there.
        size: Bytes of the body; `None` if it was not read.
        fields: The header fields.
    """
    body = "not read" if size is None else f"{size:,} bytes"
    facts = [("status", status), ("head after", seconds(elapsed_s)), ("body", body)]
    rows = [(name, HIDDEN if re.search(PRIVATE_NAME, name.lower()) else value) for name, value in fields]
    return as_html(f"{method} {plain_url(url)}", [*facts, *rows])
