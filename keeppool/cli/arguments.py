"""The command line: verbs, options, their help.

Decides: what argparse can decide without knowing a limit's rules; those are `Limits`' own.
Does not know: the verbs' modules, which need rich. `--help` has to work without it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from keeppool import __version__, presets
from keeppool.cli.sources import typed
from keeppool.config import INHERIT

#: Enough to fill six sockets on each of five hosts.
_FETCH_THREADS = 32
#: Two for each of the demo's hosts on average: some hosts run into their cap, others do not.
_DEMO_THREADS = 24
#: Fifty for each of the demo's hosts: several hundred in all, done in about a second.
_DEMO_PAGES = 600
#: Seconds that show the longest idle timeouts of common servers (IIS: 120), and requests that show the usual limit
#: (Apache httpd: 100).
_PROBE_WAIT_S = 130.0
_PROBE_REQUESTS = 120
#: Seconds after which a server that does not answer is not worth waiting for.
_PROBE_TIMEOUT_S = 10.0
#: What `keeppool top` sorts by; `top_figures.ORDERS` says how. A test holds the two together.
_TOP_ORDERS = ("busiest", "waiting", "rate", "open", "held", "requests", "failed", "name")

_HEADERS = 'headers = { User-Agent = "..." } under [default]'
_TRUST = 'verify = false, or verify = "ca.pem", under [default]'
_PROXY = 'proxy = "http://host:3128" under [default]'
#: Options of curl and wget, and what is written in a configuration file in their place.
_IN_FILE = {
    **dict.fromkeys(("-H", "--header", "-A", "--user-agent", "--headers"), _HEADERS),
    **dict.fromkeys(("-k", "--insecure", "--verify", "--no-verify", "--cacert", "--no-check-certificate"), _TRUST),
    **dict.fromkeys(("-x", "--proxy"), _PROXY),
    **dict.fromkeys(("-m", "--max-time", "--total-timeout"), "total = 60 under [timeout]"),
    "--connect-timeout": "connect = 5 under [timeout]",
    "--per-proxy": "per_proxy = 32 under [limits]",
    "--idle-timeout": "idle_timeout = 55 under [limits]",
}


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; `verb` names the module that carries it out.

    Raises:
        SystemExit: 0 after `--help` and `--version`; 2 after an error, which was written to standard error.
    """
    parser = argparse.ArgumentParser(
        prog="keeppool", description="An HTTP client whose heart is its connection pool.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"keeppool {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="demo | explain | fetch | fleet | probe | top")
    _add_demo(verbs)
    _add_explain(verbs)
    fetch = _add_fetch(verbs)
    _add_fleet(verbs)
    _add_probe(verbs)
    _add_top(verbs)
    arguments, unknown = parser.parse_known_args(argv)
    if unknown:
        # By the verb's own parser, whose usage shows the options that there are.
        verbs.choices[arguments.verb].error(f"unrecognized arguments: {' '.join(unknown)}{_hint(unknown)}")
    if arguments.verb == "fetch" and not arguments.urls and arguments.input is None:
        fetch.error("give at least one URL, or -i FILE")
    if arguments.verb == "fetch" and arguments.fleet_name is not None and arguments.fleet is None:
        fetch.error("--fleet-name belongs to --fleet URL")
    return arguments


def _hint(unknown: list[str]) -> str:
    """Say where that is set for which other commands have an option."""
    found = next((_IN_FILE[name] for text in unknown if (name := text.partition("=")[0]) in _IN_FILE), None)
    return "" if found is None else f" (write {found} in the file of --config)"


def _add_demo(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "Fetch several hundred pages from a dozen embedded servers through one pool, and show what it did."
    demo = verbs.add_parser("demo", help="show the pool at work, without a network", description=text)
    demo.add_argument("--pages", type=_count, default=_DEMO_PAGES, metavar="N", help="pages of the dozen (%(default)s)")
    demo.add_argument("--threads", type=_count, default=_DEMO_THREADS, metavar="N", help="threads (%(default)s)")
    _add_preset(demo)
    _add_waterfall(demo, "the round with keep-alive")
    demo.add_argument("--json", action="store_true", help="one JSON object a line; the last one holds the totals")


def _add_explain(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = (
        "Tell which entry of the configuration decides each limit, timeout, proxy and TLS setting for a URL, what was "
        "learned of its host, and what a request would get now. Sends nothing. The environment's proxies count, as "
        "for fetch."
    )
    explain = verbs.add_parser("explain", help="tell which setting decides what for a URL", description=text)
    explain.add_argument("url", type=typed, metavar="URL", help="absolute, http or https")
    at = "ask a running process instead, as keeppool top does: what was learned is what it has learned"
    explain.add_argument("--at", metavar="ADDRESS", help=at)
    explain.add_argument("--token-file", metavar="FILE", help="for --at: where the token of a port stands")
    explain.add_argument("--config", metavar="FILE", help="keeppool.toml; --preset wins over it")
    _add_preset(explain)
    explain.add_argument("--json", action="store_true", help="one JSON object")


def _add_fetch(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    text = "Fetch URLs, many at once, through one capped pool. Without -o bodies are read, checked and dropped."
    fetch = verbs.add_parser("fetch", help="fetch URLs, many at once", description=text)
    fetch.add_argument("urls", type=typed, nargs="*", metavar="URL", help="absolute, http or https")
    fetch.add_argument("-i", "--input", metavar="FILE", help="more URLs, one a line; # begins a comment; - is stdin")
    fetch.add_argument("-o", "--output", metavar="DIR", help="folder to write the bodies to; made if need be")
    fetch.add_argument(
        "--per-host", type=_cap, default=INHERIT, metavar="N", help="most connections to one host, or none"
    )
    fetch.add_argument("--total", type=_cap, default=INHERIT, metavar="N", help="most connections in all, or none")
    pace = "most requests to one host in a second; Retry-After is heard then. Hosts with a pace in FILE keep theirs"
    fetch.add_argument("--pace", type=_number, metavar="N", help=pace)
    deep = "requests in flight on one connection at the most, for hosts you know; bodies are held whole then"
    fleet = "share caps and paces with all that name the same fleet there, such as redis://host/0?name=crawl"
    fetch.add_argument("--fleet", metavar="URL", help=f"{fleet}; needs the extra fleet")
    fetch.add_argument("--fleet-name", metavar="NAME", help="the fleet's name, where it is not said in its URL (crawl)")
    fetch.add_argument("--pipelining", type=_count, metavar="N", help=deep)
    _add_preset(fetch)
    fetch.add_argument(
        "--config", metavar="FILE", help="keeppool.toml; --preset, --per-host, --total and --fleet win over it"
    )
    fetch.add_argument("--threads", type=_count, default=_FETCH_THREADS, metavar="N", help="threads (%(default)s)")
    fetch.add_argument("--timeout", type=_number, metavar="S", help="seconds to connect, and between two pieces")
    _add_waterfall(fetch, "the last 10,000 requests")
    fetch.add_argument("--har", metavar="FILE", help="write the same as HAR 1.2, without bodies and secrets")
    fetch.add_argument("--json", action="store_true", help="one JSON object a URL; the last one holds the totals")
    return fetch


def _add_fleet(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = (
        "Look at fleets, as their Redis or Valkey knows them. The URL is taken from KEEPPOOL_FLEET if none is given: "
        "what stands on a command line, everyone on the machine can read."
    )
    fleet = verbs.add_parser("fleet", help="see who holds what of a fleet's caps", description=text)
    actions = fleet.add_subparsers(dest="action", required=True, metavar="status | drop")
    text = "Tell for each host who has how many connections, since when, who asks for more, and the pace."
    status = actions.add_parser("status", help="who holds what, where, since when", description=text)
    url = "such as redis://host:6379/0; if it has a name, only that fleet is shown"
    status.add_argument("url", nargs="?", metavar="URL", help=url)
    status.add_argument(
        "--name", metavar="NAME", help="the fleet to show; all of them if neither it nor URL has a name"
    )
    status.add_argument("--watch", action="store_true", help="go on until Ctrl-C")
    status.add_argument("--interval", type=_seconds, default=1.0, metavar="S", help="seconds between two (%(default)g)")
    status.add_argument("--json", action="store_true", help="one JSON object for each moment")
    text = (
        "Take away at once what a process holds, as if its leases were over: for one that hangs, or whose machine is "
        "gone. One that still runs is not stopped, and registers with its next call what it has."
    )
    drop = actions.add_parser("drop", help="take away what a process holds", description=text)
    drop.add_argument("name", metavar="NAME", help="the fleet's name")
    drop.add_argument("pid", metavar="PID", help="the process' number, HOST:PID, or a name as status shows it")
    drop.add_argument("--url", metavar="URL", help="such as redis://host:6379/0")
    drop.add_argument("--json", action="store_true", help="one JSON object")


def _add_probe(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = (
        "Find out how a server keeps connections: what it says, when it really hangs up, after how many requests, and "
        "how; whether it answers requests that are sent at once (pipelined) whole and in order; then print the "
        "configuration that suits it. Sends GET requests of the URL, so choose a small page. "
        "Ctrl-C ends it without a result: a smaller --max-wait gives one sooner."
    )
    probe = verbs.add_parser("probe", help="find out how a server keeps connections", description=text)
    probe.add_argument("url", type=typed, metavar="URL", help="absolute, http or https")
    wait = "seconds for everything; what is still open then is reported as open (%(default)g)"
    probe.add_argument("--max-wait", type=_number, default=_PROBE_WAIT_S, metavar="S", help=wait)
    most = "most requests on one connection (%(default)s)"
    probe.add_argument("--max-requests", type=_count, default=_PROBE_REQUESTS, metavar="N", help=most)
    patience = "seconds to connect, and between two pieces (%(default)g)"
    probe.add_argument("--timeout", type=_number, default=_PROBE_TIMEOUT_S, metavar="S", help=patience)
    probe.add_argument("--json", action="store_true", help="one JSON object")


def _add_top(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = (
        "Look at the pool of another process, which serves it with keeppool.observe.serve. Where standard output is no "
        "terminal, a table is written for each moment. On a port the token is taken from KEEPPOOL_TOKEN."
    )
    top = verbs.add_parser("top", help="look at the pool of a running process", description=text)
    top.add_argument("address", metavar="ADDRESS", help="path of its Unix socket, or 127.0.0.1:PORT")
    top.add_argument("--interval", type=_seconds, default=1.0, metavar="S", help="seconds between two (%(default)g)")
    top.add_argument("--sort", choices=_TOP_ORDERS, default="busiest", help="order of the hosts (%(default)s)")
    top.add_argument("--token-file", metavar="FILE", help="where the token of a port stands")
    top.add_argument("--once", action="store_true", help="one moment, as a table")
    top.add_argument("--json", action="store_true", help="one JSON object for each moment")


def _add_preset(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", metavar="NAME", help=f"a browser's limits: {', '.join(presets.NAMES)}")


def _add_waterfall(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--waterfall", metavar="FILE", help=f"draw {what} as one HTML page: sockets, phases, queues")


def _cap(text: str) -> int | None:
    """Read a cap: a number, or `none` for no limit."""
    if text.lower() == "none":
        return None
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a whole number nor none") from None


def _seconds(text: str) -> float:
    """Read the seconds between two looks: no fewer than a tenth, so that who is looked at has the rest for itself."""
    seconds = float(text)
    if not 0.1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is not from 0.1 to 3600")
    return seconds


def _count(text: str) -> int:
    """Read a number of pages, threads or requests."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from None
