"""`Corpus`: the inputs of a target that are kept, one a line, escaped as in a Python literal: a diff shows them."""

from __future__ import annotations

import ast
from pathlib import Path


class Corpus:
    """A file of inputs; lines that begin with `#` are for people.

    Args:
        path: The file; one that is missing is empty.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> list[bytes]:
        """Give the inputs in the order of the file."""
        if not self._path.exists():
            return []
        lines = self._path.read_text(encoding="ascii").splitlines()
        return [ast.literal_eval(f"b'{line}'") for line in lines if not line.startswith("#")]

    def add(self, data: bytes, note: str = "") -> bool:
        """Keep one more input, with a note above it; False if it is there already."""
        if data in self.read():
            return False
        with self._path.open("a", encoding="ascii") as file:
            file.write(f"# {note}\n{escaped(data)}\n" if note else f"{escaped(data)}\n")
        return True


def escaped(data: bytes) -> str:
    """Write bytes as they stand in a corpus; a `#` at the start is no note."""
    # The quotation mark in front makes `repr` quote with apostrophes, and escape those inside.
    text = repr(b'"' + data)[3:-1]
    return f"\\x23{text[1:]}" if text.startswith("#") else text
