"""The soak's own checks can fail: each is shown a fault, and finds it. `benchmarks/soak` is what is tested here.

One small run with nothing planted has to come out clean, so that what the others find is what was planted.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import subprocess
import sys
import threading
import zlib
from functools import partial

import pytest

from benchmarks.soak import __main__ as command
from benchmarks.soak import caller, faults, forks, tasks, threads
from benchmarks.soak.asking import CAPS, World
from benchmarks.soak.ledger import KINDS, Ledger
from benchmarks.soak.plan import (
    FAULTS,
    FRAMINGS,
    HOSTS,
    MANNERS,
    METHODS,
    REAL,
    SIZES,
    UPLOADS,
    at_hand,
    front_of,
    planner,
)
from benchmarks.soak.watch import Watch, descriptors, thread_names
from keeppool import errors

REQUESTS = 120
#: Nothing but undisturbed requests to one host.
CALM = dict.fromkeys(HOSTS.keys() - REAL, 0) | {"plain-1": 1000}
PLAN = planner(1)


def packed(counts):
    return base64.b64encode(zlib.compress(bytes(counts))).decode()


def report(executed, crossed=b"", over=(), loose=0, surplus=0):
    return {
        "executed": packed(executed),
        "crossed": packed(crossed.ljust(len(executed), b"\0")),
        "over": list(over),
        "loose": dict.fromkeys(HOSTS, loose),
        "surplus": dict.fromkeys(HOSTS, surplus),
    }


def a_plan(**fields):
    """A plan with number 0, undisturbed but for what is said."""
    calm = PLAN(0)._replace(
        host="plain-1", method="POST", upload="bytes", is_keyed=False, fault="", manner="whole", framing="length"
    )
    return calm._replace(**fields)


def found(ledger):
    return {kind for kind, words in ledger.faults.items() if words}


def judged(plan, times, error=None, *, crossed=b"\0", loose=0, surplus=0, came=None):
    """Give the kinds of fault that one request's accounts show."""
    ledger = Ledger(1)
    if error is not None:
        ledger.failed(plan, error, is_cancelled=False)
    else:
        ledger.came(plan, *(came or (200, "0", plan.body)))
    ledger.close(report([times], crossed, loose=loose, surplus=surplus), lambda _: plan)
    return found(ledger)


GONE = errors.ServerDisconnected("gone", sent=10, retry_safe=False)
GARBLED = errors.InvalidHead("not a status line", sent=10, retry_safe=True)
RIDER = {"host": "unpiped", "method": "GET", "upload": "none"}


@pytest.mark.parametrize(
    ("kinds", "accounts"),
    [
        (set(), judged(a_plan(), 1)),
        ({"carried out twice"}, judged(a_plan(), 2)),
        (set(), judged(a_plan(is_keyed=True), 2)),
        ({"carried out twice"}, judged(a_plan(is_keyed=True), 3)),
        ({"carried out twice"}, judged(a_plan(method="GET", host="keyless"), 2)),
        ({"untrue"}, judged(a_plan(), 0)),
        ({"another's response"}, judged(a_plan(), 1, came=(200, "1", a_plan().body))),
        ({"another's response"}, judged(a_plan(), 1, came=(200, "0", a_plan().body + b"x"))),
        ({"another's response"}, judged(a_plan(), 1, came=(200, "0", a_plan().body[:-1]))),
        ({"unexplained"}, judged(a_plan(), 1, came=(413, "0", b""))),
        (set(), judged(a_plan(fault="executes, closes"), 1, GONE)),
        ({"carried out twice"}, judged(a_plan(fault="executes, closes"), 2, GONE)),
        ({"unexplained"}, judged(a_plan(), 0, GONE)),
        (set(), judged(a_plan(), 0, GONE, crossed=b"\1")),
        (set(), judged(a_plan(), 0, GONE, loose=1)),
        (
            {"unexplained"},
            judged(a_plan(is_keyed=True), 0, errors.ReadError("gone", sent=10, retry_safe=True), loose=1),
        ),
        ({"unexplained"}, judged(a_plan(), 1, errors.ReadTimeout("slow", sent=10))),
        (set(), judged(a_plan(**RIDER), 0, GARBLED, surplus=1)),
        ({"unexplained"}, judged(a_plan(**RIDER), 0, GARBLED, loose=1)),
        ({"unexplained"}, judged(a_plan(**RIDER | {"host": "plain-1"}), 0, GARBLED, surplus=1)),
        ({"unexplained", "untrue"}, judged(a_plan(), 1, ZeroDivisionError())),
        ({"untrue"}, judged(a_plan(fault="executes, closes"), 1, errors.SendError("gone", sent=1, retry_safe=True))),
        ({"untrue"}, judged(a_plan(fault="executes, closes"), 1, errors.SendError("gone", sent=0, retry_safe=True))),
        ({"untrue"}, judged(a_plan(fault="closes unread"), 0, errors.SendError("gone", sent=0, retry_safe=False))),
        ({"untrue"}, judged(a_plan(manner="total"), 1, errors.PoolTimeout("late"))),
        (set(), judged(a_plan(upload="generator"), 0, crossed=b"\1", came=(408, None, b""))),
        ({"unexplained"}, judged(a_plan(upload="generator"), 0, came=(408, None, b""))),
        ({"unexplained"}, judged(a_plan(), 0, crossed=b"\1", came=(408, None, b""))),
    ],
)
def test_accounts(kinds, accounts):
    assert accounts == kinds - ({"untrue"} if accounts == {"unexplained"} else set())


def test_what_the_server_says_of_its_caps_is_a_fault():
    ledger = Ledger(1)
    ledger.close(report([0], over=["plain-1: 5 connections, the cap is 4"]), PLAN)
    assert found(ledger) == {"cap exceeded"}


def test_each_fault_has_its_place_in_the_table_of_what_it_explains():
    assert set(faults.OF_FAULT) == set(FAULTS)


@pytest.mark.parametrize("weights", [HOSTS, METHODS, SIZES, UPLOADS, FRAMINGS, MANNERS, FAULTS, at_hand(REAL)])
def test_weights_are_thousandths(weights):
    assert sum(weights.values()) == 1000


def test_every_request_of_a_mixed_run_is_one_parts():
    assert {front_of(number) for number in range(50)} == set(command.FRONTS)


def test_a_request_is_what_its_seed_and_number_say():
    again, other = planner(1), planner(2)
    assert [again(number) for number in range(100)] == [PLAN(number) for number in range(100)]
    assert [other(number) for number in range(100)] != [PLAN(number) for number in range(100)]


@contextlib.contextmanager
def world(*, caps=CAPS, hosts=CALM):
    settings = {"seed": 1, "requests": REQUESTS, "hosts": hosts, "caps": dict(caps), "tls": None}
    with contextlib.closing(caller.Servers(settings)) as servers:
        yield servers


@contextlib.contextmanager
def crowd(servers, front, ledger):
    with Watch(front.CALLERS, 60, print) as watch:
        opened = front.Front(World.at(servers.ports, "no roots"), ledger, watch)
        try:
            yield opened
        finally:
            opened.close()
            opened.end()


def undisturbed(*manners):
    """Give the requests that nothing happens to, here and at the server."""
    plans = map(planner(1, CALM), range(REQUESTS))
    return [
        plan
        for plan in plans
        if not plan.fault and plan.manner in ("whole", *manners) and plan.framing != "until close"
    ]


@pytest.mark.parametrize("front", [threads, tasks], ids=["threads", "tasks"])
def test_a_run_that_is_clean_and_a_server_that_counts_more_than_its_cap(front):
    for caps, kinds in (CAPS, set()), (CAPS | {"host": 1}, {"cap exceeded"}), (CAPS | {"total": 1}, {"cap exceeded"}):
        ledger = Ledger(REQUESTS)
        with world(caps=caps) as servers:
            with crowd(servers, front, ledger) as opened:
                opened.run(iter(undisturbed()))
                caller.hold_slots(opened, partial(servers.ask, "open"), ledger)
            ledger.close(servers.ask("report"), planner(1, CALM))
        assert found(ledger) == kinds


def test_children_make_requests_amid_the_others_and_leave_nothing():
    ledger = Ledger(REQUESTS)
    with world(caps={name: cap + command.OF_CHILDREN for name, cap in CAPS.items()}) as servers:
        before = thread_names(), descriptors()
        with crowd(servers, forks, ledger) as opened:
            opened.run(iter(undisturbed("cancel")))
            caller.hold_slots(opened, partial(servers.ask, "open"), ledger)
        caller.hold_process(ledger, *before)
        ledger.close(servers.ask("report"), planner(1, CALM))
    assert found(ledger) == set()
    assert ledger.outcomes.keys() == {"right"}


def test_a_slot_that_is_held_is_lost(monkeypatch):
    monkeypatch.setattr(caller, "SETTLED", 0.2)
    ledger = Ledger(REQUESTS)
    with world() as servers, crowd(servers, threads, ledger) as opened:
        url = World.at(servers.ports, "").url(undisturbed()[0])
        held = opened._crowd.pools[0].request("GET", url, stream=True)
        caller.hold_slots(opened, partial(servers.ask, "open"), ledger)
        held.close()
    assert found(ledger) == {"slot lost"}


def test_a_socket_that_the_pool_knows_nothing_of_is_a_lost_slot_and_a_descriptor(monkeypatch):
    ledger = Ledger(REQUESTS)
    with world() as servers, crowd(servers, threads, ledger) as opened:
        before = thread_names(), descriptors()
        with socket.create_connection(("127.0.0.1", servers.ports["plain-1"])):
            assert caller.settles(opened, lambda: servers.ask("open")["plain-1"])
            monkeypatch.setattr(caller, "SETTLED", 0.2)
            caller.hold_slots(opened, partial(servers.ask, "open"), ledger)
            caller.hold_process(ledger, *before)
    assert found(ledger) == {"slot lost", "descriptor left"}


def test_a_thread_that_is_left(monkeypatch):
    monkeypatch.setattr(caller, "SETTLED", 0.2)
    ledger, before, is_over = Ledger(1), (thread_names(), descriptors()), threading.Event()
    thread = threading.Thread(target=is_over.wait)
    thread.start()
    caller.hold_process(ledger, *before)
    is_over.set()
    thread.join()
    assert found(ledger) == {"thread left"}


def test_a_task_and_a_timer_that_are_left():
    with world() as servers, crowd(servers, tasks, Ledger(1)) as opened:
        sleeper = opened.loop.create_task(asyncio.sleep(100))
        opened.pause()
        left = opened.left()
        sleeper.cancel()
        opened.pause()
    assert len(left["task left"]) == len(left["timer left"]) == 1


def test_a_request_that_never_ends():
    stuck, is_over = [], threading.Event()

    def note(plan):
        stuck.append(plan)
        is_over.set()

    with Watch(2, 0.01, note) as watch:
        watch.began(1, PLAN(7))
        assert is_over.wait(20)
    assert stuck == [PLAN(7)]


def test_memory_may_grow_by_a_twentieth_from_the_first_mark_on():
    assert not command.has_grown([100, 104, 105], 500_000)
    assert command.has_grown([100, 106, 100], 500_000)
    assert not command.has_grown([100, 120, 140], 15_000)
    assert command.has_grown([100, 120, 160], 15_000)


@pytest.mark.figures
@pytest.mark.timeout(400)
def test_thirty_thousand_requests_come_out_clean():
    command = [sys.executable, "-m", "benchmarks.soak", "--requests", "30000"]
    done = subprocess.run(command, cwd=caller.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_table_has_a_row_for_each_kind():
    part = command.Part.__new__(command.Part)
    part.front, part.mib, part.seconds, part.requests = "threads", [100.0, 120.0, 100.0], 1.0, 500_000
    part.told, part.process = {"faults": {"slot lost": 2}}, contextlib.nullcontext()
    part.process.returncode = 0
    printed = command.report([part])
    assert [line.split(" | ")[0].strip("| ") for line in printed.splitlines()[2 : 2 + len(KINDS)]] == list(KINDS)
    assert "| slot lost | 2 | 2 |" in printed
    assert "| memory grown | 1 | 1 |" in printed
