"""`keeppool fleet`: who holds what of a fleet's caps, as Redis has it; and taking away what one holds.

Decides: whom a process' number means, and how a moment is laid out.
Knows: `Ledger`, the terminal. Does not know: how Redis is asked.
"""

from __future__ import annotations

import os
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from typing import Any, Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from keeppool.cli.console import shortened, standard_output, write_json
from keeppool.cli.endings import Exit, UsageError, ended_by_signals
from keeppool.fleet.ledger import Held, KeyRecord, Ledger, LedgerError, Member, Moment
from keeppool.tables import as_text, seconds

#: Where the URL is, if none is given: on a command line everyone on the machine could read its password.
_VARIABLE: Final = "KEEPPOOL_FLEET"
_HEADINGS: Final = ("host, and who has connections", "held", "for", "lease", "asks", "pace")
#: Names that an error lists.
_MOST_NAMED: Final = 8


def run(arguments: Namespace) -> int:
    """Carry out the command.

    Raises:
        ConfigError, UsageError: The arguments are invalid; nothing was done.
    """
    url = arguments.url or os.environ.get(_VARIABLE)
    if not url:
        raise UsageError(f"give the URL of the fleet's Redis, or set {_VARIABLE}")
    out = standard_output()
    with Ledger(url) as ledger:
        try:
            return (_drop if arguments.action == "drop" else _status)(out, ledger, arguments)
        except LedgerError as error:
            return _failed(str(error))


def _failed(why: str) -> Exit:
    sys.stderr.write(f"keeppool: {shortened(why, 500)}\n")
    return Exit.FAILED


# Status


def _status(out: Console, ledger: Ledger, arguments: Namespace) -> Exit:
    name = arguments.name or ledger.name
    moment = ledger.moment(name)
    if arguments.watch and not arguments.json and out.is_terminal and not out.is_dumb_terminal:
        _show(out, ledger, arguments, moment)
    while True:
        if arguments.json:
            write_json(out, _as_dict(moment))
        else:
            out.file.write(_as_text(moment, name) + "\n")
            out.file.flush()
        if not arguments.watch:
            return Exit.OK
        time.sleep(arguments.interval)
        moment = _next(ledger, name)


def _next(ledger: Ledger, name: str | None) -> Moment:
    """Read the next moment; while Redis is away, say so once and try on."""
    was_told = False
    while True:
        try:
            return ledger.moment(name)
        except LedgerError as error:
            if not was_told:
                _failed(str(error))
            was_told = True
            time.sleep(1)


def _show(out: Console, ledger: Ledger, arguments: Namespace, moment: Moment) -> None:
    """Draw until Ctrl-C; the terminal is as it was afterwards."""
    name = arguments.name or ledger.name
    live = Live(console=out, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
    text = _as_text(moment, name)
    with ended_by_signals(), live:
        while True:
            live.update(Text(text, no_wrap=True, overflow="ellipsis"), refresh=True)
            time.sleep(arguments.interval)
            try:
                text = _as_text(ledger.moment(name), name)
            except LedgerError as error:
                text = f"{shortened(str(error), 500)}\n\n{text}"


def _as_text(moment: Moment, name: str | None) -> str:
    if not moment.fleets:
        return f"nobody has or wants anything of {'a fleet' if name is None else f'fleet {shortened(name)}'}"
    clock = time.strftime("%H:%M:%S", time.localtime(moment.at))
    return "\n\n".join(_fleet(fleet, records, clock) for fleet, records in moment.fleets.items())


def _fleet(name: str, records: list[KeyRecord], clock: str) -> str:
    members = {one.member for record in records for one in record.held}
    connections = sum(record.connections for record in records)
    title = (
        f"{clock}  fleet {shortened(name)}: {_counted(connections, 'connection')}, {_counted(len(members), 'member')}"
    )
    faults = [(shortened(record.key), record.fault) for record in records if record.fault]
    rows = [row for record in records if not record.fault for row in _rows(record)]
    return f"{title}\n{as_text(faults, _HEADINGS, rows)}"


def _rows(record: KeyRecord) -> Iterator[tuple[str, ...]]:
    cap = "" if record.cap is None else f" of {record.cap}"
    asking = sum(one.asks for one in record.held)
    yield record.key, f"{record.connections}{cap}", "", "", str(asking or ""), _pace(record)
    for one in record.held:
        row = f"  {one.member}", str(one.connections), seconds(one.since_s) if one.connections else ""
        yield *row, seconds(one.lease_s), "asks" if one.asks else "", ""


def _pace(record: KeyRecord) -> str:
    parts = []
    if record.gap_s:
        parts.append(f"{1 / record.gap_s:g}/s" if record.gap_s <= 1 else f"one each {record.gap_s:g} s")
    if record.next_s and record.next_s > record.gap_s:
        parts.append(f"taken for {seconds(record.next_s)}")
    if record.hold_s:
        parts.append(f"Retry-After for {seconds(record.hold_s)}")
    return ", ".join(parts)


def _as_dict(moment: Moment) -> dict[str, Any]:
    fleets = {name: {record.key: _record(record) for record in records} for name, records in moment.fleets.items()}
    return {"at": moment.at, "fleets": fleets}


def _record(record: KeyRecord) -> dict[str, Any]:
    if record.fault:
        return {"fault": record.fault}
    pace = {"gap_s": record.gap_s or None, "next_s": record.next_s, "hold_s": record.hold_s}
    return {"cap": record.cap, "held": record.connections, "members": list(map(_held, record.held)), "pace": pace}


def _held(one: Held) -> dict[str, Any]:
    member = Member.of(one.member)
    names = {"member": one.member, "host": member.host, "pid": member.pid}
    return names | {"held": one.connections, "since_s": one.since_s, "lease_s": one.lease_s, "asks": one.asks}


# Drop


def _drop(out: Console, ledger: Ledger, arguments: Namespace) -> Exit:
    fleets = ledger.moment().fleets
    records = fleets.get(arguments.name)
    if records is None:
        there = f"; there {_listed(sorted(fleets))}" if fleets else ""
        return _failed(f"nobody has or wants anything of fleet {shortened(arguments.name)}{there}")
    members = sorted({one.member for record in records for one in record.held})
    meant = [name for name in members if Member.of(name).is_meant(arguments.pid)]
    if not meant:
        here = f"; there {_listed(_processes(members))}" if members else ""
        return _failed(f"no member {shortened(arguments.pid)} is in fleet {shortened(arguments.name)}{here}")
    processes = _processes(meant)
    if len(processes) > 1:
        raise UsageError(f"{arguments.pid} means several processes: say which, one of {_names(processes)}")
    dropped = {name: ledger.drop(arguments.name, name) for name in meant}
    if arguments.json:
        write_json(out, {"fleet": arguments.name, "dropped": dropped})
    else:
        out.file.write(_told(arguments.name, arguments.pid if ":" in arguments.pid else processes[0], dropped))
    return Exit.OK


def _processes(members: list[str]) -> list[str]:
    """Name the members' processes, each as briefly as it is clear."""
    marks: dict[str, set[str]] = {}
    for member in map(Member.of, members):
        marks.setdefault(member.place, set()).add(member.process)
    return sorted(name for place, alike in marks.items() for name in ([place] if len(alike) == 1 else alike))


def _told(fleet: str, process: str, dropped: dict[str, dict[str, int]]) -> str:
    """Say what was taken away."""
    taken: dict[str, int] = {}
    for keys in dropped.values():
        for key, n in keys.items():
            taken[key] = taken.get(key, 0) + n
    pools = f" ({len(dropped)} pools)" if len(dropped) > 1 else ""
    lost = _counted(sum(taken.values()), "connection")
    lines = [f"{shortened(process)}{pools} has lost {lost} of fleet {shortened(fleet)}"]
    lines += [f"  {shortened(key)}  {n}" for key, n in sorted(taken.items())]
    lines.append("If it still runs, it registers with its next call what it has.")
    return "\n".join(lines) + "\n"


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _listed(names: list[str]) -> str:
    return f"{'is' if len(names) == 1 else 'are'} {_names(names)}"


def _names(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(map(shortened, names[:_MOST_NAMED])) + more
