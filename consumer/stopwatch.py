"""What a worker's time went to."""

import time
from collections.abc import Callable

from schemas.reports import Spent


class Stopwatch:
    """Books every second since the last lap under one heading, so that the headings add up to the time that went by."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = clock()
        self._booked = dict.fromkeys(Spent._fields, 0.0)

    def lap(self, heading: str, *, waited: float = 0.0, on: str = "broker") -> None:
        """Book the time since the last lap under `heading`, but for the part that was waited `on` something."""
        now = self._clock()
        passed, self._last = now - self._last, now
        waited = min(waited, passed)
        self._booked[on] += waited
        self._booked[heading] += passed - waited

    def clear(self) -> None:
        """Forget what was booked."""
        self._booked = dict.fromkeys(Spent._fields, 0.0)

    def take(self, *, storing: float) -> Spent:
        """What was booked since this was called before; `storing` is how long the database had a batch meanwhile.

        What was booked as a wait for the database and is more than that was a wait for records.
        """
        beyond = max(self._booked["database"] - storing, 0.0)
        self._booked["database"] -= beyond
        self._booked["broker"] += beyond
        spent = Spent(**{**self._booked, "storing": storing})
        self.clear()
        return spent
