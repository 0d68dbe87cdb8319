"""What is done about a line that is much too late: the machine slept, the broker was away, the disk stood still."""

import logging

from producer.schedule import Schedule

log = logging.getLogger(__name__)

STALL_SECONDS = 1.0
"""A line that is later than this was held up."""

CAUGHT_UP_SECONDS = 0.1
TELL_SECONDS = 10.0
"""How often a stall that is skipped is told at most."""


class Stalls:
    """Catches up with a stall, sending what is late as fast as it goes; or skips it: the schedule moves by as long."""

    def __init__(self, schedule: Schedule, *, catch_up: bool) -> None:
        self._schedule = schedule
        self._catch_up = catch_up
        self._behind = False
        self._told = -TELL_SECONDS
        self.skipped_seconds = 0.0
        """How far the schedule was moved."""

    def judge(self, due: float, now: float) -> float:
        """When a line that goes now was due: as it was, or, where a stall is skipped, now."""
        late = now - due
        if late > STALL_SECONDS:
            return self._catch(due, late) if self._catch_up else self._skip(now, late)
        if self._behind and late < CAUGHT_UP_SECONDS:
            self._behind = False
            log.info("On schedule again")
        return due

    def _catch(self, due: float, late: float) -> float:
        if not self._behind:
            log.warning("%.1f s late: catching up (--no-catch-up would skip it)", late)
        self._behind = True
        return due

    def _skip(self, now: float, late: float) -> float:
        self._schedule.shift(late)
        self.skipped_seconds += late
        if now >= self._told + TELL_SECONDS:
            self._told = now
            log.warning("%.1f s late: skipped, the schedule moves (--catch-up would catch up)", late)
        return now
