"""Names: one look-up for all who wait, threads enough for those nobody answers for, addresses kept for a short time."""

from __future__ import annotations

import asyncio
import gc
import queue
import socket
import threading

import pytest

from keeppool.net.deadline import Deadline
from keeppool.net.resolver import (
    ABANDONED,
    FIRST_THREADS,
    MOMENT,
    MOST_KEPT,
    MOST_THREADS,
    THREAD,
    BlockingResolver,
    Question,
    Unresolved,
    is_awaited,
)
from keeppool.net.resolver_tasks import LoopResolver

#: Seconds after which a wait in these tests is given up; nothing here takes a hundredth of it.
PATIENCE = 20.0
ANY = socket.AF_UNSPEC


def question(host: str, port: int = 80, family: int = ANY) -> Question:
    return Question(host, port, family)


class Names:
    """A resolver's function: each name waits until it is answered for; `asked` tells which were asked, in order."""

    def __init__(self) -> None:
        self.asked: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.count = 0
        self._gates: dict[str, threading.Event] = {}
        self._guard = threading.Lock()
        self._is_released = False

    def gate(self, host: str) -> threading.Event:
        with self._guard:
            gate = self._gates.setdefault(host, threading.Event())
            if self._is_released:
                gate.set()
            return gate

    def __call__(self, host: str, port: int) -> list[str]:
        self.count += 1
        self.asked.put(host)
        if not host.startswith("quick"):
            assert self.gate(host).wait(PATIENCE)
        return ["127.0.0.1"]

    def release(self) -> None:
        with self._guard:
            self._is_released = True
            for gate in self._gates.values():
                gate.set()


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def names():
    made = Names()
    yield made
    made.release()
    for thread in threading.enumerate():
        if thread.name == THREAD:
            thread.join(PATIENCE)


def in_thread(resolver: BlockingResolver, host: str, seconds: float | None = PATIENCE) -> threading.Thread:
    def wait() -> None:
        try:
            outcomes.put(resolver.resolve(question(host), Deadline(seconds)))
        except OSError as error:
            outcomes.put(error)

    outcomes: queue.SimpleQueue[object] = queue.SimpleQueue()
    thread = threading.Thread(target=wait)
    thread.outcome = lambda: outcomes.get(timeout=PATIENCE)
    thread.start()
    return thread


# What is known without a look-up


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_address_is_read_without_a_thread(host, names):
    found = BlockingResolver(names).resolve(question(host), Deadline(0.001))
    assert [address.target[1] for address in found] == [80]
    assert names.count == 0


def test_addresses_are_kept_for_their_time_and_then_asked_for_again(names):
    clock = Clock()
    resolver = BlockingResolver(names, ttl=10, clock=clock)
    for now, count in ((100, 1), (109.9, 1), (110, 2), (119, 2)):
        clock.now = now
        assert str(resolver.resolve(question("quick"), Deadline(PATIENCE))[0]) == "127.0.0.1"
        assert names.count == count


def test_nothing_is_kept_with_a_time_of_0_and_all_of_it_without_a_limit(names):
    for ttl, count in ((0, 2), (None, 1)):
        names.count, clock = 0, Clock()
        resolver = BlockingResolver(names, ttl=ttl, clock=clock)
        resolver.resolve(question("quick"), Deadline(PATIENCE))
        clock.now = 1e9
        resolver.resolve(question("quick"), Deadline(PATIENCE))
        assert names.count == count


def test_what_is_forgotten_is_asked_for_again(names):
    resolver = BlockingResolver(names, ttl=10)
    resolver.resolve(question("quick"), Deadline(PATIENCE))
    resolver.forget(question("quick"))
    resolver.resolve(question("quick"), Deadline(PATIENCE))
    assert names.count == 2


def test_the_names_kept_are_bounded_and_the_oldest_goes_first(names):
    resolver = BlockingResolver(names, ttl=None)
    for number in range(MOST_KEPT + 1):
        resolver.resolve(question(f"quick{number}"), Deadline(PATIENCE))
    assert resolver.known(question("quick0")) is None
    assert resolver.known(question("quick1")) is not None


def test_a_failure_is_not_kept():
    answers = iter([OSError(-2, "Name or service not known"), ["127.0.0.1"]])

    def look_up(host, port):
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    resolver = BlockingResolver(look_up, ttl=10)
    with pytest.raises(Unresolved, match="Name or service not known"):
        resolver.resolve(question("a"), Deadline(PATIENCE))
    assert resolver.resolve(question("a"), Deadline(PATIENCE))


# Who waits, and for how long


def test_one_look_up_serves_all_who_wait_for_a_name(names):
    resolver = BlockingResolver(names)
    threads = [in_thread(resolver, "slow") for _ in range(20)]
    assert names.asked.get(timeout=PATIENCE) == "slow"
    names.gate("slow").set()
    assert {str(thread.outcome()[0]) for thread in threads} == {"127.0.0.1"}
    assert names.count <= 20  # A thread that came late has asked anew; without sharing each has.


def test_joining_a_look_up_asks_nobody_again(names):
    resolver = BlockingResolver(names)
    ended = threading.Event()
    first = resolver.begin(question("slow"), ended.set)
    assert resolver.begin(question("slow"), lambda: None) is first
    assert names.asked.get(timeout=PATIENCE) == "slow"
    names.gate("slow").set()
    assert ended.wait(PATIENCE)
    assert first.result()
    assert names.count == 1


def test_a_look_up_is_bounded_by_the_callers_deadline(names):
    with pytest.raises(TimeoutError):
        BlockingResolver(names).resolve(question("dead"), Deadline(0.01))


def test_each_caller_gets_an_error_of_its_own():
    def look_up(host, port):
        raise ValueError("no such name")

    resolver = BlockingResolver(look_up)
    errors = []
    for _ in range(2):
        with pytest.raises(Unresolved, match="no such name") as caught:
            resolver.resolve(question("a"), Deadline(PATIENCE))
        errors.append(caught.value)
    assert errors[0] is not errors[1]
    assert isinstance(errors[0].__cause__, ValueError)


def test_what_nobody_waits_for_any_more_is_never_begun(names):
    resolver = BlockingResolver(names)
    for number in range(FIRST_THREADS):
        resolver.begin(question(f"dead{number}"), lambda: None)
    wake = list
    left = resolver.begin(question("left"), wake)
    resolver.leave(left, wake)
    resolver.begin(question("quick"), lambda: None)
    names.release()
    asked = {names.asked.get(timeout=PATIENCE) for _ in range(FIRST_THREADS + 1)}
    assert "quick" in asked
    assert "left" not in asked


# Threads


def test_names_nobody_answers_for_do_not_hold_up_a_living_one(names):
    clock = Clock()
    resolver = BlockingResolver(names, clock=clock)
    for number in range(40):
        resolver.begin(question(f"dead{number}"), lambda: None)
    ended = threading.Event()
    resolver.begin(question("quick"), ended.set)
    for threads in (FIRST_THREADS, FIRST_THREADS, 2 * FIRST_THREADS):
        for _ in range(threads):
            assert names.asked.get(timeout=PATIENCE).startswith("dead")
        clock.now += MOMENT
        resolver.hasten()
    # Three moments have passed.
    assert ended.wait(PATIENCE)


def test_there_are_no_more_threads_while_some_come_back(names):
    clock = Clock()
    resolver = BlockingResolver(names, clock=clock)
    for number in range(30):
        resolver.begin(question(f"dead{number}"), lambda: None)
    for _ in range(FIRST_THREADS):
        names.asked.get(timeout=PATIENCE)
    clock.now += MOMENT / 2
    resolver.hasten()
    assert names.asked.empty()
    clock.now += MOMENT
    resolver.hasten()
    assert {names.asked.get(timeout=PATIENCE) for _ in range(FIRST_THREADS)}


def test_threads_are_bounded(names):
    clock = Clock()
    resolver = BlockingResolver(names, clock=clock)
    for number in range(2 * MOST_THREADS):
        resolver.begin(question(f"dead{number}"), lambda: None)
    for _ in range(20):
        clock.now += MOMENT
        resolver.hasten()
    for _ in range(MOST_THREADS):
        names.asked.get(timeout=PATIENCE)
    assert len([thread for thread in threading.enumerate() if thread.name == THREAD]) == MOST_THREADS


def test_threads_end_when_no_name_waits(names):
    resolver = BlockingResolver(names)
    resolver.resolve(question("quick"), Deadline(PATIENCE))
    for thread in threading.enumerate():
        if thread.name == THREAD:
            thread.join(PATIENCE)
            assert not thread.is_alive()


def test_without_a_thread_to_be_had_the_look_up_fails_with_the_cause(monkeypatch, names):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    resolver = BlockingResolver(names)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(Unresolved, match="can't start new thread") as caught:
        resolver.resolve(question("a"), Deadline(PATIENCE))
    assert isinstance(caught.value.__cause__, RuntimeError)
    monkeypatch.undo()
    assert resolver.resolve(question("quick"), Deadline(PATIENCE))


# A function of the program's own


@pytest.mark.parametrize("given", [["127.0.0.1", "::1"], ("127.0.0.1", "::1"), iter(["127.0.0.1", "::1"])])
def test_a_function_of_the_programs_own_gives_addresses_as_text_in_its_order(given):
    found = BlockingResolver(lambda host, port: given).resolve(question("a", 8080), Deadline(PATIENCE))
    assert [(address.family, address.target[:2]) for address in found] == [
        (socket.AF_INET, ("127.0.0.1", 8080)),
        (socket.AF_INET6, ("::1", 8080)),
    ]


@pytest.mark.parametrize(
    ("given", "family", "reason"),
    [
        ([], ANY, "no address"),
        (["localhost"], ANY, "'localhost', which is no address"),
        ([("127.0.0.1", 80)], ANY, "which is no address"),
        (None, ANY, "the resolver gave None, and not a list of addresses"),
        ("::1", socket.AF_INET, "no address of the source address's family"),
    ],
)
def test_what_is_no_address_is_refused(given, family, reason):
    with pytest.raises(Unresolved, match=reason):
        BlockingResolver(lambda host, port: given).resolve(question("a", family=family), Deadline(PATIENCE))


# On an event loop


def test_on_a_loop_a_name_is_looked_up_in_a_thread_and_shared(names):
    async def main():
        resolver = LoopResolver(names, ttl=10)
        waits = [asyncio.create_task(resolver.resolve(question("quick"), Deadline(PATIENCE))) for _ in range(5)]
        return await asyncio.gather(*waits)

    assert {str(found[0]) for found in asyncio.run(main())} == {"127.0.0.1"}
    assert names.count == 1


def test_on_a_loop_dead_names_hold_up_neither_a_living_one_nor_the_programs_own_threads_nor_the_end(names):
    async def main():
        resolver = LoopResolver(names)
        dead = [asyncio.create_task(resolver.resolve(question(f"dead{n}"), Deadline(PATIENCE))) for n in range(40)]
        assert await resolver.resolve(question("quick"), Deadline(PATIENCE))
        assert await asyncio.to_thread(lambda: "done") == "done"
        for task in dead:
            task.cancel()

    asyncio.run(main())  # The gates of the dead names are still shut: a loop that waited for them would stay.
    assert not any(gate.is_set() for gate in names._gates.values())


def test_on_a_loop_a_caller_that_is_cancelled_goes_alone(names):
    async def main():
        resolver = LoopResolver(names)
        first, second = (asyncio.create_task(resolver.resolve(question("slow"), Deadline(PATIENCE))) for _ in range(2))
        await asyncio.to_thread(names.asked.get, timeout=PATIENCE)
        first.cancel()
        await asyncio.wait([first])
        names.gate("slow").set()
        return first.cancelled(), await second

    was_cancelled, found = asyncio.run(main())
    assert was_cancelled
    assert str(found[0]) == "127.0.0.1"


def test_on_a_loop_the_deadline_holds(names):
    async def main():
        with pytest.raises(TimeoutError):
            await LoopResolver(names).resolve(question("dead"), Deadline(0.01))

    asyncio.run(main())


def test_a_coroutine_function_is_awaited_once_for_all_and_cancelled_with_the_last():
    calls, ended, called = [], [], asyncio.Event()

    async def look_up(host, port):
        calls.append(host)
        called.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(host)

    async def main():
        resolver = LoopResolver(look_up)
        waits = [asyncio.create_task(resolver.resolve(question("a"), Deadline(PATIENCE))) for _ in range(3)]
        await called.wait()
        for wait in waits[:2]:
            wait.cancel()
        await asyncio.wait(waits[:2])
        assert not ended
        waits[2].cancel()
        await asyncio.wait(waits)

    asyncio.run(main())
    assert calls == ended == ["a"]


def test_a_coroutine_functions_addresses_and_errors_come_through():
    async def look_up(host, port):
        await asyncio.sleep(0)
        if host == "bad":
            raise LookupError("no such name")
        return ["127.0.0.1"]

    async def main():
        resolver = LoopResolver(look_up, ttl=10)
        assert str((await resolver.resolve(question("good"), Deadline(PATIENCE)))[0]) == "127.0.0.1"
        assert resolver.known(question("good"))
        with pytest.raises(Unresolved, match="no such name"):
            await resolver.resolve(question("bad"), Deadline(PATIENCE))

    asyncio.run(main())


# When something goes wrong


def test_an_interrupt_while_a_thread_is_started_costs_nothing_but_that_call(monkeypatch, names):
    def interrupted(thread):
        raise KeyboardInterrupt

    resolver = BlockingResolver(names)
    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        resolver.resolve(question("quick"), Deadline(PATIENCE))
    monkeypatch.undo()
    assert resolver.resolve(question("quick"), Deadline(PATIENCE))
    assert resolver.resolve(question("quick2"), Deadline(PATIENCE))


def test_a_look_up_that_hangs_is_begun_anew_once_nobody_has_waited_for_it_for_long(names):
    clock = Clock()
    resolver = BlockingResolver(names, clock=clock)
    with pytest.raises(TimeoutError):
        resolver.resolve(question("dead"), Deadline(0.01))
    assert names.asked.get(timeout=PATIENCE) == "dead"
    clock.now += ABANDONED / 2
    with pytest.raises(TimeoutError):
        resolver.resolve(question("dead"), Deadline(0.01))
    assert names.asked.empty()
    clock.now += ABANDONED
    with pytest.raises(TimeoutError):
        resolver.resolve(question("dead"), Deadline(0.01))
    assert names.asked.get(timeout=PATIENCE) == "dead"


def test_callers_that_gave_up_leave_nothing_behind(names):
    async def main():
        resolver = LoopResolver(names)
        for _ in range(50):
            with pytest.raises(TimeoutError):
                await resolver.resolve(question("dead"), Deadline(0.001))
        (search,) = resolver._searches.values()
        return search.waiting

    assert asyncio.run(main()) == {}


def test_names_that_wait_share_one_timer_which_ends_when_there_may_be_no_more_threads(names):
    async def main():
        clock = Clock()
        resolver = LoopResolver(names, clock=clock)
        waits = [
            asyncio.create_task(resolver.resolve(question(f"dead{number}"), Deadline(PATIENCE)))
            for number in range(2 * MOST_THREADS)
        ]
        await asyncio.sleep(0)
        timer = resolver._timer
        for _ in range(4):
            clock.now += MOMENT
            may_go_on = resolver.hasten()
        for task in waits:
            task.cancel()
        return timer is not None, may_go_on

    assert asyncio.run(main()) == (True, False)


def old_getaddrinfo(host, port, family=0, type=0, proto=0):  # noqa: A002  # as programs write it
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]


def test_a_getaddrinfo_of_the_programs_own_need_not_know_flags_and_is_not_called_for_an_address(monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", old_getaddrinfo)
    resolver = BlockingResolver()
    assert str(resolver.resolve(question("a.example"), Deadline(PATIENCE))[0]) == "127.0.0.1"
    assert str(resolver.resolve(question("127.0.0.2"), Deadline(PATIENCE))[0]) == "127.0.0.2"


class Awaited:
    async def __call__(self, host, port):
        return "127.0.0.1"


def test_an_object_that_is_called_as_a_coroutine_function_is_awaited():
    async def main():
        return await LoopResolver(Awaited()).resolve(question("a"), Deadline(PATIENCE))

    assert str(asyncio.run(main())[0]) == "127.0.0.1"
    assert is_awaited(Awaited())
    assert not is_awaited(Names())


def test_a_plain_function_that_gives_a_coroutine_is_told_so():
    resolver = BlockingResolver(lambda host, port: Awaited()(host, port))
    with pytest.raises(Unresolved, match="only a coroutine function is awaited"):
        resolver.resolve(question("a"), Deadline(PATIENCE))


def test_a_coroutine_that_fails_when_nobody_waits_any_more_disturbs_nobody():
    complaints = []

    async def look_up(host, port):
        try:
            await asyncio.Event().wait()
        finally:
            raise LookupError("too late")

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        with pytest.raises(TimeoutError):
            await LoopResolver(look_up).resolve(question("a"), Deadline(0.01))
        await asyncio.sleep(0)

    asyncio.run(main())
    gc.collect()
    assert complaints == []
