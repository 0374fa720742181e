"""The two transports for one client module, made of what is the same for all of them and the module's own classes.

Decides: what is made an instance of which class of the module's.
Knows: what a module of httpx's kind has to have.
"""

from __future__ import annotations

import importlib
from functools import cache
from types import ModuleType
from typing import Any, Final, NamedTuple

from keeppool.adapters.transports.blocking import BlockingTransport
from keeppool.adapters.transports.bodies import AwaitedBody, BlockingBody, TracedAwaitedBody, TracedBlockingBody
from keeppool.adapters.transports.tasks import TaskTransport

#: What is used of a module; httpx 1.0 has been announced without transports of this kind.
_NEEDED: Final = ("BaseTransport", "AsyncBaseTransport", "SyncByteStream", "AsyncByteStream", "ByteStream", "Response")


class Transports(NamedTuple):
    """Both transports of one module."""

    blocking: type[BlockingTransport]
    tasks: type[TaskTransport]


@cache
def transports(name: str, door: str) -> Transports:
    """Make the transports for a client module.

    Args:
        name: Of the module; also of the extra that installs it.
        door: Of the module of ours from which programs import the classes.

    Raises:
        ImportError: The module is not installed, or has no transports of this kind.
    """
    module = _imported(name, door)

    def made(kind: type, base: type, label: str, **more: Any) -> Any:
        facts = {"__doc__": kind.__doc__, "__module__": door, "module": module, **more}
        return type(label, (kind, base), facts)

    streams, awaited = module.SyncByteStream, module.AsyncByteStream
    return Transports(
        made(
            BlockingTransport,
            module.BaseTransport,
            "KeepPoolTransport",
            _client=f"{name}.Client",
            _other_kind="AsyncKeepPoolTransport",
            _body_kind=made(BlockingBody, streams, "Body"),
            _traced_kind=made(TracedBlockingBody, streams, "TracedBody"),
        ),
        made(
            TaskTransport,
            module.AsyncBaseTransport,
            "AsyncKeepPoolTransport",
            _client=f"{name}.AsyncClient",
            _other_kind="KeepPoolTransport",
            _body_kind=made(AwaitedBody, awaited, "AsyncBody"),
            _traced_kind=made(TracedAwaitedBody, awaited, "TracedAsyncBody"),
        ),
    )


def _imported(name: str, door: str) -> ModuleType:
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        if error.name != name:
            raise
        install = f"python -m pip install 'keeppool[{name}]', or '.[{name}]' in its source"
        text = f"{door} needs the package {name}: {install}"
        raise ImportError(text, name=name) from error
    missing = [needed for needed in _NEEDED if not hasattr(module, needed)]
    if missing:
        version = getattr(module, "__version__", "of this version")
        text = f"{door} does not fit {name} {version}, which has no {missing[0]}: install keeppool[{name}]"
        raise ImportError(text, name=name)
    return module
