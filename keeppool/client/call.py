"""`Call`: what one call says, and the steps it is made of.

Knows: what a driver needs to take each step: to send, to wait, to ask a hook.
Does not know: in which order steps come (`flow.py`), and how one is taken (the sessions).
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keeppool.client.arguments import Hook, ProxiesArgument
from keeppool.config import HostConfig, Inherit, Timeout, TimeoutArgument

if TYPE_CHECKING:
    from keeppool.client.request.prepared import PreparedRequest
    from keeppool.client.retries.retrying import Retrying


@dataclass(slots=True)
class Call:
    """What one call says about all the requests it leads to. Never changed; to have that enforced costs it 1 µs.

    Attributes:
        timeout: As the caller wrote it.
        limit: The same as waits; `None` leaves them to each host's configuration.
        stream: The last answer's body is left on its way.
        verify: As the caller wrote it; `None` for nothing.
        cert: As the caller wrote it; `None` for nothing.
        proxies: The call's own; `None` for nothing.
        retrying: How often each request is tried; `None` for once.
        follow: Redirects are followed.
    """

    timeout: TimeoutArgument | Inherit
    limit: Timeout | None
    stream: bool
    verify: bool | str | None
    cert: str | tuple[str, str] | None
    proxies: ProxiesArgument
    retrying: Retrying | None
    follow: bool

    @property
    def told_timeout(self) -> TimeoutArgument:
        """The timeout by requests' name, where `None` is what was not said."""
        if self.timeout is None:
            return None, None
        return None if isinstance(self.timeout, Inherit) else self.timeout


@dataclass(slots=True)
class Send:
    """Step: send this request, and bring its answer; `adapter` is `None` for the session's own pool."""

    request: PreparedRequest
    limit: Timeout | None
    override: HostConfig | None
    adapter: Any


@dataclass(frozen=True, slots=True)
class Drain:
    """Step: have the connection of this answer free; of a body that was not read, what is small is kept."""

    answer: Any


@dataclass(frozen=True, slots=True)
class Pause:
    """Step: wait, holding nothing."""

    seconds: float
    retrying: Retrying


@dataclass(frozen=True, slots=True)
class Ask:
    """Step: call a hook with the answer, and bring what it returns."""

    hook: Hook
    answer: Any
    request: PreparedRequest


@dataclass(frozen=True, slots=True)
class Follow:
    """Step: follow a redirect in the program's own way, and bring the last answer."""

    answer: Any
    limit: Timeout | None


Step = Send | Drain | Pause | Ask | Follow
Steps = Generator[Step, Any, Any]


def step_holds(step: Step, outcome: Any, held: Any) -> Any:
    """Tell which answer is to be closed if something fails from now on: the last that was sent for, or put in place."""
    if isinstance(step, Ask):
        return outcome if hasattr(outcome, "close") or hasattr(outcome, "aclose") else held
    return outcome if isinstance(step, Send | Follow) else held


def with_history(answer: Any, challenged: list[Any], followed: list[Any]) -> Any:
    """Let the last answer of a chain tell which others led to it.

    Args:
        answer: The last; whoever brought it may have told already.
        challenged: What came before the chain.
        followed: The redirects.
    """
    if followed:
        answer.history = [*challenged, *(answer.history or followed)]
    return answer
