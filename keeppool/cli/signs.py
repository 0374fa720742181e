"""One sign for each socket of a host, as the demo and `keeppool top` draw them.

Knows: rich's text, and what a terminal can show. Does not know: where the figures are from.
"""

from __future__ import annotations

from typing import NamedTuple

from rich.console import Console
from rich.text import Text

from keeppool.stats import HostStats


class Signs(NamedTuple):
    """One character for each state a socket can be in."""

    busy: str
    idle: str
    connecting: str
    free: str

    def legend(self) -> Text:
        """Say what each means."""
        text = f"{self.busy} busy  {self.idle} idle  {self.connecting} being opened  {self.free} free"
        return Text(text, "dim")

    def sockets(self, now: HostStats, cap: int | None) -> Text:
        """Draw a host's sockets, and what is left of its cap."""
        text = Text(self.busy * now.busy, "green")
        text.append(self.connecting * now.connecting, "yellow")
        text.append(self.idle * now.idle, "cyan")
        return text.append(self.free * max((cap or 0) - len(text), 0), "dim")


_SIGNS = Signs("●", "○", "◌", "·")
#: Where the terminal has no more than ASCII.
_PLAIN_SIGNS = Signs("#", "o", "~", ".")


def signs_for(console: Console) -> Signs:
    """Give the signs that a console can show."""
    return _SIGNS if console.encoding.startswith("utf") else _PLAIN_SIGNS
