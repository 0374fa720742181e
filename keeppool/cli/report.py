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
from keeppool.cli.demo_pipelining import TaskOutcome
from keeppool.cli.demo_round import HostOutcome, Outcome
from keeppool.cli.demo_sites import PAIR_ROUND_TRIP_S, ROUND_TRIP_S
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


def pipelining_entry(one: TaskOutcome) -> dict[str, Any]:
    """One host of the demo's second part, for JSON."""
    return {
        "host": one.host.name,
        "round_trip_s": PAIR_ROUND_TRIP_S,
        "pipelining": one.host.config.pipelining,
        "requests": one.requests,
        "errors": len(one.errors),
        "opened": one.stats.opened,
        "reused": one.stats.reused,
        "piped": one.stats.piped,
        "resent": one.stats.resent,
        "peak": one.host.site.peak_open,
        "cap": one.limits.per_host,
        "closed_by": _reasons(one.stats.closed_by),
        "seconds": round(one.seconds, 3),
    }


def demo_totals(outcome: Outcome, without: Outcome, pair: list[TaskOutcome]) -> dict[str, Any]:
    """All of the demo, for JSON. All but `without_keep_alive` and `pipelining` is about the round with keep-alive."""
    return {
        "kind": "totals",
        **_round_entry(outcome),
        "hosts": [host_entry(host, outcome.limits) for host in outcome.hosts],
        "without_keep_alive": _round_entry(without),
        "pipelining": [pipelining_entry(one) for one in pair],
    }


def demo_report(console: Console, outcome: Outcome, without: Outcome, pair: list[TaskOutcome]) -> None:
    """Draw what the demo has shown: each host, both rounds and the pair side by side, what the servers saw."""
    console.print(_host_table(outcome))
    console.print()
    console.print(_comparison(outcome, without))
    console.print()
    console.print(_pair_table(pair))
    console.print(_gain(pair))
    console.print()
    console.print(_verdict(outcome, without, pair))


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
    table = _small_table("the same pages", "sockets", "seconds")
    table.add_row("with keep-alive", str(on), f"{outcome.seconds:.2f}")
    table.add_row("without", str(off), f"{without.seconds:.2f}")
    if on and outcome.seconds:
        times = f"{off / on:.1f} times", f"{without.seconds / outcome.seconds:.1f} times"
        table.add_row("", *times, style="bold")
    return table


def _pair_table(pair: list[TaskOutcome]) -> Table:
    table = _small_table(f"{1000 * PAIR_ROUND_TRIP_S:.0f} ms away, by tasks", "pages", "sockets", "seconds")
    for each in pair:
        label = f"{each.host.name}  {each.host.label}"
        table.add_row(label, str(each.requests), str(each.stats.opened), f"{each.seconds:.2f}")
    alone, piped = pair
    if piped.seconds:
        table.add_row("", "", "", f"{alone.seconds / piped.seconds:.1f} times", style="bold")
    return table


def _gain(pair: list[TaskOutcome]) -> Text:
    """Say in one sentence what the pair is there for."""
    alone, piped = pair
    text = Text(f"With HostConfig(pipelining={piped.host.config.pipelining}) ")
    text.append(f"{_counted(piped.stats.piped, 'request')} did not wait for the response before: ")
    text.append(f"{piped.seconds:.2f} s instead of {alone.seconds:.2f} s.")
    return text


def _small_table(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, justify="right" if table.columns else "left")
    return table


def _verdict(outcome: Outcome, without: Outcome, pair: list[TaskOutcome]) -> Text:
    limits, hosts, rounds = outcome.limits, outcome.hosts + without.hosts, (outcome, without)
    errors = sum(len(each.errors) for each in rounds) + sum(len(each.errors) for each in pair)
    stats, sites = [each.stats for each in rounds] + [each.stats for each in pair], [each.host.site for each in pair]
    resent, total = sum(each.resent for each in stats), max(each.peak_open for each in stats)
    peak = max([host.peak for host in hosts] + [site.peak_open for site in sites])
    late = sum(host.late for host in hosts) + sum(site.late for site in sites)
    text = Text().append(_counted(errors, "error"), "bold red" if errors else "bold green")
    text.append(f"; {_counted(resent, 'request')} sent again because a reused socket died just then.\n")
    text.append(
        f"The servers counted too: at most {_counted(peak, 'socket')} of one host open at once (cap "
        f"{_cap(limits.per_host)}),\n{_counted(late, 'request')} after an end they had stated. "
        f"In all {total} sockets at once (cap {_cap(limits.total)}).\n"
        f"The dozen answer as if they were {1000 * ROUND_TRIP_S:.0f} ms away; a new socket costs that once more.",
        "dim",
    )
    return text


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
