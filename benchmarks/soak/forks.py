"""The requests of a part that is made of threads; some of them are sent by a child, forked amid the others.

Decides: which these are: those that tasks would cancel. A child makes its request with the pool it has inherited, tells
what came, and is gone; what it inherited stays its parent's.
Knows: fork, and that a child has no thread but its own. Does not know: what an outcome means.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import threading
import warnings
from typing import Any, NoReturn

from benchmarks.soak import threads
from benchmarks.soak.asking import World
from benchmarks.soak.ledger import Ledger
from benchmarks.soak.plan import Plan
from benchmarks.soak.watch import Watch

CALLERS = threads.CALLERS
#: Seconds for a child's request: more than its own timeouts allow.
PATIENCE = 150


class Crowd(threads.Crowd):
    """Callers in threads, and children of theirs."""

    def __init__(self, world: World, ledger: Ledger, watch: Watch) -> None:
        super().__init__(world, ledger, watch)
        # One child at a time, so that the servers' caps can be told.
        self._turn = threading.Lock()
        # Python 3.12 warns of what is meant here.
        warnings.filterwarnings("ignore", "This process", DeprecationWarning)

    def _ask(self, plan: Plan) -> None:
        if plan.manner != "cancel":
            return super()._ask(plan)
        plan = plan._replace(manner="whole")
        with self._turn:
            came = self._by_child(plan)
        if isinstance(came, BaseException):
            return self._ledger.failed(plan, came, is_cancelled=False)
        return self._ledger.came(plan, *came)

    def _by_child(self, plan: Plan) -> Any:
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            self._be_child(plan, writing)
        os.close(writing)
        said = b""
        with os.fdopen(reading, "rb", buffering=0) as pipe:
            while select.select([pipe], [], [], PATIENCE)[0] and (piece := pipe.read(65536)):
                said += piece
        if not said:
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        if not said:
            return ChildNeverEnded(f"a child's request never ended: {plan}")
        return pickle.loads(said)

    def _be_child(self, plan: Plan, writing: int) -> NoReturn:
        try:
            try:
                response = self._sent(plan)
                came: Any = response.status, response.headers.get("X-Id"), response.data
            except Exception as error:
                came = error
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(pickle.dumps(came))
        finally:
            os._exit(0)


class ChildNeverEnded(Exception):
    """A child was still at its request when the patience with it was over."""


class Front(threads.Front):
    """The crowd, as `caller.py` drives it."""

    crowd = Crowd
