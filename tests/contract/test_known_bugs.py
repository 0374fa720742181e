"""The list of known bugs is whole, and every test it names is there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIST = ROOT / "tests" / "known_bugs.md"
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in LIST.read_text(encoding="utf-8").splitlines()
    if re.match(r"\| \d", line)
]
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@cache
def functions_of(path: str) -> set[str]:
    """Names of the test functions of a file, those in classes included."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {function.name for function in functions if function.name.startswith("test_")}


def test_the_list_has_ninety_rows_in_order() -> None:
    assert [row[0] for row in ROWS] == [str(number) for number in range(1, 91)]


def test_every_row_says_what_went_wrong_and_where() -> None:
    assert not [row for row in ROWS if len(row) != 4 or not all(row)]


def test_every_row_names_a_test_or_the_reason_why_there_is_none() -> None:
    silent = [row for row in ROWS if not TEST.search(row[3]) and not re.match(r"(Does not apply|No time)", row[3])]
    assert not silent


def test_every_test_that_is_named_is_there() -> None:
    named = [found for row in ROWS for found in TEST.findall(row[3])]
    missing = [
        f"{path}::{name}" for path, name in named if not (ROOT / path).exists() or name not in functions_of(path)
    ]
    assert not missing
