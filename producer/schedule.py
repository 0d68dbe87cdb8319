"""When a moment of the log is due on the clock. Pure: it knows neither a clock nor a wait."""

import math

NO_MOMENT = -math.inf


class Schedule:
    """Moments N times as fast as they were, counted from the first one: absolute, so that being late is not passed on.

    Moments are Unix seconds, dues are seconds of the caller's clock.
    """

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self.begin()

    def begin(self) -> None:
        """Count anew from the next moment, which will be due at once."""
        self._due_of_first = 0.0
        self._first = NO_MOMENT
        self.latest = NO_MOMENT
        """The latest moment that was asked for; minus infinity before the first."""

    def due(self, moment: float | None, now: float) -> float:
        """When a line of this moment is due; what comes before the first moment is due at once.

        A line without a moment, and one whose moment goes back, goes with the line before it.
        """
        if moment is not None and moment > self.latest:
            if self.latest == NO_MOMENT:
                self._due_of_first, self._first = now, moment
            self.latest = moment
        if self.latest == NO_MOMENT:
            return now
        return self._due_of_first + (self.latest - self._first) / self._speed

    def shift(self, seconds: float) -> None:
        """Let everything be due so much later."""
        self._due_of_first += seconds
