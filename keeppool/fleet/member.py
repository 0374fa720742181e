"""A pool's membership of a fleet: the calls it makes, one for each key at a time, and what it is told by them.

Decides: nothing: what is due `duties.py` says, what is granted Redis does.
Waits, in a thread or a task of its own: for Redis, and until something is due. Callers of the pool never wait for a
call; they wait in the pool's own queue.
"""

from __future__ import annotations

import asyncio
import atexit
import itertools
import logging
import os
import socket
import sys
import threading
import uuid
import weakref
from collections import deque
from functools import partial
from typing import Any, NamedTuple

from keeppool.clock import clock
from keeppool.errors import readable
from keeppool.fleet.duties import Duties
from keeppool.fleet.membership import Call, Joined, Told
from keeppool.fleet.redis_client import Invocation, Recipe, is_of_the_key, run, run_awaited
from keeppool.fleet.script import Reply, keys_of, rank_of, reply_of
from keeppool.stats import FleetKeyStats, FleetStats

#: Seconds a member's thread or task stays although nothing is due: longer than between two calls of a small program.
LINGER = 1.0

#: Seconds after which a call of threads is broken off of which something still comes. Longer than most timeouts, as a
#: machine under load may take so long for a good one; whoever waits for a permit waits no longer than that, twice.
LONGEST_CALL = 1.0

#: Seconds after which a member of tasks whose own was cancelled looks who waits for it. Whoever was cancelled with it
#: has gone by then, and a loop that is closed for that is closed.
SETTLED = 0.05

#: Calls to Redis for which the end of the process waits: one that is under way, and one that gives back.
LAST_CALLS = 2

log = logging.getLogger("keeppool.fleet")

#: Members with a thread in this process, whose end they have to hear of.
_members: weakref.WeakSet[ThreadMember] = weakref.WeakSet()
#: The child of multiprocessing whose end is heard of; 0 for none.
_heard_in = 0
#: What tells this process from others with its number, and numbers for its members.
_marks: dict[int, str] = {}
_names = itertools.count(1)


class Bond(NamedTuple):
    """What the members of one fleet have in common; see `keeppool.fleet.Fleet`."""

    name: str
    ttl: float
    when_down: str
    timeout: float
    recipe: Recipe


def _new_name() -> str:
    """Name a member: by its machine, its process, and which of the process' pools it is.

    Two containers may have one hostname, and number their processes alike; so each process has a mark of its own too.
    """
    number = os.getpid()
    # One step, whichever thread comes first. A forked child has its parent's marks, and another number.
    mark = _marks.setdefault(number, uuid.uuid4().hex[:8])
    return f"{socket.gethostname()}:{number}:{mark}.{next(_names)}"


class Member:
    """What threads and tasks share.

    Args:
        fleet: What the pool is a member of.
        pool: The pool; held weakly.
    """

    def __init__(self, fleet: Bond, pool: Joined) -> None:
        self.fleet = fleet
        self._pool = weakref.ref(pool)
        #: Another one in each process: after a fork there are two members.
        self.pid = _new_name()
        self._duties = Duties(fleet.ttl, fleet.when_down)
        self._client: Any = None

    @property
    def _recipe(self) -> Recipe:
        return self.fleet.recipe

    @property
    def trouble(self) -> str:
        """Say that Redis is away, and which policy holds; nothing while it is there."""
        return f", as its Redis does not answer and when_down is {self.fleet.when_down}" if self._duties.is_down else ""

    def _invocation(self, key: str, call: Call) -> Invocation:
        cap = -1 if call.cap is None else call.cap
        pace = (call.starts, call.gap * 1000, call.burst, int(call.ended), call.holds * 1000)
        ttl = int(self.fleet.ttl * 1000)
        return keys_of(self.fleet.name, key), (self.pid, rank_of(key, self.pid), cap, call.have, call.want, ttl, *pace)

    def _begin(self, pool: Joined, keys: list[str]) -> list[tuple[str, Call]]:
        """Have the pool say what it has and wants of each key."""
        calls = []
        for key in keys:
            self._duties.begun(key)
            calls.append((key, pool.fleet_call(key)))
        return calls

    def _take(self, pool: Joined, calls: list[tuple[str, Call]], raw: list[Any], asked_at: float) -> None:
        """Tell the pool what Redis has said; where it has said nothing of use, go on without it."""
        was_down, faults = self._duties.is_down, {}
        for (key, call), one in zip(calls, raw, strict=True):
            try:
                reply = _reply(one, call)
            except Exception as error:
                faults[key] = error
                continue
            wanted = pool.fleet_told(key, self._told(call, reply, asked_at))
            claims = bool(call.have or call.want or call.starts or reply.granted or wanted.is_paced)
            self._duties.replied(
                key,
                reply,
                clock(),
                wanted=wanted.permits,
                is_paced=wanted.is_paced,
                claims=claims,
                has=call.have + reply.granted,
                cap=call.cap,
            )
        if len(faults) == len(calls) and not all(map(is_of_the_key, faults.values())):
            self._failed(pool, next(iter(faults.values())))
            return
        for key, fault in faults.items():
            log.warning("fleet %s: Redis refuses a call about %s (%s: %s)", self.fleet.name, key, *_described(fault))
        self._go_without(pool, list(faults))
        if was_down:
            log.warning("fleet %s: Redis is back", self.fleet.name)
            pool.fleet_changed(self.fleet.name, is_up=True, error="")

    def _told(self, call: Call, reply: Reply, asked_at: float) -> Told:
        until = self._duties.lease_until(asked_at)
        # Counted from before the call was sent: a wait that Redis has measured is over no sooner.
        starts = [asked_at + seconds for seconds in reply.starts]
        return Told(
            n=call.have + reply.granted - reply.give_back if call.cap is not None else None,
            until=until,
            is_wanted=reply.others > 0 or reply.give_back > 0,
            starts=starts,
            hold=reply.hold,
            parties=None,
        )

    def _failed(self, pool: Joined, error: Exception) -> None:
        """Let the pool go on without Redis, as the fleet's policy says."""
        duties = self._duties
        if not duties.is_down:
            log.warning("fleet %s: Redis does not answer (%s: %s)", self.fleet.name, *_described(error))
            pool.fleet_changed(self.fleet.name, is_up=False, error=type(error).__name__)
        duties.failed(clock())
        self._go_without(pool, list(duties.keys))

    def _go_without(self, pool: Joined, keys: list[str]) -> None:
        for key in keys:
            call = pool.fleet_call(key)
            n = self._duties.share_when_down(key, call.have, call.cap, call.per_host)
            until, parties = self._duties.until_when_down, self._duties.parties(key)
            told = Told(n if call.cap is not None else None, until, False, [], 0.0, parties)
            wanted = pool.fleet_told(key, told)
            is_wanted = wanted.permits or wanted.is_paced
            claims = bool(call.have or call.want or call.starts or call.holds or is_wanted)
            self._duties.postponed(key, clock(), claims=claims, has_cap=call.cap is not None)
            if key not in self._duties.keys:
                pool.fleet_forgot(key)

    def hurry(self) -> None:
        """Break off a call that takes too long. Those of tasks end by themselves."""

    def close(self) -> None:
        """End with the pool. A task has to be awaited for that."""

    async def aclose(self) -> None:
        """End with the pool. A thread is waited for in `close`."""

    def stats(self) -> FleetStats:
        """Take a snapshot of what is known of each key."""
        pool = self._pool()
        held = {} if pool is None else pool.fleet_held()
        keys = {}
        for key, known in list(self._duties.keys.items()):
            open_, allowed = held.get(key, (0, 0))
            reply = known.reply
            keys[key] = FleetKeyStats(
                open=open_,
                allowed=min(allowed, 1 << 30),
                used=0 if reply is None else reply.used,
                members=0 if reply is None else reply.parties,
                asking=0 if reply is None else reply.others,
            )
        duties = self._duties
        return FleetStats(
            name=self.fleet.name,
            member=self.pid,
            is_up=not duties.is_down,
            when_down=duties.when_down,
            calls=duties.calls,
            failures=duties.failures,
            keys=keys,
        )


class ThreadMember(Member):
    """A member of threads: one daemon thread, there while the pool has or wants something of the fleet."""

    def __init__(self, fleet: Bond, pool: Joined) -> None:
        super().__init__(fleet, pool)
        #: Keys that are due. `due` may be called under any lock of the pool's, so all it does is append.
        self._asked: deque[str] = deque()
        #: Guards `_thread`. Nothing of the pool's is called under it.
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        #: The last time no thread could be had.
        self._is_without = False
        self._wake = threading.Event()
        #: Since when a call is under way; `None` if none is.
        self._calls_since: float | None = None
        #: The process ends: what serves nobody is to be closed, and Redis to be told; and that this was done.
        self._is_leaving = False
        self._left = threading.Event()

    def due(self, key: str) -> None:
        """A call about a key is wanted. Does not wait."""
        self._asked.append(key)
        self._have_thread()
        self._wake.set()

    def _have_thread(self) -> None:
        thread = self._thread
        if thread is None or not thread.is_alive():
            self._begin_thread()

    def _begin_thread(self) -> None:
        with self._lock:
            # Not alive: a Ctrl-C has come between the next line and its start. If it was after all, it ends by itself.
            if self._thread is not None and self._thread.is_alive():
                return
            thread = self._thread = threading.Thread(target=self._run, name="keeppool-fleet", daemon=True)
        _members.add(self)
        _hear_of_the_end()
        try:
            thread.start()
        except RuntimeError as error:  # The interpreter is ending, or out of threads: the next call tries again.
            self._thread = None
            if not self._is_without:
                log.warning("fleet %s: nobody can ask Redis, as there is no thread (%s)", self.fleet.name, error)
            self._is_without = True
        else:
            self._is_without = False

    def hurry(self) -> None:
        """Break off a call that takes too long: what a client of threads limits is each read, and there may be many.

        Where no thread could be had for a call, that is tried again.
        """
        if self._is_without:
            self._have_thread()
        since, client = self._calls_since, self._client
        if since is not None and client is not None and clock() - since > max(self._recipe.patience, LONGEST_CALL):
            try:
                self._recipe.close(client)
            except Exception:
                log.debug("fleet %s: the client was gone already", self.fleet.name)

    def leave(self) -> bool:
        """Have everything given back that serves nobody, as the process ends; False if there is nobody to do it."""
        thread = self._thread
        # In a forked child there is the parent's member too, without its thread.
        if thread is None or not thread.is_alive():
            return False
        self._left.clear()
        self._is_leaving = True
        self._wake.set()
        return True

    def close(self) -> None:
        """Have Redis told what the pool has given back, now that it is closed, if that can be told at once.

        Whoever ends a process in a way that nothing in it hears of (`os._exit`, as workers do) need only close first.
        """
        if threading.current_thread() is not self._thread and self.leave():
            self.wait_until_left(LAST_CALLS * self.fleet.timeout)

    def wait_until_left(self, seconds: float) -> None:
        """Wait until that is done, or cannot be done."""
        self._left.wait(seconds)

    def _run(self) -> None:
        try:
            self._serve()
        finally:
            self._left.set()

    def _serve(self) -> None:
        idle_since: float | None = None
        while self._thread is threading.current_thread():
            self._wake.clear()
            now = clock()
            while self._asked:
                self._duties.due(self._asked.popleft(), now)
            pool = self._pool()
            if pool is None:
                self._let_go()
                self._close_client()
                return
            if self._is_leaving:
                self._is_leaving = False
                self._leave(pool, now)
                self._left.set()
            ready = self._duties.ready(now)
            if ready:
                idle_since = None
                self._round(pool, ready, may_call=self._duties.may_call(now))
                continue
            idle_since = idle_since or now
            if not self._duties.keys and now - idle_since >= LINGER:
                self._close_client()
                if self._may_end():
                    return
            del pool
            self._wake.wait(max(min(self._duties.next_at() - now, LINGER), 0.0))

    def _close_client(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            try:
                self._recipe.close(client)
            except Exception:
                log.debug("fleet %s: the client was gone already", self.fleet.name)

    def _may_end(self) -> bool:
        """Tell whether the thread may end; it is gone from then on, and the next `due` begins another."""
        with self._lock:
            if self._asked:
                return False
            self._thread = None
            return True

    def _round(self, pool: Joined, keys: list[str], *, may_call: bool) -> None:
        if not may_call:
            self._go_without(pool, keys)
            return
        calls = self._begin(pool, keys)
        asked_at = clock()
        try:
            if self._client is None:
                self._client = self._recipe.make()
            invocations = [self._invocation(key, call) for key, call in calls]
            self._calls_since = asked_at
            raw = run(self._client, invocations)
        except Exception as error:
            self._calls_since = None
            self._close_client()
            self._failed(pool, error)
            return
        self._calls_since = None
        self._take(pool, calls, raw, asked_at)
        if self._duties.is_down:
            self._close_client()  # Another server may have its name by now, as where this one has become a replica.

    def _leave(self, pool: Joined, now: float) -> None:
        """Close what serves nobody, then tell Redis what is left. Who asks later is served as ever."""
        keys, until = list(self._duties.keys), self._duties.lease_until(now)
        for key in keys:
            pool.fleet_told(key, Told(0, until, is_wanted=True, starts=[], hold=0.0, parties=None))
        if keys and self._duties.may_call(now):
            self._round(pool, keys, may_call=True)

    def _let_go(self) -> None:
        """Give back what a pool had that is gone, as far as Redis can be told; if not, the lease ends."""
        nothing = Call(0, 0, None, None, 0, 0.0, 1, ended=False, holds=0.0)
        try:
            if self._client is None:
                self._client = self._recipe.make()
            run(self._client, [self._invocation(key, nothing) for key in self._duties.keys])
        except Exception:
            log.debug("fleet %s: a dropped pool's permits end with their lease", self.fleet.name)


def _reply(raw: Any, call: Call) -> Reply:
    """Read the reply to a call; raise what has come in its place."""
    if isinstance(raw, Exception):
        raise raw
    reply = reply_of(raw)
    if reply.granted > call.want or reply.give_back > call.have + reply.granted:
        raise ValueError(f"no reply to this call: {raw!r:.100}")
    return reply


def _described(error: Exception) -> tuple[str, str]:
    return type(error).__name__, readable(str(error))


@atexit.register
def _leave_all() -> None:
    """Give back what this process has, before it ends: else others would miss it until the lease is over."""
    leaving = [member for member in list(_members) if member.leave()]
    until = clock() + max((LAST_CALLS * member.fleet.timeout for member in leaving), default=0.0)
    for member in leaving:
        member.wait_until_left(max(until - clock(), 0.0))


def _hear_of_the_end() -> None:
    """Have it done in a child of multiprocessing too, which ends without what atexit knows."""
    global _heard_in
    if "multiprocessing.process" not in sys.modules or _heard_in == os.getpid():
        return
    from multiprocessing import parent_process, util

    if parent_process() is not None:
        _heard_in = os.getpid()
        util.Finalize(None, _leave_all, exitpriority=0)


class TaskMember(Member):
    """A member of tasks: one task, there while the pool has or wants something of the fleet."""

    def __init__(self, fleet: Bond, pool: Joined) -> None:
        super().__init__(fleet, pool)
        self._task: asyncio.Task[None] | None = None
        self._wake: asyncio.Event | None = None

    def due(self, key: str) -> None:
        """A call about a key is wanted. Does not wait."""
        self._duties.due(key, clock())
        if self._task is None or self._task.done():
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                return  # Closed where no loop runs: what it had is free when its lease is over.
            self._begin_task(loop)
        if self._wake is not None:
            self._wake.set()

    def _begin_task(self, loop: asyncio.AbstractEventLoop) -> None:
        self._wake = asyncio.Event()
        # Not by the loop's own factory, which may make eager tasks (Python 3.12): they begin within a step of the pool.
        self._task = asyncio.Task(self._run(), loop=loop, name="keeppool-fleet")
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """See to what is due, where a program has cancelled all tasks it found, this one too, and goes on."""
        if task.cancelled() and not task.get_loop().is_closed():
            self._duties.broken_off(clock())
            task.get_loop().call_later(SETTLED, self._go_on, task)

    def _go_on(self, ended: asyncio.Task[None], *, is_time: bool = False) -> None:
        """Begin another task in the place of one that was cancelled: at once if somebody waits, else when it is due.

        Not sooner: a loop that is about to close has cancelled whoever would wait, and warns of tasks that begin then.
        """
        pool, keys = self._pool(), list(self._duties.keys)
        if pool is None or self._task is not ended or not keys:
            return
        waiting = [pool.fleet_lost(key) for key in keys]
        if is_time or any(one.permits or one.is_paced for one in waiting):
            self._begin_task(ended.get_loop())
        else:
            seconds = max(self._duties.next_at() - clock(), LINGER)
            ended.get_loop().call_later(seconds, partial(self._go_on, ended, is_time=True))

    async def _run(self) -> None:
        wake = self._wake
        assert wake is not None, "bug: a task that nothing wakes"
        while True:
            try:
                await self._serve(wake)
            finally:
                await self._close_client()
            # Until here the task is there for `due`, which begins no other: what became due meanwhile is its own.
            if not wake.is_set():
                return

    async def _serve(self, wake: asyncio.Event) -> None:
        idle_since: float | None = None
        while True:
            wake.clear()
            pool = self._pool()
            if pool is None:
                return
            now = clock()
            ready = self._duties.ready(now)
            if ready:
                idle_since = None
                await self._round(pool, ready, may_call=self._duties.may_call(now))
                continue
            idle_since = idle_since or now
            if pool.is_closed and self._duties.is_down:
                return
            if not self._duties.keys and (now - idle_since >= LINGER or pool.is_closed):
                return
            seconds = min(self._duties.next_at() - now, LINGER)
            del pool
            try:
                async with asyncio.timeout(max(seconds, 0.0)):
                    await wake.wait()
            except TimeoutError:
                pass

    async def _round(self, pool: Joined, keys: list[str], *, may_call: bool) -> None:
        if not may_call:
            self._go_without(pool, keys)
            return
        calls = self._begin(pool, keys)
        # Before Redis hears of it, or the next member's socket would be there before this one's has gone.
        await pool.fleet_settled()
        asked_at = clock()
        try:
            if self._client is None:
                self._client = self._recipe.make()
            invocations = [self._invocation(key, call) for key, call in calls]
            raw = await run_awaited(self._client, invocations, seconds=self._recipe.patience)
        except Exception as error:
            await self._close_client()
            self._failed(pool, error)
            return
        self._take(pool, calls, raw, asked_at)
        if self._duties.is_down:
            await self._close_client()

    async def _close_client(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            try:
                await self._recipe.aclose(client)
            except Exception:
                log.debug("fleet %s: the client was gone already", self.fleet.name)

    async def aclose(self) -> None:
        """Tell Redis what the pool has given back, now that it is closed, if that can be told at once."""
        task = self._task
        if task is None or task.done() or self._wake is None:
            return
        self._wake.set()
        await asyncio.wait([task], timeout=4 * self.fleet.timeout)
        if not task.done():
            task.remove_done_callback(self._ended)
            task.cancel()
            await asyncio.wait([task])
