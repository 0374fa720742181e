"""Lists what a program has imported when it has a `Session`, and when it has fetched its first page over http.

`python -m tests.contract.start_modules` prints the list that `start_modules.txt` holds: of keeppool every module, of
others the packages, but for those whose names begin with an underscore, which differ between Pythons.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from keeppool.testing import Site

#: Names what is there beyond a bare start's, after each step; what was named before is not named again.
CODE = """
import sys

def named(step):
    found = {name if name.startswith("keeppool") else name.partition(".")[0] for name in set(sys.modules) - seen}
    seen.update(sys.modules)
    steps.append(" ".join([step, *sorted(name for name in found - told if not name.startswith("_"))]))
    told.update(found)

seen, told, steps = set(sys.modules), set(), []
from keeppool import Session
named("import")
with Session() as session:
    named("session")
    assert session.get(sys.argv[1]).ok
    named("get")
print(*steps, sep="\\n")
"""


def start_modules() -> Iterator[str]:
    """Run a program of a few lines in an interpreter of its own, and name each step with a module it has imported."""
    with Site() as site:
        command = [sys.executable, "-c", CODE, site.url]
        run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    for line in run.stdout.splitlines():
        step, *modules = line.split()
        yield from (f"{step} {module}" for module in modules)


if __name__ == "__main__":
    print(*start_modules(), sep="\n")
