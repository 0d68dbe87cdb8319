"""When a line is due, and whether it is wanted: `--rate`, `--speed`, `--from` and `--until`."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from schemas.errors import BadLine, UsageProblem
from schemas.message import utc_text

Clock = Callable[[], float]
Wait = Callable[[float], bool]
"""Waits for so many seconds, or less where the work should stop; False then."""

AHEAD_SECONDS = 0.002
"""Lines that are due within this time are sent at once: sleeps are not exact, and one a line would be the
bottleneck."""

FUTURE_SECONDS = 60.0
"""So far two clocks may be apart. A topic refuses a record that is further ahead, an hour by default, and a refused
record stops the client."""


class _Timestamp(msgspec.Struct, gc=False):
    timestamp: int | float | str


_decode = msgspec.json.Decoder(_Timestamp).decode


def moment_of(line: bytes) -> float | None:
    """The line's timestamp in Unix seconds; None for a line that has none (it is for the consumer to judge)."""
    try:
        timestamp = _decode(line).timestamp
        utc_text(timestamp, line)
        return float(timestamp)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, BadLine):
        return None


def create_time(keeps_seconds: float, clock: Clock = time.time) -> Callable[[bytes], int]:
    """A function from a line to its timestamp in Unix milliseconds, for a record's CreateTime.

    It is 0, which stands for the moment of sending, where the line has no timestamp, or one that the topic would
    refuse (in the future) or delete at once: older than `keeps_seconds`, how long the topic keeps records.
    """

    def milliseconds(line: bytes) -> int:
        moment, now = moment_of(line), clock()
        if moment is None or not max(0.0, now - keeps_seconds / 2) < moment <= now + FUTURE_SECONDS:
            return 0
        return round(moment * 1000)

    return milliseconds


def parse_moment(text: str | None, flag: str) -> float | None:
    """Unix seconds from what a person typed: a number, or ISO 8601, in UTC where no zone is given.

    Raises `UsageProblem` for anything else.
    """
    if text is None:
        return None
    try:
        number = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        pass
    else:
        if math.isfinite(number):
            return number
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageProblem(
            f"{flag} {text!r} is no moment", "For example 2024-05-01T12:00:00Z, or Unix seconds"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


@dataclass(frozen=True)
class Window:
    """Lines from `start` (inclusive) until `end` (exclusive), in Unix seconds; a line without a timestamp is let
    through."""

    start: float | None = None
    end: float | None = None

    def wanted(self, line: bytes) -> bool:
        """Whether the line is inside."""
        moment = moment_of(line)
        if moment is None:
            return True
        return (self.start is None or moment >= self.start) and (self.end is None or moment < self.end)


class Pace:
    """Lets lines go when they are due, on an absolute schedule: a late line does not delay those after it.

    `speed` replays N times as fast as the timestamps tell, counted from the first line; `rate` is a limit in lines a
    second. With neither every line is due at once.
    """

    def __init__(
        self,
        *,
        rate: float | None = None,
        speed: float | None = None,
        wait: Wait = lambda _: True,
        clock: Clock = time.monotonic,
    ) -> None:
        self._rate = rate
        self._speed = speed
        self._wait = wait
        self._clock = clock
        self._origin: float | None = None
        self._first_moment: float | None = None
        self._next_by_rate = clock()

    @property
    def free(self) -> bool:
        """Whether every line is due at once."""
        return self._rate is None and self._speed is None

    def groups(self, lines: list[bytes]) -> Iterator[list[bytes]]:
        """The lines in groups, each when it is due; the rest at once where the work should stop.

        (They were read, and a checkpoint stands between blocks: sent early they are sent once.)
        """
        if self.free:
            yield lines
            return
        group: list[bytes] = []
        stopping = False
        for line in lines:
            delay = 0.0 if stopping else self._due(line) - self._clock()
            if delay > AHEAD_SECONDS:
                if group:
                    yield group
                    group = []
                stopping = not self._wait(delay)
            group.append(line)
        if group:
            yield group

    def _due(self, line: bytes) -> float:
        if self._origin is None:
            self._origin = self._clock()
        due = self._origin
        if self._rate is not None:  # after a pause the limit holds again: what was not sent then is not made up for
            due = max(self._next_by_rate, self._clock() - AHEAD_SECONDS)
            self._next_by_rate = due + 1 / self._rate
        moment = moment_of(line) if self._speed is not None else None
        if moment is not None and self._speed is not None:
            if self._first_moment is None:
                self._first_moment = moment
            due = max(due, self._origin + (moment - self._first_moment) / self._speed)
        return due
