"""Lists every public name of keeppool with its import path, classes with their public attributes.

`python -m tests.contract.public_names` prints the list that `public_names.txt` holds.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil
from collections.abc import Iterator

import keeppool.requests

#: The modules that programs may import from, besides those of `keeppool.requests`.
MODULES = (
    "keeppool",
    "keeppool.adapters.httpx",
    "keeppool.adapters.httpx2",
    "keeppool.adapters.requests",
    "keeppool.adapters.scrapy",
    "keeppool.adapters.urllib3",
    "keeppool.auth",
    "keeppool.config",
    "keeppool.config_file",
    "keeppool.cookies",
    "keeppool.errors",
    "keeppool.events",
    "keeppool.explanation",
    "keeppool.observe",
    "keeppool.presets",
    "keeppool.stats",
    "keeppool.testing",
)

#: Those whose names are classes of another project's, which the quick tests do without.
OPTIONAL = {"keeppool.adapters.httpx": "httpx", "keeppool.adapters.httpx2": "httpx2"}


def missing_modules() -> set[str]:
    """Name the modules whose names cannot be looked at here."""
    return {module for module, package in OPTIONAL.items() if importlib.util.find_spec(package) is None}


def public_modules() -> list[str]:
    """Name the modules that programs may import from."""
    below = [f"keeppool.requests.{found.name}" for found in pkgutil.iter_modules(keeppool.requests.__path__)]
    there = set(MODULES) - missing_modules()
    return sorted([*there, "keeppool.requests", *(name for name in below if not name.split(".")[-1].startswith("_"))])


def names_in(module_name: str) -> list[str]:
    """Name what a module offers: what its `__all__` lists, else what it defines itself."""
    module = importlib.import_module(module_name)
    if hasattr(module, "__all__"):
        return sorted(module.__all__)
    return sorted(
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and (getattr(value, "__module__", None) == module_name)
    )


def attributes_of(value: object) -> list[str]:
    """Name the public attributes of a class of keeppool's; what Python's own classes give is not ours to keep."""
    if not inspect.isclass(value):
        return []
    ours = [cls for cls in value.__mro__ if cls.__module__.startswith("keeppool")]
    return sorted({name for cls in ours for name in vars(cls) if not name.startswith("_")})


def public_names() -> Iterator[str]:
    """Give a line for each name and each attribute, in order."""
    for module_name in public_modules():
        module = importlib.import_module(module_name)
        for name in names_in(module_name):
            yield f"{module_name}:{name}"
            for attribute in attributes_of(getattr(module, name)):
                yield f"{module_name}:{name}.{attribute}"


if __name__ == "__main__":
    print(*public_names(), sep="\n")
