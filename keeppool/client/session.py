"""`Session`: requests' comfort on a pool of its own, for threads.

Waits: for the network, in the caller's thread, by driving the steps of `flow.py`.
Does not know: which way a call takes (`caller.py`), what the settings are (`settings.py`), how requests, redirects and
    cookies are made (the modules beside this one). How programs change a session from inside, by adapters and methods
    of their own, `keeppool.requests` knows: it stands on `_send`.
"""

from __future__ import annotations

from typing import ClassVar, TypeVar

from keeppool.client.call import Call, Pause, Run, Send, Steps
from keeppool.client.caller import Caller, Sending
from keeppool.client.request.prepared import Parts, request_of
from keeppool.client.response.response import Response
from keeppool.closing import Closing
from keeppool.config import INHERIT, Inherit, TimeoutArgument
from keeppool.errors import KeepPoolError
from keeppool.pools.manager_threads import PoolManager

_ResponseT = TypeVar("_ResponseT", bound=Response)


class Session(Caller[Response], Closing):
    """Requests with everything they have in common: connections, headers, cookies.

    Use it as a context manager, or `close` it.

    Args:
        limits: How many connections, and for how long.
        timeout: How long calls wait that have no `timeout` of their own; see `keeppool.Timeout`.
        hosts: What is different for some hosts, by pattern.
        defaults: What holds for all hosts unless an entry says otherwise.
        resolver: Asked for the addresses of names instead of the system's resolver; see `keeppool.Config`.
        fleet: A `keeppool.fleet.Fleet` or its URL, to share caps and paces with the pools of other processes.
        config: All of the above in one; an argument given beside it wins.
        on_event: Called with each event of the pool.
        retries: How calls are tried again that have no `retries` of their own: a number, a `urllib3.util.Retry`, or not
            at all; see `request`. It has nothing to do with the pool's own resending.
        base_url: What the relative URLs of calls are appended to: "https://api.example.com/v1" makes
            "https://api.example.com/v1/items" of "/items". An absolute URL stands by itself.
        headers: Laid over the session's `headers`, as `session.headers.update` does.
        params: The session's `params`.
        cookies: The session's `cookies`, from name to value, or a jar.
        auth: The session's `auth`.
        verify: The session's `verify`.
        cert: The session's `cert`.
        proxy: The URL of the proxy for every request, whatever the environment says: `proxies` with the key "all".
        follow_redirects: Whether calls follow redirects that have neither `allow_redirects` nor `follow_redirects`.

    A session can be pickled: its settings and cookies travel, its connections do not.

    Attributes:
        pool: The `PoolManager`.

    The other attributes are those of `keeppool.client.settings.SessionSettings`.

    A method of a subclass's own that would never be called, such as `send`, is refused when the class is made:
    `keeppool.requests.Session` calls it, and has what else is requests': `mount`, `adapters`, `hooks`.

    Raises:
        ConfigError, InvalidRequest: An argument of the wrong type or out of range.
        AttributeError: See above.

    Thread safety:
        Any number of threads may use one session, also while its headers and cookies are changed.
    """

    pool: PoolManager
    _pool_kind = PoolManager
    _requests_kind = "keeppool.requests.Session"
    _response_kind: ClassVar[type[Response]] = Response

    def close(self) -> None:
        """Close the pool: idle connections now and busy ones when they are done."""
        self.pool.close()

    def _quick(self, request: Parts, sending: Sending, follow: bool, timeout: TimeoutArgument | Inherit) -> Response:
        method, address, fields, body, _ = request
        limit, stream, override = sending
        try:
            raw = self.pool._carry((method, address, fields, body, limit, stream, override, True))
        except KeepPoolError as error:
            error.request = request_of(request)
            raise
        response = self._response_kind(raw, request, stream, self.pool)
        index = raw.head.index
        if b"set-cookie" not in index and b"location" not in index:
            return response
        flow = self._flow(timeout, stream, None, None, None, follow, INHERIT, raw.started_at)
        return self._drive(flow.resume(response), flow.call, response)

    def _drive(self, steps: Steps, call: Call, held: Response | None = None) -> Response:
        """Run the steps of a flow, each in this thread, until the response is there."""
        run = Run(steps, held)
        try:
            for step in run:
                with run:
                    run.outcome = self._take(step, call)
        except BaseException:
            # A hook or a scheme has failed, or no tries are left: nobody will read what is still on its way.
            if run.held is not None:
                run.held.close()
            raise
        return run.response

    def _pause(self, step: Pause) -> None:
        step.retrying.sleep(step.seconds)

    def _brought(self, outcome: object) -> object:
        return outcome

    def _send_over(self, pool: PoolManager, step: Send, stream: bool) -> Response:
        return send_over(pool, step, stream, self._response_kind)

    def _give_up(self, response: Response) -> None:
        if isinstance(response, Response):
            response.drain()
        else:  # A hook's own, put in the place of one of ours.
            response.close()


def send_over(pool: PoolManager, step: Send, stream: bool, kind: type[_ResponseT]) -> _ResponseT:
    """Send a prepared request over a pool; an error gets the request it belongs to."""
    verb, address, fields, payload = step.request.parts()
    try:
        raw = pool.exchange(verb, address, fields, payload, step.limit, stream, step.override)
    except KeepPoolError as error:
        error.request = step.request
        raise
    return kind(raw, step.request, stream, pool)
