"""TLS, 1 KiB from nginx: over one connection that is kept, and over a new one each time.

nginx gives session tickets. A client that keeps them resumes the session when it connects again, which spares both
sides the certificate; the last column says for how many of its handshakes nginx reports that.

In each round every client makes the same number of requests, in a shuffled order; the ratios are medians of each
round's own, against the peer's row of the same kind.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import program
from benchmarks.clients import SESSIONS, Session, Wishes, checked, open_installed
from benchmarks.measure import compared, in_turns
from benchmarks.nginx_server import BODY, certificate, sites
from benchmarks.program import CannotRunError, Effort, Rows

BESIDE = ("urllib3", "requests", "httpx", "pycurl", "pyreqwest", "primp")
PEERS = {"pycurl": "pycurl (one handle)", "urllib3": "urllib3", "requests": "requests"}
#: A handshake takes as long as this many requests on a kept connection, roughly; rounds of both should last as long.
HANDSHAKE = 20
RESUMED = b"r"
#: Handshakes before those that are counted: the first cannot be resumed, and a ticket comes with the first answer.
FIRST = 3

Call = Callable[[], object]


def ask(effort: Effort) -> Rows:
    """Measure every client that is installed."""
    with contextlib.ExitStack() as stack:
        try:
            made = stack.enter_context(certificate())
        except ImportError as error:
            raise CannotRunError(f"{error.name} makes the certificate, and is not installed") from error
        [site] = stack.enter_context(sites(tls=made))
        sessions = open_installed(SESSIONS, stack, Wishes(roots=made.roots))
        kept = checked({name: functools.partial(own.get, f"{site}/1k.bin") for name, own in sessions.items()}, BODY)
        rows = _measured("kept", kept, effort)
        again = {name: functools.partial(own.get, f"{site}/once/1k.bin") for name, own in sessions.items()}
        rows |= _measured("again", again, Effort(effort.rounds, max(effort.requests // HANDSHAKE, 1)))
        for name, session in sessions.items():
            rows[f"{name}, again"]["resumed"] = share_resumed(session, f"{site}/resumed", 20)
    return rows


def _measured(kind: str, calls: Mapping[str, Call], effort: Effort) -> dict[str, dict[str, float | None]]:
    """Measure one kind; its rows are named by client and kind."""
    costs = in_turns(calls, rounds=effort.rounds, each=effort.requests)
    return {f"{name}, {kind}": row for name, row in compared(costs, PEERS).items()}


def share_resumed(session: Session, url: str, handshakes: int) -> float:
    """Ask nginx how many of so many handshakes resumed a session."""
    answers = [session.get(url) for _ in range(FIRST + handshakes)][FIRST:]
    return answers.count(RESUMED) / handshakes


if __name__ == "__main__":
    program.main(ask, Effort(20, 200), about=__doc__, beside=BESIDE)
