"""The names of `requests.sessions`."""

from keeppool.client.session import Session


def session() -> Session:
    """Make a session; `Session()` does the same."""
    return Session()


__all__ = ["Session", "session"]
