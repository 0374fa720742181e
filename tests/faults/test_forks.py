"""A fork comes at a bad moment, and the child works."""

from __future__ import annotations

import itertools
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from keeppool import forks
from keeppool.forks import _Undivided
from keeppool.testing import Behaviour, Site

HERE = Path(__file__).parent


@pytest.mark.parametrize("module", ["keeppool.client.session", "ssl", "urllib3", "http.cookiejar", "encodings.idna"])
def test_a_thread_is_in_the_middle_of_its_first_import(module: str, tmp_path: Path) -> None:
    # CPython's import locks are not forked well: the module would never be imported in the child.
    ca, roots = trustme.CA(), tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(roots)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    with Site(Behaviour(body=b"body"), tls=context) as site:
        command = [sys.executable, str(HERE / "fork_while_importing.py"), module, site.url, str(roots)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("moment", ["found", "made", "within", "urllib3"])
def test_a_thread_is_in_the_middle_of_an_import_of_the_programs_own(moment: str) -> None:
    # It is imported anew in the child, where nobody else would ever come to the end of it.
    command = [sys.executable, str(HERE / "fork_while_others_import.py"), moment]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "keeppool" not in done.stderr, "what is raised in a handler is printed, and no more"


class TestUndivided:
    """Each with a thread that is in its block, or about to enter it."""

    def test_an_interrupt_in_the_wait_for_a_fork_leaves_nothing_counted(self) -> None:
        class Interrupting(dict[int, None]):
            def __iter__(self) -> Iterator[int]:
                raise KeyboardInterrupt

        one = _Undivided()
        one._forking = Interrupting({0: None})
        with pytest.raises(KeyboardInterrupt), one:
            raise AssertionError("it has not waited")
        assert not one._under_way

    def test_what_an_interrupt_has_left_counted_is_waited_for_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        one, waits = _Undivided(), []
        left = threading.Thread(target=one.__enter__)
        left.start()
        left.join()
        now = itertools.count()
        monkeypatch.setattr(forks.time, "monotonic", lambda: next(now))
        monkeypatch.setattr(forks.time, "sleep", waits.append)
        one.hold()
        assert waits
        waits.clear()
        one.hold()
        assert not waits
