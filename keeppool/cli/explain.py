"""`keeppool explain`: which entry decides what for a URL, and what a request would get.

Decides: in which words a file's entries are named: those of the file.
Knows: a session's `explain`, and how another process is asked for it. Does not know: how settings are merged. Nothing
    is sent to the URL's host.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Collection
from dataclasses import fields, replace
from functools import partial
from typing import Any

from keeppool import Config, Session, Timeout, load_config, presets
from keeppool.cli.console import shortened, standard_output, write_json
from keeppool.cli.endings import Exit, UsageError
from keeppool.cli.tokens import token_of
from keeppool.config_file import read_table
from keeppool.errors import InvalidRequest
from keeppool.explanation import BUILT_IN, Explanation, Setting
from keeppool.observe import Remote, RemoteError


def run(arguments: Namespace) -> int:
    """Carry out the command.

    Raises:
        ConfigError, UsageError: The file, the preset or the URL is invalid.
    """
    out = standard_output()
    try:
        found = _explained(arguments) if arguments.at is None else _asked(arguments)
    except RemoteError as error:
        sys.stderr.write(f"keeppool: {shortened(str(error), 500)}\n")
        return Exit.FAILED
    except InvalidRequest as error:
        raise UsageError(shortened(str(error), 500)) from error
    if arguments.json:
        write_json(out, found.to_dict())
    else:
        out.print(str(found), soft_wrap=True)
    return Exit.OK


def _asked(arguments: Namespace) -> Explanation:
    """Ask a running process."""
    if arguments.config is not None or arguments.preset is not None:
        raise UsageError("--at asks a process that has its own configuration: --config and --preset say nothing there")
    with Remote(arguments.at, token_of(arguments.token_file)) as remote:
        return remote.explain(arguments.url)


def _explained(arguments: Namespace) -> Explanation:
    config = Config() if arguments.config is None else load_config(arguments.config)
    if arguments.preset is not None:
        config = replace(config, limits=presets.by_name(arguments.preset))
    with Session(config=config) as session:
        found = session.explain(arguments.url)
    table = {} if arguments.config is None else read_table(arguments.config)
    if arguments.preset is not None:
        table.pop("limits", None)
    return found.renamed(partial(_word, _tables(table), arguments.preset or table.get("preset")))


def _tables(table: dict[str, Any]) -> dict[str, tuple[str, dict[str, Any]]]:
    """Find for each that may decide its place in the file, and what it says there."""
    hosts = {f'hosts["{name}"]': (f'[host."{name}"]', entry) for name, entry in table.get("host", {}).items()}
    tops = {"limits": "limits", "timeout": "timeout", "defaults": "default"}
    return hosts | {by: (f"[{top}]", table.get(top, {})) for by, top in tops.items()}


def _word(tables: dict[str, tuple[str, dict[str, Any]]], preset: str | None, one: Setting) -> str:
    """Name who decides a setting: a table of the file, a preset, or nobody."""
    by = one.decided_by
    if by in (BUILT_IN, "limits", "timeout"):
        return _general(tables, preset, one)
    if by not in tables:
        return by  # The environment.
    place, entry = tables[by]
    # A host's timeout is laid over the general one: what it leaves out is not its word.
    return place if one.topic != "timeout" or one.name in _said(entry["timeout"]) else _general(tables, preset, one)


def _general(tables: dict[str, tuple[str, dict[str, Any]]], preset: str | None, one: Setting) -> str:
    place, said = tables.get(one.topic, ("", {}))
    if one.name in said:
        return place
    return f"preset {preset}" if one.decided_by == "limits" else BUILT_IN


def _said(timeout: Any) -> Collection[str]:
    """List the waits that a host's timeout names, whatever its form."""
    if isinstance(timeout, dict):
        return timeout
    if timeout in ("none", ["none", "none"]):
        return [field.name for field in fields(Timeout)]
    return ("connect", "read") if isinstance(timeout, list) else ("connect", "read", "stall")
