"""Another name of `keeppool.errors`, for programs that look for requests' `exceptions`.

Decides: nothing. It is the same module, so that there is one list of errors: `keeppool.exceptions is keeppool.errors`.
"""

import sys

from keeppool import errors
from keeppool.errors import *  # noqa: F403  # for type checkers, which do not see the next line

sys.modules[__name__] = errors
