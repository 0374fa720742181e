"""A program that forks while another thread imports a module that is the program's own, or by a statement of its own.

python fork_while_others_import.py MOMENT

MOMENT says where the fork comes: the module has been "found"; it is being "made"; the fork is "within" an import of its
own thread; or it comes while "urllib3" is being found, for which it waits.
"""

import faulthandler
import importlib
import importlib.machinery
import os
import sys
import threading

import keeppool

(MOMENT,) = sys.argv[1:]
#: Seconds after which a child that hangs says where, and ends.
PATIENCE = 20

stopped, may_go_on = threading.Event(), threading.Event()


class Importer:
    """Finds and makes the module "slow", and stops whoever is the first to do it at the moment asked for."""

    def find_spec(self, name, path=None, target=None):
        if name == MOMENT:
            stop()
        return importlib.machinery.ModuleSpec(name, self) if name == "slow" else None

    def create_module(self, spec):
        if MOMENT == "found":
            stop()  # Not before: a fork waits by itself for whoever looks for a module.

    def exec_module(self, module):
        module.half = True
        if MOMENT == "made":
            stop()
        if MOMENT == "within":
            fork()
        module.whole = True


def stop() -> None:
    if not stopped.is_set():
        stopped.set()
        assert may_go_on.wait(PATIENCE)


def fork() -> None:
    """Be the child, or wait until it has ended well."""
    global child
    child = os.fork()
    if child == 0:
        faulthandler.dump_traceback_later(PATIENCE, exit=True)
    else:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


child = None
sys.meta_path.insert(0, Importer())
pool = keeppool.PoolManager()
wanted = "urllib3" if MOMENT == "urllib3" else "slow"
if MOMENT == "within":
    importlib.import_module(wanted)
else:
    if MOMENT == "urllib3":
        os.register_at_fork(before=may_go_on.set)
    first = threading.Thread(target=importlib.import_module, args=(wanted,))
    first.start()
    assert stopped.wait(PATIENCE), "nobody imports it"
    fork()
if child == 0:
    assert MOMENT != "urllib3" or hasattr(sys.modules.get(wanted), "PoolManager"), "not waited for"
    module = importlib.import_module(wanted)
    assert MOMENT == "urllib3" or module.whole
    os._exit(0)
may_go_on.set()
if MOMENT != "within":
    first.join(PATIENCE)
    assert not first.is_alive()
assert MOMENT == "urllib3" or sys.modules[wanted].whole, "the parent's own is as it was"
