"""`FakeClock`: time that passes only when a test says so. Knows nothing else."""

from __future__ import annotations


class FakeClock:
    """A clock to call in place of `time.monotonic`.

    Args:
        start: Seconds it shows first.
    """

    def __init__(self, start: float = 1000.0) -> None:
        self._now = start

    def __call__(self) -> float:
        """Give the time in seconds."""
        return self._now

    def advance(self, seconds: float) -> float:
        """Let time pass; give the new time.

        Raises:
            ValueError: `seconds` is negative; a monotonic clock does not go back. The time is unchanged.
        """
        if seconds < 0:
            raise ValueError(f"seconds={seconds}: time does not go back")
        self._now += seconds
        return self._now
