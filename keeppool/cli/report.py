"""What the verbs say at their end: totals for programs, tables for people.

Decides: which figures, and how they are called. Knows: rich's tables. Does not know: how the figures came about.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from keeppool import Limits, Stats
from keeppool.cli.console import write_json
from keeppool.cli.demo_round import HostOutcome, Outcome
from keeppool.cli.demo_sites import ROUND_TRIP_S
from keeppool.events import Why


def host_entry(host: HostOutcome, limits: Limits) -> dict[str, Any]:
    """One host of the demo, for JSON."""
    return {
        "host": host.name,
        "behaviour": host.label,
        "requests": host.requests,
        "opened": host.tally.opened,
        "reused": host.tally.reused,
        "resent": host.tally.resent,
        "peak": host.peak,
        "cap": limits.per_host,
        "late": host.late,
        "closed_by": _reasons(host.tally.closed_by),
    }


def demo_totals(outcome: Outcome, without: Outcome) -> dict[str, Any]:
    """Both rounds of the demo, for JSON. All but `without_keep_alive` is about the round with keep-alive."""
    return {
        "kind": "totals",
        **_round_entry(outcome),
        "hosts": [host_entry(host, outcome.limits) for host in outcome.hosts],
        "without_keep_alive": _round_entry(without),
    }


def demo_report(console: Console, outcome: Outcome, without: Outcome) -> None:
    """Draw what the demo has shown: each host, both rounds side by side, what the servers saw."""
    console.print(_host_table(outcome))
    console.print()
    console.print(_comparison(outcome, without))
    console.print()
    console.print(_verdict(outcome, without))


def fetch_totals(done: int, failed: int, size: int, seconds: float, stats: Stats) -> dict[str, Any]:
    """What `keeppool fetch` has done, for JSON."""
    return {
        "requests": done,
        "arrived": done - failed,
        "errors": failed,
        "bytes": size,
        "seconds": round(seconds, 3),
        "opened": stats.opened,
        "reused": stats.reused,
        "resent": stats.resent,
        # The pool's figure holds sockets that were being dialled, in vain perhaps.
        "peak_total": min(stats.peak_open, stats.opened),
        "closed_by": _reasons(stats.closed_by),
    }


def report_fetch(console: Console, totals: dict[str, Any], *, as_json: bool) -> None:
    """Write them, as one more line of JSON or as two lines to read."""
    if as_json:
        write_json(console, totals)
        return
    rate = totals["arrived"] / totals["seconds"] if totals["seconds"] else 0.0
    text = Text().append(f"{totals['arrived']:,} arrived", "bold")
    text.append(f", {totals['errors']:,} failed", "red" if totals["errors"] else None)
    text.append(f": {decimal(totals['bytes'])} in {totals['seconds']:.2f} s ({rate:,.0f}/s)\n")
    text.append(f"{_counted(totals['opened'], 'socket')} opened, at most {totals['peak_total']:,} at once; ")
    text.append(f"{_share(totals)} of requests found one open")
    console.print(text, soft_wrap=True)


def _round_entry(outcome: Outcome) -> dict[str, Any]:
    stats = outcome.stats
    return {
        "requests": sum(host.requests for host in outcome.hosts),
        "errors": len(outcome.errors),
        "opened": stats.opened,
        "reused": stats.reused,
        "resent": stats.resent,
        "peak_total": stats.peak_open,
        "closed_by": _reasons(stats.closed_by),
        "seconds": round(outcome.seconds, 3),
    }


def _reasons(closed_by: Mapping[Why, int]) -> dict[str, int]:
    return {why.value: count for why, count in closed_by.items() if count}


def _share(totals: Mapping[str, int]) -> str:
    handed_out = totals["opened"] + totals["reused"]
    return f"{100 * totals['reused'] / handed_out:.0f}%" if handed_out else "0%"


def _host_table(outcome: Outcome) -> Table:
    totals = _round_entry(outcome)
    table = Table(
        box=SIMPLE, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold", show_footer=True
    )
    table.add_column("host", f"{len(outcome.hosts)} hosts", no_wrap=True)
    table.add_column("behaviour", no_wrap=True, style="dim")
    for heading, key in (("pages", "requests"), ("opened", "opened")):
        table.add_column(heading, str(totals[key]), justify="right", no_wrap=True)
    table.add_column("reused", _share(totals), justify="right", no_wrap=True)
    table.add_column("peak", justify="right", no_wrap=True)
    table.add_column("closed by")
    for host in outcome.hosts:
        table.add_row(*_host_row(host, outcome.limits))
    return table


def _host_row(host: HostOutcome, limits: Limits) -> tuple[str, ...]:
    entry = host_entry(host, limits)
    peak = f"{host.peak}/{_cap(limits.per_host)}"
    counts = str(host.requests), str(host.tally.opened)
    return host.name, host.label, *counts, _share(entry), peak, _listed(entry["closed_by"])


def _listed(reasons: Mapping[str, int]) -> str:
    """List reasons, the most frequent first; without a blank in between, so that no line ends before the count."""
    return ", ".join(f"{reason}:{count}" for reason, count in sorted(reasons.items(), key=lambda item: -item[1]))


def _cap(cap: int | None) -> str:
    return "∞" if cap is None else str(cap)


def _comparison(outcome: Outcome, without: Outcome) -> Table:
    on, off = outcome.stats.opened, without.stats.opened
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("the same pages")
    table.add_column("sockets", justify="right")
    table.add_column("seconds", justify="right")
    table.add_row("with keep-alive", str(on), f"{outcome.seconds:.2f}")
    table.add_row("without", str(off), f"{without.seconds:.2f}")
    if on and outcome.seconds:
        times = f"{off / on:.1f} times", f"{without.seconds / outcome.seconds:.1f} times"
        table.add_row("", *times, style="bold")
    return table


def _verdict(outcome: Outcome, without: Outcome) -> Text:
    limits, hosts = outcome.limits, outcome.hosts + without.hosts
    errors, resent = len(outcome.errors + without.errors), outcome.stats.resent + without.stats.resent
    peak, late = max(host.peak for host in hosts), sum(host.late for host in hosts)
    total = max(outcome.stats.peak_open, without.stats.peak_open)
    text = Text().append(_counted(errors, "error"), "bold red" if errors else "bold green")
    text.append(f"; {_counted(resent, 'request')} sent again because a reused socket died just then.\n")
    text.append(
        f"The servers counted too: at most {_counted(peak, 'socket')} of one host open at once (cap "
        f"{_cap(limits.per_host)}),\n{_counted(late, 'request')} after an end they had stated. "
        f"In all {total} sockets at once (cap {_cap(limits.total)}).\n"
        f"Each host answers as if it were {1000 * ROUND_TRIP_S:.0f} ms away; a new socket costs that once more.",
        "dim",
    )
    return text


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
