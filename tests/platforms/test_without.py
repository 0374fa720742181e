"""What other operating systems lack stands in one place, and keeppool works in a process that lacks it."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.platforms.without import THINGS

ROOT = Path(__file__).parents[2]

#: What is not everywhere, and the one file that names it. Windows lacks nearly all of it, macOS some.
PLACES = {
    r"select\.(poll|POLL\w+|epoll|kqueue)": "net/polls.py",
    r"socket\.(MSG_DONTWAIT|MSG_NOSIGNAL|SO_RCVTIMEO|SO_SNDTIMEO)": "net/blocking.py",
    r"socket\.TCP_(?!NODELAY)\w+": "net/options.py",
    r"errno\.WSA\w+|errno\.EINPROGRESS": "net/race.py",
    r"time\.(clock_gettime\w*|CLOCK_\w+)": "clock.py",
    r"os\.(fork|forkpty|register_at_fork)": "forks.py",
    r"signal\.SIG(?!INT|TERM|_IGN|_DFL)\w+|signal\.(alarm|setitimer|pthread_\w+)": "cli/endings.py",
    r"resource": "adapters/scrapy/settings.py",
    # A path to listen at, and one to dial: no room for both may import the other.
    r"socket\.AF_UNIX": "net/addresses.py observe/sockets.py",
    # The lock of a folder, and what a kernel still has to send; the terminal.
    r"fcntl": "net/unsent.py observe/sockets.py",
    r"termios": "net/unsent.py cli/keys.py",
    r"tty": "cli/keys.py",
    # Each is asked of the event loop only after it is known to have it.
    r"\w+\.(add_writer|remove_writer)": "net/race_tasks.py net/transport_tasks.py",
    r"\w+\.(add_reader|remove_reader)": "net/eventloops.py net/transport_tasks.py testing/site.py",
    r"\w+\.create_unix_connection": "net/stream_tasks.py",
    # Nowhere.
    r"pwd|grp|pty|curses|readline|syslog|_posixsubprocess": "",
    r"os\.(get(e?[ug]id|pgid|ppid|loadavg)|set[ug]id|uname|sysconf|sched_\w+|kill\w*|wait\w*|pread|pwrite)": "",
    r"os\.(fchmod|mkfifo|chroot|nice|umask|ttyname|openpty)": "",
    r"os\.(sendfile|O_NOFOLLOW|O_CLOEXEC|O_NONBLOCK|posix_\w+|eventfd|pipe2|getrandom|geteuid|chown|fchown)": "",
    r"\w+\.add_signal_handler": "",
    r"asyncio\.(ProactorEventLoop|Windows\w+)": "",
}


def _named(file: Path) -> Iterator[str]:
    """Name what a file looks up in modules and other names, also by `getattr` and `hasattr`, and what it imports."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.Attribute(value=ast.Name(id=module), attr=name):
                yield f"{module}.{name}"
            case ast.Attribute(attr=name):
                yield f"_.{name}"
            case ast.Call(
                func=ast.Name(id="getattr" | "hasattr"), args=[ast.Name(id=module), ast.Constant(value=name), *_]
            ):
                yield f"{module}.{name}"
            case ast.Import(names=names):
                yield from (entry.name for entry in names)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                yield module
                yield from (f"{module}.{entry.name}" for entry in names)
            case ast.Constant(value=str(text)) if text.startswith(("/proc/", "/sys/", "/dev/")):
                yield text


def test_what_is_not_everywhere_stands_in_one_place() -> None:
    source = ROOT / "keeppool"
    used = {file.relative_to(source).as_posix(): set(_named(file)) for file in source.rglob("*.py")}
    for pattern, places in PLACES.items():
        found = {file for file, names in used.items() if any(re.fullmatch(pattern, name) for name in names)}
        assert found == set(places.split()), pattern
    assert [name for names in used.values() for name in names if name.startswith("/")] == []


#: Seconds, on a machine that is busy with other things; ten on one that is not.
PATIENCE = 300

pytestmark = pytest.mark.timeout(PATIENCE + 10)


def run(what: str, *arguments: str, **environment: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.platforms.without", what, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


#: Of the quick tests, walks at random through decisions, which are told the time and touch no system; minutes of them.
WALKS = (
    "tests/core/test_states.py::test_every_move_in_the_table_is_seen",
    "tests/wire/test_bounded_work.py",
    "tests/wire/test_content_decoding.py",
)
#: Live tests that need nothing themselves of what is taken away.
LIVE = ("tests/platforms/test_round_trips.py", "tests/net/test_polls.py", "tests/pools/test_tasks_exchange.py")


def test_the_quick_tests_and_live_ones_pass_without_any_of_it() -> None:
    left_out = [f"--deselect={name}" for name in WALKS]
    run("everything", "tests/core", "tests/wire", "tests/config", *LIVE, *left_out, KEEPPOOL_EXAMPLES="5")


@pytest.mark.slow
def test_all_quick_tests_pass_without_any_of_it() -> None:
    run("everything", "tests/core", "tests/wire", "tests/config")


@pytest.mark.slow
@pytest.mark.parametrize("what", THINGS)
def test_live_ones_pass_without_each_of_it(what: str) -> None:
    run(what, *LIVE)
