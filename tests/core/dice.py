"""How long the state machines are driven, and whether at random.

By default they are not: a build fails because of what changed, not because of the dice. `KEEPPOOL_EXAMPLES` is how many
examples there are: with more than there usually are the dice are thrown, as in `KEEPPOOL_EXAMPLES=500`; with fewer it
is a quick look, at the same ones each time.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings


def driven(usual: int) -> settings:
    """Give the settings of a machine that is driven through so many examples in the ordinary suite."""
    examples = int(os.environ.get("KEEPPOOL_EXAMPLES", usual))
    return settings(
        max_examples=examples,
        stateful_step_count=50,
        derandomize=examples <= usual,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
