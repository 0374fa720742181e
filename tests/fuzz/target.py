"""What a fuzz target is, and the list of them.

A target is a function of bytes that returns nothing and raises where an oracle fails: no state, no clock, no chance. So
whoever drives it (atheris, Hypothesis, a replay of the corpus) sees the same for the same bytes.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from tests.fuzz.corpus import Corpus

HERE: Final = Path(__file__).parent
#: The targets' modules, in the order in which they are listed.
MODULES: Final = tuple(sorted(path.stem for path in (HERE / "targets").glob("*.py")))


@dataclass(frozen=True)
class Target:
    """One target.

    Attributes:
        name: As its function is called.
        run: Raises where an oracle fails.
        most: Bytes of an input; longer ones only take longer.
        covers: Files below `keeppool/` whose lines it is to reach.
        module: Where it stands.
        also: Names of targets whose tokens are its own too.
    """

    name: str
    run: Callable[[bytes], None]
    most: int
    covers: tuple[str, ...]
    module: str
    also: tuple[str, ...]

    @cached_property
    def tokens(self) -> tuple[bytes, ...]:
        """What its input is made of, for whoever makes inputs."""
        return tuple(
            token for name in (*self.also, self.name) for token in Corpus(HERE / "tokens" / f"{name}.txt").read()
        )

    @cached_property
    def corpus(self) -> Corpus:
        """Its inputs that are kept."""
        return Corpus(HERE / "corpus" / f"{self.name}.txt")


_TARGETS: dict[str, Target] = {}


def target(
    *, most: int = 1024, covers: tuple[str, ...] = (), also: tuple[str, ...] = ()
) -> Callable[[Callable[[bytes], None]], Callable[[bytes], None]]:
    """List a function as a target; see `Target` for the arguments."""

    def listing(run: Callable[[bytes], None]) -> Callable[[bytes], None]:
        _TARGETS[run.__name__] = Target(run.__name__, run, most, covers, run.__module__.rpartition(".")[2], also)
        return run

    return listing


def listed(name: str) -> Target:
    """Give a target of a module that was imported."""
    return _TARGETS[name]


def targets() -> dict[str, Target]:
    """Import all targets; give them by name."""
    for module in MODULES:
        importlib.import_module(f"tests.fuzz.targets.{module}")
    return dict(sorted(_TARGETS.items()))
