"""What a pool imports lazily, it imports before threads can race for it."""

from __future__ import annotations

import subprocess
import sys


def test_urllib3_is_imported_with_the_pool_and_not_by_its_first_requests():
    """Threads that import urllib3's circle of modules at once, at different places, get KeyError or _DeadlockError."""
    code = "import keeppool, sys; keeppool.PoolManager(); sys.exit('urllib3.util' not in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
