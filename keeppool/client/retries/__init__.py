"""Trying again what failed or was refused, because the caller has asked for it: `retries=`, and the forms it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from keeppool.deferred import Deferred

if TYPE_CHECKING:
    from urllib3.util import Retry

    from keeppool.client.retries import retrying
else:
    # For those who ask for retries.
    retrying = Deferred("keeppool.client.retries.retrying")

RetriesArgument: TypeAlias = "int | Retry | retrying.Retrying | None"


def retrying_of(retries: RetriesArgument) -> retrying.Retrying | None:
    """Read the forms `retries=` takes; `None` for none at all.

    Raises:
        ConfigError: None of these.
    """
    if retries in (None, 0):
        return None
    return retries if isinstance(retries, retrying.Retrying) else retrying.Retrying(retries)
