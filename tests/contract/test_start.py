"""What a program has imported when it has a `Session`, and has fetched a page; the list is `start_modules.txt`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from keeppool.deferred import Deferred
from tests.contract.start_modules import start_modules

LISTED = Path(__file__).with_name("start_modules.txt").read_text().splitlines()
#: Imported where they are installed, or by some of the Pythons.
NOT_EVERYWHERE = {"session atexit", "session backports", "session brotli", "session brotlicffi", "session compression"}


def test_the_modules_are_those_of_the_list():
    # Whoever needs one more at the start says so in the list; what is needed later is imported later.
    found = set(start_modules()) - NOT_EVERYWHERE
    assert sorted(found - set(LISTED)) == [], "new: python -m tests.contract.start_modules"
    gone = set(LISTED) - found - NOT_EVERYWHERE
    assert sorted(line for line in gone if "keeppool" in line) == [], "gone: python -m tests.contract.start_modules"


def test_a_deferred_module_is_the_module():
    import keeppool.events

    events = Deferred("keeppool.events")
    assert events.Why is keeppool.events.Why
    with pytest.raises(AttributeError, match="no_such_name"):
        events.no_such_name  # noqa: B018  # looking it up is the test


def test_what_is_put_into_a_module_is_seen_through_it(monkeypatch):
    import keeppool.events

    events = Deferred("keeppool.events")
    assert events.Why is not None
    monkeypatch.setattr(keeppool.events, "Why", "another")
    assert events.Why == "another"


#: Sixteen threads that all begin with something that is imported late, and their exceptions.
AT_ONCE = """
import sys, threading
from keeppool import Session
from keeppool.urls.address import parse

assert "urllib3" not in sys.modules
start, failed = threading.Barrier(16), []

def unusual(number):
    try:
        start.wait()
        if number % 2:
            assert parse(f"http://A{number}.example/a b").host == f"a{number}.example"
        else:
            with Session(on_event=[].append) as session:
                assert session.stats().open == 0
    except BaseException as error:
        failed.append(repr(error))

threads = [threading.Thread(target=unusual, args=(number,)) for number in range(16)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(failed)
"""


def test_many_threads_may_be_the_first_at_once():
    run = subprocess.run([sys.executable, "-c", AT_ONCE], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout == "[]\n"


#: A child is forked while somebody holds the lock around the first import of urllib3.
FORKED = """
import os, sys
from keeppool import deferred

deferred._importing.acquire()
child = os.fork()
if not child:
    deferred.have_urllib3()
    os._exit(0 if "urllib3" in sys.modules else 1)
deferred._importing.release()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_does_not_wait_for_its_parents_import():
    run = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout == "0\n"
