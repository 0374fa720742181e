"""Counts the code lines that stand twice: once for threads, and once more for tasks.

`python -m tests.contract.twins` prints the count for each pair of modules; with a part of a name, the lines themselves.

What waits has to stand there twice, once with `await` and once without. What does not wait belongs into a common base.
A line is the same in both if it differs in nothing but `async`, `await`, `Async` before a class and `a` before the
names of Python's own protocols. Only blocks of three and more lines count: shorter ones are chance.
"""

from __future__ import annotations

import ast
import difflib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "keeppool"
#: Lines from which on a block that is the same is no chance.
LEAST = 3

_FOR_TASKS = [
    (re.compile(r"\b(?:async|await) "), ""),
    (re.compile(r"\bAsync(?=[A-Z])"), ""),
    (re.compile(r"\b__a(?=(?:enter|exit|iter)__)"), "__"),
    (re.compile(r"\ba(?=(?:close|closing|iter|next)\b)"), ""),
    (re.compile(r"\s+# .*$"), ""),
]


def pairs() -> Iterator[tuple[Path, Path]]:
    """Give each module for threads with its twin for tasks."""
    for tasks in sorted(PACKAGE.rglob("*_tasks.py")):
        stem = tasks.stem.removesuffix("_tasks")
        for name in (f"{stem}_threads.py", f"{stem}.py"):
            if (threads := tasks.with_name(name)).is_file():
                yield threads, tasks
                break


def code_lines(path: Path) -> list[str]:
    """Give a module's code without documentation, comments, imports and blank lines, as it would be for threads."""
    source = path.read_text(encoding="utf-8")
    left_out: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        is_documentation = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        # What is imported for type checkers alone, or when it is used.
        is_for_types = isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        if is_documentation or is_for_types or isinstance(node, (ast.Import, ast.ImportFrom)):
            left_out.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = []
    for number, line in enumerate(source.splitlines(), 1):
        if number in left_out or not line.strip() or line.lstrip().startswith("#"):
            continue
        for pattern, plain in _FOR_TASKS:
            line = pattern.sub(plain, line)
        lines.append(line.strip())
    return lines


def blocks(threads: Path, tasks: Path) -> list[list[str]]:
    """Give the blocks of code that stand in both modules."""
    mine, theirs = code_lines(threads), code_lines(tasks)
    found = difflib.SequenceMatcher(None, mine, theirs, autojunk=False).get_matching_blocks()
    return [mine[block.a : block.a + block.size] for block in found if block.size >= LEAST]


def counts() -> dict[str, int]:
    """Count the lines that stand twice, by the module for tasks."""
    return {str(tasks.relative_to(PACKAGE)): sum(map(len, blocks(threads, tasks))) for threads, tasks in pairs()}


if __name__ == "__main__":
    wanted = sys.argv[1:]
    for threads, tasks in pairs():
        if any(part in str(tasks) for part in wanted):
            for block in blocks(threads, tasks):
                print(f"--- {tasks.relative_to(PACKAGE)}", *block, sep="\n")
    for name, count in counts().items():
        print(f"{count:4} {name}")
    print(f"{sum(counts().values()):4} in all")
