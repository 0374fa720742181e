"""Riding: requests sent one behind the other on one connection (pipelining), where their host allows it.

For front ends that read a connection for several callers at a time. The requests on a connection are its *pipeline*:
the one that it carries, whose caller holds it as any holder does, and behind it the *riders*, in the order in which
their responses come. A rider waits for no room and holds no slot; when its turn has come it becomes the holder.

Invariants, beside those of `pool.py` and `late.py`:
    8. A caller rides only where nothing is idle for it and nothing may be dialled, and only its host's oldest boards.
    9. Never are more requests in flight than are configured, than the origin is trusted with (`credit.py`), than the
       server's `max` still allows, or than `max_requests`.
    10. A rider's ticket ends once, and its request is sent at the most twice, unless it is known not to have been
        carried out. The second time it goes alone, over a new connection.
    11. Boarding overtakes: an older caller who waits for what the pipeline holds is passed over `MOST_OVERTAKES` times.

When a connection ends before its pipeline, its riders go back to the front of the queue, in the order in which they
came. A server that has said `close` has not carried out what follows (RFC 9112 §9.6). One that has not said so may.

Decides: who boards which connection, who is next on it, and who goes where when it ends.
Knows, and does not know: as `pool.py`. Every fact costs the same as there, for each caller that it moves.

The file is long for this house, because boarding, leaving and coming back all change the same pipelines.

Source: RFC 9112 §9.3.2: idempotent requests only; not behind a new connection's first request after a failure.
"""

from __future__ import annotations

from keeppool.config import Limits
from keeppool.core.credit import Credit, Credits
from keeppool.core.habits import BEHIND
from keeppool.core.late import LatePoolState
from keeppool.core.origin import Origin
from keeppool.core.pipelines import Pipelines, Stage
from keeppool.core.records import Board, Connection, Host, Pipeline, Policy, Return, Ride, Serve, State, Ticket
from keeppool.core.trust import ages_of
from keeppool.errors import PoolClosed
from keeppool.reasons import Why

#: Bytes still to come of a response behind which nobody begins to ride. At a megabyte a second it is a quarter of a
#: second; Firefox counted 300 kB against an origin.
MOST_REST = 262144
#: Seconds for which a pipeline may stand still before its riders go elsewhere: as long as a dial may take by default
#: (`Timeout.connect`), so by then a new connection would have served them. Firefox took 1.5 s, and had more to take
#: them to; here a rider that leaves costs its connection.
LONGEST_STALL = 10.0
#: How often a request may go back to the queue because its connection has ended; from then on it rides no more.
MOST_RETURNS = 10

#: Ends that a server announces: what was sent behind such a response has not been carried out (RFC 9112 §9.6).
ANNOUNCED = frozenset((Why.SERVER_CLOSE, Why.CLOSE_DELIMITED))


def has_room(connection: Connection, pipeline: Pipeline, policy: Policy, credit: Credit, now: float) -> bool:
    """Tell whether one more request may follow on a connection, whatever the number that its origin is trusted with.

    Never more than the server's `max` still allows, or than `max_requests`; not beyond an age; and not behind a
    response that takes long.
    """
    # With the new one; the first is counted by the connection as soon as its head has come.
    coming = len(pipeline.riders) + (1 if pipeline.stage is Stage.BEGUN else 2)
    if connection.uses_left is not None and coming > connection.uses_left:
        return False
    if policy.max_requests is not None and connection.served + coming > policy.max_requests:
        return False
    if credit.ends_after is not None and connection.served + coming > credit.ends_after:
        return False
    if policy.max_age is not None and now >= connection.born_at + policy.max_age:
        return False
    return now - pipeline.moved_at <= credit.patience


class RidingPoolState(LatePoolState):
    """The tables of a pool that dials for its callers, and lets them ride."""

    __slots__ = ("_credits", "_moved_up")

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self._credits = Credits()
        #: Hosts whose oldest caller has left the line for a dial or an idle connection: the next one may be able to
        #: ride, which is found out as soon as all that may be dialled is.
        self._moved_up: dict[Host, None] = {}

    # Facts

    def offered(self, ticket: Ticket, streams: bool, now: float) -> None:
        """The request of a caller in the queue may follow others on one connection.

        Args:
            ticket: The caller's.
            streams: None may follow it: its response takes as long as its caller does.
            now: The time.
        """
        ticket.rides, ticket.streams = True, streams
        host = ticket.host
        if host.waiters and host.oldest is ticket:  # Else somebody before it could not board either.
            self._fill(host, now)

    def sent(self, connection: Connection, now: float) -> None:
        """The holder's request was sent whole, and others may follow it, as far as the holder is concerned.

        On a connection that has not carried a response nobody follows before one has begun to come.
        """
        if connection.served:
            pipeline = self._pipeline(connection, now)
            self._unlist(connection, pipeline)
            pipeline.moved_at, pipeline.stage = now, Stage.SENT
            self._list(connection, pipeline)
            self._fill(connection.host, now)

    def answered(self, connection: Connection, seconds: float, now: float) -> None:
        """A holder's response has come whole whom others may follow or have followed; `released` follows.

        Args:
            connection: Which.
            seconds: How long the head took since the request was sent, or had its turn.
            now: The time.
        """
        self._credit(connection.host, now).took(seconds, now)

    def begun(
        self,
        connection: Connection,
        seconds: float,
        rest: int | None,
        is_last: bool,
        now: float,
        *,
        is_announced: bool = True,
    ) -> None:
        """As `answered`, where a body is still to come, or the connection ends with the response.

        Args:
            connection: Its `served` and `uses_left` count this response.
            seconds: How long the head took since the request was sent, or had its turn.
            rest: Bytes of the body that are still to come; `None` if that is not known.
            is_last: It ends the connection.
            now: The time.
            is_announced: If so, the response says that itself; what was sent behind it has not been carried out.
        """
        host, pipeline = connection.host, self._pipeline(connection, now)
        self._credit(host, now).took(seconds, now)
        self._unlist(connection, pipeline)
        pipeline.moved_at = now
        pipeline.stage = Stage.SHUT if is_last or (rest or 0) > MOST_REST else Stage.BEGUN
        self._list(connection, pipeline)
        if is_last:
            self._put_back(host, pipeline, is_unprocessed=is_announced, now=now)
            self._place(host, now)
        else:
            self._fill(host, now)

    def unfit(self, connection: Connection, now: float) -> None:
        """A response was in HTTP/1.0, or only the close tells its end: nobody can ride at this origin."""
        self._credit(connection.host, now).unfit(now)

    def broken(self, connection: Connection, now: float) -> None:
        """The server has ended a holder's exchange without a word, or with what is no HTTP; `released` follows.

        Where others were on their way, or the holder had followed others, the origin loses its credit.
        """
        pipeline = connection.pipeline
        if pipeline is not None and (
            pipeline.holder is not None or any(ride.is_sent for ride in pipeline.riders.values())
        ):
            self._credit(connection.host, now).broke(now)

    def cut(self, connection: Connection, now: float) -> None:
        """Nothing more can be sent on a connection; `Ride.is_sent` tells what has left.

        Riders that have sent nothing go back to the queue; responses to the others may still come.
        """
        host, pipeline = connection.host, connection.pipeline
        if pipeline is not None:
            self._unlist(connection, pipeline)
            pipeline.ends_by = Why.PEER_CLOSED
            self._return_all(host, [(ticket, False) for ticket in self._unsent(pipeline)], now)
            self._place(host, now)

    def pipeline_waited(self, connection: Connection, now: float) -> float | None:
        """Time has passed on a connection with riders: where it has stood still for too long, they go elsewhere.

        Returns:
            When to report this again; `None` if nobody rides there any more.
        """
        host, pipeline = connection.host, connection.pipeline
        if pipeline is None or not pipeline.riders:
            return None
        if now < pipeline.moved_at + LONGEST_STALL:
            return pipeline.moved_at + LONGEST_STALL
        self._unlist(connection, pipeline)
        if any(ride.is_sent for ride in pipeline.riders.values()):
            pipeline.ends_by = Why.BODY_UNREAD
        self._put_back(host, pipeline, is_unprocessed=False, now=now)
        self._place(host, now)
        return None

    def dialled(self, connection: Connection, now: float) -> bool:
        """As in `LatePoolState`; how long it took tells what a slow response is here."""
        if connection.host.policy.pipelining > 1:
            self._credit(connection.host, now).dialled(now - connection.born_at)
        is_wanted = super().dialled(connection, now)
        self._fill(connection.host, now)
        return is_wanted

    def dial_failed(self, connection: Connection, failure: Exception | None, now: float) -> None:
        """As in `LatePoolState`; who waits behind the one that has failed may ride."""
        super().dial_failed(connection, failure, now)
        self._fill(connection.host, now)

    def redialled(self, connection: Connection, why: Why, now: float) -> Connection:
        """As in `PoolState`; riders go back to the front of the queue, behind the one that is sent again."""
        host, pipeline = connection.host, connection.pipeline
        if pipeline is None:
            return super().redialled(connection, why, now)
        self._unlist(connection, pipeline)
        self._judge(connection, pipeline, why, now)
        connection.pipeline = None
        self._put_back(host, pipeline, is_unprocessed=False, now=now)
        other = super().redialled(connection, why, now)
        self._place(host, now)
        return other

    def abandoned(self, ticket: Ticket, now: float) -> None:
        """As in `LatePoolState`; a rider whose request was sent leaves a ghost, whose response is thrown away."""
        host, ride = ticket.host, ticket.ride
        if ride is None:
            super().abandoned(ticket, now)
        else:
            pipeline = ride.connection.pipeline
            assert pipeline is not None, "bug: a rider without a pipeline"
            self._unlist(ride.connection, pipeline)
            if ride.is_sent:
                ride.is_ghost = True
                pipeline.ghosts += 1
            else:
                self._leave(ticket, pipeline)
            self._list(ride.connection, pipeline)
        self._fill(host, now)

    def peer_closed(self, connection: Connection, why: Why, now: float, alive_at: float | None = None) -> None:
        """As in `PoolState`; a response too many withdraws an origin's credit."""
        host = connection.host
        if why is Why.UNASKED_DATA and connection.state is State.IDLE and host.policy.pipelining > 1:
            self._credit(host, now).broke(now)
        super().peer_closed(connection, why, now, alive_at)

    def closed_by_user(self) -> None:
        """As in `LatePoolState`; riders that have sent nothing wait no longer, the others finish."""
        for host in list(self._hosts.values()):
            for connection in host.busy:
                pipeline = connection.pipeline
                if pipeline is not None:
                    self._unlist(connection, pipeline)
                    for ticket in self._unsent(pipeline):
                        self._refuse(ticket)
        super().closed_by_user()

    # Questions

    def distrusted(self, now: float) -> list[Origin]:
        """List the origins that are sent no requests one behind the other, because they have broken a pipeline."""
        return self._credits.distrusted(now)

    # Deciding

    def _released_pipeline(self, connection: Connection, pipeline: Pipeline, why: Why | None, now: float) -> None:
        """The next rider's turn has come; or the connection ends, and riders wait again."""
        host = connection.host
        self._unlist(connection, pipeline)
        self._judge(connection, pipeline, why, now)
        if why is None and pipeline.riders:
            host.busy.pop(connection, None)
            if connection.served == 2:
                self._proved(host, now)
            self._promote(connection, pipeline, now)
            self._fill(host, now)
        else:
            connection.pipeline = None
            self._put_back(host, pipeline, is_unprocessed=why in ANNOUNCED, now=now)
            self.released(connection, why or pipeline.ends_by, now)
            self._place(host, now)

    def _judge(self, connection: Connection, pipeline: Pipeline, why: Why | None, now: float) -> None:
        """Take note of what the end of a holder's exchange tells of its server."""
        credit, ride = self._credit(connection.host, now), pipeline.holder
        if ride is not None and ride is credit.trial:
            credit.trial = None
        if ride is not None and ride.is_blind and (why is None or why is Why.SERVER_CLOSE):
            credit.answered(ride.place, now)
        if why is Why.SERVER_CLOSE:
            credit.ended(connection.served)
        elif why is Why.UNASKED_DATA and (ride is not None or pipeline.riders):
            credit.broke(now)

    def _learn(self, connection: Connection, why: Why, alive_at: float | None, now: float) -> None:
        """As in `PoolState`; but where requests follow each other, a close right behind a response is no idle limit.

        It is a pipeline that was broken. The ages of such closes agree, at next to nothing, and would have every
        connection closed as soon as it is idle.
        """
        is_busy_host = connection.host.policy.pipelining > 1 and connection.served > 1
        if not is_busy_host or ages_of(connection, alive_at, now).high > BEHIND:
            super()._learn(connection, why, alive_at, now)

    def _place(self, host: Host, now: float) -> None:
        """Give those who have come back what there is: an idle connection, else a dial, else a place behind others."""
        self._seat(host, now)
        self._grant(now)
        self._fill(host, now)

    def _fill(self, host: Host, now: float) -> None:
        """Let the host's oldest callers board what can be boarded, as long as that is their turn."""
        while host.waiters and host.pipelines is not None:
            ticket = host.oldest
            connection = self._boardable(host, host.pipelines, now) if ticket.rides else None
            if connection is None or not self._may_board(ticket, host, now):
                return
            self._board(ticket, connection, now)

    def _grant(self, now: float) -> None:
        """As in `PoolState`; who comes to the front of a host's line by that may ride."""
        super()._grant(now)
        while self._moved_up:
            host, _ = self._moved_up.popitem()
            if not host.idle:  # Else who has come back is given that first; `_seat` follows.
                self._fill(host, now)

    def _let_in(self, host: Host, now: float) -> None:
        super()._let_in(host, now)
        if host.pipelines is not None:
            self._moved_up[host] = None

    def _boardable(self, host: Host, pipelines: Pipelines[Connection], now: float) -> Connection | None:
        """Find the shortest pipeline that one more may join; those without room are left out until they move."""
        credit, most = self._credit(host, now), host.policy.pipelining
        before, behind = credit.depths(most, now)
        while (connection := pipelines.shortest(before, behind)) is not None:
            pipeline = connection.pipeline
            assert pipeline is not None, "bug: a pipeline without requests"
            if has_room(connection, pipeline, host.policy, credit, now):
                return connection
            self._unlist(connection, pipeline)
        return None

    def _may_board(self, ticket: Ticket, host: Host, now: float) -> bool:
        """Tell whether it is this caller's turn, and not that of an older one who waits for a connection to be free."""
        if self._next_at(host, now) is not ticket:
            return False
        return not host.bound or self._may_overtake(ticket, next(iter(host.bound)))

    # Moving

    def _credit(self, host: Host, now: float) -> Credit:
        if host.credit is None:
            host.credit = self._credits.of(host.origin, now)
        return host.credit

    def _pipeline(self, connection: Connection, now: float) -> Pipeline:
        """Give a connection's pipeline; a new one if it has none."""
        host = connection.host
        if host.pipelines is None:
            host.pipelines = Pipelines()
            self._credit(host, now)
        if connection.pipeline is None:
            connection.pipeline = Pipeline(now)
        return connection.pipeline

    @staticmethod
    def _list(connection: Connection, pipeline: Pipeline) -> None:
        """Let a connection be boarded, unless somebody on it forbids that."""
        pipelines = connection.host.pipelines
        if pipelines is None or pipeline.is_listed or pipeline.length >= connection.host.policy.pipelining:
            return
        if pipeline.may_be_boarded:
            pipeline.is_listed = True
            pipelines.put(connection, pipeline.stage, pipeline.length)

    @staticmethod
    def _unlist(connection: Connection, pipeline: Pipeline) -> None:
        """Let nobody board for the moment; to be called before the pipeline's stage or length changes."""
        pipelines = connection.host.pipelines
        if pipelines is not None and pipeline.is_listed:
            pipelines.drop(connection, pipeline.stage, pipeline.length)
            pipeline.is_listed = False

    def _board(self, ticket: Ticket, connection: Connection, now: float) -> None:
        """Take a caller out of the queue, and give it the last place on a connection."""
        pipeline, host = connection.pipeline, connection.host
        assert pipeline is not None, "bug: boarded what has no pipeline"
        self._unlist(connection, pipeline)
        self._dequeue(ticket)
        self.counters.waited += now - ticket.since
        self.counters.piped += 1
        self._moved(host, now)
        ride = Ride(connection, pipeline.length + 1, pipeline.stage is Stage.SENT, ticket.streams)
        ticket.ride = pipeline.riders[ticket] = ride
        credit = self._credit(host, now)
        if ride.is_blind and credit.is_trial():
            credit.trial = ride
        self.orders.append(Board(ticket))
        self._list(connection, pipeline)

    def _promote(self, connection: Connection, pipeline: Pipeline, now: float) -> None:
        """Make the first rider the holder; its request was sent long ago."""
        ticket, ride = pipeline.riders.popitem(last=False)
        ticket.ride, pipeline.holder, pipeline.moved_at = None, ride, now
        pipeline.stage = Stage.SHUT if ride.is_ghost else Stage.SENT
        self._hold(connection, now)
        self._moved(connection.host, now)
        ticket.connection = connection
        ticket.reuses = True
        if ride.is_ghost:
            pipeline.ghosts -= 1
        else:
            self.counters.reused += 1
        self.orders.append(Serve(ticket))
        self._list(connection, pipeline)

    def _leave(self, ticket: Ticket, pipeline: Pipeline) -> None:
        """Take a rider off its pipeline."""
        ride = pipeline.riders.pop(ticket)
        ticket.ride = None
        credit = ticket.host.credit
        if credit is not None and credit.trial is ride:
            credit.trial = None

    def _unsent(self, pipeline: Pipeline) -> list[Ticket]:
        """Take those off a pipeline who have sent nothing, and list them."""
        unsent = [ticket for ticket, ride in pipeline.riders.items() if not ride.is_sent]
        for ticket in unsent:
            self._leave(ticket, pipeline)
        return unsent

    def _put_back(self, host: Host, pipeline: Pipeline, *, is_unprocessed: bool, now: float) -> None:
        """Let all riders wait again.

        Args:
            host: Theirs.
            pipeline: Where nobody may board.
            is_unprocessed: What they have sent has not been carried out.
            now: The time.
        """
        riders = [(ticket, ride) for ticket, ride in pipeline.riders.items() if not ride.is_ghost]
        for ticket in list(pipeline.riders):
            self._leave(ticket, pipeline)
        pipeline.ghosts = 0
        self._return_all(host, [(ticket, ride.is_sent and not is_unprocessed) for ticket, ride in riders], now)

    def _return_all(self, host: Host, riders: list[tuple[Ticket, bool]], now: float) -> None:
        """Put riders at the front of their host's queue, with whether theirs is the second and last time."""
        if self.is_closed:
            for ticket, _ in riders:
                self._refuse(ticket)
        elif riders:
            for ticket, is_spent in riders:
                ticket.since = now
                ticket.returns += 1
                ticket.is_last = ticket.is_last or is_spent
                ticket.rides = ticket.rides and not is_spent and ticket.returns < MOST_RETURNS
                self.counters.requeued += 1
                self.orders.append(Return(ticket, is_spent))
            last = max(ticket.number for ticket, _ in riders)
            front = [ticket for ticket, _ in riders]
            for ticket in host.waiters:
                if ticket.number > last:
                    break
                front.append(ticket)
            for ticket in sorted(front, key=lambda one: one.number, reverse=True):
                host.waiters[ticket] = None
                host.waiters.move_to_end(ticket, last=False)
            self._queue.length += len(riders)
            self._queue.returned(host)

    def _refuse(self, ticket: Ticket) -> None:
        """End the wait of a rider whose pool was closed."""
        name = str(ticket.host.origin)
        ticket.failure = PoolClosed(f"the pool was closed while a request to {name} waited", origin=name)
        self.orders.append(Serve(ticket))

    def _seat(self, host: Host, now: float) -> None:
        """Give those who have come back what is idle at their host; where it must be new, the oldest makes room."""
        while host.waiters and host.idle:
            ticket = host.oldest
            connection = None if ticket.is_last else self._take_idle(host, now, ticket.unsafe)
            if connection is not None:
                ticket.reuses = True
                self._serve(ticket, connection, now)
                self._moved_up[host] = None
                continue
            if ticket.is_last and host.is_full and not self._is_barred(host, now):
                self._evict(next(iter(host.idle)), host)
            self._grant(now)
            if host.waiters and host.oldest is ticket:
                return  # Others came first.
