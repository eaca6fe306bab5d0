"""The lab's own clock: the machine's, plus an offset that a demo may advance.

Wall time and elapsed time move together, so that a session that was online before a jump of ten days has
ten more days of session time and traffic after it.
"""

import time
from datetime import UTC, datetime, timedelta


class LabClock:
    """Wall time (UTC) and elapsed seconds, both shifted by `advance`."""

    def __init__(self) -> None:
        self._offset_s = 0.0

    def now(self) -> datetime:
        """The present instant in the lab, UTC."""
        machine = datetime.now(UTC)  # noqa: TID251  the lab is its own process and may ask the machine here
        return machine + timedelta(seconds=self._offset_s)

    def elapsed(self) -> float:
        """Seconds on a scale that never goes back; differences are what counts."""
        return time.monotonic() + self._offset_s

    def advance(self, seconds: float) -> None:
        """Move the lab's time ahead; it never goes back."""
        if seconds < 0:
            raise ValueError("the lab's clock never goes back: give seconds >= 0")
        self._offset_s += seconds
