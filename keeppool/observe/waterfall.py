"""The waterfall: what a recorder has kept, as one HTML page that needs nothing else.

Decides: what of a request the page is told, and how it gets there so that nothing in it can be taken for markup.
Knows: events; the page's files beside this one.
Does not know: how it looks. Layout and drawing are `page/page.js`'s, and the reason for a canvas stands there.

What servers and callers have written reaches the page as JSON in which every `<`, `>` and `&` is an escape, inside an
element that is no script to the browser. The page's policy (CSP) allows the one script and the one style whose
hashes it names, and no connection to anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from html import escape
from importlib.resources import files
from string import Template
from typing import Any, Final

from keeppool._version import __version__
from keeppool.errors import readable
from keeppool.events import RequestDone, Room
from keeppool.har.secrets import Secrets
from keeppool.observe.reasons import REASONS
from keeppool.observe.recorded import Socket

#: Characters of a URL that are shown. With ten thousand requests, more would make a page of a hundred megabytes.
LONGEST_URL: Final = 2048

_SOCKET: Final = ("host", "connection", "opened", "dial", "closed", "why", "served")
_REQUEST: Final = (
    *("request", "host", "socket", "method", "url", "status", "error", "reason"),
    *("start", "begun", "end", "phases", "waits", "resent", "complete"),
    *("sent", "received", "served", "position", "peer", "version"),
)


def page(title: str, requests: Sequence[RequestDone], sockets: Sequence[Socket], epoch: float, secrets: Secrets) -> str:
    """Write the page.

    Args:
        title: What stands above the picture.
        requests: What has ended.
        sockets: The connections it went over, as far as they are known.
        epoch: Seconds since 1970 at the zero of their clock.
        secrets: Leaves out what is nobody's business.
    """
    style, script = _part("page.css"), _part("page.js")
    return Template(_part("page.html")).substitute(
        title=escape(readable(title)),
        version=escape(__version__),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        data=_embedded(_Data(requests, sockets, epoch, secrets).whole()),
    )


class _Data:
    """What the page draws, as it wants it: numbers of milliseconds since the first moment, rows without names.

    Args: As for `page`.
    """

    def __init__(
        self, requests: Sequence[RequestDone], sockets: Sequence[Socket], epoch: float, secrets: Secrets
    ) -> None:
        begun = [one.started_at for one in requests] + [one.opened_at - one.dial_s for one in sockets]
        self._zero = min(begun, default=time.time() - epoch)
        self._epoch = epoch
        self._secrets = secrets
        self._requests = requests
        self._hosts: dict[str, int] = {}
        self._caps: dict[int, int | None] = {}
        self._sockets = [self._socket(one) for one in sockets]
        self._numbers = {one.connection: at for at, one in enumerate(sockets)}

    def whole(self) -> dict[str, Any]:
        """Give all of it."""
        requests = [self._request(one) for one in self._requests]
        ends = [one.ended_at for one in self._requests]
        moments = [row[4] for row in self._sockets if row[4] is not None] + [self._ms(end) for end in ends]
        limits = (waited.limit for one in self._requests for waited in one.waits if waited.room is Room.TOTAL)
        return {
            "epoch": (self._epoch + self._zero) * 1000,
            "started": datetime.fromtimestamp(self._epoch + self._zero, UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
            "span": max(moments, default=0.0),
            "total": next((limit for limit in limits if limit is not None), None),
            "hosts": [{"name": name, "cap": self._caps.get(at)} for name, at in self._hosts.items()],
            "whys": {why.value: reason._asdict() for why, reason in REASONS.items()},
            "socketFields": _SOCKET,
            "sockets": self._sockets,
            "requestFields": _REQUEST,
            "requests": requests,
        }

    def _ms(self, moment: float) -> float:
        return round((moment - self._zero) * 1000, 3)

    def _host(self, origin: str) -> int:
        return self._hosts.setdefault(origin[:LONGEST_URL], len(self._hosts))

    def _socket(self, one: Socket) -> list[Any]:
        closed = None if one.closed_at is None else self._ms(one.closed_at)
        why = None if one.why is None else one.why.value
        dial = round(one.dial_s * 1000, 3)
        return [self._host(one.origin), one.connection, self._ms(one.opened_at), dial, closed, why, one.served]

    def _request(self, one: RequestDone) -> list[Any]:
        host = self._host(one.origin)
        self._caps[host] = one.per_host
        phases = [None if seconds is None else round(seconds * 1000, 3) for seconds in one.phases]
        waits = [[waited.room.value, waited.limit, round(waited.seconds * 1000, 3)] for waited in one.waits]
        # Without an attempt there is no time at a socket, though one may have been tried before.
        socket = -1 if one.connection is None or one.begun_at is None else self._place(one, host)
        return [
            *(one.request, host, socket, one.method, _cut(self._secrets.in_url(one.url)), one.status, one.error),
            *(_cut(one.reason), self._ms(one.started_at)),
            *(None if one.begun_at is None else self._ms(one.begun_at), self._ms(one.ended_at), phases, waits),
            *(one.resent, one.complete, one.sent, one.received, one.served, one.position, one.peer, one.version),
        ]

    def _place(self, one: RequestDone, host: int) -> int:
        """Find a request's socket. One that is not kept any more lasted as long as what is known to have used it."""
        number, begun, ended = one.connection, self._ms(one.begun_at or one.started_at), self._ms(one.ended_at)
        at = self._numbers.get(number or 0)
        if at is None:
            at = self._numbers[number or 0] = len(self._sockets)
            self._sockets.append([host, number, begun, 0.0, ended, None, one.served + 1])
        row = self._sockets[at]
        if row[5] is None and row[4] is not None:
            row[2], row[4], row[6] = min(row[2], begun), max(row[4], ended), max(row[6], one.served + 1)
        return at


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_URL else text[:LONGEST_URL] + "…"


def _embedded(value: Any) -> str:
    """Write JSON for the inside of an element: whatever is in it, it has no character that ends or begins markup."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@cache
def _part(name: str) -> str:
    """Read one of the page's files. As the browser reads it, for the hash: without carriage returns."""
    text = files("keeppool.observe").joinpath("page", name).read_text(encoding="utf-8")
    return text.replace("\r\n", "\n")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
