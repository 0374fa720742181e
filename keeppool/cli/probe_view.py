"""How the result of `keeppool probe` is worded: for programs, for people, for a configuration.

Decides: which figures, and what they are called. Knows: what a survey found. Does not know: how.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.text import Text

from keeppool import INHERIT, HostConfig, Survey
from keeppool.cli.console import shortened
from keeppool.config import HOST_FIELDS
from keeppool.probe.habits import Pipelined, Pipelining
from keeppool.tables import printable

#: Width of the labels' column: the longest label and two blanks.
_LABELS = 10
_MAX_MEANS = {"left": "falls, so it is what is left", "whole": "is constant, so it is the whole", "unclear": "jumps"}
_HANGUPS = {"fin": "by FIN", "rst": "by RST", "error": "with an error", None: "in a way that could not be seen"}

_NOTHING_LOST = "\nNothing to set: nothing was seen that keeppool does not do by itself.\n"
_NOTHING_KNOWN = "\nAn idle_timeout is needed, and was not found: try with a smaller --max-wait.\n"


def probe_entry(found: Survey, proxy: str | None) -> dict[str, Any]:
    """Everything that was found, for JSON.

    Args:
        found: The survey.
        proxy: What it went through; over plain http, the connections that were looked at are the proxy's.
    """
    reply, run = found.reply, found.run
    settings = settings_of(found.host_config)
    return {
        "url": found.url,
        "host": found.pattern,
        "proxy": proxy,
        "seconds": round(found.seconds, 3),
        "http_version": _version(found),
        "status": reply.status,
        "connection": reply.connection,
        "keep_alive": reply.keep_alive,
        "timeout": reply.hint.timeout,
        "max": reply.hint.max,
        "max_means": found.max_means.value if found.max_means else None,
        "kept": found.is_kept,
        "requests": len(run.replies),
        "requests_limit": run.limit,
        "requests_why_close": run.why_close.value if run.why_close else None,
        "requests_hangup": run.hangup.value if run.hangup else None,
        "idle_seconds": None if found.idle_s is None else round(found.idle_s, 3),
        "idle_ends": [
            {
                "seconds": round(end.idle_s, 3),
                "hangup": end.hangup.value if end.hangup else None,
                "said": end.said.decode("latin-1"),
                "served": end.served,
            }
            for end in found.idle
        ],
        "idle_early": found.is_early,
        "idle_408": any(end.is_408 for end in found.idle),
        "open_seconds": None if found.open_s is None else round(found.open_s, 3),
        "still_answers": found.is_open,
        "unasked": found.has_unasked,
        "pipelined": None if found.pipelined is None else _pipelined_entry(found.pipelined),
        "troubles": list(found.troubles),
        "settings": settings,
        "python": python_lines(found.pattern, settings),
        "toml": toml_lines(found.pattern, settings),
    }


def probe_report(console: Console, found: Survey, proxy: str | None) -> None:
    """Write it for people: what was found, then what to paste. Arguments as for `probe_entry`."""
    text = Text().append(f"{shortened(found.url)}\n", "bold")
    if proxy is not None:
        text.append(f"{'through':<{_LABELS}}", "dim").append(f"{printable(proxy)}\n")
    for label, sentence in _sentences(found):
        text.append(f"{label:<{_LABELS}}", "dim").append(f"{printable(sentence)}\n")
    settings = settings_of(found.host_config)
    if settings:
        text.append("\nin Python\n\n", "dim").append(python_lines(found.pattern, settings))
        text.append("\nor in keeppool.toml\n\n", "dim").append(toml_lines(found.pattern, settings))
    else:
        text.append(_NOTHING_LOST if found.is_open is not False else _NOTHING_KNOWN)
    console.print(text, end="", soft_wrap=True)


def settings_of(entry: HostConfig) -> dict[str, Any]:
    """List what an entry says, by field."""
    fields = {name: getattr(entry, name) for name in HOST_FIELDS}
    return {name: value for name, value in fields.items() if value is not INHERIT}


def python_lines(pattern: str, settings: dict[str, Any]) -> str:
    """Write settings as an argument of a session or a pool; nothing if there are none."""
    words = ", ".join(f"{name}={value!r}" for name, value in settings.items())
    return f"hosts={{{json.dumps(pattern)}: HostConfig({words})}}\n" if settings else ""


def toml_lines(pattern: str, settings: dict[str, Any]) -> str:
    """Write settings as a table of a configuration file; nothing if there are none."""
    lines = [f"{name} = {json.dumps(value)}\n" for name, value in settings.items()]
    return "".join([f"[host.{json.dumps(pattern)}]\n", *lines]) if settings else ""


def _sentences(found: Survey) -> Iterator[tuple[str, str]]:
    yield "answers", f"HTTP/{_version(found)}, status {found.reply.status}"
    yield "says", _announced(found)
    yield "requests", _requests(found)
    if found.is_kept:
        yield from _idle(found)
    if found.pipelined is not None:
        yield "at once", _pipelined(found.pipelined)
    yield "unasked", "it sends bytes nobody asked for" if found.has_unasked else "nothing"
    for trouble in found.troubles:
        yield "but", trouble


def _version(found: Survey) -> str:
    return "1.0" if found.reply.version == 10 else "1.1"


def _announced(found: Survey) -> str:
    reply = found.reply
    pairs = (("Connection", reply.connection), ("Keep-Alive", reply.keep_alive))
    stated = " · ".join(f"{name}: {value}" for name, value in pairs if value is not None) or "nothing about it"
    return f"{stated} (max {_MAX_MEANS[found.max_means.value]})" if found.max_means else stated


def _requests(found: Survey) -> str:
    run = found.run
    count = len(run.replies)
    if not count:
        return "could not be counted"
    if run.limit is None:
        return f"{count} on one connection did not end it"
    hangup = _HANGUPS[run.hangup.value if run.hangup else None]
    if run.why_close is None:
        return f"it closes after {count}, unannounced, {hangup}"
    return f"it ends a connection after {count}, announced ({run.why_close.value}), and closes {hangup}"


def _idle(found: Survey) -> Iterator[tuple[str, str]]:
    """Say what became of the idle connections."""
    if found.idle:
        first, last = found.idle[0].idle_s, found.idle[-1].idle_s
        hangups = sorted({_HANGUPS[end.hangup.value if end.hangup else None] for end in found.idle})
        seconds = f"{first:.2f} s" if round(first, 2) == round(last, 2) else f"{first:.2f} to {last:.2f} s"
        yield "idle", f"{len(found.idle)} closed after {seconds}, {_notice(found)}, {' or '.join(hangups)}"
    if found.open_s is not None:
        state = "and answered then" if found.is_open else "but dead: something on the way had dropped it silently"
        yield "idle", f"open after {found.open_s:.2f} s, {state}"


def _pipelined_entry(seen: Pipelined) -> dict[str, Any]:
    return {
        "verdict": seen.verdict.value,
        "why": seen.why,
        "asked": seen.asked,
        "answered": seen.answered,
        "ordered": seen.is_ordered,
        "may_set": seen.depth,
    }


def _pipelined(seen: Pipelined) -> str:
    """Say what became of requests that were sent at once, and what may be set."""
    text = seen.why
    if seen.verdict is Pipelining.WHOLE:
        text += ", and in order" if seen.is_ordered else "; whether in order could not be seen"
    elif seen.verdict is Pipelining.UNKNOWN:
        text = f"could not tell: {text}"
    if seen.depth > 1:
        return f"{text}: HostConfig(pipelining={seen.depth}) may be set, see docs/pipelining.md"
    return f"{text}: leave pipelining off"


def _notice(found: Survey) -> str:
    """Say whether one could know that idle connections would close."""
    if any(end.is_408 for end in found.idle):
        return "announced by a 408"
    if found.reply.hint.timeout is None:
        return "unannounced"
    return "earlier than announced" if found.is_early else "as announced"
