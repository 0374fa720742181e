"""A fork comes at a bad moment, and the child works."""

from __future__ import annotations

import ssl
import subprocess
import sys
from pathlib import Path

import pytest
import trustme

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
