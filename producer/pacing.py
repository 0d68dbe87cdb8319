"""When a line goes: `--rate` and `--speed`."""

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import TypeVar

from producer.drift import Drift
from producer.moments import moment_of
from producer.schedule import NO_MOMENT, Schedule
from producer.stalls import Stalls

log = logging.getLogger(__name__)

L = TypeVar("L")
Clock = Callable[[], float]
Wait = Callable[[float], bool]
"""Waits for so many seconds, or less where there is a reason to look up; False where the work should stop."""

AHEAD_SECONDS = 0.002
"""With a rate alone, lines that are due within this time are sent at once: sleeps are not exact, and one a line would
be the bottleneck."""

GRAIN_SECONDS = 0.004
"""With a speed no line goes before its time, and no wait is shorter than this: what falls due meanwhile goes
together. Waits of a millisecond cost half as much CPU again at 10,000 lines a second."""

RATE_SLACK_SECONDS = 0.02
"""With both, so much of the rate is made up for: more than a wait's grain, or it would never be reached."""

GROUP_BYTES = 8 << 10

BY_LINE_RATE = 1000.0
"""Lines a second from which on a block of them, some 80, is sent in less than a tenth of a second, and as a whole."""

LOOK_SECONDS = 0.1
"""How long a wait may last before it is asked whether to pause."""

LONG_WAIT_SECONDS = 60.0
"""A wait that is longer than this is told: its reason may be a timestamp that is wrong."""


class Pace:
    """Lets lines go when they are due, on an absolute schedule: a late line does not delay those after it.

    `speed` replays N times as fast as the timestamps tell, counted from the first line; `rate` is a limit in lines a
    second. With neither every line is due at once. While `paused` nothing goes, and the schedule moves by as long.
    """

    def __init__(
        self,
        *,
        rate: float | None = None,
        speed: float | None = None,
        catch_up: bool = True,
        wait: Wait = lambda _: True,
        paused: Callable[[], bool] = lambda: False,
        clock: Clock = time.monotonic,
    ) -> None:
        """`catch_up`: after a stall send what is late as fast as it goes; otherwise the schedule moves by the stall."""
        self._rate = rate
        self._schedule = Schedule(speed) if speed is not None else None
        self._stalls = Stalls(self._schedule, catch_up=catch_up) if self._schedule else None
        self._wait = wait
        self._paused = paused
        self._clock = clock
        self._next_by_rate = clock()
        self._had_moments = False  # before it began anew
        self._early = 0.0 if self._schedule else AHEAD_SECONDS
        self._grain = GRAIN_SECONDS if self._schedule else 0.0
        self._rate_slack = RATE_SLACK_SECONDS if self._schedule else AHEAD_SECONDS
        self.drift = Drift()
        """Of the lines that a speed applied to."""
        self.paused_seconds = 0.0

    @property
    def skipped_seconds(self) -> float:
        """How far the schedule moved because of stalls."""
        return self._stalls.skipped_seconds if self._stalls else 0.0

    @property
    def free(self) -> bool:
        """Whether every line is due at once."""
        return self._rate is None and self._schedule is None

    @property
    def by_line(self) -> bool:
        """Whether each line waits for its own time: a block of them would last."""
        return self.by_moment or (self._rate is not None and self._rate < BY_LINE_RATE)

    @property
    def by_moment(self) -> bool:
        """Whether lines go by their timestamps."""
        return self._schedule is not None

    @property
    def timeless(self) -> bool:
        """Whether lines should go by their timestamps, and none had one."""
        return self._schedule is not None and self._schedule.latest == NO_MOMENT and not self._had_moments

    def begin(self) -> None:
        """Count anew from the next line: the same log begins again."""
        if self._schedule:
            self._had_moments = not self.timeless
            self._schedule.begin()

    def groups(self, lines: list[bytes]) -> Iterator[list[bytes]]:
        """The lines of a block in groups, each when it is due; of a block of one line nothing where the work should
        stop first, and of a larger one the rest at once.

        (A checkpoint stands between blocks: what is sent of a begun one must be sent whole, or comes again.)
        """
        if not self.free:
            moment = moment_of if self._schedule else _no_moment
            yield from self.timed(lines, moment, whole=len(lines) > 1)
            return
        if self._paused():
            self._rest()
        yield lines

    def timed(
        self,
        lines: Iterable[L],
        moment: Callable[[L], float | None],
        size: Callable[[L], int] = lambda _: 0,
        *,
        whole: bool = False,
    ) -> Iterator[list[L]]:
        """The same for lines of any kind, as they come; `whole`: the rest at once where the work should stop.

        A group of `GROUP_BYTES` goes by itself: where all are due at once, there is no end to it.
        """
        group: list[L] = []
        dues: list[float] = []
        stopping, held = False, 0
        for line in lines:
            now = self._clock()
            by_rate, due = self._due(moment(line), now)
            must_wait = not stopping and (self._paused() or max(by_rate, due) - now > self._early)
            if group and (must_wait or held >= GROUP_BYTES):
                yield group
                self._sent(dues)
                group, dues, held = [], [], 0
            if must_wait:
                stopping = not self._hold(by_rate)
                if stopping and not whole:
                    return
                now, due = self._clock(), self._now_due()
            group.append(line)
            held += size(line)
            if self._stalls and not stopping:
                dues.append(self._stalls.judge(due, now))
        if group:
            yield group
            self._sent(dues)

    def _due(self, moment: float | None, now: float) -> tuple[float, float]:
        """When the line is due by the rate, and when by its moment."""
        by_rate = now
        if self._rate is not None:  # after a pause the limit holds again: what was not sent then is not made up for
            by_rate = max(self._next_by_rate, now - self._rate_slack)
            self._next_by_rate = by_rate + 1 / self._rate
        return by_rate, self._schedule.due(moment, now) if self._schedule else now

    def _now_due(self) -> float:
        """When the last line is due by its moment: the schedule may have moved since."""
        now = self._clock()
        return self._schedule.due(None, now) if self._schedule else now

    def _hold(self, by_rate: float) -> bool:
        """Wait until the last line is due, and while paused; False where the work should stop."""
        told, grain = False, self._grain
        while True:
            if self._paused() and not self._rest():
                return False
            left = max(by_rate, self._now_due()) - self._clock()
            if left <= 0:
                return True
            if left > LONG_WAIT_SECONDS and not told:
                told = True
                self._tell_long_wait(left)
            if not self._wait(min(max(left, grain), LOOK_SECONDS)):
                return False
            grain = 0.0  # what is left of a longer wait is waited for exactly

    def _rest(self) -> bool:
        """Wait while paused, and move the schedule by as long; False where the work should stop."""
        log.info("Paused: the space bar, p or SIGUSR1 goes on")
        began, going = self._clock(), True
        while going and self._paused():
            going = self._wait(LOOK_SECONDS)
        seconds = self._clock() - began
        self.paused_seconds += seconds
        if self._schedule:
            self._schedule.shift(seconds)
        if going:
            log.info("Going on after a pause of %.1f s", seconds)
        return going

    def _tell_long_wait(self, seconds: float) -> None:
        if self._schedule:
            moment = datetime.fromtimestamp(math.floor(self._schedule.latest), UTC).isoformat()
            log.info("The next line, of %s, is due in %s; --from and --until leave lines out", moment, _told(seconds))

    def _sent(self, dues: list[float]) -> None:
        """Lines that were due then were handed over."""
        self.drift.add(dues, self._clock())


def _no_moment(_line: bytes) -> None:
    return None


def _told(seconds: float) -> str:
    """A long time, in the largest unit of which there are two."""
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{seconds:.0f} s"
