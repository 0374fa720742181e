"""`Door`: how requests' own `HTTPAdapter.send` sends with the mount, where something stands in its place and calls it.

Knows: what that method asks of a pool of urllib3's.
Does not know: who has called it: a tool that lets a request pass, or one that watches.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import requests

from keeppool.adapters.requests.raw import RawResponse


class FailedError(Exception):
    """Carries an error through requests' own `send`, which would make others of it.

    Args:
        error: It.
    """

    def __init__(self, error: requests.RequestException) -> None:
        super().__init__(str(error))
        self.error = error


class Door:
    """What requests' own `send` takes for a pool of urllib3's.

    Args:
        send: Sends the request, in the time it is given.
    """

    def __init__(self, send: Callable[[Any], RawResponse]) -> None:
        self._send = send

    def urlopen(self, *, timeout: Any, **_: Any) -> RawResponse:
        """Send the request. All but the time for it is known.

        Raises:
            FailedError: It has failed.
        """
        # So requests writes a call that says nothing.
        is_unsaid = timeout.connect_timeout is None and timeout.read_timeout is None
        try:
            return self._send(None if is_unsaid else timeout)
        except requests.RequestException as error:
            raise FailedError(error) from error
