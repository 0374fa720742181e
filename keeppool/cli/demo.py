"""`keeppool demo`: what a connection pool is for, in a few seconds and without a network.

Decides: two rounds of the same work, one with keep-alive and one without, on fresh sites each; then tasks, and two
hosts alike, one with pipelining and one without.
Knows: rounds and reports. Does not know: how a page is fetched or a table drawn.
"""

from __future__ import annotations

import sys
from argparse import Namespace

from rich.console import Console
from rich.text import Text

from keeppool import Limits, presets
from keeppool.cli.console import standard_error, standard_output, write_json
from keeppool.cli.demo_pipelining import TaskOutcome, TaskRound
from keeppool.cli.demo_round import Outcome, Round
from keeppool.cli.demo_sites import open_pair, open_sites
from keeppool.cli.demo_view import View
from keeppool.cli.endings import Exit
from keeppool.cli.pictures import Pictures
from keeppool.cli.report import demo_report, demo_totals, host_entry, pipelining_entry
from keeppool.testing import Sites

#: Errors that are shown in full; more of them say nothing new.
_TOLD = 5


def run(arguments: Namespace) -> int:
    """Carry out the command.

    Raises:
        ConfigError: No preset has that name.
    """
    limits = presets.by_name(arguments.preset) if arguments.preset is not None else Limits()
    out = standard_output()
    pictures = Pictures(arguments, "keeppool demo")
    outcome = _play(out, arguments, limits, pictures)
    without = _play(out, arguments, limits, None)
    pair = _play_pair(out, arguments, limits)
    pictures.save()
    if arguments.json:
        write_json(out, demo_totals(outcome, without, pair))
    else:
        demo_report(out, outcome, without, pair)
        out.print(_where(arguments.waterfall), soft_wrap=True)
    errors = outcome.errors + without.errors + [error for each in pair for error in each.errors]
    for error in errors[:_TOLD]:
        sys.stderr.write(f"{error}\n")
    return Exit.FAILED if errors else Exit.OK


def _where(waterfall: str | None) -> Text:
    """Name the picture, or how to get it."""
    if waterfall is None:
        return Text("keeppool demo --waterfall demo.html draws what each socket did.", "dim")
    return Text.assemble("what each socket did: ", (waterfall, "bold"))


def _play(out: Console, arguments: Namespace, limits: Limits, pictures: Pictures | None) -> Outcome:
    """Run one round, that with keep-alive if it may be drawn; for JSON, write a line for each host at its end."""
    keep_alive = pictures is not None
    with Sites() as sites:
        hosts = open_sites(sites)
        current = Round(hosts, arguments.pages, arguments.threads, limits, keep_alive=keep_alive, pictures=pictures)
        with View(_screen(out, arguments), current, f"keep-alive {'on' if keep_alive else 'off'}"):
            for _ in current:
                pass
        outcome = current.outcome()
    if arguments.json:
        for host in outcome.hosts:
            write_json(out, {"kind": "host", "keep_alive": keep_alive, **host_entry(host, limits)})
    return outcome


def _play_pair(out: Console, arguments: Namespace, limits: Limits) -> list[TaskOutcome]:
    """Visit the pair, one host after the other: neither takes the other's time."""
    outcomes = []
    with Sites() as sites:
        for host in open_pair(sites):
            current = TaskRound(host, arguments.pages, limits)
            with View(_screen(out, arguments), current, host.label):
                outcomes.append(current.run())
            if arguments.json:
                write_json(out, {"kind": "pipelining_host", **pipelining_entry(outcomes[-1])})
    return outcomes


def _screen(out: Console, arguments: Namespace) -> Console:
    """Choose where to draw: not between lines of JSON, but a person who waits for them should see a sign of life."""
    return standard_error() if arguments.json else out
