"""A program that forks while another thread is in the middle of importing a module for its first request.

python fork_while_importing.py MODULE URL ROOTS

The thread is stopped in front of the module, and goes on when the fork begins: the handler that lets it is the last one
that was registered, so it is called before keeppool's.
"""

import faulthandler
import os
import sys
import threading

import keeppool
from keeppool.deferred import late
from keeppool.forks import wait_before_logging

MODULE, URL, ROOTS = sys.argv[1:]
#: Seconds after which a child that hangs says where, and ends.
PATIENCE = 20

stopped, may_go_on = threading.Event(), threading.Event()


class Barrier:
    """Finds nothing, and stops whoever looks for the module first."""

    def find_spec(self, name, path=None, target=None):
        if name == MODULE and not stopped.is_set():
            stopped.set()
            assert may_go_on.wait(PATIENCE)


def ask() -> None:
    with keeppool.Session(verify=ROOTS) as session:
        session.cookies.set("name", "value")
        response = session.post(URL, data={"a": "b"}, files={"f": b"x"}, auth=("user", "password"))
        assert (response.text, response.ok) == ("body", True)
        assert response.cookies is not None


def ask_first() -> None:
    ask()
    late(MODULE)  # No request asks for it where it is there from the start.


sys.meta_path.insert(0, Barrier())
wait_before_logging()  # As the first pool does, which registers keeppool's handler once more.
os.register_at_fork(before=may_go_on.set)
first = threading.Thread(target=ask_first)
first.start()
assert stopped.wait(PATIENCE), "nobody imports it"
child = os.fork()
if child == 0:
    faulthandler.dump_traceback_later(PATIENCE, exit=True)
    ask()
    os._exit(0)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
first.join(PATIENCE)
assert not first.is_alive()
sys.exit(code)
