"""What a pool does and has done, made visible: to another process, to metrics and traces, and as a picture.

Each name comes from a module of its own, which is imported when the name is first asked for: some need a package that
nothing else needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keeppool.deferred import late

if TYPE_CHECKING:
    from keeppool.observe.opentelemetry import OpenTelemetry
    from keeppool.observe.prometheus import Prometheus
    from keeppool.observe.recorded import Socket
    from keeppool.observe.recorder import Recorder
    from keeppool.observe.remote import Remote, RemoteError, Told
    from keeppool.observe.serving import Serving, serve

_HOMES = {
    "OpenTelemetry": "opentelemetry",
    "Prometheus": "prometheus",
    "Recorder": "recorder",
    "Remote": "remote",
    "RemoteError": "remote",
    "Serving": "serving",
    "Socket": "recorded",
    "Told": "remote",
    "serve": "serving",
}

#: The extra that brings the package a name needs.
_EXTRAS = {"OpenTelemetry": "otel", "Prometheus": "prometheus"}

__all__ = ["OpenTelemetry", "Prometheus", "Recorder", "Remote", "RemoteError", "Serving", "Socket", "Told", "serve"]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        found = getattr(late(f"{__name__}.{home}"), name)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get(name)
        if extra is None or (error.name or "").startswith("keeppool"):
            raise
        install = f"python -m pip install 'keeppool[{extra}]', or '.[{extra}]' in its source"
        text = f"keeppool.observe.{name} needs {error.name}: {install}"
        raise ImportError(text, name=error.name) from error
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
