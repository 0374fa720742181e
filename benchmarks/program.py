"""What the programs have in common: their command line, the core they run on, what they print.

A program answers one question by rows of figures. Alone it prints them as a table; `python -m benchmarks` runs it with
`--json` and prints them beside all others.

Knows: which figures there are, and how each is written. Does not know: what is measured, which bars hold.

Everything is measured twice, in two processes: with client and server on one core, and with both on all cores, where
the scheduler places them. On two cores each exchange of a single caller waits twice for the other core to wake up; on a
virtual machine that takes longer than all but the slowest clients need for their own work. It hides what is measured,
and comes and goes as the scheduler likes. But two cores are what people have.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, NoReturn

from benchmarks.measure import machine, table

#: Where client and server run.
ONE_CORE, ALL_CORES = "client and server on one core", "on all cores"

#: One row's figures, by name; `None` where the peer to compare with is not installed.
Figures = Mapping[str, float | None]
Rows = Mapping[str, Figures]


class Effort(NamedTuple):
    """How often everything is measured: rounds, and requests (or calls) of each client in each round."""

    rounds: int
    requests: int


class CannotRunError(Exception):
    """This machine does not have what the question needs. The message says what, in one line."""


#: The exit status of a program that cannot run here: EX_UNAVAILABLE of sysexits.h.
UNAVAILABLE = 69

#: Headings and formats. A figure `rate_by_NAME` is a ratio of rates, and needs no entry.
_FORMATS = {
    "us": ("µs", ",.1f"),
    "us_call": ("µs per call", ",.2f"),
    "per_s": ("per second", ",.0f"),
    "mib_s": ("MiB/s", ",.0f"),
    "time_by_floor": ("time ÷ bare loop's", ".2f"),
    "growth": ("÷ the first", ".2f"),
    "ms": ("ms", ",.1f"),
    "time_by_requests": ("time ÷ requests'", ".2f"),
    "p50_us": ("p50 µs", ",.0f"),
    "p99_us": ("p99 µs", ",.0f"),
    "p999_us": ("p99.9 µs", ",.0f"),
    "bytes": ("bytes", ",.0f"),
    "resumed": ("handshakes resumed", ".0%"),
    "share": ("of the whole", ".0%"),
    "peak_mib": ("peak resident MiB", ".1f"),
    "growth_mib": ("MiB taken", ",.1f"),
    "growth_by_aiohttp": ("MiB ÷ aiohttp's", ".2f"),
    "held_ms": ("others held, ms", ",.1f"),
    "longest_ms": ("longest request, ms", ",.1f"),
    "switches": ("changes of thread", ".2f"),
    "rate_by_16": ("rate ÷ own with 16 connections", ".2f"),
    "cpu_by_unheard": ("CPU ÷ without a listener", ".2f"),
    "cpu_us": ("CPU µs", ",.2f"),
    "sockets": ("sockets", ",.0f"),
    "cpu_by_floor": ("CPU ÷ floor's", ".2f"),
    "cpu_by_pycurl": ("CPU ÷ pycurl's", ".2f"),
    "cpu_by_own": ("CPU ÷ own transport's", ".2f"),
    "time_by_own": ("time ÷ own transport's", ".2f"),
    "cpu_ms": ("CPU ms", ",.1f"),
}


def main(
    ask: Callable[[Effort], Rows],
    effort: Effort,
    *,
    about: str | None,
    beside: Sequence[str] = (),
    one_core: bool = True,
    arguments: Sequence[str] | None = None,
) -> None:
    """Run a program: ask its question, and print the answer.

    Args:
        ask: Measures.
        effort: How often, unless the command line says otherwise.
        about: The program's own docstring.
        beside: Distributions whose versions belong to the result.
        one_core: False for a question whose bars are about all cores; its rows are those that `--json` calls `rows`.
        arguments: The command line, if not the process's own.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=effort.rounds)
    parser.add_argument("--requests", type=int, default=effort.requests, help="of each client in each round")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--one-core", action="store_true", help="only with client and server on one core")
    where.add_argument("--all-cores", action="store_true", help="only where the scheduler places them")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    options = parser.parse_args(arguments)
    on = machine(*beside)
    forget_environment()
    effort = Effort(options.rounds, options.requests)
    try:
        placed = {place: asked(ask, effort, place) for place in places(options)}
    except CannotRunError as error:
        # What has been started is stopped by now; the message is the whole output.
        parser.exit(UNAVAILABLE, f"cannot run here: {error}\n")
    if options.json:
        main_one = ONE_CORE if one_core else ALL_CORES
        rows = placed.get(main_one) or next(iter(placed.values()))
        print(json.dumps({"machine": on, **effort._asdict(), "rows": rows, "placed": placed}))
        return
    print(f"{on}; {effort.rounds} rounds of {effort.requests}")
    for place, rows in placed.items():
        print(f"\n{place[0].upper()}{place[1:]}:\n\n{report(rows)}")


def places(options: argparse.Namespace) -> list[str]:
    """List where the command line lets client and server run; where nobody can be kept on a core, on all of them."""
    can_pin = hasattr(os, "sched_setaffinity") and hasattr(os, "fork")
    if options.all_cores or not can_pin:
        return [ALL_CORES]
    return [ONE_CORE] if options.one_core else [ONE_CORE, ALL_CORES]


def asked(ask: Callable[[Effort], Rows], effort: Effort, place: str) -> Rows:
    """Ask a program's question in a process of its own: threads that a client leaves behind stay on their core.

    Raises:
        CannotRunError: The machine does not have what is needed.
        SystemExit: It has failed, and said so.
    """
    if not hasattr(os, "fork"):
        return ask(effort)
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        be_asked(ask, effort, place, writer)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as pipe:
        came = pipe.read()
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code == UNAVAILABLE:
        raise CannotRunError(came)
    if code:
        raise SystemExit(code)
    rows: Rows = json.loads(came)
    return rows


def be_asked(ask: Callable[[Effort], Rows], effort: Effort, place: str, writer: int) -> NoReturn:
    """Be the process of one placement, and write what comes of it."""
    status = 1
    try:
        if place == ONE_CORE:
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        with os.fdopen(writer, "w", encoding="utf-8") as pipe:
            try:
                pipe.write(json.dumps(ask(effort)))
                status = 0
            except CannotRunError as error:
                pipe.write(str(error))
                status = UNAVAILABLE
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def forget_environment() -> None:
    """Let no client find a proxy, a file of certificates or a user's passwords in the environment."""
    for name in list(os.environ):
        if name.lower().endswith(("_proxy", "_ca_bundle", "ssl_cert_file", "ssl_cert_dir")):
            del os.environ[name]
    os.environ.pop("NETRC", None)
    # Clients that read `.netrc` look for it at home, which is nowhere.
    os.environ["HOME"] = f"{os.devnull}/none"


def report(rows: Rows) -> str:
    """Write the table, with every figure that some row has; where all rows have a time, the fastest first."""
    found = list(dict.fromkeys(figure for row in rows.values() for figure in row))
    if "us" in found:
        rows = dict(sorted(rows.items(), key=lambda item: item[1].get("us") or 0))
    header = ["", *(heading(figure) for figure in found)]
    return table(
        header, ([name, *(written(figure, row.get(figure)) for figure in found)] for name, row in rows.items())
    )


def heading(figure: str) -> str:
    """Name a figure, as a table's heading does."""
    return _FORMATS[figure][0] if figure in _FORMATS else f"rate ÷ {figure.removeprefix('rate_by_')}'s"


def written(figure: str, value: float | None) -> str:
    """Write a figure with as many digits as mean something."""
    if value is None:
        return "-"
    return format(value, _FORMATS[figure][1] if figure in _FORMATS else ".2f")
