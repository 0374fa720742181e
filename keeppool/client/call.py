"""`Call`: the settings of one call, and the steps it is made of.

Knows: what a driver needs to take each step: to send, to wait, to ask a hook.
Does not know: in which order steps come (`flow.py`), and how one is taken (the sessions).
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Generic, Self, TypeAlias, TypeVar, cast

from keeppool.client.arguments import CertArgument, Hook, ProxiesArgument
from keeppool.config import HostConfig, Inherit, Timeout, TimeoutArgument
from keeppool.errors import KeepPoolError, name_call

if TYPE_CHECKING:
    from keeppool.client.request.prepared import PreparedRequest
    from keeppool.client.response.base import BaseResponse
    from keeppool.client.retries.retrying import Retrying

_ResponseT = TypeVar("_ResponseT")


class Call:
    """What holds for all the requests that one call leads to. Never changed; to have that enforced costs it 1 µs.

    Neither this nor a step is a data class: the five would take as long to make as a hundredth of the start-up.

    Attributes:
        timeout: As the caller wrote it.
        limit: The same as waits; `None` leaves them to each host's configuration.
        stream: The last response's body is left on its way.
        verify: As the caller wrote it; `None` for nothing.
        cert: As the caller wrote it; `None` for nothing.
        proxies: The call's own; `None` for nothing.
        retrying: How often each request is tried; `None` for once.
        follow: Redirects are followed.
    """

    __slots__ = ("cert", "follow", "limit", "proxies", "retrying", "stream", "timeout", "verify")

    def __init__(
        self,
        timeout: TimeoutArgument | Inherit,
        limit: Timeout | None,
        stream: bool,
        verify: bool | str | None,
        cert: CertArgument,
        proxies: ProxiesArgument,
        retrying: Retrying | None,
        follow: bool,
    ) -> None:
        self.timeout = timeout
        self.limit = limit
        self.stream = stream
        self.verify = verify
        self.cert = cert
        self.proxies = proxies
        self.retrying = retrying
        self.follow = follow

    @property
    def given_timeout(self) -> TimeoutArgument:
        """The timeout as requests would write it: `None` where the call gives none, a pair for no limit."""
        if self.timeout is None:
            return None, None
        return None if isinstance(self.timeout, Inherit) else self.timeout


class Step:
    """What a driver takes for a flow."""

    __slots__ = ()


class Send(Step):
    """Step: send this request, and bring its response."""

    __slots__ = ("limit", "override", "request")

    def __init__(self, request: PreparedRequest, limit: Timeout | None, override: HostConfig | None) -> None:
        self.request = request
        self.limit = limit
        self.override = override


class Drain(Step):
    """Step: have the connection of this response free; of a body that was not read, what is small is kept."""

    __slots__ = ("response",)

    def __init__(self, response: BaseResponse) -> None:
        self.response = response


class Pause(Step):
    """Step: wait, holding nothing."""

    __slots__ = ("retrying", "seconds")

    def __init__(self, seconds: float, retrying: Retrying) -> None:
        self.seconds = seconds
        self.retrying = retrying


class Ask(Step):
    """Step: call a hook with the response, and bring what it returns."""

    __slots__ = ("hook", "request", "response")

    def __init__(self, hook: Hook, response: BaseResponse, request: PreparedRequest) -> None:
        self.hook = hook
        self.response = response
        self.request = request


#: What is brought back is what the step says; a hook may bring anything, which then passes for a response.
Steps: TypeAlias = "Generator[Step, BaseResponse | None, BaseResponse]"


class Run(Generic[_ResponseT]):
    """A flow under way. Going through it gives its steps; each is taken in a block of its own, as `with run:`.

    What a step brings is set as `outcome` in that block. What it raises ends the block, and is the flow's to deal with.

    Args:
        steps: Not begun.
        held: The response that is there already, if one is.

    Attributes:
        outcome: What the step under way has brought.
        held: The response to be closed if something fails: the last one sent for, or put in its place.
        response: What the flow has led to, after its last step.
    """

    __slots__ = ("_error", "_step", "_steps", "held", "outcome", "response")

    response: _ResponseT

    def __init__(self, steps: Steps, held: _ResponseT | None) -> None:
        self._steps = steps
        self._step: Step | None = None
        self._error: BaseException | None = None
        self.outcome: _ResponseT | None = None
        self.held = held

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Step:
        steps = cast("Generator[Step, _ResponseT | None, _ResponseT]", self._steps)
        try:
            self._step = steps.send(self.outcome) if self._error is None else steps.throw(self._error)
        except StopIteration as end:
            self.response = end.value
            raise
        except KeepPoolError as error:
            if error.request is not None:
                name_call(error, error.request.method, error.request.url)
            raise
        finally:
            self.outcome = self._error = None
        return self._step

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        self._error, outcome = error, self.outcome
        if isinstance(self._step, Ask):
            is_response = hasattr(outcome, "close") or hasattr(outcome, "aclose")
        else:
            is_response = outcome is not None
        if is_response:
            self.held = outcome
        return error is not None
