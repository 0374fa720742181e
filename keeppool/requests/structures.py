"""The name of `requests.structures` that programs use: a mapping whose keys are found in any case."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keeppool.client.arguments import HeadersArgument
from keeppool.client.request.headers import Headers


class CaseInsensitiveDict(Headers):
    """Header fields, built as requests builds its own.

    Args:
        data: A mapping or pairs; `None` for none.
        **fields: More of them.
    """

    __slots__ = ()

    def __init__(self, data: HeadersArgument | None = None, **fields: Any) -> None:
        Headers.__init__(self, () if data is None else data)
        self.update(fields)

    def lower_items(self) -> Iterator[tuple[str, Any]]:
        """Go through the fields with their names in lower case."""
        return ((name.lower(), value) for name, value in self.pairs())

    def __repr__(self) -> str:
        return str(dict(self.pairs()))

    def copy(self) -> CaseInsensitiveDict:
        """Make an independent mapping of the same fields."""
        return CaseInsensitiveDict(self.pairs())


__all__ = ["CaseInsensitiveDict"]
