"""Runs one target by atheris; the process ends with the run.

python -m tests.fuzz.by_atheris MODULE NAME [libFuzzer's arguments]

It stands apart so that keeppool is imported here for the first time, with atheris's instruments in it.
"""

from __future__ import annotations

import importlib
import sys

import atheris


def main(module: str, name: str, arguments: list[str]) -> None:
    """Import the target's module, and let atheris call it until the time is over or it fails."""
    with atheris.instrument_imports(include=["keeppool"]):
        importlib.import_module(f"tests.fuzz.targets.{module}")
    from tests.fuzz.target import listed

    atheris.Setup([sys.argv[0], *arguments], listed(name).run)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
