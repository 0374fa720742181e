"""The fuzzer's command.

python -m tests.fuzz NAME [--seconds N]     run one target by atheris, from its corpus on
python -m tests.fuzz --all [--seconds N]    all of them, sharing the time and the cores
python -m tests.fuzz NAME --save FILE       make a found case small and keep it: a test from then on
python -m tests.fuzz --coverage             which lines of the parsers the corpora reach
python -m tests.fuzz --planted [NAME ...]   plant each known fault in a copy, and find it
python -m tests.fuzz --list                 the targets
"""

from __future__ import annotations

import argparse
import sys

from tests.fuzz import runs


def main(argv: list[str]) -> int:
    """Do what the arguments say; give the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzzes keeppool's parsers.")
    parser.add_argument("name", nargs="*", help="targets, or with --planted patches")
    parser.add_argument("--seconds", type=int, default=60, help="for each target, with --all for all of them together")
    parser.add_argument("--save", metavar="FILE", help="keep this input in the target's corpus, as small as it gets")
    for flag in ("all", "coverage", "planted", "list"):
        parser.add_argument(f"--{flag}", action="store_true")
    given = parser.parse_args(argv)
    if given.list:
        return runs.listed()
    if given.planted:
        return runs.planted(given.name, given.seconds)
    if given.coverage:
        return runs.coverage()
    if given.save and len(given.name) == 1:
        return runs.saved(given.name[0], given.save)
    if given.all:
        return runs.all_of_them(given.seconds)
    if len(given.name) != 1:
        parser.error("the name of one target, or one of the flags; --list has the names")
    return runs.one(given.name[0], given.seconds)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
