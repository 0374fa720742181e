"""The names of `requests.sessions`, and the session for tasks."""

from keeppool.requests.mounting.session import Session
from keeppool.requests.mounting.session_tasks import AsyncSession


def session() -> Session:
    """Make a session; `Session()` does the same."""
    return Session()


__all__ = ["AsyncSession", "Session", "session"]
