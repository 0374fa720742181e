"""How each SDK is given one of our pools, by the door it leaves open; docs/moving-from-urllib3.md shows the same ways.

`CAP` connections, whatever the SDK would open; `ask_all` and `assert_kept` are what every SDK's test is about.
"""

import threading
from concurrent.futures import ThreadPoolExecutor

from keeppool import Limits
from keeppool.testing import Behaviour

#: Most connections any of these clients may open.
CAP = 3
LIMITS = Limits(per_host=CAP)
THREADS = 8
EACH = 5
#: A server that ends each connection after its third answer, and counts who comes later (`Site.late`).
SHORT = Behaviour(hint_timeout=5, hint_max=3, hint_style="constant", delay_s=0.002)


def ask_all(ask):
    """Ask from 8 threads at the same time, 5 times each; give all answers."""
    start = threading.Barrier(THREADS)

    def run(_):
        start.wait(5)
        return [ask() for _ in range(EACH)]

    with ThreadPoolExecutor(THREADS) as threads:
        return [answer for answers in threads.map(run, range(THREADS)) for answer in answers]


def assert_kept(site, requests=THREADS * EACH):
    """Check what the server saw: the cap held, connections were used again, and never after their stated end."""
    assert site.requests == requests
    assert site.peak_open <= CAP
    # Three requests on each, but for what was left when the threads had ended.
    assert requests / 3 <= site.opened <= requests / 3 + CAP
    assert site.late == 0
