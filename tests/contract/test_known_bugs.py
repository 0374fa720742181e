"""The lists of known bugs are whole, and every test they name is there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIST = ROOT / "tests" / "known_bugs.md"


def rows_of(start: str) -> list[list[str]]:
    """List the cells of the table rows whose first cell looks like this."""
    lines = LIST.read_text(encoding="utf-8").splitlines()
    found = (line for line in lines if re.match(rf"\| {start} \|", line))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found]


ROWS = rows_of(r"\d+")
#: Our own: what failed here, by the row's letter and number.
OURS = rows_of(r"[A-Z]\d+")
#: Rows that must be there. Whoever mends a case adds its row to the list, and its name here.
REQUIRED = (
    *("C1", "C2", "C3", "C4", "C5", "C6"),
    *("E1", "E2", "E3", "E4", "E5", "E6", "E7", "E8"),
    *("F1", "F2", "F3", "F4", "F5", "F6", "F7", "F8", "F9"),
    *("H1", "H3", "H4", "H5", "H6", "H7", "H8", "H9", "H10"),
    *("K1", "K2", "K3", "K4", "K5", "K6", "K7", "K8"),
    *("L1", "L2", "L3", "L4", "L5", "L6", "L7"),
    *("N1", "N2", "N3", "N4", "N5", "N6"),
    *("Q1", "Q2", "Q3"),
    *("R1", "R2", "R3"),
    *("S1", "S2", "S3"),
    *("T1",),
    *("W1", "W2", "W3", "W4", "W5", "W6", "W7"),
    *("X1", "X2", "X3", "X4"),
)
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@cache
def functions_of(path: str) -> set[str]:
    """Names of the test functions of a file, those in classes included."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {function.name for function in functions if function.name.startswith("test_")}


def test_the_list_has_ninety_rows_in_order() -> None:
    assert [row[0] for row in ROWS] == [str(number) for number in range(1, 91)]


@pytest.mark.parametrize("row", REQUIRED)
def test_every_case_that_was_mended_has_one_row(row: str) -> None:
    assert [found[0] for found in OURS].count(row) == 1


def test_every_row_of_ours_is_required() -> None:
    assert {row[0] for row in OURS} <= set(REQUIRED)


def test_every_row_says_what_went_wrong_and_where() -> None:
    assert not [row for row in ROWS if len(row) != 4 or not all(row)]
    assert not [row for row in OURS if len(row) != 3 or not all(row)]


def test_every_row_names_a_test_or_the_reason_why_there_is_none() -> None:
    silent = [row for row in ROWS if not TEST.search(row[3]) and not re.match(r"(Does not apply|No time)", row[3])]
    assert not silent
    assert not [row for row in OURS if not TEST.search(row[2])]


def test_every_test_that_is_named_is_there() -> None:
    named = [found for row in ROWS + OURS for found in TEST.findall(row[-1])]
    missing = [
        f"{path}::{name}" for path, name in named if not (ROOT / path).exists() or name not in functions_of(path)
    ]
    assert not missing
