"""Known bugs of other pools, put into copies of ours: the state machine must notice each of them.

A file in `known/` tells what goes wrong, who shipped it, and which text of which module of the core to replace by what;
`machine = "late"` is for bugs of pools that bind late, `machine = "riding"` for those of pools whose callers ride,
`machine = "barging"` for those of pools whose callers are threads,
`machine = "pace"` for those of a host's pace, `machine = "permits"`, or "late permits", for those of pools in a fleet.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from barging_machine import BargingMachine
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from late_machine import LateMachine
from pace_machine import PaceMachine
from permit_machine import LatePermitMachine, PermitMachine
from pool_machine import PoolMachine, core_of
from riding_machine import RidingMachine

import keeppool.core

CORE = Path(keeppool.core.__file__).parent
KNOWN = sorted((Path(__file__).parent / "known").glob("*.toml"))
#: Bounds made small in every copy, so that few steps are enough to reach them.
SMALL = [("pool", "\nMOST_OVERTAKES = 8\n", "\nMOST_OVERTAKES = 1\n")]
SMALL += [(module, "\nSLACK = 64\n", "\nSLACK = 0\n") for module in ("idle", "waiting")]
MACHINES = {
    "early": PoolMachine,
    "barging": BargingMachine,
    "late": LateMachine,
    "riding": RidingMachine,
    "pace": PaceMachine,
    "permits": PermitMachine,
    "late permits": LatePermitMachine,
}
#: What they have in common: a core that can be another.
Machine = PoolMachine | PaceMachine
#: Random walks of 50 steps after which a bug counts as unnoticed.
MOST_WALKS = 5000


@pytest.fixture
def imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a folder to import packages from, and forget them in the end."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.partition(".")[0] == "mutant":
            del sys.modules[name]


def copy_core(folder: Path, changes: list[tuple[str, str, str]], machine: type[Machine] = PoolMachine) -> type[Machine]:
    """Copy the core into a package named `mutant`, change it, and give the state machine that drives the copy."""
    sources = {path.stem: path.read_text(encoding="utf-8") for path in CORE.glob("*.py")}
    for module, old, new in changes:
        found = sources[module].count(old)
        assert found == 1, f"{module}.py has this text {found} times; bring the mutation up to date:\n{old}"
        sources[module] = sources[module].replace(old, new)
    package = folder / "mutant"
    package.mkdir()
    for module, source in sources.items():
        text = source.replace("keeppool.core", "mutant")
        (package / f"{module}.py").write_text(text, encoding="utf-8")
    return type("MutantMachine", (machine,), {"core": core_of("mutant")})


def walk(machine: type[Machine], walks: int) -> None:
    """Drive the machine at random until something is wrong; what exactly need not be made small."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=walks,
            stateful_step_count=50,
            derandomize=True,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.slow
@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
def test_an_unchanged_copy_is_sound(machine: type[Machine], imports: Path) -> None:
    """Or else the tests below would prove nothing."""
    walk(copy_core(imports, SMALL, machine), 200)


def planted(file: Path, folder: Path) -> type[Machine]:
    """Put the bug that a file describes into a copy of the core."""
    bug: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    changes = [(bug["module"], change["old"], change["new"]) for change in bug["change"]]
    return copy_core(folder, [*SMALL, *changes], MACHINES[bug.get("machine", "early")])


@pytest.mark.parametrize("file", KNOWN, ids=lambda file: file.stem)
def test_a_known_bug_still_fits_the_core(file: Path, imports: Path) -> None:
    planted(file, imports)


@pytest.mark.slow
@pytest.mark.timeout(600)  # Which walk meets a bug is chance, and drawn anew with every change of the sources.
@pytest.mark.parametrize("file", KNOWN, ids=lambda file: file.stem)
def test_a_known_bug_is_noticed(file: Path, imports: Path) -> None:
    machine = planted(file, imports)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - an assertion of the model, or a table of the core out of joint
        walk(machine, MOST_WALKS)
    assert isinstance(caught.value, (AssertionError, LookupError, AttributeError)), caught.value


def test_a_mutation_that_fits_nothing_is_an_error(imports: Path) -> None:
    with pytest.raises(AssertionError, match="bring the mutation up to date"):
        copy_core(imports, [("pool", "no such text", "")])
