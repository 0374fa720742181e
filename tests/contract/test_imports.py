"""No module of the library imports the package itself, which imports all of them.

The contracts of import-linter see no imports of a package's own ancestors, so this is held here.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import keeppool

ROOT = Path(keeppool.__file__).parent
#: The command uses the library as any program does; nothing of the library imports the command.
ON_TOP = ("__main__.py", "cli")
BELOW = sorted(path for path in ROOT.rglob("*.py") if path.relative_to(ROOT).parts[0] not in (*ON_TOP, "__init__.py"))
#: What stands beside the package's own names, and may be imported as `from keeppool import NAME`.
MODULES = {path.stem for path in ROOT.iterdir()}


def imports_of_the_package(source: str) -> list[int]:
    """Give the lines that import `keeppool` itself, late imports and those for type checkers included."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import) and any(alias.name == "keeppool" for alias in node.names):
            found.append(node.lineno)
        if isinstance(node, ast.ImportFrom) and node.module == "keeppool":
            found += [node.lineno for alias in node.names if alias.name not in MODULES]
    return sorted(found)


@pytest.mark.parametrize("path", BELOW, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_imports_the_package_itself(path):
    assert imports_of_the_package(path.read_text(encoding="utf-8")) == []


def test_such_an_import_is_seen():
    assert imports_of_the_package("def late():\n    from keeppool import Session\n\nimport keeppool") == [2, 4]
    assert imports_of_the_package("from keeppool import errors\nimport keeppool.errors") == []
