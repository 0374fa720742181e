"""Keep-alive GETs of 1 KiB from nginx, one after the other, by requests: as it comes, and with keeppool mounted.

In each round both make the same number of requests, in a shuffled order; the ratios are medians of each round's own.
A third session has an adapter that answers from memory: what remains is the cost of requests itself, which no
adapter can save.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import requests
from requests.adapters import BaseAdapter

from benchmarks import program
from benchmarks.clients import Fetch, checked, open_installed, requests_session
from benchmarks.measure import compared, in_turns
from benchmarks.nginx_server import BODY, nginx
from benchmarks.program import Effort, Rows
from keeppool.adapters.requests import KeepPoolAdapter

PLAIN, MOUNTED, FLOOR = "requests", "requests, keeppool mounted", "requests, answered from memory"


class FromMemory(BaseAdapter):
    """Gives the body without a server: the least an adapter can do."""

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:  # type: ignore[override]
        """Answer at once."""
        response = requests.Response()
        response.status_code, response._content, response._content_consumed = 200, BODY, True
        response.url, response.request = request.url or "", request
        return response

    def close(self) -> None:
        """Do nothing: nothing is open."""


@contextlib.contextmanager
def with_adapter(url: str, adapter: BaseAdapter) -> Iterator[Fetch]:
    """Open a session of requests with an adapter mounted."""
    with requests.Session() as session:
        session.mount("http://", adapter)
        yield lambda: session.get(url).content


CLIENTS: dict[str, Callable[[str], AbstractContextManager[Fetch]]] = {
    PLAIN: requests_session,
    MOUNTED: lambda url: with_adapter(url, KeepPoolAdapter()),
    FLOOR: lambda url: with_adapter(url, FromMemory()),
}


def ask(effort: Effort) -> Rows:
    """Measure the three sessions."""
    with nginx() as url, contextlib.ExitStack() as stack:
        fetches = checked(open_installed(CLIENTS, stack, url), BODY)
        costs = in_turns(fetches, rounds=effort.rounds, each=effort.requests)
    return compared(costs, {"requests": PLAIN})


if __name__ == "__main__":
    program.main(ask, Effort(30, 300), about=__doc__, beside=("urllib3", "requests"))
